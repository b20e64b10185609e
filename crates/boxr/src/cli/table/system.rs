//! Commands about the host and boxr itself.

use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::{Complete, Flag};
use crate::commands;

pub(super) static NS: Command = Command {
    usage: &["ns [FLAGS] [CONTAINER|pid:N]..."],
    about: &["Shows who shares what. For a box or a process: its eight namespaces, which are \
            the host's, and who else has them. Without an argument: all namespaces of the \
            host with what holds them."],
    args: &[Arg::any("CONTAINER", Complete::Container)],
    flags: &[&[
        Flag::value("type", "KIND", "Only namespaces of this kind")
            .short('t')
            .repeat()
            .complete(Complete::Words(&["pid", "network", "mount", "uts", "ipc", "user", "cgroup", "time"])),
        Flag::switch("tree", "Nesting of user and pid namespaces"),
        Flag::switch("json", "As JSON, with the keys of lsns(8)"),
        Flag::switch("dot", "As a picture for dot(1)"),
    ]],
    examples: &[
        Example { line: "boxr ns web", what: "the namespaces of a box" },
        Example { line: "boxr ns --dot | dot -Tsvg -o ns.svg", what: "a picture" },
    ],
    ..Command::new("ns", Section::System, "Show namespaces and who shares them", commands::ns::run)
};

pub(super) static DOCTOR: Command = Command {
    usage: &["doctor [FLAGS] [AREA]"],
    about: &["Says what this host can do for you, and how to get what is missing. Ends with 1 when \
            a plain `boxr run` cannot work."],
    args: &[Arg::optional(
        "AREA",
        Complete::Words(&["kernel", "namespaces", "ids", "cgroup", "network", "host"]),
    )],
    flags: &[&[Flag::switch("json", "As JSON")]],
    ..Command::new("doctor", Section::System, "Say what this host can do for you", commands::doctor::run)
};

pub(super) static BOOT_UNIT: Command = Command {
    usage: &["system boot-unit [FLAGS]"],
    about: &[
        "Prints a unit for systemd which starts boxes with the host, and stops them with it: those with --restart always, and those \
            with --restart unless-stopped that nobody had stopped. Root's is for the system, another user's for the user.",
        "With --install it is written where systemd looks, and what is left to do is said.",
    ],
    flags: &[&[
        Flag::switch("install", "Write it where systemd looks"),
        Flag::value("program", "PATH", "Where boxr will be, if not where it is").complete(Complete::File),
    ]],
    examples: &[Example {
        line: "boxr system boot-unit --install && systemctl enable boxr-boot.service",
        what: "from the next start of the host on",
    }],
    ..Command::new(
        "system boot-unit",
        Section::System,
        "Print a unit that starts boxes with the host",
        commands::system::boot_unit,
    )
};

pub(super) static INFO: Command = Command {
    usage: &["info [FLAGS]"],
    about: &[
        "Shows what machine this is, what boxr keeps on it and what it can do there. Fields and JSON have docker's names and, below \
            Host, Store, Registries and Version, podman's.",
    ],
    flags: &[&[Flag::value(
        "format",
        "FORMAT",
        "json, or a template such as '{{.CgroupVersion}} {{.Host.Security.Rootless}}'",
    )
    .short('f')]],
    examples: &[
        Example { line: "boxr info", what: "all of it" },
        Example { line: "boxr info -f '{{.ContainersRunning}}'", what: "how many boxes run" },
    ],
    ..Command::new(
        "info",
        Section::System,
        "Show what machine this is and what boxr keeps",
        commands::system::info,
    )
};

pub(super) static DF: Command = Command {
    usage: &["system df [FLAGS]"],
    about: &[
        "Shows what boxr keeps on disk, and how much of it can go. Sizes are allocated bytes, as du(1) counts them: all lines \
            together are what `du -x` prints of the directory. With --verbose, everything one by one, and what nobody \
            refers to with the reason.",
    ],
    flags: &[&[
        Flag::switch("verbose", "Everything one by one").short('v'),
        Flag::value("format", "FORMAT", "json, table, or a template such as '{{.Type}} {{.SizeBytes}}'"),
    ]],
    ..Command::new("system df", Section::System, "Show what boxr keeps on disk", commands::system::df)
};

pub(super) static PRUNE: Command = Command {
    usage: &["system prune [FLAGS]"],
    about: &["Removes boxes that do not run, images without a name, and what killed commands have left."],
    flags: &[&[
        Flag::switch("all", "All images that no container uses").short('a'),
        Flag::switch("volumes", "Also volumes without a name of their own that no box has"),
        Flag::switch("force", "Do not ask").short('f'),
        Flag::value("filter", "KEY=VALUE", "Only what matches: until, label, label!").repeat(),
    ]],
    ..Command::new("system prune", Section::System, "Remove what nobody uses", commands::system::prune)
};

pub(super) static SYSTEM: Command = Command {
    usage: &["system COMMAND [FLAGS]"],
    about: &[
        "Commands about all that boxr keeps: boot-unit, df, events, info, prune. `boxr system COMMAND --help` tells more of one.",
    ],
    args: &[
        Arg::one("COMMAND", Complete::Words(&["boot-unit", "df", "events", "info", "prune"])),
        Arg::any("ARG", Complete::Nothing),
    ],
    order: FlagOrder::BeforeArguments,
    examples: &[Example { line: "boxr system df --verbose", what: "everything one by one" }],
    ..Command::new("system", Section::System, "Look after all that boxr keeps", commands::system::group)
};

pub(super) static CONFIG: Command = Command {
    usage: &["config [FLAGS] [FILE]"],
    about: &["Writes a configuration file with every key, its meaning and its default: TOML, \
            or JSON when FILE ends in .json. `boxr run -f FILE` runs it."],
    args: &[Arg::optional("FILE", Complete::File)],
    flags: &[&[
        Flag::switch("force", "Write over a file that exists"),
        Flag::value("format", "FORMAT", "toml or json, whatever the name of FILE")
            .complete(Complete::Words(&["toml", "json"])),
    ]],
    examples: &[
        Example { line: "boxr config box.toml", what: "a file to start from" },
        Example { line: "boxr run -f box.toml", what: "run it" },
    ],
    ..Command::new("config", Section::System, "Write a stock configuration file", commands::config::run)
};

pub(super) static COMPLETION: Command = Command {
    usage: &["completion bash|zsh|fish"],
    about: &["Prints a completion script for a shell."],
    args: &[Arg::one("SHELL", Complete::Words(&["bash", "zsh", "fish"]))],
    examples: &[
        Example { line: "source <(boxr completion bash)", what: "bash, in ~/.bashrc" },
        Example { line: "source <(boxr completion zsh)", what: "zsh, in ~/.zshrc after compinit" },
        Example { line: "boxr completion fish | source", what: "fish, in config.fish" },
    ],
    ..Command::new("completion", Section::System, "Print a completion script", commands::completion::run)
};

pub(super) static HELP_COMMAND: Command = Command {
    usage: &["help [COMMAND]"],
    args: &[Arg::optional("COMMAND", Complete::Command)],
    ..Command::new("help", Section::System, "Show help", commands::help::run)
};

pub(super) static VERSION: Command = Command {
    usage: &["version [FLAGS]"],
    flags: &[&[
        Flag::switch("json", "As JSON"),
        Flag::value("format", "FORMAT", "json, or a template such as '{{.Server.Version}}'").short('f'),
    ]],
    ..Command::new("version", Section::System, "Show the version", commands::version::run)
};
