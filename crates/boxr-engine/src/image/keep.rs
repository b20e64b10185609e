//! Containers of an ordinary user whose ids are laid out otherwise than those of his layers on disk ([`boxr_image::shift`]).
//!
//! On disk root of an image is the caller, and 1 and on are his subordinate ids ([`crate::own_ids`]). With `keep-id` the
//! caller has his own number in the container, and a subordinate id is root.

use boxr_image::pack::{Extent as Packed, Ids as PackedIds};
use boxr_image::shift::{Contents, Extent, Shift};
use boxr_image::store::Store as Images;
use boxr_runtime::idmap::{self, subordinate_ranges, with_ranges};
use rustix::fs::{CWD, chownat};

use super::userns::KeepId;
use super::{ImageError, ImageRoot};
use crate::options::{BoxOptions, IdExtent, IdMapping};
use crate::own_ids;

/// From this Linux on a user namespace finds the data of an overlay's files in another layer.
const SHARES_DATA: (u32, u32) = (6, 16);

/// All ids of the caller, as his layers have them on disk.
struct Own {
    users: Vec<idmap::Extent>,
    groups: Vec<idmap::Extent>,
}

impl Own {
    /// `None` for who has no subordinate ids.
    fn current() -> Option<Self> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let (uids, gids) = subordinate_ranges(uid)?;
        Some(Self { users: with_ranges(uid, &uids), groups: with_ranges(gid, &gids) })
    }
}

/// All ids of the caller as a user namespace of his has them; `None` for who has no subordinate ones.
pub(crate) fn all() -> Option<idmap::IdMap> {
    let Own { users, groups } = Own::current()?;
    Some(idmap::IdMap { uids: users, gids: groups, writer: idmap::Writer::Helpers })
}

/// Whether this kernel needs no copies.
pub(crate) fn shares_data() -> bool {
    super::seccomp::kernel() >= SHARES_DATA
}

/// The map that keeps the caller's ids; `None` for who has no subordinate ones.
pub(crate) fn mapping(keep: KeepId) -> Option<IdMapping> {
    let own = Own::current()?;
    let host = |inside, extents: &[idmap::Extent]| {
        let count = extents.iter().skip(1).map(|one| one.size).sum();
        let around = around(inside, count, keep.size);
        around.iter().flat_map(|one| on_host(one, extents)).collect()
    };
    Some(IdMapping::Explicit { uids: host(keep.uid, &own.users), gids: host(keep.gid, &own.groups) })
}

/// The map of all the caller's ids but his own; `None` for who has no subordinate ones.
pub(crate) fn without_caller() -> Option<IdMapping> {
    let own = Own::current()?;
    let others = |extents: &[idmap::Extent]| {
        let one =
            |one: &idmap::Extent| IdExtent { container: one.container - 1, host: one.host, size: one.size };
        extents.iter().filter(|one| one.container > 0).map(one).collect()
    };
    Some(IdMapping::Explicit { uids: others(&own.users), gids: others(&own.groups) })
}

/// Whether the caller, or his group, has no number in a container with these ids, so that it cannot open what is his.
pub(crate) fn lacks_caller(mapping: &IdMapping) -> bool {
    let IdMapping::Explicit { uids, gids } = mapping else { return false };
    let has = |extents: &[IdExtent], id: u32| {
        extents.iter().any(|one| id.checked_sub(one.host).is_some_and(|offset| offset < one.size))
    };
    !has(uids, rustix::process::geteuid().as_raw()) || !has(gids, rustix::process::getegid().as_raw())
}

/// Whether all these ids are the caller's own or subordinate ones.
pub(crate) fn is_callers(mapping: &IdMapping) -> bool {
    let (IdMapping::Explicit { uids, gids }, Some(own)) = (mapping, Own::current()) else { return false };
    let count = |sizes: &mut dyn Iterator<Item = u32>| sizes.map(u64::from).sum::<u64>();
    let all = |extents: &[IdExtent], own: &[idmap::Extent]| {
        let known = extents.iter().flat_map(|one| on_disk(one, own));
        count(&mut known.map(|one| one.size)) == count(&mut extents.iter().map(|one| one.size))
    };
    all(uids, &own.users) && all(gids, &own.groups)
}

/// The caller, 0 on disk, is `own` in the container; `count` ids from 1 on lie around him.
fn around(own: u32, count: u32, size: Option<u32>) -> Vec<Extent> {
    let size = size.unwrap_or(u32::MAX);
    let below = own.min(count).min(size);
    let above = (count - below).min(size.saturating_sub(own.saturating_add(1)));
    let all = [
        Extent { from: 0, to: 1, size: below },
        Extent { from: own, to: 0, size: 1 },
        Extent { from: own.saturating_add(1), to: below + 1, size: above },
    ];
    all.into_iter().filter(|one| one.size > 0).collect()
}

/// A run of the container's ids as the host's.
fn on_host(one: &Extent, own: &[idmap::Extent]) -> Vec<IdExtent> {
    let part = |known: &idmap::Extent| {
        let first = one.to.max(known.container);
        let end = (one.to + one.size).min(known.container.checked_add(known.size)?);
        let size = end.checked_sub(first).filter(|size| *size > 0)?;
        Some(IdExtent {
            container: one.from + (first - one.to),
            host: known.host + (first - known.container),
            size,
        })
    };
    own.iter().filter_map(part).collect()
}

/// A run of the host's ids as the caller's on disk.
fn on_disk(one: &IdExtent, own: &[idmap::Extent]) -> Vec<Extent> {
    let part = |known: &idmap::Extent| {
        let first = one.host.max(known.host);
        let end = one.host.checked_add(one.size)?.min(known.host.checked_add(known.size)?);
        let size = end.checked_sub(first).filter(|size| *size > 0)?;
        let (from, to) = (one.container + (first - one.host), known.container + (first - known.host));
        Some(Extent { from, to, size })
    };
    own.iter().filter_map(part).collect()
}

/// How the layers are to be shifted for a container with these ids; `None` where they are as they are on disk, or where
/// the ids are not all the caller's.
pub(crate) fn shift(mapping: &IdMapping, contents: Contents) -> Option<Shift> {
    let IdMapping::Explicit { uids, gids } = mapping else { return None };
    let own = Own::current()?;
    let of = |extents: &[IdExtent], own: &[idmap::Extent]| {
        extents.iter().flat_map(|one| on_disk(one, own)).collect()
    };
    let shift = Shift { users: of(uids, &own.users), groups: of(gids, &own.groups), contents };
    (!shift.is_identity()).then_some(shift)
}

/// That of a container; `None` for one whose layers are taken as they are.
pub(crate) fn shift_of(options: &BoxOptions) -> Option<&Shift> {
    options.container.as_ref()?.user_ids.layers.as_ref()
}

/// What the ids on disk of such a container's own files are in it, for who has all of the caller's.
pub(crate) fn owners(shift: &Shift) -> PackedIds {
    let of = |extents: &[Extent]| {
        extents.iter().map(|one| Packed { outside: one.to, inside: one.from, count: one.size }).collect()
    };
    PackedIds { users: of(&shift.users), groups: of(&shift.groups) }
}

/// Makes the layers that a new container needs of `all` its images, and gives it its directories of changes.
///
/// # Errors
/// A file's owner would be nobody; the disk is full; the ids cannot be had.
pub(crate) fn lay(
    images: &Images,
    all: &[&ImageRoot],
    shift: &Shift,
    uppers: &[std::path::PathBuf],
) -> Result<(), ImageError> {
    // The first process, who would make it otherwise, is somebody else.
    images.empty_dir()?;
    let mut missing = Vec::new();
    for image in all {
        let known = missing.len();
        for layer in &image.layers {
            if !missing.contains(&layer) && !images.has_shifted(layer, shift)? {
                missing.push(layer);
            }
        }
        if missing.len() > known {
            let how = match shift.contents {
                Contents::Shared => "owners of its files are laid out",
                Contents::Copied => "its files are copied",
            };
            let count = missing.len() - known;
            tell(&format!("{}: {how} for these ids, once ({count} layers)", image.name));
        }
    }
    let root = |extents: &[Extent]| extents.iter().find(|one| one.from == 0).map(|one| one.to);
    let root = root(&shift.users).zip(root(&shift.groups));
    let done = own_ids::with_all_told(|| {
        for layer in missing {
            images.shift(layer, shift).map_err(|error| error.to_string())?;
        }
        let Some((uid, gid)) = root else { return Ok(()) };
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        uppers.iter().try_for_each(|upper| {
            chownat(CWD, upper, Some(uid), Some(gid), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| format!("cannot give {} its owner: {errno}", upper.display()))
        })
    });
    done.map_err(ImageError::Owners)
}

/// A line for whoever waits.
fn tell(line: &str) {
    use std::io::Write;
    // Nobody who listens is no failure.
    writeln!(std::io::stderr(), "boxr: {line}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(from: u32, to: u32, size: u32) -> Extent {
        Extent { from, to, size }
    }

    #[test]
    fn others_lie_around_the_caller() {
        let all = [run(0, 1, 1000), run(1000, 0, 1), run(1001, 1001, 64536)];
        assert_eq!(around(1000, 65536, None), all);
        assert_eq!(around(0, 10, None), [run(0, 0, 1), run(1, 1, 10)]);
        assert_eq!(around(1000, 10, None), [run(0, 1, 10), run(1000, 0, 1)], "fewer than his number");
        assert_eq!(around(5, 100, Some(8)), [run(0, 1, 5), run(5, 0, 1), run(6, 6, 2)]);
    }

    #[test]
    fn the_hosts_ids_and_those_on_disk_are_the_same_ones() {
        let known = |container, host, size| idmap::Extent { container, host, size };
        let own = [known(0, 1000, 1), known(1, 100_000, 10), known(11, 500_000, 10)];
        let host: Vec<IdExtent> = around(15, 20, None).iter().flat_map(|one| on_host(one, &own)).collect();
        let ids: Vec<_> = host.iter().map(|one| (one.container, one.host, one.size)).collect();
        assert_eq!(ids, [(0, 100_000, 10), (10, 500_000, 5), (15, 1000, 1), (16, 500_005, 5)]);
        let disk: Vec<Extent> = host.iter().flat_map(|one| on_disk(one, &own)).collect();
        assert_eq!(disk, [run(0, 1, 10), run(10, 11, 5), run(15, 0, 1), run(16, 16, 5)]);
        assert_eq!(on_disk(&IdExtent { container: 0, host: 7, size: 5 }, &own), [], "not the caller's");
    }
}
