//! Asking cargo for a built program.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::cargo;

/// Builds the program of `package` with the release profile and returns where it is.
pub fn release(package: &str) -> Result<PathBuf, String> {
    let output = cargo()
        .args(["build", "--release", "--package", package, "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built =
        messages.find(|message| message["target"]["name"] == package && message["executable"].is_string());
    let path = built.and_then(|message| message["executable"].as_str().map(PathBuf::from));
    path.filter(|_| output.status.success()).ok_or(format!("{package} does not build"))
}
