//! `boxr logout`

use super::login::registry;
use crate::cli::Invocation;
use crate::images;
use crate::report::{Report, write_stdout};

/// Carries out `boxr logout`: forgets the password, wherever it is.
///
/// # Errors
/// A file that cannot be written.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let client = images::client(&invocation)?;
    let credentials = &client.options().credentials;
    if invocation.switch("all") {
        if !invocation.first().is_empty() {
            return Err(Report::new("boxr logout: --all takes no registry"));
        }
        credentials.forget_all()?;
        return write_stdout("Removed login credentials for all registries\n").map(|()| 0);
    }
    let registry = registry(&invocation);
    let places = credentials.forget(&registry)?;
    let text = match places.is_empty() {
        true => format!("Not logged in to {registry}\n"),
        false => format!("Removing login credentials for {registry}\n"),
    };
    write_stdout(&text)?;
    Ok(0)
}
