//! `boxr run` and `boxr create`, and the flags that say what a box is.
//!
//! The meaning of each value is in `boxr_engine::config`, one setting for flag and file alike.

use super::besides::BESIDES;
use super::images::{REGISTRY, SHORT_NAMES};
use super::life::DETACH_KEYS;
use super::limits::{AT_START, LIMITS, TITLE as LIMITED};
use super::sandbox::SANDBOX;
use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::{Complete, Flag};
use crate::commands;

/// `boxr run`
pub static RUN: Command = Command {
    usage: &[
        "run [FLAGS] -- COMMAND [ARG...]",
        "run [FLAGS] IMAGE [ARG...]",
        "run [FLAGS] -f FILE [-- COMMAND [ARG...]]",
    ],
    about: &[
        "Runs a command of this host in a box: by default in new pid, mount and uts \
            namespaces, with a /proc of its own. boxr ends with the command's status; 125 \
            means boxr itself failed, 126 that the command cannot be executed, 127 that it \
            was not found, 128+N that signal N ended it.",
        "A word before -- is an image, which is fetched if it is not here. ARG takes the place of \
            the image's own arguments. Such a container has all namespaces but that of time of its own, as far as this user \
            can have them, and is kept when it has ended, unless --rm is said.",
    ],
    args: &[Arg::any("COMMAND", Complete::Program)],
    order: FlagOrder::BeforeArguments,
    flags: &[
        INVOCATION,
        SETTINGS,
        BESIDES,
        SANDBOX,
        LIMITS,
        AT_START,
        IMAGE,
        SHORT_NAMES,
        REGISTRY,
        REPORTING,
        WATCHING,
    ],
    examples: &[
        Example { line: "boxr run -it --rm alpine", what: "a shell in a container of an image" },
        Example { line: "boxr run -- zsh", what: "a shell that is process 1 of its own box" },
        Example { line: "boxr run --network new -- curl example.org", what: "a command without a network" },
        Example {
            line: "boxr run -d --name web -m 256m -- httpd -f",
            what: "in the background, with a limit",
        },
        Example { line: "boxr run --net container:web -- ss -tln", what: "share one namespace with it" },
        Example { line: "boxr run --rootfs ./alpine -v $PWD:/src:ro -- sh", what: "another file tree" },
        Example { line: "boxr run --sandbox -- sh install.sh", what: "with nothing but this directory" },
        Example { line: "boxr run --explain --dry-run -- sh", what: "say what would be done" },
    ],
    ..Command::new("run", Section::Life, "Run a command in a box", commands::run::run)
};

/// `boxr create`
pub(super) static CREATE: Command = Command {
    usage: &[
        "create [FLAGS] -- COMMAND [ARG...]",
        "create [FLAGS] IMAGE [ARG...]",
        "create [FLAGS] -f FILE [-- COMMAND [ARG...]]",
    ],
    about: &["Makes a box without starting it, and prints its id. `boxr start` starts it."],
    args: &[Arg::any("COMMAND", Complete::Program)],
    order: FlagOrder::BeforeArguments,
    flags: &[CREATION, SETTINGS, BESIDES, SANDBOX, LIMITS, AT_START, IMAGE, SHORT_NAMES, REGISTRY, REPORTING],
    examples: &[Example { line: "boxr create --name job -- make", what: "for `boxr start -a job`" }],
    ..Command::new("create", Section::Life, "Make a box without starting it", commands::create::run)
};

pub(super) const FILE: Flag = Flag::value("file", "FILE", "Read the box from a TOML or JSON file")
    .short('f')
    .complete(Complete::File)
    .doc(
        "Flags beat the file. Lists (environment, mounts, labels) are joined. The \
            command after -- replaces args. `boxr config` writes a file to start from; - is \
            stdin.",
    );

/// Which image, of `run` and `create`.
pub(super) static IMAGE: &[Flag] = &[
    Flag::value("pull", "missing|always|newer|never", "When the image is fetched (default missing)")
        .group(IMAGES)
        .complete(Complete::Words(&["missing", "always", "newer", "never"]))
        .doc("With newer one that is here does where none can be fetched."),
    Flag::value("platform", "OS/ARCH[/VARIANT]", "The image for another kind of machine").group(IMAGES),
    Flag::value("os", "OS", "The same, part by part").group(IMAGES),
    Flag::value("arch", "ARCH", "The same: amd64, arm64").group(IMAGES),
    Flag::value("variant", "VARIANT", "The same: v7, v8").group(IMAGES),
    Flag::switch("quiet", "Nothing of how a pull goes, and no warnings").short('q').group(IMAGES),
];

pub(super) const REPLACE: Flag =
    Flag::switch("replace", "Remove the box that has the name, running or not, first");

const POD: Flag = Flag::value("pod", "NAME", "Make it a member of a pod; new:NAME makes the pod as well").doc(
    "The box has the pod's network, host name and IPC, or what else the pod shares. Of a new pod the flags about these say \
        what it is.",
);
const POD_FILE: Flag =
    Flag::value("pod-id-file", "FILE", "Make it a member of the pod whose id is in this file")
        .complete(Complete::File);

/// Flags of `create` that say nothing about the box.
static CREATION: &[Flag] = &[FILE, REPLACE, POD, POD_FILE];

pub(super) const RECORD: Flag = Flag::value("record", "FILE", "Write what it does to a file")
    .complete(Complete::File)
    .doc(
        "As JSON: files that are opened for reading and for writing, programs, addresses, system calls by name. \
            `boxr profile FILE` makes profiles of it. A build of C takes about a twentieth longer; under strace -f it takes twice as long. Calls \
            such as read and mmap, which work on what is open, are not looked at.",
    );

/// Flags of `run` that say nothing about the box.
static INVOCATION: &[Flag] = &[
    FILE,
    REPLACE,
    POD,
    POD_FILE,
    Flag::switch("detach", "Run in the background and print the box's id").short('d'),
    DETACH_KEYS,
    Flag::switch("rmi", "Remove the image when the box has ended, unless others use it; implies --rm"),
    Flag::switch("explain", "Say what will be done, step by step, before doing it"),
    Flag::switch("dry-run", "Stop before anything is changed"),
    RECORD,
    Flag::switch("timing", "Say on stderr where the time of the start went"),
];

/// For programs, of `create`.
static REPORTING: &[Flag] =
    &[Flag::value("cidfile", "FILE", "Write the box's id to a file, which must not exist")
        .group(PROGRAMS)
        .complete(Complete::File)];

/// For programs, of `run`.
static WATCHING: &[Flag] =
    &[Flag::value("status-fd", "N", "Write what happens to descriptor N, as lines of JSON")
        .group(PROGRAMS)
        .doc(
            "One object per line: the pid of the first process on the host and the ids of \
            its namespaces when it runs, and the exit status when it has ended.",
        )];

const NAMESPACES: &str = "Namespaces (MODE: new, host, container:NAME, pid:N, id:N or a path)";
const NETWORK: &str = "Network";
pub(super) const FILES: &str = "Files";
pub(super) const WHO: &str = "Identity and rights";
pub(super) const LIFE: &str = "Life of the box";
pub(super) const PROGRAMS: &str = "For programs";
pub(super) const IMAGES: &str = "Image";
pub(super) const HEALTH: &str = "Health checks of containers of images";
const NAMES: &str = "Names of hosts, in containers of images";

const fn namespace(long: &'static str, help: &'static str) -> Flag {
    Flag::value(long, "MODE", help).group(NAMESPACES).complete(Complete::Words(&[
        "new",
        "host",
        "container:",
    ]))
}

/// Flags that say what the box is; each has a setting in `boxr_engine::config`.
pub static SETTINGS: &[Flag] = &[
    Flag::value("entrypoint", "PROGRAM", "In place of the image's entrypoint and arguments")
        .group(IMAGES)
        .doc("A list in JSON is a program with arguments; an empty word takes the image's away."),
    Flag::value("name", "NAME", "Name of the box (default: a generated one)"),
    Flag::switch("interactive", "Keep stdin open").short('i'),
    Flag::optional("tty", "auto|true|false", "true", "Give it a terminal of its own (default auto)")
        .short('t')
        .complete(Complete::Words(&["auto", "true", "false"]))
        .doc("auto gives a terminal when stdin and stdout are terminals."),
    Flag::value("env", "KEY[=VALUE]", "Set a variable, or pass the caller's").short('e').repeat().doc(
        "The command gets the caller's environment, then --env-file, then --env. KEY \
            without a value passes the caller's on; if that is not set, the variable is \
            removed.",
    ),
    Flag::value("env-file", "FILE", "Read variables from a file").repeat().complete(Complete::File).doc(
        "One KEY=VALUE or KEY a line; lines that begin with # are comments. Quotes are part of the value.",
    ),
    Flag::value("env-merge", "KEY=VALUE", "Set a variable from others: PATH=/opt/bin:${PATH}").repeat(),
    Flag::switch("clear-env", "Begin with PATH only, not with the caller's environment"),
    Flag::value("workdir", "DIR", "Where the command starts")
        .short('w')
        .complete(Complete::Directory)
        .doc("The default is the caller's directory, that of the image, or / with --rootfs."),
    Flag::value("hostname", "NAME", "Hostname in the box (default: the box's name)").short('h'),
    Flag::value("domainname", "NAME", "NIS domain name in the box"),
    Flag::value("label", "KEY[=VALUE]", "Label the box").short('l').repeat(),
    Flag::value("label-file", "FILE", "Read labels from a file").repeat().complete(Complete::File),
    namespace("pid", "Process ids (default new)"),
    namespace("network", "Network devices and ports (default host), or a network").aliases(&["net"]).repeat().doc(
        "NETWORK is the name of one (boxr network ls); bridge is the default network. Several give the box \
            a device on each. Options follow: NETWORK:ip=A,ip6=A,mac=M,alias=NAME,interface_name=NAME, and without root \
            host_loopback=true|ADDR: at 169.254.1.2, or ADDR, of IPv6 too, it reaches what listens on the host's loopback interface. \
            podman's words for that are pasta:--map-host-loopback=ADDR and slirp4netns:allow_host_loopback=true.",
    ),
    namespace("mount-ns", "Mounts (default new)"),
    namespace("uts", "Hostname (default new)"),
    namespace("ipc", "System V IPC and message queues (default host)"),
    namespace("userns", "User ids (default host; new where that lacks the right)").doc(
        "For containers of images also auto, root's default: a range of ids that no other container and nobody on \
            the host has. They have the host's where --privileged, --network host, --pid host or --device ask for it. An \
            ordinary user's keep-id[:uid=N,gid=N,size=N] gives the caller the same number in the container, who is also its user; \
            with nomap the caller has no number in it, so that what is only the caller's cannot be opened.",
    ),
    Flag::switch("userns-chown", "Copy an image's files for keep-id or nomap, where the kernel (before 6.16) needs it"),
    namespace("cgroupns", "View of cgroups (default host)"),
    namespace("time-ns", "Clocks (default host)"),
    Flag::value("ns", "KIND=MODE,...", "Several namespaces at once: pid=new,net=host")
        .group(NAMESPACES)
        .repeat()
        .doc("KIND is pid, network (net), mount (mnt), uts, ipc, user, cgroup or time."),
    Flag::value("share", "NAME", "Join every namespace of a running box")
        .group(NAMESPACES)
        .complete(Complete::Container),
    Flag::value("sdnotify", "container|conmon|healthy|ignore", "Who tells systemd that it is ready (default container)")
        .complete(Complete::Words(&["container", "conmon", "healthy", "ignore"]))
        .doc(
            "Where NOTIFY_SOCKET is set: the command itself (its unit needs NotifyAccess=all), boxr when the command runs (conmon) \
                or a health check has found it well, or nobody. MAINPID is that of the monitor with -d.",
        ),
    Flag::value("volumes-from", "NAME[:ro]", "Have the volumes and binds of another container too")
        .repeat()
        .complete(Complete::Container),
    Flag::value("gpus", "all|N|device=NAME", "Give a container NVIDIA's devices (nvidia.com/gpu)").repeat(),
    Flag::value("secret", "NAME[,OPTION=...]", "Give a container a secret").repeat().doc(
        "Options: type=mount (the default) or env; target=PATH, below /run/secrets unless it is absolute, or the name of a \
            variable; uid, gid and mode (0444) of the file. boxr secret create keeps one.",
    ),
    Flag::switch("map-self", "In a new user namespace, stay who you are instead of root").group(NAMESPACES),
    Flag::value("uidmap", "BOX:HOST[:SIZE]", "Map user ids of a new user namespace").group(NAMESPACES).repeat(),
    Flag::value("gidmap", "BOX:HOST[:SIZE]", "Map group ids of a new user namespace")
        .group(NAMESPACES)
        .repeat(),
    Flag::value("monotonic", "SECONDS", "Offset of the monotonic clock; makes a time namespace")
        .group(NAMESPACES),
    Flag::value("boottime", "SECONDS", "Offset of the boot-time clock; makes a time namespace")
        .group(NAMESPACES),
    Flag::value("publish", "[IP:][HOST:]PORT[/PROTO]", "Let a port of the host lead into the box: 8080:80")
        .short('p')
        .group(NETWORK)
        .repeat()
        .doc(
            "Without HOST any free port is taken; both may be ranges such as 8000-8010. PROTO is tcp, udp or \
            sctp. Brings --network bridge with it.",
        ),
    Flag::switch("publish-all", "Publish all exposed ports on free ones").short('P').group(NETWORK),
    Flag::value("expose", "PORT[/PROTO]", "Say that the box listens there, for -P").group(NETWORK).repeat(),
    Flag::value("ip", "ADDRESS", "Address on the first network").group(NETWORK),
    Flag::value("ip6", "ADDRESS", "Address of IPv6 on the first network").group(NETWORK),
    Flag::value("mac-address", "MAC", "Hardware address on the first network").group(NETWORK),
    Flag::value("network-alias", "NAME", "Further name on the first network").group(NETWORK).repeat(),
    Flag::value("rootfs", "DIR", "Use this directory as / of the box")
        .group(FILES)
        .complete(Complete::Directory),
    Flag::switch("read-only", "Mount / of the box read-only").group(FILES),
    Flag::value("volume", "SRC:DST[:OPTS]", "Bind a path of the host, or a volume, into the box")
        .short('v')
        .group(FILES)
        .repeat()
        .complete(Complete::File)
        .doc(
            "A SRC without a slash is a volume, made if it is not there; DST alone is a new one without a name. A \
            volume that is empty gets what the image has at DST, unless nocopy is said. OPTS, with commas: ro, rw, rbind, \
            bind, nosuid, nodev, noexec, private, rprivate, shared, rshared, slave, rslave, nocopy. In a container what \
            lies deeper is mounted later, in any order of flags; in a box of this host's files mounts come in the order given.",
        ),
    Flag::value("mount", "type=T,src=S,dst=D,...", "Mount something into the box").group(FILES).repeat().doc(
        "Types: bind, volume, image, tmpfs, proc, sysfs, mqueue, devpts, cgroup. Keys: type, src \
            (source), dst (destination, target), readonly (ro), rw, bind-propagation, \
            bind-nonrecursive, volume-nocopy, subpath, tmpfs-size, tmpfs-mode. A value with a comma is put in \
            double quotes. An image is fetched as --pull says, and read-only unless rw is said; what is \
            written then lasts as long as the box.",
    ),
    Flag::value("tmpfs", "DST[:OPTS]", "Mount a tmpfs into the box")
        .group(FILES)
        .repeat()
        .doc("Mounted with nosuid, nodev and noexec unless OPTS say suid, dev or exec."),
    Flag::value("propagation", "HOW", "private (default), shared, slave or unchanged")
        .group(FILES)
        .complete(Complete::Words(&["private", "shared", "slave", "unchanged"])),
    Flag::value("user", "UID[:GID]", "Who the command runs as, in the box's ids").short('u').group(WHO).doc(
        "Names are looked up in /etc/passwd and /etc/group of the host, or of the image, and not with \
            --rootfs. Without GID, the user's group in /etc/passwd, otherwise 0.",
    ),
    Flag::value("group-add", "GID", "Add a supplementary group").group(WHO).repeat(),
    Flag::value("umask", "OCTAL", "File mode creation mask (default: the caller's)").group(WHO),
    Flag::value("cap-add", "CAP", "Add a capability, or ALL").group(WHO).repeat(),
    Flag::value("cap-drop", "CAP", "Drop a capability, or ALL").group(WHO).repeat(),
    Flag::switch("no-new-privs", "No program may gain privileges by setuid or file capabilities").group(WHO),
    Flag::value("security-opt", "OPTION", "Security options, in docker's words").group(WHO).repeat().doc(
        "no-new-privileges; seccomp=FILE (docker's format or the OCI's), of host commands too; of containers of images \
            seccomp=unconfined, apparmor=PROFILE, label=disable, systempaths=unconfined.",
    ),
    Flag::switch("privileged", "All capabilities and devices, and no protection of the host").group(WHO),
    Flag::value("device", "HOST[:CONTAINER[:rwm]]", "Give a device of the host, or a directory of them")
        .group(FILES)
        .repeat()
        .complete(Complete::File),
    Flag::value("shm-size", "SIZE", "Size of /dev/shm (default 64m)").group(FILES),
    Flag::value("add-host", "NAME:ADDRESS", "Add a line to /etc/hosts").group(NAMES).repeat(),
    Flag::value("link", "NAME[:ALIAS]", "Name another container in /etc/hosts; sets no variables")
        .group(NAMES)
        .repeat()
        .complete(Complete::Container)
        .doc(
            "A running container on a network of this one's: ALIAS, its name and its short id are in /etc/hosts, also when it \
                starts again with another address. No variables of the environment tell of it, unlike docker's.",
        ),
    Flag::switch("no-hosts", "Leave /etc/hosts as it is in the image").group(NAMES),
    Flag::value("dns", "ADDRESS", "Name servers in place of the host's").group(NAMES).repeat(),
    Flag::value("dns-search", "DOMAIN", "Domains that names are looked up in; . is none")
        .group(NAMES)
        .repeat(),
    Flag::value("dns-option", "OPTION", "Options of resolv.conf(5)")
        .aliases(&["dns-opt"])
        .group(NAMES)
        .repeat(),
    Flag::value("ulimit", "NAME=SOFT[:HARD]", "Limit of setrlimit(2): nofile=1024:4096")
        .group(LIMITED)
        .repeat(),
    Flag::value("sysctl", "NAME=VALUE", "Kernel parameters of the container's namespaces")
        .group(LIMITED)
        .repeat(),
    Flag::value("oom-score-adj", "N", "-1000 to 1000: later or sooner chosen when memory ends").group(LIMITED),
    Flag::value("timeout", "TIME", "End the box after this time, with status 124: 90, 5m, 1h").group(LIMITED),
    Flag::switch("rm", "Remove the box when it ends (default in the foreground)").group(LIFE),
    Flag::value("restart", "POLICY", "no, on-failure[:N], always or unless-stopped: start it again")
        .group(LIFE)
        .complete(Complete::Words(&["no", "on-failure", "always", "unless-stopped"]))
        .doc(
            "The monitor does it, after 100 ms and then twice as long each time, up to a minute. A box that a person \
                has stopped or killed stays so until a person starts it.",
        ),
    Flag::value("health-cmd", "COMMAND", "How to find out whether a container is well; none takes the image's away")
        .group(HEALTH)
        .doc("A line for the container's /bin/sh, or a list in JSON. The monitor runs it: with -d, or without --rm."),
    Flag::value("health-interval", "TIME", "Between two checks (default 30s)").group(HEALTH),
    Flag::value("health-timeout", "TIME", "How long one may take (default 30s)").group(HEALTH),
    Flag::value("health-start-period", "TIME", "How long failures do not count at first (default 0s)").group(HEALTH),
    Flag::value("health-retries", "N", "Failures in a row that make it unhealthy (default 3)").group(HEALTH),
    Flag::value("health-on-failure", "ACTION", "What is done then: none, kill, restart or stop")
        .group(HEALTH)
        .complete(Complete::Words(&["none", "kill", "restart", "stop"])),
    Flag::switch("no-healthcheck", "Take the image's check away").group(HEALTH),
    Flag::switch("keep", "Keep record and log when it ends (default with -d)").group(LIFE),
    Flag::switch("init", "Put boxr's init first: it passes signals on and reaps").group(LIFE),
    Flag::switch("die-with-parent", "End the box when boxr ends").group(LIFE).aliases(&["kill-child"]),
    Flag::switch("new-session", "Give the command a session of its own").group(LIFE),
    Flag::value("stop-signal", "SIGNAL", "What `boxr stop` sends (default TERM)").group(LIFE),
    Flag::value("stop-timeout", "SECONDS", "What `boxr stop` waits before it kills (default 10)").group(LIFE),
    Flag::value("log-driver", "DRIVER", "What keeps the output: k8s-file (default), none, passthrough, journald")
        .group(LIFE)
        .complete(Complete::Words(&["k8s-file", "json-file", "local", "none", "passthrough", "journald"]))
        .doc(
            "json-file and local are k8s-file, as in podman. passthrough gives the box the standard descriptors of \
                boxr itself. Only files are read by `boxr logs`.",
        ),
    Flag::value("log-opt", "KEY=VALUE", "Of the log: max-size=10m, max-file=3, path=FILE, tag=TEXT")
        .group(LIFE)
        .repeat(),
    Flag::value("pidfile", "FILE", "Write the pid of the first process to a file")
        .group(PROGRAMS)
        .aliases(&["pid-file"])
        .complete(Complete::File),
    Flag::value("preserve-fds", "N", "Pass N descriptors from 3 on to the command").group(PROGRAMS),
];
