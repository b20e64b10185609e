//! Commands about profiles of sandboxes, and which profile a run has.

mod edit;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use boxr_engine::config::{Caller, ConfigError, RawRun};
use boxr_engine::outcome::EngineError;
use boxr_engine::paths::Paths;
use boxr_engine::sandbox::profile::approval::{approve as remember, is_approved, of_project};
use boxr_engine::sandbox::profile::{OF_PROJECT, PLAIN, Places, Profile};
use boxr_engine::sandbox::{Said, SandboxError, places};

use crate::cli::{Globals, Invocation, run_member};
use crate::report::{Explain, Report, write_stdout};

pub use edit::run as edit;

/// Carries out `boxr sandbox COMMAND`.
///
/// # Errors
/// A word that is no command there, and what that command reports.
pub fn group(invocation: Invocation) -> Result<u8, Report> {
    run_member(invocation)
}

/// Puts what the profile says before what flags say, where `--sandbox` names one, or the project has one.
///
/// # Errors
/// There is no such profile, something is wrong in it, or the project's is not approved.
pub fn add_profile(raw: &mut RawRun, globals: &Globals, caller: &Caller) -> Result<(), Report> {
    let places = || places(caller).map_err(refused);
    let profile = match raw.sandbox.sandbox.as_deref() {
        None | Some(PLAIN) => return Ok(()),
        Some("") => {
            let directory = raw.workdir.as_ref().map_or(&caller.directory, |said| &said.absolute);
            let Some(profile) = of_project(directory)? else { return Ok(()) };
            ask_for(&profile, directory, globals)?;
            profile
        }
        Some(name) => places()?.find(name).map_err(refused)?,
    };
    let said: Said = places()?.said(&profile).map_err(refused)?;
    raw.sandbox = said.overlaid_by(std::mem::take(&mut raw.sandbox));
    Ok(())
}

fn refused(error: SandboxError) -> Report {
    ConfigError::from(error).report()
}

/// On a terminal the person is asked; elsewhere it takes `boxr sandbox approve`.
fn ask_for(profile: &Profile, directory: &Path, globals: &Globals) -> Result<(), Report> {
    let data = Paths::find(globals.state.as_deref(), globals.root.as_deref())?.data;
    if is_approved(&data, profile)? {
        return Ok(());
    }
    let place = profile.place();
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        let mut stderr = std::io::stderr();
        let asked = write!(
            stderr,
            "{place} says:\n\n{}\nUse it here, until it changes? [y/N] ",
            shown(&profile.text)
        );
        let mut answer = String::new();
        if asked.is_ok()
            && std::io::stdin().read_line(&mut answer).is_ok()
            && matches!(answer.trim(), "y" | "Y" | "yes")
        {
            return Ok(remember(&data, profile)?);
        }
    }
    Err(Report::new(format!("{place} is not approved, or has changed since it was"))
        .detail("a project's own profile is used only when you have approved it")
        .suggest(format!("boxr sandbox approve {}", directory.display()))
        .suggest(format!("boxr run --sandbox={PLAIN} ..., which does without it")))
}

/// What somebody else has written, without what moves a terminal's cursor.
fn shown(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() && letter != '\n' && letter != '\t' { '?' } else { letter })
        .collect()
}

/// Carries out `boxr sandbox ls`.
///
/// # Errors
/// The home directory is not known.
pub fn list(_: Invocation) -> Result<u8, Report> {
    let places = places(&Caller::current()?).map_err(refused)?;
    let mut text = format!("{:<12} {:<12} {}\n", "NAME", "FROM", "WHAT IT IS FOR");
    for name in places.names() {
        let profile = places.find(&name).map_err(refused)?;
        let description = profile.description().unwrap_or_else(|error| error.to_string());
        text.push_str(&format!("{name:<12} {:<12} {}\n", profile.place(), shown(&description)));
    }
    write_stdout(&text)?;
    Ok(0)
}

/// Carries out `boxr sandbox show NAME`.
///
/// # Errors
/// There is no such profile, or something is wrong in it.
pub fn show(invocation: Invocation) -> Result<u8, Report> {
    let places = places(&Caller::current()?).map_err(refused)?;
    let name = invocation.positionals().first().cloned().unwrap_or_default();
    let profile = places.find(&name).map_err(refused)?;
    // Whatever is wrong is said before it is shown as if it were right.
    places.said(&profile).map_err(refused)?;
    let mut text = String::new();
    add_with_inherited(&places, &profile, &mut Vec::new(), &mut text)?;
    write_stdout(&text)?;
    Ok(0)
}

fn add_with_inherited(
    places: &Places,
    profile: &Profile,
    seen: &mut Vec<String>,
    text: &mut String,
) -> Result<(), Report> {
    if seen.contains(&profile.name) {
        return Ok(());
    }
    seen.push(profile.name.clone());
    let gap = if text.is_empty() { "" } else { "\n" };
    text.push_str(&format!("{gap}# {} ({})\n{}", profile.name, profile.place(), profile.text));
    for name in profile.inherited().map_err(refused)? {
        add_with_inherited(places, &places.find(&name).map_err(refused)?, seen, text)?;
    }
    Ok(())
}

/// Carries out `boxr sandbox approve`.
///
/// # Errors
/// The project has no profile, or something is wrong in it.
pub fn approve(invocation: Invocation) -> Result<u8, Report> {
    let caller = Caller::current()?;
    let directory = invocation.positionals().first().map_or_else(|| caller.directory.clone(), PathBuf::from);
    let real = directory.canonicalize().map_err(|error| {
        let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
        EngineError::system(format!("find {}", directory.display()), errno)
    })?;
    let Some(profile) = of_project(&real)? else {
        return Err(Report::new(format!("{} has no {OF_PROJECT}", real.display())));
    };
    places(&caller).and_then(|places| places.said(&profile)).map_err(refused)?;
    let globals = &invocation.globals;
    remember(&Paths::find(globals.state.as_deref(), globals.root.as_deref())?.data, &profile)?;
    write_stdout(&shown(&profile.text))?;
    Ok(0)
}
