//! `boxr secret create`

use std::collections::BTreeMap;
use std::io::Read;

use boxr_engine::secret::LARGEST;

use crate::cli::Invocation;
use crate::report::{Report, write_stdout};

/// Carries out `boxr secret create`: prints the id.
///
/// # Errors
/// A name that is in use; nothing or too much to keep; what the system refuses.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let [name, from] = invocation.positionals() else {
        return Err(Report::new("secret create takes NAME and FILE or -"));
    };
    if let Some(driver) = invocation.value("driver").filter(|driver| *driver != "file") {
        return Err(Report::new(format!("--driver {driver}: file is the only driver of secrets")));
    }
    let data = if invocation.switch("env") { of_environment(from)? } else { of_file(from)? };
    let pair = |text: &str| {
        text.split_once('=')
            .map_or((text.to_owned(), String::new()), |(key, value)| (key.to_owned(), value.to_owned()))
    };
    let labels: BTreeMap<String, String> = invocation.values("label").map(pair).collect();
    let replace = invocation.switch("replace");
    let secret = super::open(&invocation.globals)?.create(name, &data, labels, replace)?;
    write_stdout(&format!("{}\n", secret.id))?;
    Ok(0)
}

fn of_environment(name: &str) -> Result<Vec<u8>, Report> {
    let value = std::env::var_os(name)
        .ok_or_else(|| Report::new(format!("the environment variable {name} is not set")))?;
    Ok(std::os::unix::ffi::OsStringExt::into_vec(value))
}

/// No more than is refused anyway.
fn of_file(from: &str) -> Result<Vec<u8>, Report> {
    let mut data = Vec::new();
    let read = if from == "-" {
        std::io::stdin().lock().take(LARGEST).read_to_end(&mut data)
    } else {
        std::fs::File::open(from).and_then(|file| file.take(LARGEST).read_to_end(&mut data))
    };
    read.map_err(|error| Report::new(format!("cannot read {from}: {error}")))?;
    Ok(data)
}
