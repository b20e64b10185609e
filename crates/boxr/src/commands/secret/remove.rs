//! `boxr secret rm`

use boxr_engine::secret::SecretError;

use crate::boxes;
use crate::cli::Invocation;
use crate::report::{Report, write_stdout};

/// Carries out `boxr secret rm`: prints the id of each that is gone. Containers keep what they were made with.
///
/// # Errors
/// The secrets cannot be opened; nothing was named.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let secrets = super::open(&invocation.globals)?;
    let gone = |word: &str| -> Result<(), Report> {
        let secret = match secrets.find(word) {
            Err(SecretError::Missing(_)) if invocation.switch("ignore") => return Ok(()),
            secret => secret?,
        };
        secrets.remove(&secret)?;
        write_stdout(&format!("{}\n", secret.id))
    };
    if invocation.switch("all") {
        let all: Vec<String> = secrets.all()?.into_iter().map(|secret| secret.id).collect();
        return boxes::for_each(&all, |word| gone(word));
    }
    if invocation.positionals().is_empty() {
        return Err(Report::new("secret rm takes the names of secrets, or --all"));
    }
    boxes::for_each(invocation.positionals(), |word| gone(word))
}
