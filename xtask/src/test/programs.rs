//! The test programs that cargo builds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::cargo;

/// One executable that runs tests.
#[derive(Clone, Debug)]
pub struct Program {
    /// The crate it tests.
    pub package: String,
    /// `lib`, `bin`, or the name of the file below `tests/`.
    pub target: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it drives built programs from outside, and so is worth running in every world.
    pub integration: bool,
}

/// Everything built.
#[derive(Debug, Default)]
pub struct Programs {
    /// The test programs, in a fixed order.
    pub tests: Vec<Program>,
    /// The built programs, by the package that has a program of its own name.
    pub built: BTreeMap<String, PathBuf>,
}

/// Builds all tests of the workspace in the debug profile.
pub fn build() -> Result<Programs, String> {
    let output = cargo()
        .args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err("the tests do not build".into());
    }
    let mut programs = Programs::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str(line) else { continue };
        programs.note(&message);
    }
    programs
        .tests
        .sort_by(|a, b| (a.integration, &a.package, &a.target).cmp(&(b.integration, &b.package, &b.target)));
    Ok(programs)
}

impl Programs {
    fn note(&mut self, message: &Value) {
        let (Some(path), Some(kind)) =
            (message["executable"].as_str(), message["target"]["kind"][0].as_str())
        else {
            return;
        };
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let path = PathBuf::from(path);
        if message["profile"]["test"] == true {
            let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
            let package = manifest.parent().and_then(Path::file_name).unwrap_or_default();
            let integration = kind == "test";
            self.tests.push(Program {
                package: package.to_string_lossy().into_owned(),
                target: if integration { name } else { kind }.to_owned(),
                path,
                integration,
            });
        } else if kind == "bin" {
            self.built.insert(name.to_owned(), path);
        }
    }
}
