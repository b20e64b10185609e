//! All commands. A flag or a command that is not in these tables does not exist; one that is
//! has help, manual and completions.

mod besides;
mod containers;
mod devices;
mod images;
mod life;
mod limits;
mod look;
mod networks;
mod pods;
mod run;
mod sandbox;
mod sandboxes;
mod secrets;
mod system;
mod tries;
mod volumes;

use super::command::Command;
use super::error::{UsageError, nearest};
use super::flag::{Complete, Flag};

pub use besides::BESIDES;
pub use limits::{AT_START, LIMITS};
pub use run::{RUN, SETTINGS};
pub use sandbox::SANDBOX;

/// Flags of boxr itself, valid before and after a command.
pub static GLOBAL: &[Flag] = &[
    Flag::value("root", "DIR", "Where records and logs of boxes are kept")
        .complete(Complete::Directory)
        .doc("The default is /var/lib/boxr for root, otherwise $XDG_DATA_HOME/boxr."),
    Flag::value("state", "DIR", "Where the state of running boxes is kept")
        .complete(Complete::Directory)
        .doc("The default is /run/boxr for root, otherwise $XDG_RUNTIME_DIR/boxr."),
    Flag::switch("debug", "Say on stderr what is being done"),
    Flag::value("log", "FILE", "Say it in this file instead").complete(Complete::File),
];

/// Flags that stand in place of a command.
pub static ALONE: &[Flag] =
    &[Flag::switch("help", "Show help").short('h'), Flag::switch("version", "Show the version").short('v')];

/// The flag that every command has; its short form gives way to one of the command's.
pub static HELP: &[Flag] = &[Flag::switch("help", "Show help of this command").short('h')];

/// All commands, in the order in which help shows them.
pub static COMMANDS: &[&Command] = &[
    &run::RUN,
    &run::CREATE,
    &tries::TRY,
    &tries::APPLY,
    &life::START,
    &life::EXEC,
    &life::DEBUG,
    &life::ATTACH,
    &life::STOP,
    &life::KILL,
    &life::PAUSE,
    &life::UNPAUSE,
    &life::RESTART,
    &life::WAIT,
    &life::RENAME,
    &life::UPDATE,
    &life::RM,
    &life::PRUNE,
    &life::CP,
    &life::EXPORT,
    &pods::POD,
    &look::PS,
    &look::INSPECT,
    &look::LOGS,
    &look::TOP,
    &look::STATS,
    &look::DIFF,
    &tries::PROFILE,
    &look::EVENTS,
    &networks::PORT,
    &images::PULL,
    &images::PUSH,
    &images::IMAGES,
    &images::RMI,
    &images::SAVE,
    &images::LOAD,
    &images::IMPORT,
    &images::COMMIT,
    &images::TAG,
    &images::UNTAG,
    &images::HISTORY,
    &images::LOGIN,
    &images::LOGOUT,
    &images::IMAGE,
    &containers::CONTAINER,
    &images::STORE,
    &volumes::VOLUME,
    &secrets::SECRET,
    &networks::NETWORK,
    &devices::DEVICE,
    &sandboxes::SANDBOX,
    &system::NS,
    &system::INFO,
    &system::DOCTOR,
    &system::SYSTEM,
    &system::CONFIG,
    &system::COMPLETION,
    &system::HELP_COMMAND,
    &system::VERSION,
];

/// Commands of docker's that a later version is to have, each with what does it until then.
static LATER: &[(&str, &str)] = &[
    (
        "build",
        "buildah and BuildKit build images with boxr-oci as their runtime; boxr pull and boxr load take them",
    ),
    (
        "compose",
        "containers find each other by name on one network (boxr network create), or share a pod (boxr pod create)",
    ),
    ("cri", "containerd and CRI-O serve Kubernetes with boxr-oci as their runtime"),
    ("search", "registries have a search on their websites; boxr pull takes any name that is found there"),
];

/// The command that `word` calls after the word `group`.
///
/// # Errors
/// An unknown word, with the nearest known one.
pub fn find_member(group: &str, word: &str) -> Result<&'static Command, UsageError> {
    let members = || {
        images::MEMBERS
            .iter()
            .chain(volumes::MEMBERS)
            .chain(containers::MEMBERS)
            .chain(secrets::MEMBERS)
            .chain(devices::MEMBERS)
            .chain(networks::MEMBERS)
            .chain(pods::MEMBERS)
            .chain(sandboxes::MEMBERS)
            .filter(|(of, _, _)| *of == group)
    };
    if let Some((_, _, command)) = members().find(|(_, name, _)| *name == word) {
        return Ok(command);
    }
    let nearest = nearest(word, members().map(|(_, name, _)| *name));
    Err(UsageError::UnknownCommand { word: format!("{group} {word}"), nearest })
}

/// The command that `word` calls.
///
/// # Errors
/// An unknown word, with the nearest known one.
pub fn find(word: &str) -> Result<&'static Command, UsageError> {
    if let Some(command) = COMMANDS.iter().find(|command| command.is_called(word)) {
        return Ok(command);
    }
    if let Some((word, instead)) = LATER.iter().find(|(later, _)| *later == word) {
        return Err(UsageError::LaterCommand { word, instead });
    }
    let visible = COMMANDS.iter().filter(|command| !command.hidden);
    let words =
        visible.flat_map(|command| std::iter::once(command.name).chain(command.aliases.iter().copied()));
    Err(UsageError::UnknownCommand { word: word.to_owned(), nearest: nearest(word, words) })
}

#[cfg(test)]
mod tests;
