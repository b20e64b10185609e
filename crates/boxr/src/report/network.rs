//! Errors about networks, told to a person.

use boxr_network::Error;
use rustix::io::Errno;

use super::{Explain, Report, errno_text};

impl Explain for Error {
    fn report(&self) -> Report {
        match self {
            Self::System { doing, object, errno } => system(doing, object, *errno),
            Self::Firewall { what, errno } => firewall(what, *errno),
            Self::NoNetwork { .. } => Report::new(self.to_string()).suggest("boxr network ls"),
            Self::InUse { name, .. } => {
                Report::new(self.to_string()).suggest(format!("boxr network disconnect {name} CONTAINER"))
            }
            Self::PortTaken { .. } => Report::new(self.to_string())
                .suggest("another port, or none for a free one: -p CONTAINER_PORT"),
            Self::Overlap { .. } => {
                Report::new(self.to_string()).suggest("without --subnet a free one is chosen")
            }
            Self::Full { .. } => Report::new(self.to_string()).suggest("boxr prune"),
            Self::NoHelper => Report::new(self.to_string())
                .suggest("apt-get install passt")
                .suggest("boxr run --network host IMAGE, or --network none"),
            Self::NoPasta => Report::new(self.to_string())
                .suggest("apt-get install passt")
                .suggest("boxr network create --internal NAME, which has no way out"),
            Self::Several(errors) => errors
                .iter()
                .fold(Report::new("not everything of the network could be taken down"), |report, error| {
                    report.detail(error.to_string())
                }),
            _ => Report::new(self.to_string()),
        }
    }
}

fn system(doing: &str, object: &str, errno: Errno) -> Report {
    let report = Report::new(format!("cannot {doing} {object}: {}", errno_text(errno)));
    match errno {
        Errno::ACCESS if doing == "take" => report
            .detail("a user has ports from net.ipv4.ip_unprivileged_port_start on")
            .suggest("sudo sysctl net.ipv4.ip_unprivileged_port_start=80, or another port"),
        Errno::PERM => report.detail("this needs CAP_NET_ADMIN in the network namespace that boxr runs in"),
        Errno::BUSY if doing.ends_with("vlan device") => {
            report.detail("its parent has devices of another kind: macvlan and ipvlan do not share one")
        }
        Errno::OPNOTSUPP => {
            report.detail("the kernel lacks this kind of device (modules bridge, veth, macvlan, ipvlan)")
        }
        _ => report,
    }
}

fn firewall(what: &str, errno: Errno) -> Report {
    let report = Report::new(format!("cannot set up {what} in nf_tables: {}", errno_text(errno)));
    match errno {
        Errno::PERM => report.detail("this needs CAP_NET_ADMIN in the network namespace that boxr runs in"),
        Errno::PROTONOSUPPORT | Errno::OPNOTSUPP | Errno::NOENT => report
            .detail("the kernel lacks nf_tables, or its parts nft_nat, nft_masq, nft_fib_inet, nft_ct")
            .suggest("modprobe nf_tables")
            .suggest("--network none"),
        _ => report,
    }
}
