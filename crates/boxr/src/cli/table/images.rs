//! Commands about images.

use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::{Complete, Flag};
use crate::commands::image;

/// Of all commands that ask a registry.
pub(super) const REGISTRY: &[Flag] = &[
    Flag::switch("tls-verify", "Verify certificates; --tls-verify=false takes any, and plain http")
        .group("Registry"),
    Flag::value("cert-dir", "DIR", "Certificates to trust, and ours, in this directory")
        .complete(Complete::Directory)
        .group("Registry")
        .doc("The default is certs.d/HOST in ~/.config/containers, /etc/containers and /etc/docker."),
    Flag::value("authfile", "FILE", "The passwords in this file")
        .complete(Complete::File)
        .group("Registry")
        .doc("The default is podman's and docker's files of passwords, whichever knows the registry."),
    Flag::value("creds", "NAME:PASSWORD", "This password, whatever files say").group("Registry"),
];

/// Of docker's commands that ask a registry.
const UNTRUSTED: Flag =
    Flag::switch("disable-content-trust", "As it is: signatures of docker's notary are not asked for")
        .hidden();

/// Of all commands that take the name of an image.
pub(super) const SHORT_NAMES: &[Flag] =
    &[Flag::value("registry", "HOST", "The registry of names without one (default docker.io)")];

/// Of all commands that make an image.
const CHANGES: &[Flag] = &[
    Flag::value("change", "INSTRUCTION", "An instruction of a Dockerfile, such as 'CMD [\"sh\"]'")
        .short('c')
        .repeat()
        .doc("CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR."),
    Flag::value("message", "TEXT", "A note about it, which history shows").short('m'),
];

/// For which kind of machine an image is.
const PLATFORM: &[Flag] = &[
    Flag::value("platform", "OS/ARCH[/VARIANT]", "The image for another kind of machine"),
    Flag::value("os", "OS", "The same, part by part"),
    Flag::value("arch", "ARCH", "The same: amd64, arm64"),
    Flag::value("variant", "VARIANT", "The same: v7, v8"),
];

/// The same where nothing is fetched.
const CHOSEN: &[Flag] =
    &[Flag::value("platform", "OS/ARCH[/VARIANT]", "The image for another kind of machine")
        .doc("It is here after pull --all-platforms, or pull --platform under the same name.")];

pub(super) static PULL: Command = Command {
    usage: &["pull [FLAGS] IMAGE..."],
    about: &[
        "Fetches an image from its registry: all layers side by side, each unpacked as it comes. A pull \
            that was cut short is continued by the next. Prints the image's full name.",
    ],
    args: &[Arg::some("IMAGE", Complete::Image)],
    flags: &[
        &[
            Flag::switch("quiet", "Only the name of the image").short('q'),
            UNTRUSTED,
            Flag::switch("all-tags", "Every image that the registry has under this name").short('a'),
            Flag::switch("all-platforms", "Its index, and the images of all platforms with it").doc(
                "Only the one for this machine, or --platform, is unpacked and run; the others are kept as they came, \
                    for push, save and whoever mirrors images, and go with it.",
            ),
        ],
        PLATFORM,
        SHORT_NAMES,
        REGISTRY,
    ],
    examples: &[
        Example { line: "boxr pull alpine", what: "docker.io/library/alpine:latest" },
        Example { line: "boxr pull --platform linux/arm64 quay.io/org/app:1", what: "for another machine" },
    ],
    ..Command::new("pull", Section::Images, "Fetch an image", image::pull::run)
};

pub(super) static PUSH: Command = Command {
    usage: &["push [FLAGS] IMAGE [DESTINATION]"],
    about: &[
        "Gives an image to a registry, under its own name or another. What the registry has is not sent again. Layers \
            that are not compressed here are compressed for it.",
    ],
    args: &[Arg::one("IMAGE", Complete::Image), Arg::optional("DESTINATION", Complete::Nothing)],
    flags: &[
        &[
            Flag::switch("quiet", "Only the name of the image").short('q'),
            UNTRUSTED,
            Flag::switch("all-tags", "All images with this name, whatever their tags").short('a'),
            Flag::switch(
                "all-platforms",
                "The index that was pulled with --all-platforms, with all that it names",
            )
            .doc("It has the digest there that it has here."),
            Flag::switch("remove-signatures", "As it is: boxr sends none").hidden(),
            Flag::value("digestfile", "FILE", "Write the manifest's digest to a file")
                .complete(Complete::File),
        ],
        CHOSEN,
        SHORT_NAMES,
        REGISTRY,
    ],
    examples: &[
        Example { line: "boxr push quay.io/org/app:1", what: "under its own name" },
        Example { line: "boxr push app:1 localhost:5000/app:1", what: "under another" },
    ],
    ..Command::new("push", Section::Images, "Give an image to a registry", image::push::run)
};

pub(super) static IMAGES: Command = Command {
    usage: &["images [FLAGS] [REPOSITORY[:TAG]]"],
    about: &["Lists the images that are here."],
    args: &[Arg::optional("REPOSITORY", Complete::Image)],
    flags: &[
        &[
            Flag::switch("all", "As it is: all images are shown").short('a'),
            Flag::switch("quiet", "Only ids").short('q'),
            Flag::switch("digests", "The digests that registries know them by, too"),
            Flag::value("filter", "KEY=VALUE", "Only images that match").short('f').repeat().doc(
                "Keys: containers, dangling, id, reference, label, before, since (or after), until. All of them must match; several \
                references are alternatives.",
            ),
            Flag::value("format", "FORMAT", "json, table, or a template such as '{{.ID}} {{.Tag}}'"),
            Flag::switch("no-trunc", "Do not shorten ids"),
            Flag::switch("noheading", "Leave the heading of the table out"),
            Flag::value("sort", "FIELD", "created (the newest first), id, repository, size or tag"),
        ],
        SHORT_NAMES,
    ],
    examples: &[Example {
        line: "boxr images -q --filter dangling=true",
        what: "ids of images without a name",
    }],
    ..Command::new("images", Section::Images, "List images", image::list::run)
};

pub(super) static RMI: Command = Command {
    usage: &["rmi [FLAGS] IMAGE..."],
    about: &[
        "Takes names away from images; an image goes with its last name, and with it what no other image \
            needs. An image that a container uses stays.",
    ],
    args: &[Arg::some("IMAGE", Complete::Image).unless("all")],
    flags: &[
        &[
            Flag::switch("force", "Also an image with several names; no error for one that is not there")
                .short('f'),
            Flag::switch("all", "All images").short('a'),
            Flag::switch("ignore", "No error for those that are not there").short('i'),
            Flag::switch("no-prune", "As it is: layers that other images need stay anyway").hidden(),
        ],
        SHORT_NAMES,
    ],
    examples: &[Example { line: "boxr rmi alpine:3.19", what: "one name" }],
    ..Command::new("rmi", Section::Images, "Remove images", image::rmi::run)
};

pub(super) static SAVE: Command = Command {
    usage: &["save [FLAGS] IMAGE..."],
    about: &[
        "Writes images to an archive, which boxr, docker and podman load. A name without a tag stands for all \
            tags of it. The archive appears when it is whole.",
    ],
    args: &[Arg::some("IMAGE", Complete::Image)],
    flags: &[
        &[
            Flag::value("output", "FILE", "Write here rather than to stdout")
                .short('o')
                .complete(Complete::File),
            Flag::value("format", "FORMAT", "docker-archive (the default), oci-archive or oci-dir")
                .complete(Complete::Words(&["docker-archive", "oci-archive", "oci-dir"]))
                .doc(
                    "Layers of docker's archives are not compressed; those of OCI layouts are as they came.",
                ),
            Flag::switch(
                "all-platforms",
                "The index that was pulled with --all-platforms, with all that it names",
            )
            .doc("For OCI layouts; it keeps its digest."),
            Flag::switch("quiet", "As it is: nothing is said").short('q'),
            Flag::switch("multi-image-archive", "As it is: an archive may have many images").short('m'),
        ],
        CHOSEN,
        SHORT_NAMES,
    ],
    examples: &[
        Example { line: "boxr save -o all.tar alpine busybox", what: "two images in one archive" },
        Example { line: "boxr save --format oci-dir -o layout alpine", what: "an OCI layout in a directory" },
    ],
    ..Command::new("save", Section::Images, "Write images to an archive", image::save::run)
};

pub(super) static LOAD: Command = Command {
    usage: &["load [FLAGS]"],
    about: &[
        "Takes images from an archive of docker's, an OCI archive, or a directory with an OCI layout, compressed by \
            gzip or zstd or not. All of it is verified; if anything is wrong, nothing is taken.",
    ],
    flags: &[
        &[
            Flag::value("input", "FILE", "Read from here rather than from stdin")
                .short('i')
                .complete(Complete::File),
            Flag::switch("all-platforms", "Keep an index with the images of all its platforms"),
            Flag::switch("quiet", "No progress").short('q'),
        ],
        PLATFORM,
    ],
    examples: &[
        Example { line: "boxr load -i all.tar", what: "from a file" },
        Example { line: "boxr load -i layout", what: "from an OCI layout in a directory" },
    ],
    ..Command::new("load", Section::Images, "Take images from an archive", image::load::run)
};

pub(super) static IMPORT: Command = Command {
    usage: &["import [FLAGS] FILE|URL|- [NAME]"],
    about: &[
        "Makes an image of one layer of the archive of a root filesystem, compressed by gzip or zstd or not, and prints \
            its id.",
    ],
    args: &[Arg::one("FILE", Complete::File), Arg::optional("NAME", Complete::Nothing)],
    flags: &[
        PLATFORM,
        &[Flag::switch("quiet", "As it is: only the id is said").short('q').hidden()],
        CHANGES,
        SHORT_NAMES,
    ],
    examples: &[
        Example { line: "boxr import -c 'CMD [\"sh\"]' rootfs.tar.gz base:1", what: "a file" },
        Example { line: "boxr export web | boxr import - web:now", what: "a container, as an image" },
    ],
    ..Command::new("import", Section::Images, "Make an image of an archive of files", image::import::run)
};

pub(super) static COMMIT: Command = Command {
    usage: &["commit [FLAGS] CONTAINER [NAME]"],
    about: &[
        "Makes an image of what a container has changed of its own, with the way it runs, and prints its id. Volumes are no \
            part of it. A container that runs is paused meanwhile.",
    ],
    args: &[Arg::one("CONTAINER", Complete::Container), Arg::optional("NAME", Complete::Nothing)],
    flags: &[
        &[
            Flag::value("author", "NAME", "Who made it").short('a'),
            Flag::switch("pause", "Pause the container meanwhile; --pause=false does not").short('p'),
            Flag::switch("quiet", "As it is: only the id is said").short('q').hidden(),
            Flag::value("iidfile", "FILE", "Write the id of the image to a file").complete(Complete::File),
            Flag::value("format", "FORMAT", "The manifest's words: oci (the default) or docker")
                .short('f')
                .complete(Complete::Words(&["oci", "docker"])),
            Flag::switch("squash", "One layer of all files, the image's too").short('s'),
        ],
        CHANGES,
        SHORT_NAMES,
    ],
    examples: &[Example {
        line: "boxr commit -m 'with tools' web web:tools",
        what: "then: boxr run web:tools",
    }],
    ..Command::new("commit", Section::Images, "Make an image of a container", crate::commands::commit::run)
};

pub(super) static TAG: Command = Command {
    usage: &["tag [FLAGS] IMAGE NAME..."],
    about: &["Gives an image other names. If another image has one of them, that loses it."],
    args: &[Arg::one("IMAGE", Complete::Image), Arg::some("NAME", Complete::Nothing)],
    flags: &[SHORT_NAMES],
    examples: &[Example { line: "boxr tag alpine quay.io/org/base:1", what: "a second name" }],
    ..Command::new("tag", Section::Images, "Give an image another name", image::tag::run)
};

pub(super) static HISTORY: Command = Command {
    usage: &["history [FLAGS] IMAGE"],
    about: &["Shows how an image was made, the last step first."],
    args: &[Arg::one("IMAGE", Complete::Image)],
    flags: &[
        &[
            Flag::switch("quiet", "Only ids").short('q'),
            Flag::value("format", "FORMAT", "json, table, or a template such as '{{.CreatedBy}}'"),
            Flag::switch("human", "Sizes and times for people (the default)").short('H'),
            Flag::switch("no-trunc", "Do not shorten commands"),
        ],
        CHOSEN,
        SHORT_NAMES,
    ],
    ..Command::new("history", Section::Images, "Show how an image was made", image::history::run)
};

pub(super) static LOGIN: Command = Command {
    usage: &["login [FLAGS] [REGISTRY]"],
    about: &["Tries a password for a registry and keeps it where docker and podman find it too."],
    args: &[Arg::optional("REGISTRY", Complete::Nothing)],
    flags: &[
        &[
            Flag::value("username", "NAME", "The name; without it, the terminal is asked").short('u'),
            Flag::value("password", "PASSWORD", "The password; others can see it in ps(1)").short('p'),
            Flag::switch("password-stdin", "Read the password from stdin"),
            Flag::switch("get-login", "Print the name that is kept for the registry, and ask nobody"),
        ],
        REGISTRY,
    ],
    examples: &[Example {
        line: "boxr login -u me --password-stdin quay.io",
        what: "the password from a pipe",
    }],
    ..Command::new("login", Section::Images, "Keep the password for a registry", image::login::run)
};

pub(super) static LOGOUT: Command = Command {
    usage: &["logout [FLAGS] [REGISTRY]"],
    about: &["Forgets the password for a registry, wherever it is kept."],
    args: &[Arg::optional("REGISTRY", Complete::Nothing)],
    flags: &[&[Flag::switch("all", "The passwords for all registries").short('a')], REGISTRY],
    ..Command::new("logout", Section::Images, "Forget the password for a registry", image::logout::run)
};

static TREE: Command = Command {
    usage: &["image tree [FLAGS] IMAGE"],
    about: &["Draws an image's layers, the lowest first, with the images that end with each."],
    args: &[Arg::one("IMAGE", Complete::Image)],
    flags: &[SHORT_NAMES],
    ..Command::new("image tree", Section::Images, "Draw the layers of an image", image::tree::run)
};

static EXISTS: Command = Command {
    usage: &["image exists IMAGE"],
    about: &["Ends with 0 if there is such an image, otherwise with 1."],
    args: &[Arg::one("IMAGE", Complete::Image)],
    flags: &[SHORT_NAMES],
    ..Command::new("image exists", Section::Images, "Tell whether there is an image", image::exists::run)
};

static INSPECT: Command = Command {
    usage: &["image inspect [FLAGS] IMAGE..."],
    about: &["Prints all that is known of images as a JSON array."],
    args: &[Arg::some("IMAGE", Complete::Image)],
    flags: &[
        &[Flag::value("format", "TEMPLATE", "A template such as '{{.Config.Cmd}}', or json").short('f')],
        CHOSEN,
        SHORT_NAMES,
    ],
    ..Command::new("image inspect", Section::Images, "Show all that is known of images", image::inspect::run)
};

static PRUNE: Command = Command {
    usage: &["image prune [FLAGS]"],
    about: &["Removes images without a name, what no image needs, and what cancelled pulls have left."],
    flags: &[&[
        Flag::switch("all", "All images that no container uses").short('a'),
        Flag::switch("force", "Do not ask").short('f'),
        Flag::value("filter", "KEY=VALUE", "Only images that match: until, label, label!").repeat(),
        Flag::switch("external", "As it is: boxr knows the containers of nobody else").hidden(),
    ]],
    ..Command::new("image prune", Section::Images, "Remove images that nobody uses", image::prune::run)
};

static MOUNT: Command = Command {
    usage: &["image mount [FLAGS] [IMAGE...]"],
    about: &[
        "Mounts images to be looked at, read-only, and prints where. They stay until `boxr image unmount`. Without IMAGE \
            prints those that are mounted.",
    ],
    args: &[Arg::any("IMAGE", Complete::Image)],
    flags: &[SHORT_NAMES],
    ..Command::new("image mount", Section::Images, "Mount images to look at them", image::mount::mount)
};

static UNMOUNT: Command = Command {
    usage: &["image unmount [FLAGS] IMAGE..."],
    about: &["Ends what `boxr image mount` began, and prints the ids of the images."],
    args: &[Arg::some("IMAGE", Complete::Image)],
    flags: &[SHORT_NAMES],
    ..Command::new("image unmount", Section::Images, "Unmount images", image::mount::unmount_all)
};

static VERIFY: Command = Command {
    usage: &["store verify [FLAGS]"],
    about: &[
        "Reads every image that is here and names what is damaged. Each layer is unpacked once more, and its files are \
            compared with those that containers have: contents and permissions, and owners and extended attributes where \
            they could be made as the archive says.",
    ],
    flags: &[
        &[Flag::switch("repair", "Fetch again what is damaged, and only that").doc(
            "A layer that a running box or boxr image mount has mounted stays, and is named with who has it.",
        )],
        REGISTRY,
    ],
    ..Command::new("store verify", Section::Images, "Look for damaged images", image::verify::run)
};

pub(super) static UNTAG: Command = Command {
    usage: &["untag [FLAGS] IMAGE [NAME...]"],
    about: &["Takes these names away from an image, or all that it has. The image stays."],
    args: &[Arg::one("IMAGE", Complete::Image), Arg::any("NAME", Complete::Image)],
    flags: &[SHORT_NAMES],
    ..Command::new("untag", Section::Images, "Take names away from an image", image::tag::untag)
};

/// The commands that follow a word of theirs.
pub(super) static MEMBERS: &[(&str, &str, &Command)] = &[
    ("image", "exists", &EXISTS),
    ("image", "history", &HISTORY),
    ("image", "import", &IMPORT),
    ("image", "inspect", &INSPECT),
    ("image", "list", &IMAGES),
    ("image", "load", &LOAD),
    ("image", "ls", &IMAGES),
    ("image", "mount", &MOUNT),
    ("image", "prune", &PRUNE),
    ("image", "pull", &PULL),
    ("image", "push", &PUSH),
    ("image", "rm", &RMI),
    ("image", "save", &SAVE),
    ("image", "tag", &TAG),
    ("image", "tree", &TREE),
    ("image", "umount", &UNMOUNT),
    ("image", "untag", &UNTAG),
    ("image", "unmount", &UNMOUNT),
    ("store", "verify", &VERIFY),
    ("system", "boot-unit", &super::system::BOOT_UNIT),
    ("system", "df", &super::system::DF),
    ("system", "events", &super::look::EVENTS),
    ("system", "info", &super::system::INFO),
    ("system", "prune", &super::system::PRUNE),
];

pub(super) static IMAGE: Command = Command {
    usage: &["image COMMAND [FLAGS] [ARG...]"],
    about: &[
        "Commands about images: exists, history, import, inspect, load, ls, mount, prune, pull, push, rm, save, tag, unmount, untag. \
            `boxr image COMMAND --help` tells more of one.",
    ],
    args: &[
        Arg::one(
            "COMMAND",
            Complete::Words(&[
                "exists", "history", "import", "inspect", "load", "ls", "mount", "prune", "pull", "push",
                "rm", "save", "tag", "unmount", "untag",
            ]),
        ),
        Arg::any("ARG", Complete::Image),
    ],
    order: FlagOrder::BeforeArguments,
    examples: &[Example { line: "boxr image inspect -f '{{.Config.Cmd}}' alpine", what: "one field" }],
    ..Command::new("image", Section::Images, "Commands about images", image::group)
};

pub(super) static STORE: Command = Command {
    usage: &["store verify [FLAGS]"],
    about: &["Commands about where images are kept. `boxr store COMMAND --help` tells more of one."],
    args: &[Arg::one("COMMAND", Complete::Words(&["verify"])), Arg::any("ARG", Complete::Nothing)],
    order: FlagOrder::BeforeArguments,
    examples: &[Example { line: "boxr store verify --repair", what: "mend what is damaged" }],
    ..Command::new("store", Section::Images, "Look after the images on disk", image::group)
};
