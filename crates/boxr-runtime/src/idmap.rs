//! Id maps of a new user namespace (user_namespaces(7)) and who may write them.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio as ProcessStdio};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::{At, Error, Step, StepError};

/// A run of ids: `size` ids from `container` on are `host` on in the parent user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First id inside.
    pub container: u32,
    /// First id outside.
    pub host: u32,
    /// How many.
    pub size: u32,
}

impl Extent {
    fn holds(self, id: u32) -> bool {
        id.checked_sub(self.container).is_some_and(|offset| offset < self.size)
    }
}

/// Both maps of a user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// User ids.
    pub uids: Vec<Extent>,
    /// Group ids.
    pub gids: Vec<Extent>,
    /// Who writes them.
    pub writer: Writer,
}

/// Who has the right to write the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// boxr, which holds `CAP_SETUID` and `CAP_SETGID` over the parent namespace.
    Boxr,
    /// The first process itself: one id each, its own; setgroups(2) must be given up.
    FirstProcess,
    /// newuidmap(1) and newgidmap(1), for ranges of /etc/subuid and /etc/subgid.
    Helpers,
    /// The process that makes the first one, in the user namespace that it has joined: both maps are in ids of that.
    Above,
}

impl IdMap {
    /// Whether `uid` exists in the namespace.
    pub fn has_uid(&self, uid: u32) -> bool {
        self.uids.iter().any(|extent| extent.holds(uid))
    }

    /// Whether `gid` exists in the namespace.
    pub fn has_gid(&self, gid: u32) -> bool {
        self.gids.iter().any(|extent| extent.holds(gid))
    }

    /// Whether setgroups(2) can be called in the namespace.
    pub fn allows_setgroups(&self) -> bool {
        self.writer != Writer::FirstProcess
    }

    /// Checks sizes and overlaps, which the kernel would refuse with a bare `EINVAL`.
    ///
    /// # Errors
    /// [`Error::Field`] that names `linux.uidMappings` or `linux.gidMappings`.
    pub fn validate(&self) -> Result<(), Error> {
        check_extents("linux.uidMappings", &self.uids)?;
        check_extents("linux.gidMappings", &self.gids)
    }

    /// Writes the maps of the process `pid` from outside.
    ///
    /// # Errors
    /// The maps cannot be written, or a helper refuses to.
    pub fn write_from_outside(&self, pid: Pid) -> Result<(), Error> {
        match self.writer {
            Writer::FirstProcess | Writer::Above => Ok(()),
            Writer::Boxr => Ok(self.write(pid)?),
            Writer::Helpers => {
                run_helper("newuidmap", pid, &self.uids)?;
                run_helper("newgidmap", pid, &self.gids)
            }
        }
    }

    /// Writes the maps of a process of a user namespace below the caller's own.
    ///
    /// # Errors
    /// The kernel refuses them.
    pub(crate) fn write_from_above(&self, pid: Pid) -> Result<(), StepError> {
        if self.writer == Writer::Above { self.write(pid) } else { Ok(()) }
    }

    fn write(&self, pid: Pid) -> Result<(), StepError> {
        let directory = format!("/proc/{}", pid.as_raw_nonzero());
        write_map(&format!("{directory}/uid_map"), &self.uids)?;
        write_map(&format!("{directory}/gid_map"), &self.gids)
    }

    /// Writes the maps from within the namespace.
    ///
    /// # Errors
    /// The kernel refuses them.
    pub fn write_from_inside(&self) -> Result<(), StepError> {
        if self.writer == Writer::FirstProcess {
            write_file("/proc/self/uid_map", &lines(&self.uids))?;
            write_file("/proc/self/setgroups", "deny")?;
            write_file("/proc/self/gid_map", &lines(&self.gids))?;
        }
        Ok(())
    }
}

/// Checks one map of `field`.
pub(crate) fn check_extents(field: &str, extents: &[Extent]) -> Result<(), Error> {
    if extents.is_empty() {
        return Err(Error::field(field, "a new user namespace needs at least one mapping"));
    }
    if extents.len() > 340 {
        return Err(Error::field(field, "more than the 340 mappings that the kernel takes"));
    }
    for (index, extent) in extents.iter().enumerate() {
        let what = format!("{}:{}:{}", extent.container, extent.host, extent.size);
        if extent.size == 0 {
            return Err(Error::field(field, format!("{what}: the size is 0")));
        }
        let fits = |first: u32| first.checked_add(extent.size - 1).is_some_and(|last| last != u32::MAX);
        if !fits(extent.container) || !fits(extent.host) {
            return Err(Error::field(field, format!("{what}: goes past the last id, 4294967294")));
        }
        let meets = |a: u32, b: u32, size: u32| {
            u64::from(a) < u64::from(b) + u64::from(size)
                && u64::from(b) < u64::from(a) + u64::from(extent.size)
        };
        for other in &extents[..index] {
            if meets(extent.container, other.container, other.size)
                || meets(extent.host, other.host, other.size)
            {
                return Err(Error::field(field, format!("{what}: overlaps another mapping")));
            }
        }
    }
    Ok(())
}

fn lines(extents: &[Extent]) -> String {
    extents.iter().map(|e| format!("{} {} {}\n", e.container, e.host, e.size)).collect()
}

fn write_map(path: &str, extents: &[Extent]) -> Result<(), StepError> {
    write_file(path, &lines(extents))
}

/// The kernel takes a map in one write only.
fn write_file(path: &str, text: &str) -> Result<(), StepError> {
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).at(Step::IdMap, path)?;
    let written = rustix::io::write(file.as_fd(), text.as_bytes()).at(Step::IdMap, path)?;
    if written == text.len() { Ok(()) } else { Err(StepError::new(Step::IdMap, path, Errno::IO)) }
}

fn run_helper(program: &'static str, pid: Pid, extents: &[Extent]) -> Result<(), Error> {
    let mut command = Command::new(program);
    command.arg(pid.as_raw_nonzero().to_string());
    for extent in extents {
        command.args([extent.container, extent.host, extent.size].map(|n| n.to_string()));
    }
    command.stdin(ProcessStdio::null()).stdout(ProcessStdio::null());
    let output =
        command.output().map_err(|error| Error::IdMapHelper { program, reason: error.to_string() })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let reason = if message.is_empty() { output.status.to_string() } else { message };
    Err(Error::IdMapHelper { program, reason })
}

/// A range of /etc/subuid or /etc/subgid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First id.
    pub first: u32,
    /// How many.
    pub size: u32,
}

/// The subordinate ids of the calling user, where both files offer some and both helpers are
/// installed (subuid(5), newuidmap(1)); empty otherwise.
pub fn subordinate_ranges(uid: u32) -> Option<(Vec<Range>, Vec<Range>)> {
    let uids = fs::read_to_string("/etc/subuid").ok()?;
    let gids = fs::read_to_string("/etc/subgid").ok()?;
    let name = login_name(uid);
    let (uids, gids) = (parse_subids(&uids, uid, name.as_deref()), parse_subids(&gids, uid, name.as_deref()));
    let usable = !uids.is_empty() && !gids.is_empty();
    (usable && in_path("newuidmap") && in_path("newgidmap")).then_some((uids, gids))
}

/// The maps of a caller who becomes root (or, with `keep`, stays itself) and owns `ranges`.
pub fn with_ranges(own: u32, ranges: &[Range]) -> Vec<Extent> {
    let mut extents = vec![Extent { container: 0, host: own, size: 1 }];
    let mut next = 1u32;
    for range in ranges {
        let Some(after) = next.checked_add(range.size) else { break };
        extents.push(Extent { container: next, host: range.first, size: range.size });
        next = after;
    }
    extents
}

/// `extents` in ids of a user namespace that is between, whose own map is `between`; what that does not have is
/// left out.
pub fn below(extents: &[Extent], between: &[Extent]) -> Vec<Extent> {
    let mut all = Vec::new();
    for extent in extents {
        for middle in between {
            let first = extent.host.max(middle.host);
            let last = |of: &Extent| u64::from(of.host) + u64::from(of.size);
            let size = last(extent).min(last(middle)).saturating_sub(u64::from(first));
            if let Ok(size @ 1..) = u32::try_from(size) {
                let container = extent.container + (first - extent.host);
                all.push(Extent { container, host: middle.container + (first - middle.host), size });
            }
        }
    }
    all
}

/// All ids of the caller's own user namespace, each mapped to itself.
///
/// # Errors
/// /proc/self/uid_map or gid_map cannot be read.
pub fn identity() -> Result<(Vec<Extent>, Vec<Extent>), StepError> {
    let read = |path: &str| -> Result<Vec<Extent>, StepError> {
        let text = fs::read_to_string(path).at(Step::IdMap, path)?;
        Ok(text.lines().filter_map(parse_identity_line).collect())
    };
    Ok((read("/proc/self/uid_map")?, read("/proc/self/gid_map")?))
}

/// The maps of the calling process's own user namespace, to be read when /proc is another one.
#[derive(Debug)]
pub(crate) struct OwnMaps(OwnedFd);

impl OwnMaps {
    /// Must be called while /proc is the host's.
    pub fn hold() -> Result<Self, StepError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, "/proc/self", flags, Mode::empty()).at(Step::IdMap, "/proc/self").map(Self)
    }

    /// Whether root is mapped in both.
    pub fn has_root(&self) -> Result<bool, StepError> {
        let holds = |extents: Vec<Extent>| extents.iter().any(|extent| extent.holds(0));
        Ok(holds(self.read("uid_map")?) && holds(self.read("gid_map")?))
    }

    /// Whether they are those that a specification names beside a user namespace to join.
    pub fn check(&self, expected: Option<&IdMap>) -> Result<(), StepError> {
        let Some(expected) = expected else { return Ok(()) };
        for (name, field, wanted) in
            [("uid_map", "uidMappings", &expected.uids), ("gid_map", "gidMappings", &expected.gids)]
        {
            if !wanted.is_empty() && self.read(name)? != *wanted {
                let what = format!("linux.{field} (the joined user namespace has others)");
                return Err(StepError::new(Step::IdMap, what, Errno::INVAL));
            }
        }
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Vec<Extent>, StepError> {
        let file = openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let text = std::io::read_to_string(fs::File::from(file.at(Step::IdMap, name)?));
        Ok(text.at(Step::IdMap, name)?.lines().filter_map(parse_line).collect())
    }
}

fn parse_line(line: &str) -> Option<Extent> {
    let mut numbers = line.split_ascii_whitespace().map(|word| word.parse().ok());
    Some(Extent { container: numbers.next()??, host: numbers.next()??, size: numbers.next()?? })
}

fn parse_identity_line(line: &str) -> Option<Extent> {
    let own = parse_line(line)?;
    Some(Extent { host: own.container, ..own })
}

fn parse_subids(text: &str, uid: u32, name: Option<&str>) -> Vec<Range> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            if owner != number && Some(owner) != name {
                return None;
            }
            let first = fields.next()?.parse().ok()?;
            let size = fields.next()?.parse().ok()?;
            (size > 0).then_some(Range { first, size })
        })
        .collect()
}

/// From /etc/passwd itself: a static program must not load name-service modules.
fn login_name(uid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let number = uid.to_string();
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    })
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|dir: PathBuf| dir.join(program)).any(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(container: u32, host: u32, size: u32) -> Extent {
        Extent { container, host, size }
    }

    fn map(uids: Vec<Extent>) -> IdMap {
        IdMap { uids, gids: vec![extent(0, 0, 1)], writer: Writer::Boxr }
    }

    #[test]
    fn overlaps_and_overflows_are_named() {
        assert!(map(vec![extent(0, 1000, 1), extent(1, 100_000, 65536)]).validate().is_ok());
        let overlap = map(vec![extent(0, 1000, 10), extent(5, 5000, 10)]).validate();
        assert!(overlap.is_err_and(|e| e.to_string().contains("5:5000:10: overlaps")));
        let host = map(vec![extent(0, 1000, 10), extent(50, 1009, 1)]).validate();
        assert!(host.is_err());
        assert!(map(vec![extent(0, u32::MAX, 1)]).validate().is_err());
        assert!(map(vec![extent(7, 0, 0)]).validate().is_err());
        assert!(map(vec![]).validate().is_err());
        assert!(map(vec![extent(0, 0, u32::MAX)]).validate().is_ok(), "the host's own map");
    }

    #[test]
    fn ids_are_those_of_the_namespace_between() {
        let between = [extent(0, 1000, 1), extent(1, 100_000, 65536)];
        assert_eq!(below(&between, &between), [extent(0, 0, 1), extent(1, 1, 65536)]);
        assert_eq!(below(&[extent(1000, 1000, 1)], &between), [extent(1000, 0, 1)]);
        assert_eq!(below(&[extent(0, 99_999, 3)], &between), [extent(1, 1, 2)]);
        assert_eq!(below(&[extent(0, 5, 1)], &between), []);
    }

    #[test]
    fn subids_are_found_by_name_and_number() {
        let text = "ann:100000:65536\n1000:300000:10\nbob:1:0\n# note\nbroken\n";
        assert_eq!(
            parse_subids(text, 1000, Some("ann")),
            vec![Range { first: 100_000, size: 65536 }, Range { first: 300_000, size: 10 }]
        );
        assert!(parse_subids(text, 1, Some("bob")).is_empty());
    }

    #[test]
    fn ranges_follow_root_without_gaps() {
        let extents =
            with_ranges(1000, &[Range { first: 100_000, size: 10 }, Range { first: 300_000, size: 5 }]);
        assert_eq!(extents, vec![extent(0, 1000, 1), extent(1, 100_000, 10), extent(11, 300_000, 5)]);
        assert!(IdMap { uids: extents, gids: vec![extent(0, 0, 1)], writer: Writer::Helpers }.has_uid(15));
    }
}
