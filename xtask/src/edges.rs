//! Which crate may use which (ARCHITECTURE.md, Crates), and that `unsafe` stands in one crate only.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Outcome, cargo, top};

/// The one crate that may hold `unsafe`.
const UNSAFE_HOME: &str = "boxr-sys";

/// What each crate may use outside of its tests. A crate that is not named here fails the check.
const MAY_USE: &[(&str, &[&str])] = &[
    ("boxr-sys", &[]),
    ("boxr-seccomp", &[]),
    ("boxr-cgroup", &["boxr-sys"]),
    ("boxr-network", &["boxr-sys"]),
    ("boxr-image", &["boxr-sys"]),
    ("boxr-runtime", &["boxr-cgroup", "boxr-seccomp", "boxr-sys"]),
    (
        "boxr-engine",
        &["boxr-image", "boxr-network", "boxr-runtime", "boxr-cgroup", "boxr-seccomp", "boxr-sys"],
    ),
    ("boxr-oci", &["boxr-runtime", "boxr-cgroup", "boxr-seccomp", "boxr-sys", "boxr-build"]),
    (
        "boxr-cri",
        &[
            "boxr-engine",
            "boxr-image",
            "boxr-network",
            "boxr-runtime",
            "boxr-cgroup",
            "boxr-seccomp",
            "boxr-sys",
        ],
    ),
    (
        "boxr",
        &[
            "boxr-cri",
            "boxr-engine",
            "boxr-image",
            "boxr-network",
            "boxr-runtime",
            "boxr-cgroup",
            "boxr-seccomp",
            "boxr-sys",
            "boxr-build",
        ],
    ),
    // Not part of the product: for build scripts; the harness drives built programs, xtask drives cargo.
    ("boxr-build", &[]),
    ("boxr-testing", &["boxr-sys"]),
    ("xtask", &["boxr", "boxr-testing"]),
];

/// Checks it all; the error lists every offence.
pub fn main() -> Outcome {
    let mut offences = Vec::new();
    for package in packages()? {
        let name = text(&package, "name");
        offences.extend(edges_of(&package, &name));
        let dir = manifest_dir(&package);
        if name != UNSAFE_HOME {
            offences.extend(unsafe_words(&dir)?);
            offences.extend(missing_lints(&dir, &name)?);
        }
    }
    if offences.is_empty() { Ok(()) } else { Err(offences.join("\n")) }
}

fn packages() -> Result<Vec<Value>, String> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let mut metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    match metadata["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => Err("cargo metadata lists no packages".into()),
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn manifest_dir(package: &Value) -> PathBuf {
    Path::new(&text(package, "manifest_path")).parent().unwrap_or(top()).to_owned()
}

/// The dependencies of `package` on crates of this workspace which the table does not allow.
/// Tests may use what they like, but nothing else may use the harness.
fn edges_of(package: &Value, name: &str) -> Vec<String> {
    let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name}: add it to the table in xtask/src/edges.rs (ARCHITECTURE.md, Crates)")];
    };
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
    own.map(|dependency| text(dependency, "name"))
        .filter(|used| MAY_USE.iter().any(|(known, _)| known == used) && !allowed.contains(&used.as_str()))
        .map(|used| format!("{name} may not depend on {used} (ARCHITECTURE.md, Crates)"))
        .collect()
}

fn missing_lints(dir: &Path, name: &str) -> Result<Option<String>, String> {
    let manifest = read(&dir.join("Cargo.toml"))?;
    let inherits = manifest.contains("[lints]\nworkspace = true");
    Ok((!inherits).then(|| format!("{name}: Cargo.toml does not inherit the workspace's lints")))
}

fn unsafe_words(dir: &Path) -> Result<Vec<String>, String> {
    let mut offences = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = read(&path)?;
                let lines = source.lines().enumerate().filter(|(_, line)| has_unsafe(line));
                offences.extend(lines.map(|(index, _)| {
                    format!("{}:{}: unsafe outside {UNSAFE_HOME}", path.display(), index + 1)
                }));
            }
        }
    }
    Ok(offences)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Whether this line of code, comments aside, opens something unsafe.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let mut words = code.split_whitespace().skip_while(|word| !word.ends_with("unsafe"));
    words.next().is_some()
        && words.next().is_some_and(|next| OPENED.iter().any(|what| next.starts_with(what)))
}

/// What follows the keyword (Rust reference, "The unsafe keyword").
const OPENED: [&str; 6] = ["{", "fn", "extern", "impl", "trait", "mod"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyword_is_found_in_code_only() {
        let keyword = ["un", "safe"].concat();
        assert!(has_unsafe(&format!("    let x = {keyword} {{ f() }};")));
        assert!(has_unsafe(&format!("{keyword} extern \"C\" {{")));
        assert!(!has_unsafe(&format!("// {keyword} {{")));
        assert!(!has_unsafe(&format!("let s = \"{keyword}\";")));
        assert!(!has_unsafe(&format!("#![forbid({keyword}_code)]")));
    }

    #[test]
    fn an_upward_edge_is_an_offence() {
        let package = serde_json::json!({"dependencies": [
            {"name": "boxr-engine", "kind": null}, {"name": "serde", "kind": null},
            {"name": "boxr-testing", "kind": "dev"},
        ]});
        assert_eq!(edges_of(&package, "boxr-runtime").len(), 1);
        assert_eq!(edges_of(&package, "boxr").len(), 0);
        assert_eq!(edges_of(&package, "boxr-unheard-of").len(), 1);
    }
}
