//! Commands about networks.

use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::{Complete, Flag};
use crate::commands::{network, port};

static CREATE: Command = Command {
    usage: &["network create [FLAGS] NAME"],
    about: &["Makes a network and prints its id. Its bridge comes to be with the first box on it."],
    args: &[Arg::one("NAME", Complete::Nothing)],
    flags: &[&[
        Flag::value("driver", "DRIVER", "bridge (default), macvlan or ipvlan")
            .short('d')
            .complete(Complete::Words(&["bridge", "macvlan", "ipvlan"])),
        Flag::value("subnet", "SUBNET", "Its addresses: 10.5.0.0/24 (default: free ones)").repeat(),
        Flag::value("gateway", "ADDRESS", "The host's address on it (default: the first)").repeat(),
        Flag::value("ip-range", "SUBNET", "Give boxes addresses of this part only").repeat(),
        Flag::switch("internal", "Nothing leaves it"),
        Flag::switch("ipv6", "Addresses of IPv6 too"),
        Flag::value("opt", "KEY=VALUE", "mtu=N, isolate=false, metric=N, parent=DEVICE, mode=MODE")
            .short('o')
            .repeat()
            .doc(
                "isolate=false lets other networks reach its boxes without a published port. A box leaves by the network with the \
                lowest metric (100 where none is said), of equal ones by the first, and by none with no_default_route=1. parent and mode (bridge, \
                private, vepa, passthru) are of macvlan, which has bclim=N (broadcast queueing) too; of ipvlan the modes are l2, l3 and l3s, and ipvlan_flag is bridge, private or \
                vepa. docker's words are understood: with com.docker.network.bridge.* before \
                them, enable_icc=false (boxes reach each other by published ports only), enable_ip_masquerade=false (what \
                leaves keeps the box's address; needs root), host_binding_ipv4=ADDRESS, name=BRIDGE; com.docker.network.container_iface_prefix=NAME (NAME0 instead of eth0).",
            ),
        Flag::value("label", "KEY=VALUE", "A label").repeat(),
        Flag::switch("ignore", "No error for a name that is in use"),
        Flag::switch("attachable", "As all networks are").hidden(),
        Flag::value("scope", "SCOPE", "local: there is no other").hidden(),
        Flag::value("ipam-driver", "DRIVER", "default, or host-local: who gives addresses out").hidden(),
    ]],
    examples: &[
        Example { line: "boxr network create blue", what: "then: boxr run --network blue -- sh" },
        Example { line: "boxr network create -d macvlan -o parent=eth0 --subnet 10.1.0.0/24 lan", what: "on the wire" },
    ],
    ..Command::new("network create", Section::System, "Make a network", network::create)
};

static LS: Command = Command {
    usage: &["network ls [FLAGS]"],
    about: &["Lists networks."],
    flags: &[&[
        Flag::switch("quiet", "Only ids").short('q'),
        Flag::switch("no-trunc", "Do not shorten ids"),
        Flag::switch("noheading", "Leave the heading of the table out").short('n'),
        Flag::value(
            "filter",
            "KEY=VALUE",
            "Only networks that match: dangling, driver, id, label, label!, name, scope, type, until",
        )
        .short('f')
        .repeat(),
        Flag::value("format", "FORMAT", "json, table, or a template such as '{{.Name}} {{.Driver}}'"),
    ]],
    ..Command::new("network ls", Section::System, "List networks", network::list)
};

static INSPECT: Command = Command {
    usage: &["network inspect [FLAGS] NETWORK..."],
    about: &["Prints all that is known of networks as a JSON array, with the boxes on them."],
    args: &[Arg::some("NETWORK", Complete::Nothing)],
    flags: &[&[Flag::value("format", "TEMPLATE", "A template such as '{{.Driver}}', or json").short('f')]],
    ..Command::new("network inspect", Section::System, "Show all that is known of networks", network::inspect)
};

static RM: Command = Command {
    usage: &["network rm [FLAGS] NETWORK..."],
    about: &["Removes networks on which no box runs."],
    args: &[Arg::some("NETWORK", Complete::Nothing)],
    flags: &[&[Flag::switch("force", "No error for one that is not there").short('f')]],
    ..Command::new("network rm", Section::System, "Remove networks", network::remove)
};

static PRUNE: Command = Command {
    usage: &["network prune [FLAGS]"],
    about: &[
        "Removes the networks that no box has, running or not, and what interrupted commands left of them.",
    ],
    flags: &[&[
        Flag::switch("force", "Do not ask first").short('f'),
        Flag::value("filter", "KEY=VALUE", "Only networks that match: until, label, label!").repeat(),
    ]],
    ..Command::new("network prune", Section::System, "Remove networks that no box has", network::prune)
};

static CONNECT: Command = Command {
    usage: &["network connect [FLAGS] NETWORK CONTAINER"],
    about: &["Puts a box on a further network, while it runs too."],
    args: &[Arg::one("NETWORK", Complete::Nothing), Arg::one("CONTAINER", Complete::Container)],
    flags: &[&[
        Flag::value("ip", "ADDRESS", "Its address there"),
        Flag::value("ip6", "ADDRESS", "Its address of IPv6 there"),
        Flag::value("mac-address", "MAC", "Its hardware address there"),
        Flag::value("alias", "NAME", "A further name there").repeat(),
    ]],
    ..Command::new("network connect", Section::System, "Put a box on a network", network::connect)
};

static DISCONNECT: Command = Command {
    usage: &["network disconnect NETWORK CONTAINER"],
    about: &["Takes a box from a network, while it runs too."],
    args: &[Arg::one("NETWORK", Complete::Nothing), Arg::one("CONTAINER", Complete::Container)],
    flags: &[&[Flag::switch("force", "Also one that has ended").short('f')]],
    ..Command::new("network disconnect", Section::System, "Take a box from a network", network::disconnect)
};

static RELOAD: Command = Command {
    usage: &["network reload [FLAGS] [CONTAINER...]"],
    about: &[
        "Makes again what others have removed of boxr's rules, such as by `nft flush ruleset`. It is done for all boxes, whichever are named.",
    ],
    args: &[Arg::any("CONTAINER", Complete::Container)],
    flags: &[&[Flag::switch("all", "All boxes, as without it").short('a').hidden()]],
    ..Command::new("network reload", Section::System, "Make the rules of networks again", network::reload)
};

static EXPLAIN: Command = Command {
    usage: &["network explain [FLAGS] PORT[/PROTO]|CONTAINER"],
    about: &[
        "Shows the way of a packet to a published port, or into a box and out of it, station by station, as the kernel has it now: who holds the \
            port, boxr's elements and rules, tables of others that may drop it, bridge, device, address, and who listens in the box.",
        "Ends with 1 where something of boxr's is in the way.",
    ],
    args: &[Arg::one("PORT", Complete::Container)],
    flags: &[&[Flag::switch("json", "As a JSON array")]],
    examples: &[Example { line: "boxr network explain 8080", what: "why does nobody answer?" }],
    ..Command::new("network explain", Section::System, "Show the way of a packet", network::explain)
};

static EXISTS: Command = Command {
    usage: &["network exists NETWORK"],
    about: &["Ends with 0 if there is such a network, otherwise with 1."],
    args: &[Arg::one("NETWORK", Complete::Nothing)],
    ..Command::new("network exists", Section::System, "Tell whether there is a network", network::exists)
};

/// The commands that follow a word of theirs.
pub(super) static MEMBERS: &[(&str, &str, &Command)] = &[
    ("network", "connect", &CONNECT),
    ("network", "create", &CREATE),
    ("network", "disconnect", &DISCONNECT),
    ("network", "exists", &EXISTS),
    ("network", "explain", &EXPLAIN),
    ("network", "inspect", &INSPECT),
    ("network", "list", &LS),
    ("network", "ls", &LS),
    ("network", "prune", &PRUNE),
    ("network", "reload", &RELOAD),
    ("network", "remove", &RM),
    ("network", "rm", &RM),
];

pub(super) static NETWORK: Command = Command {
    usage: &["network COMMAND [FLAGS] [ARG...]"],
    about: &[
        "Commands about networks: connect, create, disconnect, exists, explain, inspect, ls, prune, reload, rm. `boxr network COMMAND \
            --help` tells more of one.",
    ],
    args: &[
        Arg::one(
            "COMMAND",
            Complete::Words(&[
                "connect",
                "create",
                "disconnect",
                "exists",
                "explain",
                "inspect",
                "ls",
                "prune",
                "reload",
                "rm",
            ]),
        ),
        Arg::any("ARG", Complete::Container),
    ],
    order: FlagOrder::BeforeArguments,
    examples: &[Example { line: "boxr network create blue", what: "then: boxr run --network blue -- sh" }],
    ..Command::new("network", Section::System, "Commands about networks", network::group)
};

pub(super) static PORT: Command = Command {
    usage: &[
        "port CONTAINER [PORT[/PROTO]]",
        "port --all",
        "port add CONTAINER SPEC...",
        "port rm CONTAINER SPEC...",
    ],
    about: &[
        "Shows which ports of the host lead into a box, and changes that, while it runs too.",
        "A SPEC is what -p of run takes; for rm, the port of the box is enough. Of a user's box connections to its ports end when they change.",
    ],
    args: &[Arg::one("CONTAINER", Complete::Container).unless("all"), Arg::any("PORT", Complete::Nothing)],
    flags: &[&[Flag::switch("all", "The ports of all boxes, with their ids").short('a')]],
    examples: &[
        Example { line: "boxr port web 80", what: "prints 0.0.0.0:8080" },
        Example { line: "boxr port add web 127.0.0.1:8081:80", what: "a further one, at once" },
    ],
    ..Command::new("port", Section::Look, "Show and change the published ports of a box", port::run)
};
