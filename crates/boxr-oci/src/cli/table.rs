//! Every command and flag, as runc has them.

use super::Command;
use super::flag::Flag;
use super::words::Order;
use crate::commands;

const HELP: Flag = Flag::switch("help", "show help").short('h');
const BUNDLE: Flag =
    Flag::value("bundle", "path to the root of the bundle directory, defaults to the current directory")
        .short('b');
const CONSOLE: Flag = Flag::value(
    "console-socket",
    "AF_UNIX socket which will receive the master end of the container's pseudo-terminal",
);
const PID_FILE: Flag = Flag::value("pid-file", "file to write the process id to");
const PRESERVE: Flag =
    Flag::value("preserve-fds", "number of further descriptors that the container inherits, from 3 on");
const NO_PIVOT: Flag =
    Flag::switch("no-pivot", "do not use pivot_root: for a root file system that is on a ramdisk");
const NO_KEYRING: Flag =
    Flag::switch("no-new-keyring", "keep the caller's session keyring rather than making one");
const DETACH: Flag = Flag::switch("detach", "do not wait for the process").short('d');
const NO_SUBREAPER: Flag =
    Flag::switch("no-subreaper", "do not reap processes that lose their parent in the container");

const IMAGES: Flag = Flag::value("image-path", "directory of criu's image files (default: checkpoint)");
const WORK: Flag = Flag::value("work-path", "directory of criu's logs (default: that of the images)");
const TCP: Flag = Flag::switch("tcp-established", "allow open TCP connections");
const UNIX: Flag = Flag::switch("ext-unix-sk", "allow unix sockets that are connected to the outside");
const JOB: Flag = Flag::switch("shell-job", "allow a terminal of the caller's");
const LAZY: Flag = Flag::switch("lazy-pages", "bring memory when it is looked at (userfaultfd)");
const LOCKS: Flag = Flag::switch("file-locks", "keep file locks");
const CGROUPS: Flag =
    Flag::value("manage-cgroups-mode", "what criu does with cgroups: soft (default), full, strict or ignore");
const EMPTY: Flag = Flag::value("empty-ns", "network: make the namespace, but do not restore what is in it");
const DEDUP: Flag = Flag::switch("auto-dedup", "take pages that are stored twice out of the older images");

/// Flags before the command.
pub(super) const GLOBALS: &[Flag] = &[
    Flag::switch("debug", "log what is done"),
    Flag::value("log", "file to write the log to (default: standard error)"),
    Flag::value("log-format", "format of the log: text (default) or json"),
    Flag::value("root", "directory for the state of containers; should be in memory"),
    Flag::value("criu", "the criu that checkpoints and restores; looked up in PATH (default: criu)"),
    Flag::switch("systemd-cgroup", "have systemd make cgroups; cgroupsPath is slice:prefix:name"),
    Flag::value("rootless", "put up with missing rights to cgroups: true, false or auto (default)"),
    HELP,
    Flag::switch("version", "print the version").short('v'),
];

const fn command(
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    flags: &'static [Flag],
    run: commands::Run,
) -> Command {
    Command { name, arguments, about, order: Order::Anywhere, flags, failure_status: 1, run }
}

pub(super) const COMMANDS: &[Command] = &[
    command(
        "checkpoint",
        "CONTAINER-ID",
        "keep a running container in files, and end it",
        &[
            IMAGES,
            WORK,
            Flag::value(
                "parent-path",
                "directory of the images of the last pre-dump, relative to the images",
            ),
            Flag::switch("leave-running", "do not end the container"),
            TCP,
            Flag::switch("tcp-skip-in-flight", "leave TCP connections out that are not established yet"),
            Flag::switch("link-remap", "keep files that are open and have been removed, by a link"),
            UNIX,
            JOB,
            LAZY,
            Flag::value("status-fd", "descriptor that gets a zero byte when lazy pages can be fetched"),
            Flag::value("page-server", "ADDRESS:PORT that memory is sent to"),
            LOCKS,
            Flag::switch("pre-dump", "keep only memory, for a checkpoint that is the shorter for it"),
            CGROUPS,
            EMPTY,
            DEDUP,
            HELP,
        ],
        commands::checkpoint::run,
    ),
    command(
        "create",
        "CONTAINER-ID",
        "create a container",
        &[BUNDLE, CONSOLE, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE, HELP],
        commands::create::run,
    ),
    command(
        "delete",
        "CONTAINER-ID",
        "delete all that a container holds",
        &[Flag::switch("force", "also of a running one, which gets SIGKILL").short('f'), HELP],
        commands::delete::run,
    ),
    command(
        "events",
        "CONTAINER-ID",
        "print figures of a container every 5 seconds, and when its memory runs out",
        &[
            Flag::value("interval", "time between two lines of figures (default: 5s)"),
            Flag::switch("stats", "print the figures once"),
            HELP,
        ],
        commands::events::run,
    ),
    Command {
        order: Order::FlagsFirst,
        failure_status: 255,
        ..command(
            "exec",
            "CONTAINER-ID COMMAND [ARG...] | -p PROCESS.JSON CONTAINER-ID",
            "run a further process in a container",
            &[
                CONSOLE,
                Flag::value("cwd", "working directory in the container"),
                Flag::value("env", "KEY=VALUE of the environment").short('e'),
                Flag::switch("tty", "give it a pseudo-terminal").short('t'),
                Flag::value("user", "UID[:GID]").short('u'),
                Flag::value("additional-gids", "further group ids").short('g'),
                Flag::value("process", "file with the process in JSON").short('p'),
                DETACH,
                PID_FILE,
                Flag::value("process-label", "SELinux label of the process"),
                Flag::value("apparmor", "AppArmor profile of the process"),
                Flag::switch("no-new-privs", "execve(2) grants it nothing"),
                Flag::value("cap", "capability to add").short('c'),
                PRESERVE,
                Flag::value("cgroup", "[CONTROLLER:]PATH of an existing cgroup below the container's"),
                Flag::switch("ignore-paused", "also in a paused container"),
                Flag::value("pidfd-socket", "AF_UNIX socket which will receive a pidfd of the process"),
                HELP,
            ],
            commands::exec::run,
        )
    },
    command("features", "", "print what this runtime can do", &[HELP], commands::features::run),
    command(
        "kill",
        "CONTAINER-ID [SIGNAL]",
        "send a signal, SIGTERM if not given, to a container's first process",
        &[Flag::switch("all", "to all its processes").short('a'), HELP],
        commands::kill::run,
    ),
    command(
        "list",
        "",
        "list containers",
        &[
            Flag::value("format", "table (default) or json").short('f'),
            Flag::switch("quiet", "only ids").short('q'),
            HELP,
        ],
        commands::list::run,
    ),
    command("pause", "CONTAINER-ID", "suspend all processes of a container", &[HELP], commands::pause::pause),
    Command {
        order: Order::FlagsFirst,
        ..command(
            "ps",
            "CONTAINER-ID [PS OPTIONS]",
            "show the processes of a container",
            &[Flag::value("format", "table (default) or json").short('f'), HELP],
            commands::ps::run,
        )
    },
    command(
        "restore",
        "CONTAINER-ID",
        "let a checkpointed container go on, and wait for its end",
        &[
            CONSOLE,
            IMAGES,
            WORK,
            TCP,
            UNIX,
            JOB,
            LOCKS,
            CGROUPS,
            BUNDLE,
            DETACH,
            PID_FILE,
            NO_SUBREAPER,
            Flag::switch("no-pivot", "ignored: criu enters the root in its own way"),
            EMPTY,
            DEDUP,
            LAZY,
            Flag::value("lsm-profile", "TYPE:NAME of the security profile, rather than that of the images"),
            Flag::value("lsm-mount-context", "SELinux context of mounts, rather than that of the images"),
            HELP,
        ],
        commands::restore::run,
    ),
    command("resume", "CONTAINER-ID", "let a suspended container go on", &[HELP], commands::pause::resume),
    command(
        "run",
        "CONTAINER-ID",
        "create and start a container, and wait for its end",
        &[
            BUNDLE,
            CONSOLE,
            DETACH,
            Flag::switch("keep", "do not delete the container at its end"),
            PID_FILE,
            NO_SUBREAPER,
            NO_PIVOT,
            NO_KEYRING,
            PRESERVE,
            HELP,
        ],
        commands::run::run,
    ),
    command(
        "spec",
        "",
        "write a config.json to start from",
        &[BUNDLE, Flag::switch("rootless", "one for a container without privileges"), HELP],
        commands::spec::run,
    ),
    command("start", "CONTAINER-ID", "run the command of a created container", &[HELP], commands::start::run),
    command("state", "CONTAINER-ID", "print the state of a container", &[HELP], commands::state::run),
    command(
        "update",
        "CONTAINER-ID",
        "change limits of a container",
        &[
            Flag::value(
                "resources",
                "file with linux.resources of the specification, or -; then no other flag counts",
            )
            .short('r'),
            Flag::value("blkio-weight", "weight of its block IO, 10 to 1000"),
            Flag::value("cpu-period", "period of a quota, microseconds"),
            Flag::value("cpu-quota", "processor time in a period, microseconds; -1 is no limit"),
            Flag::value("cpu-burst", "unused processor time that may be caught up on, microseconds"),
            Flag::value("cpu-share", "weight of its processor time, 2 to 262144"),
            Flag::value("cpu-rt-period", "period of real-time processes, microseconds (cgroup v1)"),
            Flag::value(
                "cpu-rt-runtime",
                "time of real-time processes in a period, microseconds (cgroup v1)",
            ),
            Flag::value("cpu-idle", "1: only processor time that nobody else wants"),
            Flag::value("cpuset-cpus", "processors, such as 0-2,5"),
            Flag::value("cpuset-mems", "memory nodes"),
            Flag::value("kernel-memory", "without effect, as kernels no longer have this limit"),
            Flag::value("kernel-memory-tcp", "limit of the buffers of TCP (cgroup v1)"),
            Flag::value("memory", "limit of memory, such as 512m; -1 is none"),
            Flag::value("memory-reservation", "memory that is kept under pressure"),
            Flag::value("memory-swap", "limit of memory and swap together; -1 is none"),
            Flag::value("pids-limit", "limit of tasks; -1 is none"),
            HELP,
        ],
        commands::update::run,
    ),
];
