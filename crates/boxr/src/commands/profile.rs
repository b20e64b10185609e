//! `boxr profile`

use std::path::{Path, PathBuf};

use boxr_engine::sandbox::is_wide;
use boxr_engine::watch::profile::Found;
use boxr_engine::watch::{Record, profile};

use crate::boxes;
use crate::cli::Invocation;
use crate::report::{Report, io_text, write_stdout};

/// Carries out `boxr profile`.
///
/// # Errors
/// No record by that name; one that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let path = place(&invocation)?;
    let failed = |why: String| Report::new(format!("cannot read {}: {why}", path.display())).status(1);
    let text = std::fs::read(&path).map_err(|error| failed(io_text(&error)))?;
    let record: Record = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    if record.format != 1 {
        return Err(failed("not a record of boxr run --record".to_owned()));
    }
    write_stdout(&match invocation.switch("sandbox") {
        true => profile::sandbox(&record, &found),
        false => format!("{:#}\n", profile::seccomp(&record)),
    })?;
    Ok(0)
}

/// What a sandbox could be opened for.
fn found(path: &Path) -> Found {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    match std::fs::symlink_metadata(path) {
        Err(_) => Found::Nothing,
        Ok(found) if !found.is_dir() => Found::File,
        Ok(_) if !home.as_os_str().is_empty() && is_wide(path, &home) => Found::Wide,
        Ok(_) => Found::Directory,
    }
}

/// A file of that name, or the one that the box of that name wrote.
fn place(invocation: &Invocation) -> Result<PathBuf, Report> {
    let said = invocation.first();
    if said.contains('/') || std::path::Path::new(said).exists() {
        return Ok(PathBuf::from(said));
    }
    let store = boxes::open_store(&invocation.globals)?;
    let no_such = || {
        Report::new(format!("no record {said}: neither a file nor a box that was recorded"))
            .suggest("boxr run --record FILE -- COMMAND")
            .status(1)
    };
    let dir = store.resolve(said).map_err(|_| no_such())?;
    let options = dir.read_record().map_err(|error| Report::from(error).status(1))?.options;
    options.watch.and_then(|watch| watch.file).ok_or_else(no_such)
}
