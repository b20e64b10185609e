//! `process.rlimits`.

use oci_spec::runtime::{PosixRlimit, PosixRlimitType};
use rustix::process::{Resource, Rlimit};

use crate::error::Error;

pub(super) fn rlimits(list: &[PosixRlimit]) -> Result<Vec<(Resource, Rlimit)>, Error> {
    let mut all = Vec::new();
    for (index, limit) in list.iter().enumerate() {
        let (soft, hard) = (limit.soft(), limit.hard());
        if soft > hard {
            let why = format!("the soft limit {soft} is above the hard limit {hard}");
            return Err(Error::field(format!("process.rlimits[{index}]"), why));
        }
        let value = |v: u64| (v != u64::MAX).then_some(v);
        all.push((resource(limit.typ()), Rlimit { current: value(soft), maximum: value(hard) }));
    }
    Ok(all)
}

fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}
