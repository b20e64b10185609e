//! `boxr container COMMAND`: docker's management commands, the same as those without the word.

use super::{images, life, look, networks, run};
use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::Complete;
use crate::commands::container;

static EXISTS: Command = Command {
    usage: &["container exists CONTAINER"],
    about: &["Ends with 0 if there is such a box, running or not, otherwise with 1."],
    args: &[Arg::one("CONTAINER", Complete::Container)],
    ..Command::new("container exists", Section::Life, "Tell whether there is a box", container::exists)
};

/// The commands that follow the word.
pub(super) static MEMBERS: &[(&str, &str, &Command)] = &[
    ("container", "attach", &life::ATTACH),
    ("container", "commit", &images::COMMIT),
    ("container", "cp", &life::CP),
    ("container", "create", &run::CREATE),
    ("container", "diff", &look::DIFF),
    ("container", "exec", &life::EXEC),
    ("container", "exists", &EXISTS),
    ("container", "export", &life::EXPORT),
    ("container", "inspect", &look::INSPECT_CONTAINER),
    ("container", "kill", &life::KILL),
    ("container", "list", &look::PS),
    ("container", "logs", &look::LOGS),
    ("container", "ls", &look::PS),
    ("container", "pause", &life::PAUSE),
    ("container", "port", &networks::PORT),
    ("container", "prune", &life::PRUNE),
    ("container", "ps", &look::PS),
    ("container", "rename", &life::RENAME),
    ("container", "restart", &life::RESTART),
    ("container", "rm", &life::RM),
    ("container", "run", &run::RUN),
    ("container", "start", &life::START),
    ("container", "stats", &look::STATS),
    ("container", "stop", &life::STOP),
    ("container", "top", &look::TOP),
    ("container", "unpause", &life::UNPAUSE),
    ("container", "update", &life::UPDATE),
    ("container", "wait", &life::WAIT),
];

pub(super) static CONTAINER: Command = Command {
    usage: &["container COMMAND [FLAGS] [ARG...]"],
    about: &[
        "The commands about boxes, as docker's management commands have them: `boxr container ls` is `boxr ps`, and so on. \
            `boxr container exists NAME` tells by its status whether there is such a box.",
    ],
    args: &[
        Arg::one(
            "COMMAND",
            Complete::Words(&["exists", "inspect", "ls", "prune", "rm", "run", "start", "stop"]),
        ),
        Arg::any("ARG", Complete::Container),
    ],
    order: FlagOrder::BeforeArguments,
    examples: &[Example { line: "boxr container prune -f", what: "as boxr prune -f" }],
    ..Command::new("container", Section::Life, "Commands about boxes, by docker's words", container::group)
};
