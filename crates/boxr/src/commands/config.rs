//! `boxr config`

use std::io::Write;
use std::path::Path;

use boxr_engine::config::Format;

use crate::cli::{Invocation, stock};
use crate::report::{Report, io_text, write_stdout};

/// Writes the stock configuration file, to stdout without a name or for `-`.
///
/// # Errors
/// A file that exists, unless `--force`, or that cannot be written.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let file = invocation.positionals().first().map(String::as_str).filter(|file| *file != "-");
    let format = match invocation.value("format") {
        Some("toml") => Format::Toml,
        Some("json") => Format::Json,
        Some(other) => return Err(invocation.bad_value("format", other, "toml or json")),
        None => file.and_then(|file| Format::of_name(Path::new(file))).unwrap_or(Format::Toml),
    };
    let text = stock::stock(format);
    match file {
        Some(file) => write_file(Path::new(file), &text, invocation.switch("force"))?,
        None => write_stdout(&text)?,
    }
    Ok(0)
}

/// Writes a file that must not exist, unless it may be written over. A new file that could not
/// be written whole is taken away again.
fn write_file(file: &Path, text: &str, force: bool) -> Result<(), Report> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut opened = options.open(file).map_err(|error| refused(file, &error))?;
    opened.write_all(text.as_bytes()).map_err(|error| {
        let report = Report::new(format!("cannot write {}: {}", file.display(), io_text(&error)));
        match if force { Ok(()) } else { std::fs::remove_file(file) } {
            Ok(()) => report,
            Err(error) => report.detail(format!("what was written of it remains: {}", io_text(&error))),
        }
    })
}

fn refused(file: &Path, error: &std::io::Error) -> Report {
    let shown = file.display();
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        return Report::new(format!("{shown} exists already"))
            .detail("boxr config does not write over a file")
            .suggest(format!("boxr config --force {shown}"))
            .suggest(format!("boxr run -f {shown}"));
    }
    Report::new(format!("cannot write {shown}: {}", io_text(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_not_written_over_unless_forced() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("box.toml");
        write_file(&file, "one", false).unwrap();
        let report = write_file(&file, "two", false).unwrap_err();
        assert!(report.what.ends_with("exists already"), "{report}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
        write_file(&file, "2", true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "2");
    }

    #[test]
    fn a_full_disk_is_named() {
        let report = write_file(Path::new("/dev/full"), "x", true).unwrap_err();
        assert!(report.what.contains("ENOSPC"), "{report}");
        let report = write_file(Path::new("/no/such/dir/x"), "x", false).unwrap_err();
        assert!(report.what.contains("ENOENT"), "{report}");
    }
}
