//! Commands about pods.

use super::life::{STOP_SIGNAL, STOP_TIME};
use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::{Complete, Flag};
use crate::commands::pod;

/// What says pods in another way.
const SELECTED: &[&str] = &["latest", "pod-id-file"];
const POD_OF: Arg = Arg::one("POD", Complete::Nothing).or(SELECTED);
const PODS: &[Arg] = &[Arg::some("POD", Complete::Nothing).or(SELECTED)];
const PODS_OR_ALL: &[Arg] = &[Arg::some("POD", Complete::Nothing).unless("all").or(SELECTED)];
const LATEST: Flag = Flag::switch("latest", "The pod that was made last").short('l');
const ALL: Flag = Flag::switch("all", "All pods").short('a');
const IGNORE: Flag = Flag::switch("ignore", "No error for one that is not there").short('i');
/// Where the id is read from, or written to.
const ID_FILE: Flag = Flag::value("pod-id-file", "FILE", "Also the pod whose id is in this file")
    .repeat()
    .complete(Complete::File);

static CREATE: Command = Command {
    usage: &["pod create [FLAGS] [NAME]"],
    about: &[
        "Makes a pod and prints its id: boxes that share a network with its ports, a host name and IPC. It comes up with the \
            first of them, `boxr run --pod NAME`. No image is needed for that.",
    ],
    args: &[Arg::optional("NAME", Complete::Nothing)],
    flags: &[&[
        Flag::value("name", "NAME", "Its name (default: a generated one)").short('n'),
        Flag::value(
            "share",
            "KIND,...",
            "What members share: cgroup, ipc, net, pid, uts, none (default ipc,net,uts)",
        )
        .doc("+pid is the usual ones and one more."),
        Flag::value(
            "publish",
            "[IP:][HOST:]PORT[/PROTO]",
            "Let a port of the host lead into the pod: 8080:80",
        )
        .short('p')
        .repeat(),
        Flag::value("network", "NETWORK", "A network, host or none (default bridge)")
            .aliases(&["net"])
            .repeat(),
        Flag::value("ip", "ADDRESS", "Address on the first network"),
        Flag::value("ip6", "ADDRESS", "Address of IPv6 on the first network"),
        Flag::value("mac-address", "MAC", "Hardware address on the first network"),
        Flag::value("network-alias", "NAME", "Further name on the first network").repeat(),
        Flag::value("hostname", "NAME", "Hostname of its members (default: the pod's name)").short('h'),
        Flag::value("add-host", "NAME:ADDRESS", "Add a line to /etc/hosts of members").repeat(),
        Flag::switch("no-hosts", "Leave /etc/hosts as it is in images").hidden(),
        Flag::value("dns", "ADDRESS", "Name servers in place of the host's").repeat(),
        Flag::value("dns-search", "DOMAIN", "Domains that names are looked up in; . is none").repeat(),
        Flag::value("dns-option", "OPTION", "Options of resolv.conf(5)").aliases(&["dns-opt"]).repeat(),
        Flag::value("label", "KEY[=VALUE]", "Label the pod").short('l').repeat(),
        Flag::value("label-file", "FILE", "Read labels from a file").repeat().complete(Complete::File),
        Flag::value("userns", "MODE", "host, or auto: one range of ids for all members"),
        Flag::value("uidmap", "POD:HOST:SIZE", "Map user ids of a user namespace of the pod's").repeat(),
        Flag::value("gidmap", "POD:HOST:SIZE", "Map group ids of it").repeat(),
        Flag::value("pid", "MODE", "With --share pid: private, or host"),
        Flag::value("cpus", "N", "Processors for all members together: 1.5"),
        Flag::value("cpu-shares", "N", "Weight against others, 2 to 262144 (1024 is usual)").short('c'),
        Flag::value("cpuset-cpus", "LIST", "Only these processors: 0-2,5"),
        Flag::value("cpuset-mems", "LIST", "Only these memory nodes: 0-1"),
        Flag::value("memory", "SIZE", "Memory for all members together: 512m, 2g").short('m'),
        Flag::value("memory-swap", "SIZE", "Memory and swap together; -1 is no limit"),
        Flag::value("pids-limit", "N", "Processes and threads of all members; -1 is no limit"),
        Flag::value("shm-size", "SIZE", "Size of their /dev/shm (default 64m)"),
        Flag::value("sysctl", "NAME=VALUE", "Kernel parameters of its namespaces").repeat(),
        Flag::value("security-opt", "OPTION", "no-new-privileges, for all members").repeat(),
        Flag::value("volume", "SRC:DST[:OPTS]", "Bind a path of the host, or a volume, into all members")
            .short('v')
            .repeat()
            .complete(Complete::File),
        Flag::value(
            "restart",
            "POLICY",
            "no, on-failure[:N], always or unless-stopped, of members that do not say",
        )
        .complete(Complete::Words(&["no", "on-failure", "always", "unless-stopped"])),
        Flag::optional("infra", "true|false", "true", "Keep namespaces for members to share (default true)")
            .complete(Complete::Words(&["true", "false"])),
        Flag::value("infra-name", "NAME", "What keeps them is called so"),
        Flag::value("infra-command", "COMMAND", "Has no meaning: boxr needs none").hidden(),
        Flag::value("infra-image", "IMAGE", "Has no meaning: boxr needs none").hidden(),
        Flag::value("exit-policy", "POLICY", "With the end of the last member: continue (default) or stop")
            .complete(Complete::Words(&["continue", "stop"])),
        Flag::switch("replace", "Remove the pod that has the name first"),
        Flag::value("pod-id-file", "FILE", "Write the pod's id to a file").complete(Complete::File),
    ]],
    examples: &[
        Example { line: "boxr pod create --name web -p 8080:80", what: "then: boxr run -d --pod web nginx" },
        Example {
            line: "boxr pod create --share +pid -m 512m job",
            what: "see each other, at most 512 MiB together",
        },
    ],
    ..Command::new("pod create", Section::Life, "Make a pod", pod::create)
};

static PS: Command = Command {
    usage: &["pod ps [FLAGS]"],
    about: &["Lists pods."],
    flags: &[&[
        Flag::switch("quiet", "Only ids").short('q'),
        Flag::switch("no-trunc", "Do not shorten ids"),
        Flag::switch("noheading", "No heading").short('n'),
        Flag::switch("ctr-ids", "Also the ids of members"),
        Flag::switch("ctr-names", "Also the names of members"),
        Flag::switch("ctr-status", "Also the states of members"),
        Flag::switch("ns", "Also the cgroup and what is shared"),
        Flag::switch("latest", "The one made last").short('l'),
        Flag::value("sort", "KEY", "created (default), id, name, number or status")
            .complete(Complete::Words(&["created", "id", "name", "number", "status"])),
        Flag::value(
            "filter",
            "KEY=VALUE",
            "Only pods that match: id, name, status, label, label!, network, until, ctr-ids, ctr-names, ctr-number, ctr-status",
        )
        .short('f')
        .repeat(),
        Flag::value("format", "FORMAT", "json, table, or a template such as '{{.Name}} {{.Status}}'"),
    ]],
    ..Command::new("pod ps", Section::Look, "List pods", pod::list)
};

static INSPECT: Command = Command {
    usage: &["pod inspect [FLAGS] POD..."],
    about: &["Prints all that is known of pods, as JSON."],
    args: PODS,
    flags: &[&[
        Flag::value("format", "TEMPLATE", "A template such as '{{.State}}', or json").short('f'),
        LATEST,
    ]],
    ..Command::new("pod inspect", Section::Look, "Show all that is known of pods", pod::inspect)
};

static EXISTS: Command = Command {
    usage: &["pod exists POD"],
    about: &["Ends with 0 if there is such a pod, otherwise with 1."],
    args: &[Arg::one("POD", Complete::Nothing)],
    ..Command::new("pod exists", Section::Look, "Tell whether there is a pod", pod::exists)
};

static START: Command = Command {
    usage: &["pod start [FLAGS] POD..."],
    about: &["Brings pods up and starts all members."],
    args: PODS_OR_ALL,
    flags: &[&[ALL, ID_FILE, LATEST]],
    ..Command::new("pod start", Section::Life, "Start pods", pod::start)
};

static STOP: Command = Command {
    usage: &["pod stop [FLAGS] POD..."],
    about: &["Stops all members and takes pods down. Their ports are free then."],
    args: PODS_OR_ALL,
    flags: &[&[ALL, IGNORE, ID_FILE, LATEST, STOP_TIME]],
    ..Command::new("pod stop", Section::Life, "Stop pods", pod::stop)
};

static RESTART: Command = Command {
    usage: &["pod restart [FLAGS] POD..."],
    about: &["Stops pods and starts them again."],
    args: PODS_OR_ALL,
    flags: &[&[ALL, LATEST, STOP_TIME]],
    ..Command::new("pod restart", Section::Life, "Stop pods and start them again", pod::restart)
};

static KILL: Command = Command {
    usage: &["pod kill [FLAGS] POD..."],
    about: &["Sends a signal to every member; SIGKILL also takes the pods down."],
    args: PODS_OR_ALL,
    flags: &[&[ALL, LATEST, STOP_SIGNAL]],
    ..Command::new("pod kill", Section::Life, "Send a signal to all members", pod::kill)
};

static PAUSE: Command = Command {
    usage: &["pod pause [FLAGS] POD..."],
    about: &["Freezes all members that run."],
    args: PODS_OR_ALL,
    flags: &[&[ALL, LATEST]],
    ..Command::new("pod pause", Section::Life, "Freeze all members", pod::pause)
};

static UNPAUSE: Command = Command {
    usage: &["pod unpause [FLAGS] POD..."],
    about: &["Lets all members go on."],
    args: PODS_OR_ALL,
    flags: &[&[ALL, LATEST]],
    ..Command::new("pod unpause", Section::Life, "Let all members go on", pod::unpause)
};

static RM: Command = Command {
    usage: &["pod rm [FLAGS] POD..."],
    about: &["Removes pods with their members. Those that run are only ended with --force."],
    args: PODS_OR_ALL,
    flags: &[&[
        ALL,
        Flag::switch("force", "Kill members that run").short('f'),
        IGNORE,
        ID_FILE,
        LATEST,
        Flag::value(
            "time",
            "SECONDS",
            "With --force, seconds between the stop signal and SIGKILL (default 0)",
        )
        .short('t'),
    ]],
    ..Command::new("pod rm", Section::Life, "Remove pods", pod::remove)
};

static PRUNE: Command = Command {
    usage: &["pod prune [FLAGS]"],
    about: &["Removes the pods that have ended, with their members."],
    flags: &[&[Flag::switch("force", "Do not ask first").short('f')]],
    ..Command::new("pod prune", Section::Life, "Remove pods that have ended", pod::prune)
};

static TOP: Command = Command {
    usage: &["pod top POD [PS-OPTION...]"],
    about: &[
        "Lists the processes of all members as their containers have them. Words choose the columns, as podman's \
            (`pid hpid user capeff seccomp`…); options of ps(1) show them as the host has them.",
    ],
    args: &[POD_OF, Arg::any("PS-OPTION", Complete::Nothing)],
    flags: &[&[LATEST]],
    order: FlagOrder::BeforeArguments,
    ..Command::new("pod top", Section::Look, "List the processes of a pod", pod::top)
};

static STATS: Command = Command {
    usage: &["pod stats [FLAGS] [POD...]"],
    about: &["Shows what members use, until it is interrupted; without names, those of all pods."],
    args: &[Arg::any("POD", Complete::Nothing)],
    flags: &[&[
        ALL,
        LATEST,
        Flag::switch("no-stream", "Once"),
        Flag::switch("no-reset", "Do not clear the screen").hidden(),
        Flag::switch("no-trunc", "Do not shorten ids"),
        Flag::value("interval", "SECONDS", "Between two looks (default 1)").short('i'),
        Flag::value("format", "FORMAT", "json, table, or a template such as '{{.Name}} {{.CPU}}'"),
    ]],
    ..Command::new("pod stats", Section::Look, "Show what members of pods use", pod::stats)
};

static LOGS: Command = Command {
    usage: &["pod logs [FLAGS] POD"],
    about: &[
        "Prints what the members of a pod have written, member by member. Before each line stands the short id of the one \
            whose it is, unless only one is asked for.",
    ],
    args: &[POD_OF],
    flags: &[&[
        LATEST,
        Flag::value("container", "CONTAINER", "Only this member").short('c').complete(Complete::Container),
        Flag::switch("names", "Put the member's name before each line, instead of its id").short('n'),
        Flag::switch("color", "Each member's name or id in a colour of its own"),
        Flag::switch("follow", "Go on until all members have ended").short('f'),
        Flag::value("tail", "N", "Only the last N lines of each (default all)"),
        Flag::value("since", "TIME", "Only what came after: a time, or 10m for ten minutes ago"),
        Flag::value("until", "TIME", "Only what came before"),
        Flag::switch("timestamps", "Put the time before each line").short('t'),
    ]],
    ..Command::new("pod logs", Section::Look, "Show the output of a pod's members", pod::logs)
};

/// The commands that follow a word of theirs.
pub(super) static MEMBERS: &[(&str, &str, &Command)] = &[
    ("pod", "create", &CREATE),
    ("pod", "exists", &EXISTS),
    ("pod", "inspect", &INSPECT),
    ("pod", "kill", &KILL),
    ("pod", "list", &PS),
    ("pod", "logs", &LOGS),
    ("pod", "ls", &PS),
    ("pod", "pause", &PAUSE),
    ("pod", "prune", &PRUNE),
    ("pod", "ps", &PS),
    ("pod", "restart", &RESTART),
    ("pod", "rm", &RM),
    ("pod", "start", &START),
    ("pod", "stats", &STATS),
    ("pod", "stop", &STOP),
    ("pod", "top", &TOP),
    ("pod", "unpause", &UNPAUSE),
];

pub(super) static POD: Command = Command {
    usage: &["pod COMMAND [FLAGS] [ARG...]"],
    about: &[
        "Commands about pods: create, exists, inspect, kill, logs, pause, prune, ps, restart, rm, start, stats, stop, top, \
            unpause. `boxr pod COMMAND --help` tells more of one.",
    ],
    args: &[
        Arg::one(
            "COMMAND",
            Complete::Words(&[
                "create", "exists", "inspect", "kill", "logs", "pause", "prune", "ps", "restart", "rm",
                "start", "stats", "stop", "top", "unpause",
            ]),
        ),
        Arg::any("ARG", Complete::Container),
    ],
    order: FlagOrder::BeforeArguments,
    examples: &[Example {
        line: "boxr pod create --name web -p 8080:80",
        what: "then: boxr run -d --pod web -- CMD",
    }],
    ..Command::new("pod", Section::Life, "Commands about pods", pod::group)
};
