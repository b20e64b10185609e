//! Commands about volumes.

use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::{Complete, Flag};
use crate::commands::volume;

static CREATE: Command = Command {
    usage: &["volume create [FLAGS] [NAME]"],
    about: &[
        "Makes a volume and prints its name, which is made up when none is given. One that is there already stays as \
            it is.",
    ],
    args: &[Arg::optional("NAME", Complete::Nothing)],
    flags: &[&[
        Flag::value("driver", "NAME", "local, the only one").short('d'),
        Flag::value("label", "KEY=VALUE", "A label").short('l').repeat(),
        Flag::value("opt", "KEY=VALUE", "o=uid=N,gid=N,mode=M; or type=none, o=bind,... and device=DIR; or type=tmpfs")
            .short('o')
            .repeat()
            .doc(
                "uid, gid (as in containers) and mode are those of a new directory, also when an image fills it. With o=bind and \
                    device the volume is a directory of the host's. A tmpfs takes o=size=64m,mode=1777,uid=N,gid=N and is one box's at a time: it is empty at each start, and \
                    another box is not started with it meanwhile.",
            ),
    ]],
    examples: &[Example { line: "boxr volume create data", what: "then: boxr run -v data:/srv alpine" }],
    ..Command::new("volume create", Section::Images, "Make a volume", volume::create)
};

static LS: Command = Command {
    usage: &["volume ls [FLAGS]"],
    about: &["Lists the volumes that are here."],
    flags: &[&[
        Flag::switch("quiet", "Only names").short('q'),
        Flag::value("filter", "KEY=VALUE", "Only volumes that match: dangling, driver, label, name")
            .short('f')
            .repeat(),
        Flag::value("format", "FORMAT", "json, table, or a template such as '{{.Name}} {{.Mountpoint}}'"),
        Flag::switch("noheading", "Leave the heading of the table out").short('n'),
    ]],
    examples: &[Example { line: "boxr volume ls -q -f dangling=true", what: "those that no box has" }],
    ..Command::new("volume ls", Section::Images, "List volumes", volume::list)
};

static INSPECT: Command = Command {
    usage: &["volume inspect [FLAGS] VOLUME..."],
    about: &["Prints all that is known of volumes as a JSON array."],
    args: &[Arg::some("VOLUME", Complete::Nothing).unless("all")],
    flags: &[&[
        Flag::value("format", "TEMPLATE", "A template such as '{{.Mountpoint}}', or json").short('f'),
        Flag::switch("all", "All volumes").short('a'),
    ]],
    examples: &[Example {
        line: "boxr volume inspect -f '{{.Mountpoint}}' data",
        what: "where its files are",
    }],
    ..Command::new("volume inspect", Section::Images, "Show all that is known of volumes", volume::inspect)
};

static RM: Command = Command {
    usage: &["volume rm [FLAGS] VOLUME..."],
    about: &["Removes volumes with what is in them. One that a box has, running or not, stays."],
    args: &[Arg::some("VOLUME", Complete::Nothing).unless("all")],
    flags: &[&[
        Flag::switch("force", "Remove the boxes that have it first; no error for one that is not there")
            .short('f'),
        Flag::switch("all", "All volumes").short('a'),
    ]],
    ..Command::new("volume rm", Section::Images, "Remove volumes", volume::remove)
};

static PRUNE: Command = Command {
    usage: &["volume prune [FLAGS]"],
    about: &["Removes the volumes without a name of their own that no box has."],
    flags: &[&[
        Flag::switch("all", "Those with a name too").short('a'),
        Flag::switch("force", "Do not ask first").short('f'),
        Flag::value("filter", "KEY=VALUE", "Only volumes that match: all, label").repeat(),
    ]],
    ..Command::new("volume prune", Section::Images, "Remove volumes that no box has", volume::prune)
};

static EXISTS: Command = Command {
    usage: &["volume exists VOLUME"],
    about: &["Ends with 0 if there is such a volume, otherwise with 1."],
    args: &[Arg::one("VOLUME", Complete::Nothing)],
    ..Command::new("volume exists", Section::Images, "Tell whether there is a volume", volume::exists)
};

/// The commands that follow a word of theirs.
pub(super) static MEMBERS: &[(&str, &str, &Command)] = &[
    ("volume", "create", &CREATE),
    ("volume", "exists", &EXISTS),
    ("volume", "inspect", &INSPECT),
    ("volume", "list", &LS),
    ("volume", "ls", &LS),
    ("volume", "prune", &PRUNE),
    ("volume", "remove", &RM),
    ("volume", "rm", &RM),
];

pub(super) static VOLUME: Command = Command {
    usage: &["volume COMMAND [FLAGS] [ARG...]"],
    about: &[
        "Commands about volumes, directories that outlive the boxes they are mounted in: create, exists, inspect, ls, \
            prune, rm. `boxr volume COMMAND --help` tells more of one.",
    ],
    args: &[
        Arg::one("COMMAND", Complete::Words(&["create", "exists", "inspect", "ls", "prune", "rm"])),
        Arg::any("ARG", Complete::Nothing),
    ],
    order: FlagOrder::BeforeArguments,
    examples: &[Example { line: "boxr volume create data", what: "then: boxr run -v data:/srv alpine" }],
    ..Command::new("volume", Section::Images, "Commands about volumes", volume::group)
};
