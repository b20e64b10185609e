//! `boxr version`

use crate::cli::Invocation;
use crate::report::{Report, write_stdout};

/// Prints the version, or with `--json` version and target as one object.
///
/// # Errors
/// When stdout cannot be written.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let version = env!("CARGO_PKG_VERSION");
    if invocation.switch("json") {
        let arch = std::env::consts::ARCH;
        write_stdout(&format!("{{\"version\":\"{version}\",\"os\":\"linux\",\"arch\":\"{arch}\"}}\n"))?;
    } else {
        write_stdout(&format!("boxr version {version}\n"))?;
    }
    Ok(0)
}
