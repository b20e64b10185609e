//! Commands that look at boxes.

use super::life::{LATEST, ONE};
use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::{Complete, Flag};
use crate::commands;

pub(super) static PS: Command = Command {
    aliases: &["ls", "list"],
    usage: &["ps [FLAGS]"],
    about: &["Lists boxes; without --all, those that run."],
    flags: &[&[
        Flag::switch("all", "Those that have ended or were only created, too").short('a'),
        Flag::switch("quiet", "Only ids").short('q'),
        Flag::value("filter", "KEY=VALUE", "Only boxes that match").short('f').repeat().doc(
            "Keys: id, name, label, label!, status, exited, health, ancestor, network, volume, before, since, pod, \
            restart-policy, should-start-on-boot. Different \
            keys and labels must all match; several of another key are alternatives.",
        ),
        Flag::value("format", "FORMAT", "json, table, or a template such as '{{.ID}} {{.Names}}'")
            .doc("json writes an object per line. A template that begins with `table ` has a heading."),
        Flag::value("last", "N", "The N made last, in any state").short('n'),
        Flag::switch("latest", "The one made last, in any state").short('l'),
        Flag::switch("no-trunc", "Do not shorten ids and commands"),
        Flag::switch("size", "Bytes that the boxes keep on disk").short('s'),
        Flag::switch("ns", "Pids and the numbers of their namespaces, in podman's columns"),
        Flag::switch("pod", "Also the pods that they are members of").short('p'),
        Flag::switch("noheading", "Leave the heading of the table out"),
        Flag::value("sort", "FIELD", "created (the newest first), id, image, names, runningfor, status or command"),
        Flag::value("watch", "SECONDS", "List again and again, with so much time in between").short('w'),
        Flag::switch("external", "As it is: boxr knows the boxes of nobody else").hidden(),
        Flag::switch("sync", "As it is: what is listed is always looked at").hidden(),
    ]],
    examples: &[
        Example { line: "boxr ps -a --filter status=exited", what: "what has ended" },
        Example { line: "boxr ps --format '{{.Names}}\\t{{.Status}}'", what: "two columns" },
    ],
    ..Command::new("ps", Section::Look, "List boxes", commands::ps::run)
};

pub(super) static INSPECT: Command = Command {
    usage: &["inspect [FLAGS] NAME..."],
    about: &[
        "Prints all that is known of boxes as a JSON array; or of images, volumes and networks, where no box is called so \
            or --type says it.",
    ],
    args: &[Arg::some("NAME", Complete::Container).or(&["latest"])],
    flags: &[&[
        Flag::value("format", "TEMPLATE", "A template such as '{{.State.Pid}}', or json").short('f'),
        Flag::switch("size", "Also the bytes kept on disk").short('s'),
        Flag::value("type", "TYPE", "Of what kind: container, image, volume, network, or all")
            .short('t')
            .complete(Complete::Words(&["all", "container", "image", "network", "volume"])),
        LATEST,
    ]],
    examples: &[Example { line: "boxr inspect -f '{{.State.ExitCode}}' job", what: "one field" }],
    ..Command::new("inspect", Section::Look, "Show all that is known of boxes", commands::inspect::run)
};

/// Of boxes alone.
pub(super) static INSPECT_CONTAINER: Command = Command {
    usage: &["container inspect [FLAGS] CONTAINER..."],
    about: &["Prints all that is known of boxes as a JSON array."],
    args: &[Arg::some("CONTAINER", Complete::Container).or(&["latest"])],
    flags: &[&[
        Flag::value("format", "TEMPLATE", "A template such as '{{.State.Pid}}', or json").short('f'),
        Flag::switch("size", "Also the bytes kept on disk").short('s'),
        LATEST,
    ]],
    ..Command::new(
        "container inspect",
        Section::Look,
        "Show all that is known of boxes",
        commands::inspect::container,
    )
};

pub(super) static LOGS: Command = Command {
    usage: &["logs [FLAGS] CONTAINER..."],
    about: &["Prints what detached boxes have written."],
    args: &[Arg::some("CONTAINER", Complete::Container).or(&["latest"])],
    flags: &[&[
        Flag::switch("follow", "Go on until the box has ended").short('f'),
        Flag::value("tail", "N", "Only the last N lines (default all)").short('n'),
        Flag::value("since", "TIME", "Only what came after: a time, or 10m for ten minutes ago"),
        Flag::value("until", "TIME", "Only what came before"),
        Flag::switch("timestamps", "Put the time before each line").short('t'),
        Flag::switch("names", "Put the box's name before each line"),
        Flag::switch("color", "Names in colours, by box"),
        Flag::switch("details", "As it is: no driver of boxr's keeps more").hidden(),
        LATEST,
    ]],
    examples: &[
        Example { line: "boxr logs -f web", what: "all of it, and what is to come" },
        Example { line: "boxr logs --tail 20 --since 1h web", what: "the last lines of the last hour" },
    ],
    ..Command::new("logs", Section::Look, "Show the output of a box", commands::logs::run)
};

pub(super) static TOP: Command = Command {
    usage: &["top [FLAGS] CONTAINER [PS-OPTION...]"],
    about: &[
        "Lists the processes of a box, with pids of the host. Options of ps(1) choose the columns; plain words choose \
            podman's, which show processes as the container has them (`hpid`, `huser`… as the host has).",
    ],
    args: &[ONE, Arg::any("PS-OPTION", Complete::Nothing)],
    flags: &[&[LATEST]],
    order: FlagOrder::BeforeArguments,
    examples: &[
        Example { line: "boxr top web -o pid,rss,args", what: "columns of your choice" },
        Example { line: "boxr top web user pid hpid capeff seccomp", what: "as the container has it" },
    ],
    ..Command::new("top", Section::Look, "List the processes of a box", commands::top::run)
};

pub(super) static DIFF: Command = Command {
    usage: &["diff [FLAGS] CONTAINER [PATH...]"],
    about: &[
        "Lists what a container has changed of its image: A for added, C for changed, D for deleted. What is mounted in it \
            is no part of that.",
        "Of a try (`boxr try`) it lists what would be applied: created, changed, removed, or another mode, owner or time. \
            With PATH, only that and what is beneath. Bytes of a name that are no printable text are written in octal.",
    ],
    args: &[ONE, Arg::any("PATH", Complete::File)],
    flags: &[&[
        Flag::value("format", "FORMAT", "json: three lists, or of a try an array"),
        Flag::switch("patch", "Of a try: the lines that differ, as diff -u writes them").short('p'),
        Flag::switch("stat", "Of a try: how many lines differ in each file"),
        Flag::switch("json", "The same as --format json"),
        LATEST,
    ]],
    examples: &[
        Example { line: "boxr diff web", what: "A /etc/new" },
        Example { line: "boxr diff -p job /etc", what: "what a try would change there, line by line" },
    ],
    ..Command::new("diff", Section::Look, "List what a container or a try has changed", commands::diff::run)
};

pub(super) static STATS: Command = Command {
    usage: &["stats [FLAGS] [CONTAINER...]"],
    about: &["Shows what boxes use, again and again; without a name, all that run."],
    args: &[Arg::any("CONTAINER", Complete::Container)],
    flags: &[&[
        Flag::switch("all", "Those that do not run, too").short('a'),
        Flag::switch("no-stream", "Once, not again and again"),
        Flag::value("interval", "SECONDS", "Time between two looks (default 1)").short('i'),
        Flag::value("format", "FORMAT", "json, table, or a template such as '{{.Name}} {{.CPUPerc}}'"),
        Flag::switch("no-trunc", "Do not shorten ids"),
        Flag::switch("no-reset", "Do not clear the screen between two looks"),
        LATEST,
    ]],
    examples: &[Example { line: "boxr stats --no-stream", what: "once" }],
    ..Command::new("stats", Section::Look, "Show what boxes use", commands::stats::run)
};

pub(super) static EVENTS: Command = Command {
    usage: &["events [FLAGS]"],
    about: &[
        "Prints what happens to boxes, images, volumes and networks, in docker's words, and to pods, in podman's, until it \
            is ended. Without --since and --until that is what happens from now on.",
        "Whichever boxr makes a thing happen appends it to a journal, which keeps the last 4 to 8 MiB. Boxes of host \
            commands in the foreground are not journaled, nor are their ends: they are to cost nothing.",
    ],
    flags: &[&[
        Flag::value("since", "TIME", "Begin with what happened then: a time, or 10m for ten minutes ago"),
        Flag::value("until", "TIME", "End with what happens then"),
        Flag::value("filter", "KEY=VALUE", "Only events that match").short('f').repeat().doc(
            "Keys: container, event, image, label, network, pod, scope, type, volume. Several of one key are alternatives, \
            labels must all match.",
        ),
        Flag::value("format", "FORMAT", "json, or a template such as '{{.Type}} {{.Action}} {{.Actor.ID}}'"),
        Flag::switch("stream", "Go on with what is to come (default true)"),
        Flag::switch("no-stream", "Print what has happened, and end"),
        Flag::switch("no-trunc", "Do not shorten ids (nothing is shortened)").hidden(),
    ]],
    examples: &[
        Example { line: "boxr events --since 1h --no-stream", what: "the last hour" },
        Example { line: "boxr events -f event=die --format '{{.Actor.Attributes.name}}'", what: "whose command has ended" },
    ],
    ..Command::new("events", Section::Look, "Show what happens to boxes and images", commands::events::run)
};
