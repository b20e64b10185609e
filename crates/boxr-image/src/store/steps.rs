//! Where a test can stop the store: every change of the file tree passes here first.
//!
//! In the shipped program this is nothing at all. Under test a thread-local plan says at which change
//! the process is to be killed or the disk is to be full, and a journal of what was done lets the test
//! take away what a power loss would take: what was written and not made to last.

/// A change, as a power loss sees it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "only the tests read them"))]
pub(super) enum Change<'a> {
    /// A file, directory or link appears.
    Make(&'a str),
    /// Bytes go to a file.
    Write(&'a str),
    /// A file's bytes are on the disk.
    Sync(&'a str),
    /// All of the filesystem is.
    SyncAll,
    /// Something moves.
    Rename(&'a str, &'a str),
    /// Something goes.
    Remove(&'a str),
}

/// Before a change.
#[cfg(not(test))]
#[inline(always)]
pub(super) fn before(_: Change<'_>) -> Result<(), rustix::io::Errno> {
    Ok(())
}

#[cfg(test)]
pub(crate) use under_test::{Plan, before, with_plan};

#[cfg(test)]
mod under_test {
    use std::cell::{Cell, RefCell};
    use std::io::Write as _;

    use rustix::io::Errno;

    use super::Change;

    /// What happens at a change.
    #[derive(Clone, Copy)]
    pub(crate) enum Plan {
        /// Nothing.
        None,
        /// The process is killed before the change with this number, counted down to 0.
        Kill(u32),
        /// The change with this number, counted down to 0, fails; later ones do not.
        Full(u32),
    }

    thread_local! {
        static PLAN: Cell<Plan> = const { Cell::new(Plan::None) };
        static JOURNAL: RefCell<Option<std::fs::File>> = const { RefCell::new(None) };
    }

    /// Carries `plan` out during `work`, writing the changes to `journal`; true when its change was reached.
    pub(crate) fn with_plan<T>(
        plan: Plan,
        journal: Option<std::fs::File>,
        work: impl FnOnce() -> T,
    ) -> (T, bool) {
        PLAN.set(plan);
        JOURNAL.set(journal);
        let done = work();
        JOURNAL.set(None);
        let reached = !matches!(PLAN.replace(Plan::None), Plan::Kill(_) | Plan::Full(_));
        (done, reached)
    }

    pub(crate) fn before(change: Change<'_>) -> Result<(), Errno> {
        match PLAN.get() {
            Plan::None => {}
            Plan::Kill(0) => {
                let me = rustix::process::getpid();
                rustix::process::kill_process(me, rustix::process::Signal::KILL)?;
            }
            Plan::Kill(left) => PLAN.set(Plan::Kill(left - 1)),
            Plan::Full(0) => {
                PLAN.set(Plan::None);
                return Err(Errno::NOSPC);
            }
            Plan::Full(left) => PLAN.set(Plan::Full(left - 1)),
        }
        JOURNAL.with_borrow_mut(|journal| {
            let Some(file) = journal else { return };
            let line = match change {
                Change::Make(path) => format!("make\t{path}\n"),
                Change::Write(path) => format!("write\t{path}\n"),
                Change::Sync(path) => format!("sync\t{path}\n"),
                Change::SyncAll => "sync-all\n".to_owned(),
                Change::Rename(from, to) => format!("rename\t{from}\t{to}\n"),
                Change::Remove(path) => format!("remove\t{path}\n"),
            };
            file.write_all(line.as_bytes()).unwrap();
        });
        Ok(())
    }
}
