//! `boxr version`

use serde_json::json;

use crate::cli::Invocation;
use crate::format::template::Template;
use crate::report::{Report, write_stdout};

/// Prints the version; with `--json` version and target as one object, with `--format` what docker and podman call client
/// and server, which are one here.
///
/// # Errors
/// A template that cannot be used; when stdout cannot be written.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let version = env!("CARGO_PKG_VERSION");
    let arch = std::env::consts::ARCH;
    if let Some(format) = invocation.value("format") {
        return formatted(format, version, arch);
    }
    if invocation.switch("json") {
        write_stdout(&format!("{{\"version\":\"{version}\",\"os\":\"linux\",\"arch\":\"{arch}\"}}\n"))?;
    } else {
        write_stdout(&format!("boxr version {version}\n"))?;
    }
    Ok(0)
}

fn formatted(format: &str, version: &str, arch: &str) -> Result<u8, Report> {
    let kernel = rustix::system::uname();
    let one = json!({
        "Version": version,
        "Os": "linux",
        "Arch": arch,
        "OsArch": format!("linux/{arch}"),
        "KernelVersion": kernel.release().to_string_lossy(),
    });
    let both = json!({ "Client": one, "Server": one });
    let mut text = String::new();
    match format.trim() {
        "json" => text = both.to_string(),
        format => Template::parse(format)?.render(&both, &mut text)?,
    }
    write_stdout(&format!("{text}\n"))?;
    Ok(0)
}
