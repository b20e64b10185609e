//! `boxr sandbox edit NAME`

use std::process::Command;

use boxr_engine::config::Caller;
use boxr_engine::outcome::EngineError;
use boxr_engine::sandbox::places;
use boxr_engine::sandbox::profile::{Origin, Profile};

use super::refused;
use crate::cli::Invocation;
use crate::report::Report;

/// What a new profile begins with.
const NEW: &str = "description = \"\"\ninherits = [\"shell\"]\nallow = []\nallow-net = []\n";

/// Opens the person's own profile in an editor, and looks at what came of it.
///
/// # Errors
/// It cannot be written, no editor runs, or the profile is wrong afterwards.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let places = places(&Caller::current()?).map_err(refused)?;
    let name = invocation.positionals().first().cloned().unwrap_or_default();
    let path = places.own().join(format!("{name}.toml"));
    let text = match places.find(&name) {
        Ok(Profile { origin: Origin::File(known), .. }) if known == path => None,
        Ok(profile) => Some(profile.text),
        Err(error) if places.is_name(&name) => {
            drop(error);
            Some(NEW.to_owned())
        }
        Err(error) => return Err(refused(error)),
    };
    if let Some(text) = text {
        let written = std::fs::create_dir_all(places.own()).and_then(|()| std::fs::write(&path, text));
        written.map_err(|error| failed(format!("write {}", path.display()), &error))?;
    }
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|word| !word.is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // A line for the shell, as programs that ask for an editor take it.
    let line = format!("{editor} \"$1\"");
    let status = Command::new("sh").args(["-c", &line, "sh"]).arg(&path).status();
    let status = status.map_err(|error| failed(format!("run {editor}"), &error))?;
    if !status.success() {
        return Err(Report::new(format!("{editor} ended with {status}"))
            .detail(format!("{} is as it left it", path.display())));
    }
    let profile = places.find(&name).map_err(refused)?;
    places.said(&profile).map_err(refused)?;
    Ok(0)
}

fn failed(doing: String, error: &std::io::Error) -> Report {
    let errno = rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO);
    EngineError::system(doing, errno).into()
}
