//! A try's changes are made on the host, as the caller, file by file.
//!
//! *Order.* Directories that hide what the host has are first turned into single removals ([`expand`]), so that a
//! change which was applied can leave the try and nothing else looks different for it. Then come new directories,
//! files, removals, and last the modes and times of directories.
//!
//! *A file is there whole or not at all.* Where changes and file are on one mount, the file itself is moved into its
//! place by rename(2): contents, times, holes, attributes and hard links are what they were in the try. Elsewhere it is
//! copied beside its place first ([`stage`]).
//!
//! *A crash* leaves each change either in the try or on the host, but for a file beside its place, which the next apply
//! or removal of the try takes away ([`journal`]). What is on the host already and still in the try is no difference.
//!
//! *Names* are looked up beneath descriptors, without links and on one filesystem. Before each change the host's file
//! is looked at once more; one that it replaces changes places with it, and is looked at when nobody can open it by its
//! name any more: what another process has written till then goes back to its place.

mod attributes;
mod expand;
pub(super) mod journal;
mod parents;
mod stage;

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::compare::{Change, Kind, Sides, all_sides, changes};
use super::entry::Entry;
use super::{Attempt, AttemptError};
use journal::Journal;
use parents::Parents;
use stage::Before;

/// What an apply has done.
#[derive(Debug, Default)]
pub struct Applied {
    /// What is on the host now.
    pub done: Vec<Change>,
    /// What is not, because the host's file has changed meanwhile. Then nothing was done.
    pub conflicts: Vec<Change>,
    /// What is not, and why.
    pub failed: Vec<(Change, Errno)>,
    /// How many changes are still in the try.
    pub left: usize,
}

/// Applies the changes that `wanted` accepts; directories that they need come with them.
///
/// The try must not run, and its lock be held.
///
/// # Errors
/// When the changes cannot be compared with the host's files. What fails for one file stays in the try, and does not
/// stop the others.
pub fn apply(
    attempt: &Attempt,
    wanted: impl Fn(&Change) -> bool,
    force: bool,
) -> Result<Applied, AttemptError> {
    journal::recover(attempt)?;
    let sides: BTreeMap<u32, Sides> =
        all_sides(attempt)?.into_iter().map(|sides| (sides.number, sides)).collect();
    let all = changes(attempt)?;
    let chosen = with_parents(&all, &wanted);
    let conflicts: Vec<Change> = chosen.iter().filter(|change| change.conflict.is_some()).cloned().collect();
    if !force && !conflicts.is_empty() {
        return Ok(Applied { conflicts, left: all.len(), ..Applied::default() });
    }
    for side in sides.values() {
        expand::expand(side).map_err(AttemptError::file("prepare the changes of", &attempt.data))?;
        rustix::fs::syncfs(&side.upper).map_err(AttemptError::file("write to the disk", &attempt.data))?;
    }
    let journal = Journal::open(attempt)?;
    let mut work =
        Work { sides: &sides, journal, force, outcome: Applied::default(), copies: BTreeMap::new() };
    work.all(&chosen);
    for side in sides.values() {
        rustix::fs::syncfs(&side.host).map_err(AttemptError::file("write to the disk", &attempt.data))?;
    }
    let Work { journal, mut outcome, .. } = work;
    journal.close().map_err(AttemptError::file("write to", &attempt.data))?;
    outcome.left = changes(attempt)?.len();
    Ok(outcome)
}

/// What is wanted, and the new directories that it is in.
fn with_parents(all: &[Change], wanted: &impl Fn(&Change) -> bool) -> Vec<Change> {
    let chosen: Vec<&Change> = all.iter().filter(|change| wanted(change)).collect();
    let holds = |dir: &Change| {
        let below =
            |path: &[u8]| path.strip_prefix(&dir.path[..]).is_some_and(|rest| rest.first() == Some(&b'/'));
        dir.kind != Kind::Attributes
            && dir.after.is_some_and(|after| after.is_directory())
            && chosen.iter().any(|change| below(&change.path))
    };
    all.iter().filter(|change| wanted(change) || holds(change)).cloned().collect()
}

struct Work<'a> {
    sides: &'a BTreeMap<u32, Sides>,
    journal: Journal,
    force: bool,
    outcome: Applied,
    /// Copies of files that have several names: number of the part and inode in it, and the path of the first copy.
    copies: BTreeMap<(u32, u64), (u32, Vec<u8>)>,
}

impl Work<'_> {
    fn all(&mut self, changes: &[Change]) {
        let is_directory = |change: &&Change| change.after.is_some_and(|after| after.is_directory());
        let makes = |change: &&Change| matches!(change.kind, Kind::Created | Kind::Changed);
        let mut made: Vec<&Change> = Vec::new();
        for change in changes.iter().filter(is_directory).filter(makes) {
            if self.note_failure(change, Self::make_directory) {
                made.push(change);
            }
        }
        for change in changes.iter().filter(|change| !is_directory(change) && change.after.is_some()) {
            self.carry_out(change, Self::put_file);
        }
        for change in changes.iter().filter(|change| change.kind == Kind::Removed).rev() {
            self.carry_out(change, Self::remove);
        }
        let only_looks = changes.iter().filter(|change| change.kind == Kind::Attributes).filter(is_directory);
        let mut finished: Vec<&Change> = made.into_iter().chain(only_looks).collect();
        finished.sort_by(|one, other| other.path.cmp(&one.path));
        for change in finished {
            self.carry_out(change, Self::finish_directory);
        }
    }

    fn carry_out(&mut self, change: &Change, how: fn(&mut Self, &Sides, &Change) -> Result<(), Errno>) {
        if self.note_failure(change, how) {
            self.outcome.done.push(change.clone());
        }
    }

    fn note_failure(
        &mut self,
        change: &Change,
        how: fn(&mut Self, &Sides, &Change) -> Result<(), Errno>,
    ) -> bool {
        let sides = self.sides;
        let Some(sides) = sides.get(&change.number) else { return false };
        match how(self, sides, change) {
            Ok(()) => true,
            Err(errno) => {
                self.outcome.failed.push((change.clone(), errno));
                false
            }
        }
    }

    /// The host's file must be what it was when the changes were looked at, a moment ago.
    fn check(&self, parents: &Parents, change: &Change) -> Result<(), Errno> {
        if self.force {
            return Ok(());
        }
        match (Entry::at(parents.host.as_fd(), &parents.name)?, change.before) {
            (None, None) => Ok(()),
            (Some(now), Some(before)) if now.is_untouched_since(&before) => Ok(()),
            _ => Err(Errno::STALE),
        }
    }

    fn before<'c>(&self, change: &'c Change) -> Before<'c> {
        match &change.before {
            None => Before::Nothing,
            Some(before) if before.is_directory() => Before::Directory,
            Some(_) if self.force => Before::Any,
            Some(before) => Before::File(before),
        }
    }

    fn make_directory(&mut self, sides: &Sides, change: &Change) -> Result<(), Errno> {
        let parents = Parents::of(sides, &change.relative)?;
        self.check(&parents, change)?;
        stage::make_directory(&mut self.journal, &parents, change.before.is_some())
    }

    fn put_file(&mut self, sides: &Sides, change: &Change) -> Result<(), Errno> {
        let parents = Parents::of(sides, &change.relative)?;
        self.check(&parents, change)?;
        let Some(after) = &change.after else { return Ok(()) };
        if change.kind == Kind::Attributes {
            attributes::of_file(&parents, after)?;
            return parents.forget();
        }
        let before = self.before(change);
        match stage::move_over(&mut self.journal, &parents, before) {
            Err(Errno::XDEV) => self.copy_over(&parents, change, after),
            done => done,
        }
    }

    fn copy_over(&mut self, parents: &Parents, change: &Change, after: &Entry) -> Result<(), Errno> {
        let key = (change.number, after.inode);
        let linked = self
            .copies
            .get(&key)
            .and_then(|(number, relative)| Parents::of(self.sides.get(number)?, relative).ok());
        let before = self.before(change);
        stage::copy_over(&mut self.journal, parents, before, after, linked.as_ref())?;
        if after.links > 1 {
            self.copies.entry(key).or_insert_with(|| (change.number, change.relative.clone()));
        }
        parents.forget()
    }

    fn remove(&mut self, sides: &Sides, change: &Change) -> Result<(), Errno> {
        let parents = Parents::of(sides, &change.relative)?;
        self.check(&parents, change)?;
        stage::remove(&mut self.journal, &parents)?;
        parents.forget()
    }

    fn finish_directory(&mut self, sides: &Sides, change: &Change) -> Result<(), Errno> {
        let Some(after) = &change.after else { return Ok(()) };
        let own_time = change.kind != Kind::Attributes;
        if change.relative.is_empty() {
            return attributes::of_top(sides, after);
        }
        let parents = Parents::of(sides, &change.relative)?;
        attributes::of_directory(&parents, after, own_time)?;
        parents.forget_directory()
    }
}
