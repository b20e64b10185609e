//! Help and version, from the tables.

use std::fmt::Write;

use super::Command;
use super::flag::{Flag, Takes};
use super::table::{COMMANDS, GLOBALS};

/// What `--version` prints: the second line is what podman and containerd look for.
pub(super) fn version() -> String {
    format!(
        "boxr-oci version {}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        crate::commands::features::SPEC_VERSION
    )
}

/// Help of the program.
pub(super) fn program() -> String {
    let mut text = String::from(
        "boxr-oci: a drop-in OCI runtime\n\nUsage: boxr-oci [GLOBAL FLAGS] COMMAND [FLAGS] [ARGUMENTS]\n\nCommands:\n",
    );
    for command in COMMANDS {
        line(&mut text, command.name, command.about);
    }
    text += "\nGlobal flags:\n";
    flags(&mut text, GLOBALS);
    text
}

/// Help of a command.
pub(super) fn command(command: &Command) -> String {
    let Command { name, arguments, about, .. } = command;
    let mut text =
        format!("boxr-oci {name}: {about}\n\nUsage: boxr-oci {name} [FLAGS] {arguments}\n\nFlags:\n");
    flags(&mut text, command.flags);
    text
}

fn flags(text: &mut String, flags: &[Flag]) {
    for flag in flags {
        let value = if flag.takes == Takes::Value { " VALUE" } else { "" };
        let short = flag.short.map(|short| format!(", -{short}{value}")).unwrap_or_default();
        line(text, &format!("--{}{value}{short}", flag.long), flag.help);
    }
}

fn line(text: &mut String, left: &str, right: &str) {
    // Writing into a string does not fail.
    writeln!(text, "  {left:<34} {right}").unwrap_or_default();
}
