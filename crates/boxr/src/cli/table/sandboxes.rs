//! Commands about profiles of sandboxes.

use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::Complete;
use crate::commands::sandbox;

static LS: Command = Command {
    usage: &["sandbox ls"],
    about: &["Lists the profiles that --sandbox=NAME takes."],
    ..Command::new("sandbox ls", Section::System, "List profiles", sandbox::list)
};

static SHOW: Command = Command {
    usage: &["sandbox show NAME"],
    about: &["Prints a profile as it is written, and those that it inherits."],
    args: &[Arg::one("NAME", Complete::Nothing)],
    examples: &[Example { line: "boxr sandbox show agent", what: "what it opens" }],
    ..Command::new("sandbox show", Section::System, "Show a profile", sandbox::show)
};

static EDIT: Command = Command {
    usage: &["sandbox edit NAME"],
    about: &[
        "Opens a profile of one's own in $VISUAL or $EDITOR; a new one begins as a copy of the one that has the name.",
    ],
    args: &[Arg::one("NAME", Complete::Nothing)],
    ..Command::new("sandbox edit", Section::System, "Edit a profile", sandbox::edit)
};

static APPROVE: Command = Command {
    usage: &["sandbox approve [DIRECTORY]"],
    about: &[
        "Lets --sandbox use the .boxr.toml of a project as it is now, which is printed. A change has to be approved again.",
    ],
    args: &[Arg::optional("DIRECTORY", Complete::Directory)],
    ..Command::new("sandbox approve", Section::System, "Approve a project's own profile", sandbox::approve)
};

/// The commands of the group: group, word, command.
pub(super) static MEMBERS: &[(&str, &str, &Command)] = &[
    ("sandbox", "ls", &LS),
    ("sandbox", "show", &SHOW),
    ("sandbox", "edit", &EDIT),
    ("sandbox", "approve", &APPROVE),
];

pub(super) static SANDBOX: Command = Command {
    usage: &["sandbox COMMAND [ARG...]"],
    about: &[
        "Commands about profiles, which say what a sandbox of `boxr run --sandbox=NAME` is opened for: ls, show, edit, approve.",
    ],
    args: &[
        Arg::one("COMMAND", Complete::Words(&["approve", "edit", "ls", "show"])),
        Arg::any("ARG", Complete::Nothing),
    ],
    order: FlagOrder::BeforeArguments,
    examples: &[Example { line: "boxr sandbox ls", what: "which there are" }],
    ..Command::new("sandbox", Section::System, "Commands about profiles of sandboxes", sandbox::group)
};
