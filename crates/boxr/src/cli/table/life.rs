//! Commands that change a box that exists.

use super::limits::LIMITS;
use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::{Complete, Flag};
use crate::commands;

const SELECTED: &[&str] = &["latest", "cidfile", "filter", "running"];

const NAMES_OR_ALL: &[Arg] = &[Arg::some("CONTAINER", Complete::Container).unless("all").or(SELECTED)];

const CONTAINERS: &[Arg] = &[Arg::some("CONTAINER", Complete::Container).or(SELECTED)];

/// One box, and what follows it.
pub(super) const ONE: Arg = Arg::one("CONTAINER", Complete::Container).or(SELECTED);

/// Instead of a name.
pub(super) const LATEST: Flag = Flag::switch("latest", "The box that was made last").short('l');

/// Several boxes by what they are.
const FILTER: Flag =
    Flag::value("filter", "KEY=VALUE", "Boxes that match, as of boxr ps").short('f').repeat();

const CIDFILE: Flag =
    Flag::value("cidfile", "FILE", "The box whose id is in this file").repeat().complete(Complete::File);

const IGNORE: Flag = Flag::switch("ignore", "No error for those that are not there").short('i');

/// The key sequence that leaves a box running.
pub(super) const DETACH_KEYS: Flag =
    Flag::value("detach-keys", "KEYS", "Keys that detach the terminal (default ctrl-p,ctrl-q)").doc(
        "A comma-separated sequence of single characters and ctrl-X, where X is a letter \
            or one of @ [ \\ ] ^ _. An empty value switches detaching off.",
    );

pub(super) const STOP_TIME: Flag =
    Flag::value("time", "SECONDS", "Seconds before SIGKILL (default 10; -1 waits for ever)")
        .short('t')
        .aliases(&["timeout"]);

pub(super) const STOP_SIGNAL: Flag =
    Flag::value("signal", "SIGNAL", "Signal to ask with (default: the box's stop signal)").short('s');

pub(super) static START: Command = Command {
    usage: &["start [FLAGS] CONTAINER...", "start --all"],
    about: &["Starts boxes that were created, or that have ended. Without --attach they run detached."],
    args: NAMES_OR_ALL,
    flags: &[&[
        Flag::switch("attach", "Show output, pass signals on, and end with the box's status").short('a'),
        Flag::switch("interactive", "Connect stdin").short('i'),
        Flag::switch("sig-proxy", "Pass signals on to the box (default true)"),
        DETACH_KEYS,
        Flag::switch("all", "All that do not run"),
        FILTER,
        LATEST,
    ]],
    examples: &[Example { line: "boxr start web", what: "start it again" }],
    ..Command::new("start", Section::Life, "Start boxes that do not run", commands::start::run)
};

pub(super) static EXEC: Command = Command {
    usage: &["exec [FLAGS] CONTAINER [COMMAND [ARG...]]", "exec [FLAGS] pid:N [COMMAND [ARG...]]"],
    about: &[
        "Runs a further command in a running box. Without a command, the shell of the box's user.",
        "pid:N stands for the namespaces of any process.",
    ],
    args: &[ONE, Arg::any("COMMAND", Complete::Program)],
    order: FlagOrder::BeforeArguments,
    flags: &[&[
        Flag::switch("detach", "Run it in the background").short('d'),
        Flag::switch("interactive", "Keep stdin open").short('i'),
        Flag::optional("tty", "auto|true|false", "true", "Give it a terminal (default auto)")
            .short('t')
            .complete(Complete::Words(&["auto", "true", "false"])),
        Flag::value("env", "KEY[=VALUE]", "Set a variable, or pass the caller's").short('e').repeat(),
        Flag::value("env-file", "FILE", "Read variables from a file").repeat().complete(Complete::File),
        Flag::value("workdir", "DIR", "Where it starts").short('w'),
        Flag::value("user", "UID[:GID]", "Who it runs as").short('u'),
        Flag::value("preserve-fds", "N", "Pass N descriptors from 3 on"),
        Flag::switch("privileged", "With all capabilities, and without the filter of system calls"),
        LATEST,
        DETACH_KEYS,
        Flag::switch("unjournaled", "It is no event: a health check").hidden(),
    ]],
    examples: &[
        Example { line: "boxr exec -it web sh", what: "a shell in the box" },
        Example { line: "boxr exec pid:4321 ip addr", what: "a command in the namespaces of a process" },
    ],
    ..Command::new("exec", Section::Life, "Run a command in a running box", commands::exec::run)
};

pub(super) static DEBUG: Command = Command {
    usage: &["debug [FLAGS] CONTAINER|pid:N [COMMAND [ARG...]]"],
    about: &[
        "Runs a shell, or a command, with tools of its own in a container that has none: in the container's processes, network, ids and \
            cgroups. The tools are `/`, the container's files are in /target, where the command starts as deep as the \
            container's own does; /proc is the container's.",
        "The tools are those of an image, or the host's busybox where that is static, or else the image busybox. Nothing is \
            written into the container or on the disk: what is changed of the tools goes with the command.",
        "pid:N, or a number, is a process of any engine's container, such as podman's.",
    ],
    args: &[Arg::one("CONTAINER", Complete::Container), Arg::any("COMMAND", Complete::Program)],
    order: FlagOrder::BeforeArguments,
    flags: &[
        &[
            Flag::value("tools", "IMAGE", "The image with the tools").complete(Complete::Image),
            Flag::switch("interactive", "Keep stdin open (it always is)").short('i'),
            Flag::optional("tty", "auto|true|false", "true", "Give it a terminal (default auto)")
                .short('t')
                .complete(Complete::Words(&["auto", "true", "false"])),
            Flag::value("env", "KEY[=VALUE]", "Set a variable, or pass the caller's").short('e').repeat(),
            Flag::value("env-file", "FILE", "Read variables from a file").repeat().complete(Complete::File),
            Flag::value("workdir", "DIR", "Where it starts").short('w'),
            Flag::value("cap-add", "CAP", "Give it a capability more than containers have and SYS_PTRACE")
                .repeat(),
            Flag::switch("privileged", "Give it all capabilities and no filter of system calls"),
            DETACH_KEYS,
        ],
        super::run::IMAGE,
        super::images::SHORT_NAMES,
        super::images::REGISTRY,
    ],
    examples: &[
        Example { line: "boxr debug web", what: "a shell, with web's files in /target" },
        Example { line: "boxr debug --tools nicolaka/netshoot web ss -tlnp", what: "who listens" },
        Example { line: "boxr debug pid:4321", what: "in a container of docker's or podman's" },
    ],
    ..Command::new("debug", Section::Life, "Run a shell with tools in a running box", commands::debug::run)
};

pub(super) static ATTACH: Command = Command {
    usage: &["attach [FLAGS] CONTAINER"],
    about: &["Connects this terminal to a detached box: its output, and stdin if it was started with -i."],
    args: &[ONE],
    flags: &[&[
        DETACH_KEYS,
        LATEST,
        Flag::switch("no-stdin", "Do not connect stdin"),
        Flag::switch("sig-proxy", "Pass signals on to the box (default true)"),
    ]],
    examples: &[Example { line: "boxr attach web", what: "leave it again with ctrl-p ctrl-q" }],
    ..Command::new("attach", Section::Life, "Connect to a running box", commands::attach::run)
};

pub(super) static STOP: Command = Command {
    usage: &["stop [FLAGS] CONTAINER...", "stop [FLAGS] --all"],
    about: &["Asks boxes to end, and kills them when they have not ended in time. Prints what was given."],
    args: NAMES_OR_ALL,
    flags: &[&[
        STOP_TIME,
        STOP_SIGNAL,
        Flag::switch("all", "All running boxes").short('a'),
        FILTER,
        LATEST,
        CIDFILE,
        IGNORE,
        Flag::switch(
            "shutdown",
            "The host ends: those with --restart unless-stopped are started with it again",
        ),
    ]],
    examples: &[Example { line: "boxr stop -t 2 web db", what: "two seconds to end in" }],
    ..Command::new("stop", Section::Life, "Ask boxes to end", commands::stop::run)
};

pub(super) static CP: Command = Command {
    usage: &["cp [FLAGS] CONTAINER:SRC DEST|-", "cp [FLAGS] SRC|- CONTAINER:DEST"],
    about: &[
        "Copies files and directories out of a container or into it, running or not, by docker's rules: a directory goes \
            into a directory that is there, or becomes DEST; SRC/. is what is in it; DEST/ must be there for a file. With \
            - it is a tar archive, on stdout or stdin.",
        "Files belong to root of the container, and those that come out to the caller; devices stay in there, \
            and set-user-id bits with them. What is mounted in a container is part of it while it runs.",
    ],
    args: &[Arg::one("SRC", Complete::File), Arg::one("DEST", Complete::File)],
    flags: &[&[
        Flag::switch("archive", "Keep owners, as numbers in the container").short('a'),
        Flag::switch("follow-link", "Copy what SRC links to, not the link").short('L'),
        Flag::switch("overwrite", "A directory may replace a file, and a file a directory with all in it")
            .doc("What is below SRC, and not DEST itself. A directory in which something is mounted stays."),
        Flag::switch("quiet", "Do not say how much was copied").short('q'),
    ]],
    examples: &[
        Example { line: "boxr cp web:/etc/nginx ./conf", what: "a directory out of web" },
        Example { line: "boxr cp site/. web:/usr/share/nginx/html", what: "what is in a directory, into it" },
    ],
    ..Command::new("cp", Section::Life, "Copy files into a container or out of it", commands::cp::run)
};

pub(super) static EXPORT: Command = Command {
    usage: &["export [FLAGS] CONTAINER"],
    about: &[
        "Writes the files of a container to an archive, running or not: its image's, and what it has changed of them, but \
            nothing that is mounted in it. Boxes with --rootfs DIR have files, too.",
    ],
    args: &[Arg::one("CONTAINER", Complete::Container)],
    flags: &[&[
        Flag::value("output", "FILE", "Write here rather than to stdout").short('o').complete(Complete::File),
        Flag::switch("sparse", "Keep the holes of files; few programs but tar(1) read them"),
    ]],
    examples: &[Example { line: "boxr export -o web.tar web", what: "all files of web" }],
    ..Command::new("export", Section::Life, "Write a container's files to an archive", commands::export::run)
};

pub(super) static KILL: Command = Command {
    usage: &["kill [FLAGS] CONTAINER...", "kill [FLAGS] --all"],
    about: &["Sends a signal to the first process of boxes."],
    args: NAMES_OR_ALL,
    flags: &[&[
        Flag::value("signal", "SIGNAL", "Which signal (default KILL)").short('s'),
        Flag::switch("all", "All running boxes").short('a'),
        LATEST,
        CIDFILE,
    ]],
    examples: &[Example { line: "boxr kill -s HUP web", what: "make it read its configuration again" }],
    ..Command::new("kill", Section::Life, "Send a signal to boxes", commands::kill::run)
};

pub(super) static PAUSE: Command = Command {
    usage: &["pause CONTAINER...", "pause --all"],
    about: &["Freezes all processes of boxes, by their cgroup."],
    args: NAMES_OR_ALL,
    flags: &[&[Flag::switch("all", "All running boxes").short('a'), FILTER, LATEST, CIDFILE]],
    ..Command::new("pause", Section::Life, "Freeze boxes", commands::pause::run)
};

pub(super) static UNPAUSE: Command = Command {
    usage: &["unpause CONTAINER...", "unpause --all"],
    about: &["Lets frozen boxes go on."],
    args: NAMES_OR_ALL,
    flags: &[&[Flag::switch("all", "All paused boxes").short('a'), FILTER, LATEST, CIDFILE]],
    ..Command::new("unpause", Section::Life, "Let frozen boxes go on", commands::unpause::run)
};

pub(super) static RESTART: Command = Command {
    usage: &["restart [FLAGS] CONTAINER...", "restart --all"],
    about: &["Stops boxes as `boxr stop` does, and starts them again."],
    args: NAMES_OR_ALL,
    flags: &[&[
        STOP_TIME,
        STOP_SIGNAL,
        Flag::switch("all", "All boxes, those that do not run too").short('a'),
        Flag::switch("running", "All that run"),
        FILTER,
        LATEST,
        CIDFILE,
    ]],
    ..Command::new("restart", Section::Life, "Stop boxes and start them again", commands::restart::run)
};

pub(super) static WAIT: Command = Command {
    usage: &["wait [FLAGS] CONTAINER..."],
    about: &["Waits until boxes have ended, and prints the exit status of each."],
    args: CONTAINERS,
    flags: &[&[
        Flag::value("condition", "STATE", "What is waited for (default: that it does not run)")
            .repeat()
            .complete(Complete::Words(&[
                "stopped",
                "running",
                "paused",
                "created",
                "exited",
                "healthy",
                "unhealthy",
                "removed",
                "not-running",
                "next-exit",
            ]))
            .doc("Several are alternatives. Docker's not-running, next-exit and removed; podman's states."),
        Flag::value("interval", "TIME", "As it is: boxr waits for the change itself").short('i'),
        LATEST,
    ]],
    examples: &[Example { line: "boxr wait job", what: "prints 0 when it went well" }],
    ..Command::new("wait", Section::Life, "Wait until boxes have ended", commands::wait::run)
};

pub(super) static RENAME: Command = Command {
    usage: &["rename CONTAINER NAME"],
    about: &["Gives a box another name."],
    args: &[Arg::one("CONTAINER", Complete::Container), Arg::one("NAME", Complete::Nothing)],
    ..Command::new("rename", Section::Life, "Give a box another name", commands::rename::run)
};

pub(super) static UPDATE: Command = Command {
    usage: &["update [FLAGS] CONTAINER..."],
    about: &[
        "Changes limits and restart policy of boxes: at once of those that run, and for every start from now on.",
    ],
    args: &[Arg::some("CONTAINER", Complete::Container)],
    flags: &[
        LIMITS,
        &[Flag::value("restart", "POLICY", "no, on-failure[:N], always or unless-stopped")
            .complete(Complete::Words(&["no", "on-failure", "always", "unless-stopped"]))],
    ],
    examples: &[Example { line: "boxr update --memory 1g --cpus 2 web", what: "while it runs" }],
    ..Command::new("update", Section::Life, "Change the limits of boxes", commands::update::run)
};

pub(super) static RM: Command = Command {
    aliases: &["remove"],
    usage: &["rm [FLAGS] CONTAINER...", "rm --force --all"],
    about: &["Removes boxes that have ended: record, state and log. Their names are free again."],
    args: NAMES_OR_ALL,
    flags: &[&[
        Flag::switch("force", "Kill those that run; no error for those that are not there").short('f'),
        Flag::switch("all", "All boxes").short('a'),
        Flag::switch("volumes", "Their volumes too that nobody gave a name").short('v'),
        Flag::switch("depend", "Those that require them (run --requires) too, before them"),
        Flag::value("filter", "KEY=VALUE", "Boxes that match, as of boxr ps").repeat(),
        LATEST,
        CIDFILE,
        IGNORE,
        Flag::value("time", "SECONDS", "With --force: ask to end first, and wait so long before SIGKILL")
            .short('t')
            .aliases(&["timeout"]),
        Flag::value("signal", "SIGNAL", "Signal to ask with").short('s').hidden(),
    ]],
    examples: &[Example { line: "boxr rm -f web", what: "whatever it is doing" }],
    ..Command::new("rm", Section::Life, "Remove boxes", commands::rm::run)
};

pub(super) static PRUNE: Command = Command {
    usage: &["prune [FLAGS]"],
    about: &["Removes every box that has ended, and what interrupted commands left behind."],
    flags: &[&[
        Flag::switch("force", "Do not ask first").short('f'),
        Flag::value("filter", "KEY=VALUE", "Only boxes that match: until=DURATION, label=KEY[=VALUE]")
            .repeat(),
    ]],
    examples: &[Example { line: "boxr prune -f --filter until=24h", what: "those that ended a day ago" }],
    ..Command::new("prune", Section::Life, "Remove all boxes that have ended", commands::prune::run)
};
