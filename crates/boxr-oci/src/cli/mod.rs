//! The command line: global flags, a command, its flags, its words.

pub(crate) mod flag;
mod help;
mod table;
pub mod words;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::commands::Run;
use crate::error::Error;
use crate::log::Log;
use crate::store;
use flag::Flag;
use words::{Order, Words};

/// Flags before the command.
#[derive(Debug)]
pub struct Globals {
    /// Where containers are kept.
    pub root: PathBuf,
    /// Where errors go.
    pub log: Log,
    /// Whether cgroups are made by systemd.
    pub cgroups: CgroupManager,
    /// Whether missing rights to cgroups are put up with.
    pub rootless: Rootless,
    /// What is run to checkpoint and restore.
    pub criu: PathBuf,
}

/// Who makes cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupManager {
    /// boxr, in cgroupfs.
    Cgroupfs,
    /// systemd, over D-Bus.
    Systemd,
}

/// `--rootless`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rootless {
    /// By what the caller may do.
    Auto,
    /// As without privileges over cgroups.
    Yes,
    /// As with them.
    No,
}

/// One command of the table.
#[derive(Debug)]
pub(crate) struct Command {
    pub name: &'static str,
    pub arguments: &'static str,
    pub about: &'static str,
    pub order: Order,
    pub flags: &'static [Flag],
    pub failure_status: u8,
    pub run: Run,
}

/// A command with what was said to it.
#[derive(Debug)]
pub struct Called {
    /// Global flags.
    pub globals: Globals,
    /// The command's own flags and words.
    pub words: Words,
    /// What it does.
    pub run: Run,
    /// Exit status of its own errors.
    pub failure_status: u8,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Help, or the version.
    Print(String),
    /// A command.
    Run(Box<Called>),
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// [`Error::Usage`]
pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, Error> {
    let words = Words::read(table::GLOBALS, Order::FlagsFirst, args.into_iter().skip(1))?;
    if words.on("version") {
        return Ok(Invocation::Print(help::version()));
    }
    let mut rest = words.rest.iter().cloned();
    let Some(name) = rest.next().filter(|_| !words.on("help")) else {
        return Ok(Invocation::Print(help::program()));
    };
    if name == "help" || name == "h" {
        return match rest.next() {
            Some(topic) => Ok(Invocation::Print(help::command(find(&topic)?))),
            None => Ok(Invocation::Print(help::program())),
        };
    }
    let command = find(&name)?;
    let globals = globals(&words)?;
    let words = Words::read(command.flags, command.order, rest)?;
    if words.on("help") {
        return Ok(Invocation::Print(help::command(command)));
    }
    let failure_status = command.failure_status;
    Ok(Invocation::Run(Box::new(Called { globals, words, run: command.run, failure_status })))
}

fn find(name: &OsString) -> Result<&'static Command, Error> {
    let found = table::COMMANDS.iter().find(|command| name == command.name);
    found.ok_or_else(|| Error::NoSuchCommand(name.clone()))
}

fn globals(words: &Words) -> Result<Globals, Error> {
    let rootless = match words.text("rootless")?.unwrap_or("auto") {
        "auto" => Rootless::Auto,
        "true" => Rootless::Yes,
        "false" => Rootless::No,
        other => return Err(Error::Usage(format!("invalid value {other:?} for flag -rootless"))),
    };
    let cgroups = if words.on("systemd-cgroup") { CgroupManager::Systemd } else { CgroupManager::Cgroupfs };
    let root = match words.path("root") {
        Some(root) => std::path::absolute(&root).map_err(|error| Error::io("use", root, error))?,
        None => store::default_root(),
    };
    let criu = words.path("criu").unwrap_or_else(|| PathBuf::from("criu"));
    Ok(Globals { root, log: Log::new(words)?, cgroups, rootless, criu })
}
