//! Commands about devices.

use crate::cli::command::{Arg, Command, Example, FlagOrder, Section};
use crate::cli::flag::Complete;
use crate::commands::device;

static LS: Command = Command {
    usage: &["device ls"],
    about: &[
        "Lists the devices that --device takes by name (Container Device Interface), from the files in CDI_SPEC_DIRS, or else \
            /etc/cdi and /var/run/cdi, and for an ordinary user also $XDG_CONFIG_HOME/cdi and $XDG_RUNTIME_DIR/cdi.",
    ],
    examples: &[Example {
        line: "boxr run --device nvidia.com/gpu=0 cuda",
        what: "one of them for a container",
    }],
    ..Command::new("device ls", Section::System, "List the devices that have names", device::list)
};

/// The commands that follow a word of theirs.
pub(super) static MEMBERS: &[(&str, &str, &Command)] = &[("device", "list", &LS), ("device", "ls", &LS)];

pub(super) static DEVICE: Command = Command {
    usage: &["device COMMAND"],
    about: &["Commands about devices with names: ls. `boxr device ls --help` tells more."],
    args: &[Arg::one("COMMAND", Complete::Words(&["ls"])), Arg::any("ARG", Complete::Nothing)],
    order: FlagOrder::BeforeArguments,
    ..Command::new("device", Section::System, "Commands about devices", device::group)
};
