//! `boxr secret inspect` and `exists`.

use boxr_engine::secret::{Secret, SecretError, Secrets};
use serde_json::{Value, json};

use crate::boxes;
use crate::cli::Invocation;
use crate::commands::inspect::Shown;
use crate::format::time;
use crate::report::Report;

/// Carries out `boxr secret inspect`: those that are there are printed, whatever is wrong with others.
///
/// # Errors
/// A template that cannot be used.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let shown = Shown::read(&invocation)?;
    let reveals = invocation.switch("showsecret");
    let secrets = super::open(&invocation.globals)?;
    let mut views = Vec::new();
    let status = boxes::for_each(invocation.positionals(), |word| {
        views.push(view(&secrets, &secrets.find(word)?, reveals)?);
        Ok(())
    })?;
    shown.print(&views)?;
    Ok(status)
}

/// Podman's keys.
fn view(secrets: &Secrets, secret: &Secret, reveals: bool) -> Result<Value, SecretError> {
    let directory = secrets.data(secret).parent().map(std::path::Path::to_owned);
    let mut view = json!({
        "ID": secret.id,
        "CreatedAt": time::rfc3339_nano(secret.created),
        "UpdatedAt": time::rfc3339_nano(secret.updated),
        "Spec": {
            "Name": secret.name,
            "Driver": { "Name": "file", "Options": { "path": directory } },
            "Labels": secret.labels,
        },
    });
    if reveals {
        view["SecretData"] = String::from_utf8_lossy(&secrets.reveal(secret)?).into();
    }
    Ok(view)
}

/// Carries out `boxr secret exists`: 0 or 1, and nothing printed.
///
/// # Errors
/// The secrets cannot be read.
pub fn exists(invocation: Invocation) -> Result<u8, Report> {
    let word = invocation.positionals().first().map_or("", String::as_str);
    match super::open(&invocation.globals)?.find(word) {
        Ok(_) | Err(SecretError::Ambiguous(_)) => Ok(0),
        Err(SecretError::Missing(_)) => Ok(1),
        Err(error) => Err(error.into()),
    }
}
