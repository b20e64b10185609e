//! `boxr diff`

use boxr_engine::attempt::{self, Attempt, Change, Kind, harmless, printable};
use boxr_engine::image::{self, ContainerFiles};
use boxr_engine::outcome::EngineError;
use boxr_engine::own_ids;
use boxr_image::rootfs::ChangeKind;
use serde_json::json;

use super::apply::{absolute, check_paths, is_meant};
use super::attempt::{listing, patch};
use crate::boxes;
use crate::cli::Invocation;
use crate::report::{Report, write_stdout_bytes};

/// Carries out `boxr diff`.
///
/// # Errors
/// No such box, or one that is of no image; files that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let as_json = match invocation.value("format") {
        None => invocation.switch("json"),
        Some("json") => true,
        Some(other) => return Err(invocation.bad_value("format", other, "json")),
    };
    let store = boxes::open_store(&invocation.globals)?;
    let name = invocation.first();
    let dir = boxes::find(&store, name)?;
    let options = dir.read_record().map_err(|error| Report::from(error).status(1))?.options;
    if let Some(attempt) = &options.attempt {
        return of_try(&invocation, attempt, as_json).map_err(|report| report.status(1));
    }
    let only_tries = ["patch", "stat"].into_iter().find(|flag| invocation.switch(flag));
    if let Some(what) =
        only_tries.map(|flag| format!("--{flag}")).or(invocation.positionals().get(1).cloned())
    {
        return Err(Report::new(format!("boxr diff: {what} is for tries, and {name} is none")).status(1));
    }
    let files = ContainerFiles::of(&dir, &options)?;
    own_ids::enter()?;
    let Some(changes) = image::changes(&options, files.as_ref())? else {
        return Err(
            Report::new(format!("box {name} is of no image: there is nothing to compare it with")).status(1)
        );
    };
    let mut text = Vec::new();
    if as_json {
        let of = |kind| -> Vec<String> {
            let meant = changes.iter().filter(|change| change.kind == kind);
            meant.map(|change| String::from_utf8_lossy(&change.path).into_owned()).collect()
        };
        let view = json!({
            "added": of(ChangeKind::Added), "changed": of(ChangeKind::Changed), "deleted": of(ChangeKind::Deleted),
        });
        text.extend_from_slice(format!("{view:#}\n").as_bytes());
    } else {
        for change in &changes {
            text.extend_from_slice(match change.kind {
                ChangeKind::Added => b"A ",
                ChangeKind::Changed => b"C ",
                ChangeKind::Deleted => b"D ",
            });
            text.extend_from_slice(&change.path);
            text.push(b'\n');
        }
    }
    write_stdout_bytes(&text)?;
    Ok(0)
}

/// What a try would change.
fn of_try(invocation: &Invocation, attempt: &Attempt, as_json: bool) -> Result<u8, Report> {
    let all = attempt::changes(attempt).map_err(EngineError::from)?;
    let paths: Vec<Vec<u8>> = invocation.positionals().iter().skip(1).map(|path| absolute(path)).collect();
    check_paths(&all, &paths)?;
    let meant: Vec<Change> = all.into_iter().filter(|change| is_meant(change, &paths)).collect();
    let text = if as_json {
        format!("{:#}\n", listing::json(&meant)).into_bytes()
    } else if invocation.switch("stat") {
        stat(attempt, &meant)?.into_bytes()
    } else if invocation.switch("patch") {
        let mut text = Vec::new();
        for change in &meant {
            let lines = patch::of(attempt, change).map_err(EngineError::from)?;
            if lines.is_empty() {
                text.extend(format!("# {}", listing::line(change)).into_bytes());
            }
            text.extend(lines);
        }
        if rustix::termios::isatty(rustix::stdio::stdout()) { harmless(&text).into_bytes() } else { text }
    } else {
        meant.iter().map(listing::line).collect::<String>().into_bytes()
    };
    write_stdout_bytes(&text)?;
    Ok(0)
}

/// Lines that came and went, file by file.
fn stat(attempt: &Attempt, changes: &[Change]) -> Result<String, Report> {
    let mut text = String::new();
    let (mut files, mut all) = (0, (0, 0));
    for change in changes.iter().filter(|change| change.kind != Kind::Attributes) {
        let is_directory = change.after.or(change.before).is_some_and(|entry| entry.is_directory());
        if is_directory {
            continue;
        }
        files += 1;
        let size = |entry: Option<attempt::Entry>| entry.map_or(0, |entry| entry.size);
        let what = match patch::counted(attempt, change).map_err(EngineError::from)? {
            Some((came, went)) => {
                all = (all.0 + came, all.1 + went);
                format!("+{came} -{went}")
            }
            None => format!("{} -> {} bytes", size(change.before), size(change.after)),
        };
        text.push_str(&format!("{} | {what}\n", printable(&change.path)));
    }
    text.push_str(&format!("{files} files, +{} -{}\n", all.0, all.1));
    Ok(text)
}
