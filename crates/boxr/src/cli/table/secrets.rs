//! Commands about secrets.

use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::{Complete, Flag};
use crate::commands::secret;

static CREATE: Command = Command {
    usage: &["secret create [FLAGS] NAME FILE|-"],
    about: &[
        "Keeps what is in FILE, on stdin (-) or with --env in an environment variable, for containers, and prints its id. \
            boxr run --secret NAME gives it to one; it is in no image, record or log.",
    ],
    args: &[Arg::one("NAME", Complete::Nothing), Arg::one("FILE", Complete::File)],
    flags: &[&[
        Flag::value("driver", "NAME", "file, the only one").short('d'),
        Flag::switch("env", "The second word is the name of a variable"),
        Flag::value("label", "KEY=VALUE", "A label").short('l').repeat(),
        Flag::switch("replace", "Replace the secret that has the name"),
    ]],
    examples: &[Example {
        line: "boxr secret create key ./key.pem",
        what: "then: boxr run --secret key alpine",
    }],
    ..Command::new("secret create", Section::Images, "Keep a secret for containers", secret::create)
};

static LS: Command = Command {
    usage: &["secret ls [FLAGS]"],
    about: &["Lists the secrets that are here."],
    flags: &[&[
        Flag::switch("quiet", "Only ids").short('q'),
        Flag::value("filter", "KEY=VALUE", "Only secrets that match: name, id").short('f').repeat(),
        Flag::value("format", "FORMAT", "json, table, or a template such as '{{.Name}}'"),
    ]],
    ..Command::new("secret ls", Section::Images, "List secrets", secret::list)
};

static INSPECT: Command = Command {
    usage: &["secret inspect [FLAGS] SECRET..."],
    about: &["Prints what is known of secrets as a JSON array, without what is secret."],
    args: &[Arg::some("SECRET", Complete::Nothing)],
    flags: &[&[
        Flag::value("format", "TEMPLATE", "A template such as '{{.Spec.Name}}', or json").short('f'),
        Flag::switch("showsecret", "Also what is secret"),
    ]],
    ..Command::new("secret inspect", Section::Images, "Show what is known of secrets", secret::inspect)
};

static RM: Command = Command {
    usage: &["secret rm [FLAGS] SECRET..."],
    about: &["Removes secrets. Containers keep those that they were made with."],
    args: &[Arg::any("SECRET", Complete::Nothing)],
    flags: &[&[
        Flag::switch("all", "All secrets").short('a'),
        Flag::switch("ignore", "No error for one that is not there").short('i'),
    ]],
    ..Command::new("secret rm", Section::Images, "Remove secrets", secret::remove)
};

static EXISTS: Command = Command {
    usage: &["secret exists SECRET"],
    about: &["Whether there is a secret of this name or id: status 0, otherwise 1."],
    args: &[Arg::one("SECRET", Complete::Nothing)],
    ..Command::new("secret exists", Section::Images, "Whether a secret is there", secret::exists)
};

/// The commands that follow a word of theirs.
pub(super) static MEMBERS: &[(&str, &str, &Command)] = &[
    ("secret", "create", &CREATE),
    ("secret", "exists", &EXISTS),
    ("secret", "inspect", &INSPECT),
    ("secret", "list", &LS),
    ("secret", "ls", &LS),
    ("secret", "remove", &RM),
    ("secret", "rm", &RM),
];

pub(super) static SECRET: Command = Command {
    usage: &["secret COMMAND [FLAGS] [ARG...]"],
    about: &[
        "Commands about secrets, small files that only the containers that are given them see: create, exists, inspect, \
            ls, rm. `boxr secret COMMAND --help` tells more of one.",
    ],
    args: &[
        Arg::one("COMMAND", Complete::Words(&["create", "exists", "inspect", "ls", "rm"])),
        Arg::any("ARG", Complete::Nothing),
    ],
    order: FlagOrder::BeforeArguments,
    ..Command::new("secret", Section::Images, "Commands about secrets", secret::group)
};
