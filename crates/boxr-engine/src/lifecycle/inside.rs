//! A process as its container has it: ids and names of its own, and what it may do (proc_pid_status(5)).

use boxr_runtime::capabilities::Capabilities;

use crate::image::container_root::ContainerRoot;
use crate::image::users::{GROUP, PASSWD, Table};

use super::top::Process;

/// Names of users and groups in one container, from its own files.
#[derive(Debug)]
pub struct Names {
    users: Table,
    groups: Table,
}

impl Names {
    /// Of the container with this first process. A file that it has not, or that is none of these, names nobody.
    pub fn of(first: i32) -> Self {
        let root = ContainerRoot::open(first);
        let table = |file| Table::parse(&root.read(file).ok().flatten().unwrap_or_default());
        Self { users: table(PASSWD), groups: table(GROUP) }
    }
}

/// What a process is inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// Its parent's pid in the process's own pid namespace; 0 where that is outside.
    pub ppid: i32,
    /// Its process group there.
    pub pgid: i32,
    /// Effective user.
    pub user: String,
    /// Effective group.
    pub group: String,
    /// Real user.
    pub real_user: String,
    /// Real group.
    pub real_group: String,
    /// Supplementary groups.
    pub groups: Vec<String>,
    /// Supplementary groups, ids of the caller's view.
    pub host_groups: Vec<u32>,
    /// Sets of capabilities.
    pub capabilities: Sets,
    /// `disabled`, `strict` or `filter`
    pub seccomp: &'static str,
    /// The label of the security module; empty for none.
    pub label: String,
}

/// Sets of capabilities of a process (capabilities(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// `CapAmb`
    pub ambient: Capabilities,
    /// `CapBnd`
    pub bounding: Capabilities,
    /// `CapEff`
    pub effective: Capabilities,
    /// `CapInh`
    pub inheritable: Capabilities,
    /// `CapPrm`
    pub permitted: Capabilities,
}

impl Inside {
    /// Looks at a process; what cannot be read, as it has ended, stays empty.
    pub fn look(process: &Process, names: &Names) -> Self {
        let text =
            |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
        let status = text("status");
        let parent = std::fs::read_to_string(format!("/proc/{}/status", process.ppid)).unwrap_or_default();
        let own = same_user_namespace(process.pid);
        let map = |file| if own { Map::default() } else { Map::parse(&text(file)) };
        let mut inside = Self::parse(&status, &map("uid_map"), &map("gid_map"), names);
        inside.ppid = parent_inside(&status, &parent);
        text("attr/current").trim_end_matches(['\0', '\n']).clone_into(&mut inside.label);
        inside
    }

    fn parse(status: &str, uids: &Map, gids: &Map, names: &Names) -> Self {
        let ids =
            |key: &str| -> Vec<u32> { words(status, key).filter_map(|word| word.parse().ok()).collect() };
        let user = |id: Option<&u32>| id.map(|id| names.users.name(uids.inside(*id))).unwrap_or_default();
        let group = |id: Option<&u32>| id.map(|id| names.groups.name(gids.inside(*id))).unwrap_or_default();
        let set = |key: &str| {
            let bits = words(status, key).next().and_then(|word| u64::from_str_radix(word, 16).ok());
            Capabilities::from_bits(bits.unwrap_or_default())
        };
        let (of_user, of_group, host_groups) = (ids("Uid"), ids("Gid"), ids("Groups"));
        Self {
            ppid: 0,
            pgid: words(status, "NSpgid").last().and_then(|word| word.parse().ok()).unwrap_or_default(),
            user: user(of_user.get(1)),
            group: group(of_group.get(1)),
            real_user: user(of_user.first()),
            real_group: group(of_group.first()),
            groups: host_groups.iter().map(|id| group(Some(id))).collect(),
            host_groups,
            capabilities: Sets {
                ambient: set("CapAmb"),
                bounding: set("CapBnd"),
                effective: set("CapEff"),
                inheritable: set("CapInh"),
                permitted: set("CapPrm"),
            },
            seccomp: match words(status, "Seccomp").next() {
                Some("1") => "strict",
                Some("2") => "filter",
                _ => "disabled",
            },
            label: String::new(),
        }
    }
}

/// The words of a line `KEY:\tWORDS`.
fn words<'a>(status: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_default().split_ascii_whitespace()
}

/// `NSpid` has a pid for each pid namespace from the reader's inwards: the parent's at the process's own depth is what
/// the process sees.
fn parent_inside(status: &str, parent: &str) -> i32 {
    let depth = words(status, "NSpid").count();
    let seen = depth.checked_sub(1).and_then(|index| words(parent, "NSpid").nth(index));
    seen.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Whether ids are the caller's own. Its own map would tell of the namespace above.
fn same_user_namespace(pid: i32) -> bool {
    let namespace = |pid: &str| rustix::fs::readlink(format!("/proc/{pid}/ns/user"), Vec::new()).ok();
    let own = namespace("self");
    own.is_some() && own == namespace(&pid.to_string())
}

/// Ids inside a user namespace by those of the caller's (user_namespaces(7)); one without extents changes nothing.
#[derive(Debug, Default)]
struct Map(Vec<[u32; 3]>);

impl Map {
    /// What the kernel shows for an id that is not mapped (/proc/sys/kernel/overflowuid as it comes).
    const OVERFLOW: u32 = 65_534;

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map_while(|word| word.parse().ok());
            Some([numbers.next()?, numbers.next()?, numbers.next()?])
        };
        Self(text.lines().filter_map(line).collect())
    }

    fn inside(&self, id: u32) -> u32 {
        if self.0.is_empty() {
            return id;
        }
        let within = |[inside, outside, size]: &[u32; 3]| {
            let offset = id.checked_sub(*outside).filter(|offset| offset < size)?;
            inside.checked_add(offset)
        };
        self.0.iter().find_map(within).unwrap_or(Self::OVERFLOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { users: Table::parse(b"root:x:0:0\nme:x:1000:1000\n"), groups: Table::parse(b"us:x:1000:\n") }
    }

    #[test]
    fn ids_are_the_containers() {
        let map = Map::parse("         0     100000      65536\n     70000          5          1\n");
        assert_eq!([100_000, 101_000, 5, 6].map(|id| map.inside(id)), [0, 1000, 70_000, 65_534]);
        assert_eq!(Map::default().inside(6), 6);
        let status = "Uid:\t101000\t100000\t0\t0\nGid:\t101000\t101000\t0\t0\nGroups:\t101000 100005 \n\
                      CapEff:\t0000000000000401\nCapBnd:\t0000000000000000\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let inside = Inside::parse(status, &map, &map, &names());
        assert_eq!((inside.user.as_str(), inside.real_user.as_str()), ("root", "me"));
        assert_eq!((inside.group.as_str(), inside.groups.join(" ").as_str()), ("us", "us 5"));
        assert_eq!(inside.host_groups, [101_000, 100_005]);
        assert_eq!(inside.capabilities.effective.names(), ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"]);
        assert_eq!((inside.seccomp, inside.capabilities.bounding), ("filter", Capabilities::NONE));
    }

    #[test]
    fn a_parent_outside_is_none() {
        let status = "NSpid:\t42\t7\n";
        assert_eq!(parent_inside(status, "NSpid:\t40\t1\n"), 1);
        assert_eq!(parent_inside(status, "NSpid:\t40\n"), 0);
        assert_eq!(parent_inside("NSpid:\t42\n", "NSpid:\t40\n"), 40);
        assert_eq!(parent_inside("", ""), 0);
    }
}
