//! `cargo xtask man` and `cargo xtask completions`: files for packages, written from boxr's tables.

use std::path::PathBuf;

use crate::{Outcome, cargo, top};

/// Manual pages into `target/man`. The writer is an example of the crate `boxr`, so that this
/// program need not be built with all of it.
pub fn man() -> Outcome {
    let directory = target("man")?;
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "boxr", "--example", "man", "--"]).arg(&directory);
    finished(command.status(), "the writer of manual pages")?;
    println!("{}", directory.display());
    Ok(())
}

/// Completion scripts into `target/completions`, under the names that shells look for.
pub fn completions() -> Outcome {
    let directory = target("completions")?;
    for (shell, file) in [("bash", "boxr"), ("zsh", "_boxr"), ("fish", "boxr.fish")] {
        let mut command = cargo();
        command.args(["run", "--quiet", "--package", "boxr", "--", "completion", shell]);
        let output = command.output().map_err(|error| format!("cannot run cargo: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let path = directory.join(file);
        std::fs::write(&path, output.stdout).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    println!("{}", directory.display());
    Ok(())
}

fn target(name: &str) -> Result<PathBuf, String> {
    let directory = top().join("target").join(name);
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    directory.canonicalize().map_err(|error| format!("{}: {error}", directory.display()))
}

fn finished(status: std::io::Result<std::process::ExitStatus>, what: &str) -> Outcome {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what}: {status}")),
        Err(error) => Err(format!("{what}: {error}")),
    }
}
