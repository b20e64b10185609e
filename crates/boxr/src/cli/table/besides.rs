//! Flags of `run` and `create` that few containers need, in docker's and podman's words.

use super::run::{FILES, HEALTH, IMAGES, LIFE, PROGRAMS, WHO};
use crate::cli::flag::{Complete, Flag};

/// Each has a setting in `boxr_engine::config`.
pub static BESIDES: &[Flag] = &[
    Flag::switch("env-host", "Also the caller's variables, in a container of an image"),
    Flag::switch("http-proxy", "Pass http_proxy and its kin on to containers of images (default true)"),
    Flag::value("unsetenv", "NAME", "Take a variable of the image or of the caller away").repeat(),
    Flag::switch("unsetenv-all", "Begin without any variable"),
    Flag::value("annotation", "KEY=VALUE", "Annotation of the OCI specification").repeat(),
    Flag::value("tz", "ZONE", "Time zone: Europe/Paris, or local for the host's")
        .group(FILES)
        .doc("The host's file of the zone is bound to /etc/localtime."),
    Flag::switch("read-only-tmpfs", "With --read-only, a tmpfs on /run, /tmp and /var/tmp").group(FILES),
    Flag::value("image-volume", "HOW", "What the image's volumes become: bind (default), tmpfs or ignore")
        .group(IMAGES)
        .complete(Complete::Words(&["bind", "tmpfs", "ignore"])),
    Flag::value("chrootdirs", "DIR,...", "Directories that have its /etc/hosts and resolv.conf, too")
        .group(FILES)
        .repeat(),
    Flag::value("storage-opt", "size=BYTES", "How much a container may change of its image; also inodes=N")
        .group(FILES)
        .repeat()
        .doc(
            "Root's only, where the data root is on xfs mounted with pquota or ext4 with prjquota; elsewhere it is refused. \
                Logs and volumes are not counted.",
        ),
    Flag::switch("passwd", "Give a user whom the image does not know a line in /etc/passwd").group(WHO),
    Flag::value("passwd-entry", "LINE", "That line, of $USERNAME, $UID, $GID, $NAME and $HOME").group(WHO),
    Flag::value("group-entry", "LINE", "The line in /etc/group, of $GROUPNAME, $GID and $USERLIST")
        .group(WHO),
    Flag::value("hostuser", "NAME", "Put a user of the host into /etc/passwd").group(WHO).repeat(),
    Flag::value("seccomp-policy", "default|image", "Whether the image's own filter of system calls is used")
        .group(WHO)
        .complete(Complete::Words(&["default", "image"])),
    Flag::value("personality", "DOMAIN", "LINUX or LINUX32: execution domain of personality(2)").group(WHO),
    Flag::value("init-path", "FILE", "A program of the host as first process, which runs the command")
        .group(LIFE)
        .complete(Complete::File),
    Flag::value("requires", "NAME,...", "Boxes that are started before it, and not removed before it")
        .group(LIFE)
        .repeat()
        .complete(Complete::Container)
        .doc("What those require comes first. boxr rm --depend removes a box with all that require it."),
    Flag::value("health-start-interval", "TIME", "Between two checks in the start period (default 5s)")
        .group(HEALTH),
    Flag::value("conmon-pidfile", "FILE", "Write the pid of the box's monitor to a file")
        .group(PROGRAMS)
        .complete(Complete::File),
    Flag::value("attach", "STREAM", "Connect only stdin, stdout or stderr")
        .short('a')
        .repeat()
        .complete(Complete::Words(&["stdin", "stdout", "stderr"])),
    Flag::switch("sig-proxy", "Pass signals on to the command (default true)"),
    Flag::optional("systemd", "true|always|false", "true", "Make it for systemd (default true: if it runs systemd)")
        .group(LIFE)
        .doc(
            "A tmpfs on /run, /run/lock, /tmp and /var/log/journal, a cgroup that it may divide, the variable container and \
                RTMIN+3 as stop signal. With true where the command is systemd or /sbin/init. On cgroup v1 as root \
                it may divide its cgroup with --userns host alone.",
        ),
    Flag::value("runtime", "NAME", "As it is: boxr is the runtime").hidden(),
    Flag::switch("disable-content-trust", "As it is: signatures of docker's notary are not asked for")
        .hidden(),
    Flag::value("volume-driver", "NAME", "As it is: local").hidden(),
    Flag::value("isolation", "NAME", "As it is: default").hidden(),
];
