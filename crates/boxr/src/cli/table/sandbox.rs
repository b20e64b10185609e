//! `--sandbox` and what opens one.

use crate::cli::flag::{Complete, Flag};

const GROUP: &str = "Sandbox";

/// Each has a setting in `boxr_engine::config`.
pub static SANDBOX: &[Flag] = &[
    Flag::optional("sandbox", "PROFILE", "", "Trust the command with nothing but the current directory")
        .group(GROUP)
        .doc(
            "All namespaces are new, the host's files are read-only, /tmp, /dev, /proc and the home directory are its own, \
            secrets and sockets are hidden, the environment has no secrets, there is no network, and nothing gains \
            privileges. --explain shows all of it. PROFILE is one of `boxr sandbox ls`; without one, an approved .boxr.toml of \
            the directory counts, and `default` is none.",
        ),
    Flag::value("allow", "PATH[:ro]", "Show a file or directory, writable or read-only")
        .group(GROUP)
        .repeat()
        .complete(Complete::File),
    Flag::value("hide", "PATH", "Hide one").group(GROUP).repeat().complete(Complete::File),
    Flag::value("allow-env", "NAME", "Pass a variable on that looks like a secret").group(GROUP).repeat(),
    Flag::optional("allow-net", "HOST[:PORT]", "", "Let it reach a host, *.DOMAIN, or, without a value, all of the network")
        .group(GROUP)
        .repeat()
        .or_next()
        .doc(
            "HOST is reached through a proxy of boxr's, which the variables HTTP_PROXY, HTTPS_PROXY and ALL_PROXY name; there is \
            no other way out. A name with a private address leads nowhere, unless the address itself is listed.",
        ),
    Flag::value("allow-socket", "PATH", "Let it reach a socket: docker's, wayland's, that of dbus")
        .group(GROUP)
        .repeat()
        .complete(Complete::File),
    Flag::value("home", "keep|empty|DIR", "The home directory: the real one without secrets, or another (default empty)")
        .group(GROUP)
        .complete(Complete::Directory),
    Flag::value("allow-degraded", "NAME,...", "Go without a protection that this host cannot give")
        .group(GROUP)
        .repeat()
        .complete(Complete::Words(&["abstract-sockets", "hooks", "limits", "metadata", "processes", "sockets"])),
    Flag::switch("explain-refusals", "Say at the end which openings would have allowed what was refused").group(GROUP).doc(
        "Each call that opens, changes or contacts something is looked at while it waits, as with --record, which does the \
            same besides. What fails for another reason than the sandbox is not told of.",
    ),
    Flag::switch("landlock", "Without namespaces, by Landlock and the filter of system calls").group(GROUP).doc(
        "Where user namespaces are forbidden this is done anyway, and said. Other processes can be seen, and nothing in a \
            directory that can be written is protected. Modes, owners and times are changed by boxr for the command, of what it \
            may write.",
    ),
];
