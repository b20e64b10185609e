//! Columns of podman's `top` (its "format descriptors"): a process as its container has it.

use boxr_engine::lifecycle::inside::Inside;
use boxr_engine::lifecycle::top::Process;
use boxr_runtime::capabilities::Capabilities;

use super::column::{Column, Facts};
use super::table::columns;
use crate::format::time;

columns! {
    /// A column by podman's word for it, or by the code that ps(1) has for it on AIX.
    Descriptor {
        Arguments "COMMAND" "args" "%a"
        Ambient "AMBIENT CAPS" "capamb"
        Bounding "BOUNDING CAPS" "capbnd"
        Effective "EFFECTIVE CAPS" "capeff"
        Inheritable "INHERITED CAPS" "capinh"
        Permitted "PERMITTED CAPS" "capprm"
        Name "COMMAND" "comm" "%c"
        Elapsed "ELAPSED" "etime" "%t"
        Group "GROUP" "group" "%G"
        Groups "GROUPS" "groups"
        HostGroup "HGROUP" "hgroup"
        HostGroups "HGROUPS" "hgroups"
        HostPid "HPID" "hpid"
        HostUser "HUSER" "huser"
        Label "LABEL" "label"
        Nice "NI" "nice" "%n"
        CpuShare "%CPU" "pcpu" "%C"
        Pgid "PGID" "pgid" "%r"
        Pid "PID" "pid" "%p"
        Ppid "PPID" "ppid" "%P"
        RealGroup "RGROUP" "rgroup" "%g"
        ResidentSize "RSS" "rss"
        RealUser "RUSER" "ruser" "%u"
        Seccomp "SECCOMP" "seccomp"
        State "STATE" "state"
        Start "STIME" "stime"
        Time "TIME" "time" "%x"
        Tty "TTY" "tty" "%y"
        User "USER" "user" "%U"
        VirtualSize "VSZ" "vsz" "%z"
    }
}

impl Descriptor {
    /// What podman shows where nothing was asked.
    pub(super) const STANDARD: &[Self] = &[
        Self::User,
        Self::Pid,
        Self::Ppid,
        Self::CpuShare,
        Self::Elapsed,
        Self::Tty,
        Self::Time,
        Self::Arguments,
    ];

    /// The cell for a process.
    pub(super) fn value(self, process: &Process, inside: &Inside, facts: &Facts) -> String {
        let as_of_ps = |column: Column| column.value(process, facts);
        let sets = &inside.capabilities;
        match self {
            Self::Arguments => as_of_ps(Column::Arguments),
            Self::Ambient => capabilities(sets.ambient),
            Self::Bounding => capabilities(sets.bounding),
            Self::Effective => capabilities(sets.effective),
            Self::Inheritable => capabilities(sets.inheritable),
            Self::Permitted => capabilities(sets.permitted),
            Self::Name => as_of_ps(Column::Name),
            Self::Elapsed => time::go_duration(facts.elapsed_nanoseconds(process)),
            Self::Group => inside.group.clone(),
            Self::Groups => inside.groups.join(","),
            Self::HostGroup => facts.group(process.gid),
            Self::HostGroups => {
                inside.host_groups.iter().map(|gid| facts.group(*gid)).collect::<Vec<_>>().join(",")
            }
            Self::HostPid => as_of_ps(Column::Pid),
            Self::HostUser => as_of_ps(Column::User),
            Self::Label if inside.label.is_empty() => "?".to_owned(),
            Self::Label => inside.label.clone(),
            Self::Nice => as_of_ps(Column::Nice),
            Self::CpuShare => format!("{:.3}", facts.cpu_percent(process)),
            Self::Pgid => inside.pgid.to_string(),
            Self::Pid => as_of_ps(Column::NsPid),
            Self::Ppid => inside.ppid.to_string(),
            Self::RealGroup => inside.real_group.clone(),
            Self::ResidentSize => as_of_ps(Column::ResidentSize),
            Self::RealUser => inside.real_user.clone(),
            Self::Seccomp => inside.seccomp.to_owned(),
            Self::State => as_of_ps(Column::State),
            Self::Start => time::go_time(facts.started(process)),
            Self::Time => time::go_duration(facts.cpu_nanoseconds(process)),
            Self::Tty => as_of_ps(Column::Tty),
            Self::User => inside.user.clone(),
            Self::VirtualSize => as_of_ps(Column::VirtualSize),
        }
    }
}

/// Names without `CAP_`, in the order of the alphabet.
fn capabilities(set: Capabilities) -> String {
    if set == Capabilities::NONE {
        return "none".to_owned();
    }
    if set == Capabilities::all() {
        return "full".to_owned();
    }
    let mut names = set.names();
    names.sort();
    names.iter().map(|name| name.trim_start_matches("CAP_")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_as_podman_writes_them() {
        let set = |names: &[&str]| {
            names.iter().fold(Capabilities::NONE, |set, name| set.union(Capabilities::named(name).unwrap()))
        };
        assert_eq!(capabilities(set(&["NET_RAW", "CHOWN"])), "CHOWN,NET_RAW");
        assert_eq!(capabilities(set(&[])), "none");
        assert_eq!(capabilities(Capabilities::all()), "full");
    }
}
