//! `boxr try` and `boxr apply`.

use super::run::{FILE, RECORD, REPLACE, SETTINGS};
use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::{Complete, Flag};
use crate::commands;

/// `boxr try`
pub(super) static TRY: Command = Command {
    usage: &["try [FLAGS] -- COMMAND [ARG...]"],
    about: &[
        "Runs a command on this host's own files, writable, and keeps what it writes aside. At the end boxr says what \
            is different, and asks whether that is to be applied, kept for later, or dropped. Without a terminal it is kept: \
            see `boxr diff`, `boxr apply` and `boxr rm`. boxr ends with the command's status.",
        "Each mounted filesystem has an overlay; an ordinary user has one upon each directory of /, and where he writes \
            into one that belongs to somebody else and is neither his working directory nor a usual place, he is refused. \
            Files that are mounted by themselves, and filesystems that overlayfs does not take, are read-only; the end says \
            which.",
        "A try is no sandbox: the network, devices, /dev/shm and settings of the kernel are those of the host, and what is \
            done there is done. Sockets of the host can be reached, and what a daemon does for the command is done \
            outside. boxr's own directories are not shown in it.",
    ],
    args: &[Arg::any("COMMAND", Complete::Program)],
    order: FlagOrder::BeforeArguments,
    flags: &[TRYING, &FOR_TRIES],
    examples: &[
        Example { line: "boxr try -- sh install.sh", what: "look at what it would do" },
        Example { line: "boxr try --apply -- make install", what: "all of it or, when it fails, nothing" },
        Example { line: "boxr try --drop --network new -- ./configure", what: "leave nothing behind" },
    ],
    ..Command::new(
        "try",
        Section::Life,
        "Run a command and keep what it writes aside",
        commands::attempt::run,
    )
};

/// `boxr apply`
pub(super) static APPLY: Command = Command {
    usage: &["apply [FLAGS] CONTAINER [PATH...]"],
    about: &[
        "Makes the changes of a try on the host, as the caller: all, or those at PATH and beneath. Each file is replaced \
            at once, with mode, times, attributes, holes and hard links. What was applied leaves the try; one that has \
            nothing left is removed. Broken off, it goes on when it is called again.",
        "Nothing is done when a file has changed on the host since the try began, or ended; such files are listed.",
    ],
    args: &[Arg::one("CONTAINER", Complete::Container), Arg::any("PATH", Complete::File)],
    flags: &[&[Flag::switch("force", "Also over what has changed meanwhile").short('f')]],
    examples: &[
        Example { line: "boxr apply job", what: "all that it has changed" },
        Example { line: "boxr apply job /usr/local/bin", what: "only what is there" },
    ],
    ..Command::new("apply", Section::Life, "Make the changes of a try on the host", commands::apply::run)
};

/// `boxr profile`
pub(super) static PROFILE: Command = Command {
    usage: &["profile [FLAGS] FILE|CONTAINER"],
    about: &[
        "Prints a profile that allows what a box has done under `boxr run --record FILE`, and nothing else: by default a \
            seccomp profile in the OCI's format, for --security-opt seccomp=FILE, docker and podman.",
        "Calls that a record does not look at, such as read and mmap, are always in it. Under such a profile boxr says at the \
            end which calls were refused.",
    ],
    args: &[Arg::one("FILE", Complete::File)],
    flags: &[&[Flag::switch("sandbox", "The paths and addresses, as openings of a sandbox in TOML")]],
    examples: &[
        Example { line: "boxr run --record make.json -- make", what: "write down what it does" },
        Example { line: "boxr profile make.json >least.json", what: "the system calls that it needs" },
        Example { line: "boxr run --security-opt seccomp=least.json -- make", what: "with those alone" },
    ],
    ..Command::new("profile", Section::Look, "Make a profile of what a box has done", commands::profile::run)
};

static TRYING: &[Flag] = &[
    Flag::switch("apply", "Apply the changes at the end, if the command ends well; keep them otherwise"),
    Flag::switch("keep", "Keep the changes for later"),
    Flag::switch("drop", "Drop the changes"),
    FILE,
    REPLACE,
    RECORD,
    Flag::switch("explain", "Say what will be done, step by step, before doing it"),
    Flag::switch("dry-run", "Stop before anything is changed"),
    Flag::switch("timing", "Say on stderr where the time of the start went"),
    Flag::value("status-fd", "N", "Write what happens to descriptor N, as lines of JSON"),
];

/// What is about images, other roots, boxes in the background, or has another meaning here.
const NOT_FOR_TRIES: &[&str] = &[
    "keep",
    "rm",
    "restart",
    "health-cmd",
    "health-interval",
    "health-timeout",
    "health-start-period",
    "health-retries",
    "health-on-failure",
    "no-healthcheck",
    "rootfs",
    "read-only",
    "propagation",
    "entrypoint",
    "privileged",
    "device",
    "shm-size",
    "add-host",
    "no-hosts",
    "dns",
    "dns-search",
    "dns-option",
    "sysctl",
    "mount-ns",
    "userns-chown",
    "log-driver",
    "log-opt",
    "stop-timeout",
    "die-with-parent",
];

static FOR_TRIES: [Flag; HOW_MANY] = chosen();
const HOW_MANY: usize = count();

const fn count() -> usize {
    let (mut index, mut count) = (0, 0);
    while index < SETTINGS.len() {
        count += is_for_tries(SETTINGS[index].long) as usize;
        index += 1;
    }
    count
}

const fn chosen() -> [Flag; HOW_MANY] {
    let mut flags = [SETTINGS[0]; HOW_MANY];
    let (mut index, mut count) = (0, 0);
    while index < SETTINGS.len() {
        if is_for_tries(SETTINGS[index].long) {
            flags[count] = SETTINGS[index];
            count += 1;
        }
        index += 1;
    }
    flags
}

const fn is_for_tries(name: &str) -> bool {
    let mut index = 0;
    while index < NOT_FOR_TRIES.len() {
        if is_same(NOT_FOR_TRIES[index].as_bytes(), name.as_bytes()) {
            return false;
        }
        index += 1;
    }
    true
}

/// `==`, which is not to be had before the program runs.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}
