//! Ranges of ids that no two containers share (subuid(5)).
//!
//! They come from the lines of `containers` in /etc/subuid and /etc/subgid, podman's convention. Where there are none, the
//! pool is 1879048192 to 2147483647, which systemd's list of ids ("Users, Groups, UIDs and GIDs on systemd Systems") leaves
//! to nobody.
//!
//! ```text
//! DATA/ids/N -> ID                 (by boxr_image::link) unit N of the pool is container ID's: whoever makes this link has it
//! DATA/containers/ID/ids -> N:K    which those are
//! ```

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::OnceLock;

use boxr_sys::file::read_text;
use rustix::io::Errno;

use super::ImageError;
use super::numbers::{Numbers, seed};
use crate::options::{IdExtent, IdMapping};

/// Ids that are given out at once: those of a usual system, nobody's included.
pub(crate) const UNIT: u32 = 65536;
const FIRST: u32 = 0x7000_0000;
const LAST: u32 = 0x7fff_ffff;
/// The link beside a container's files that says which units it has.
const NOTE: &str = "ids";
/// The directory of the data root that says whose the units are.
const KIND: &str = "ids";

/// Where ranges are taken from: as many units of users as of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    uids: u32,
    gids: u32,
    units: u32,
}

impl Pool {
    /// That of this host, read once.
    pub fn of_host() -> &'static Self {
        static POOL: OnceLock<Pool> = OnceLock::new();
        let read = |file: &str| read_text(file).unwrap_or_default();
        POOL.get_or_init(|| Self::of_files(&read("/etc/subuid"), &read("/etc/subgid")))
    }

    fn of_files(subuid: &str, subgid: &str) -> Self {
        match (longest(subuid), longest(subgid)) {
            (Some((uids, many)), Some((gids, more))) => Self { uids, gids, units: many.min(more) / UNIT },
            _ => Self { uids: FIRST, gids: FIRST, units: (LAST - FIRST).div_ceil(UNIT) },
        }
    }

    /// The map of a container that has `count` units from `unit` on.
    pub fn mapping(&self, unit: u32, count: u32) -> IdMapping {
        let extent =
            |first: u32| vec![IdExtent { container: 0, host: first + unit * UNIT, size: count * UNIT }];
        IdMapping::Explicit { uids: extent(self.uids), gids: extent(self.gids) }
    }
}

/// The longest range of `containers`.
fn longest(text: &str) -> Option<(u32, u32)> {
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.strip_prefix("containers:")?.split(':');
        let (first, size) = (fields.next()?.trim().parse::<u32>().ok()?, fields.next()?.trim().parse().ok()?);
        first.checked_add(size).filter(|_| size >= UNIT).map(|_| (first, size))
    });
    ranges.max_by_key(|(_, size)| *size)
}

/// Claims room for the ids up to `highest` for the container `id`, whose data directory is there already.
///
/// # Errors
/// [`ImageError::NoIds`] when the pool is used up; the directory cannot be written.
pub(crate) fn claim(data: &Path, own: &Path, id: &str, highest: u32) -> Result<IdMapping, ImageError> {
    let pool = Pool::of_host();
    let count = highest / UNIT + 1;
    let numbers = Numbers::of(data, KIND).open()?;
    let places = pool.units.checked_sub(count - 1).filter(|places| *places > 0).ok_or(ImageError::NoIds)?;
    let note = own.join(NOTE);
    for attempt in 0..places {
        let first = (seed(id).wrapping_add(attempt)) % places;
        // The note first: what a kill leaves is given back with the container.
        symlink(format!("{first}:{count}"), &note).map_err(|error| numbers.failed(&error))?;
        if take(numbers, id, first, count).map_err(|error| numbers.failed(&error))? {
            return Ok(pool.mapping(first, count));
        }
        std::fs::remove_file(&note).map_err(|error| numbers.failed(&error))?;
    }
    Err(ImageError::NoIds)
}

/// Takes all units or none.
fn take(numbers: Numbers<'_>, id: &str, first: u32, count: u32) -> std::io::Result<bool> {
    for unit in first..first + count {
        if !numbers.take(id, unit)? {
            return release(numbers, first, unit - first, id).map(|()| false);
        }
    }
    Ok(true)
}

fn release(numbers: Numbers<'_>, first: u32, count: u32, id: &str) -> std::io::Result<()> {
    (first..first.saturating_add(count)).try_for_each(|unit| numbers.release(id, unit))
}

/// What the container with the data directory `own` has claimed, to be given back when its files have gone.
#[derive(Debug)]
pub(crate) struct Claimed {
    first: u32,
    count: u32,
}

impl Claimed {
    /// `None` where it has no range of its own.
    pub fn of(own: &Path) -> Option<Self> {
        let note = std::fs::read_link(own.join(NOTE)).ok()?;
        let (first, count) = note.to_str()?.split_once(':')?;
        Some(Self { first: first.parse().ok()?, count: count.parse().ok()? })
    }

    /// The same before `own` is removed. Meanwhile the note is in `state`, the container's other directory: who is
    /// killed in between leaves it to the next.
    ///
    /// # Errors
    /// symlink(2).
    pub fn of_leaving(own: &Path, state: &Path) -> Result<Option<Self>, Errno> {
        let Some(claimed) = Self::of(own) else { return Ok(Self::of(state)) };
        match symlink(format!("{}:{}", claimed.first, claimed.count), state.join(NOTE)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(errno_of(&error)),
            _ => Ok(Some(claimed)),
        }
    }

    /// Gives it back, for the container `id` with the directory `state`.
    ///
    /// # Errors
    /// unlink(2).
    pub fn release(&self, data: &Path, id: &str, state: &Path) -> Result<(), Errno> {
        release(Numbers::of(data, KIND), self.first, self.count, id).map_err(|error| errno_of(&error))?;
        match std::fs::remove_file(state.join(NOTE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(errno_of(&error)),
            _ => Ok(()),
        }
    }
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_podmans_or_nobodys() {
        let usual = Pool { uids: FIRST, gids: FIRST, units: 4096 };
        assert_eq!(Pool::of_files("", ""), usual);
        assert_eq!(Pool::of_files("ann:100000:65536\n", "containers:5:99999"), usual);
        let own = Pool::of_files("containers:200000:131072\ncontainers:9:5\n", "containers:500000:6553600\n");
        assert_eq!(own, Pool { uids: 200_000, gids: 500_000, units: 2 });
        let IdMapping::Explicit { uids, gids } = own.mapping(1, 1) else { panic!() };
        assert_eq!((uids[0].host, gids[0].host, uids[0].size), (265_536, 565_536, UNIT));
    }

    #[test]
    fn no_two_have_the_same() {
        let data = tempfile::tempdir().unwrap();
        let make = |id: &str, highest: u32| {
            let own = data.path().join("containers").join(id);
            std::fs::create_dir_all(&own).unwrap();
            (claim(data.path(), &own, id, highest).unwrap(), own)
        };
        // The same beginning of the search.
        let ids = ["a", "b", "c"].map(|end| format!("{}{end}", "0".repeat(63)));
        let (one, own) = make(&ids[0], 1000);
        let (two, _) = make(&ids[1], 70_000);
        assert_ne!(one, two);
        let IdMapping::Explicit { uids, .. } = &two else { panic!() };
        assert_eq!(uids[0].size, 2 * UNIT);
        let state = tempfile::tempdir().unwrap();
        Claimed::of_leaving(&own, state.path()).unwrap().unwrap();
        std::fs::remove_dir_all(&own).unwrap();
        // The first who removed it was killed here.
        let left = Claimed::of_leaving(&own, state.path()).unwrap().unwrap();
        left.release(data.path(), &ids[0], state.path()).unwrap();
        assert!(Claimed::of_leaving(&own, state.path()).unwrap().is_none());
        // What a killed one has left is taken over.
        symlink("f".repeat(64), data.path().join("ids/0")).unwrap();
        assert_eq!(make(&ids[2], 1).0, one);
    }
}
