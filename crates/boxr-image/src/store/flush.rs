//! Making many files last at once.
//!
//! An image has thousands of files, and fsync(2) of each would take longer than everything else.
//! syncfs(2) does it in one call; threads that need it while one runs share the next one.
//!
//! While much is written, a thread beside does the same from time to time. So the disk is at work from the
//! beginning, not when there is nothing to do but wait for it, and the last flush finds little.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::files::Root;
use super::{Store, StoreError};

/// Bytes of blobs that are written before the thread beside flushes.
const MUCH: u64 = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Flusher {
    rounds: Mutex<Rounds>,
    done: Condvar,
    /// Bytes since the thread beside began its last flush.
    unsent: Mutex<u64>,
    /// They are much, or there will be no more.
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    begun: u64,
    ended: u64,
    /// The latest round that succeeded.
    good: u64,
    /// The kernel tells of data that it could not write once (syncfs(2)), and whose they were nobody knows:
    /// after that nothing counts as being on the disk.
    failed: Option<Errno>,
}

impl Store {
    /// Does `work` while another thread sends to the disk what it writes. An error of that is one of all later flushes.
    pub(crate) fn writing_much<T>(&self, work: impl FnOnce() -> T) -> T {
        let flusher = &self.flusher;
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| while flusher.much_was_written(&is_over) && flusher.flush(&self.root).is_ok() {});
            let _over = Over { flusher, is_over: &is_over };
            work()
        })
    }
}

/// Ends the thread beside, also when the work panics.
struct Over<'f> {
    flusher: &'f Flusher,
    is_over: &'f AtomicBool,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let unsent = lock(&self.flusher.unsent);
        self.is_over.store(true, Relaxed);
        drop(unsent);
        self.flusher.wake.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flusher {
    /// Takes note of bytes that were written.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut unsent = lock(&self.unsent);
        *unsent += bytes as u64;
        if *unsent >= MUCH {
            self.wake.notify_all();
        }
    }

    /// Waits until much was written; false when that is over.
    fn much_was_written(&self, is_over: &AtomicBool) -> bool {
        let mut unsent = lock(&self.unsent);
        while *unsent < MUCH && !is_over.load(Relaxed) {
            unsent = self.wake.wait(unsent).unwrap_or_else(PoisonError::into_inner);
        }
        *unsent = 0;
        !is_over.load(Relaxed)
    }

    /// Returns when everything that was written before the call is on the disk.
    pub(super) fn flush(&self, root: &Root) -> Result<(), StoreError> {
        let mut rounds = lock(&self.rounds);
        // A round that runs already may have passed by what this caller wrote.
        let mine = rounds.begun + 1;
        loop {
            if let Some(errno) = rounds.failed {
                return Err(root.error("write to the disk", "", errno));
            }
            if rounds.good >= mine {
                return Ok(());
            }
            if rounds.begun == rounds.ended {
                break;
            }
            rounds = self.done.wait(rounds).unwrap_or_else(PoisonError::into_inner);
        }
        rounds.begun += 1;
        let round = rounds.begun;
        drop(rounds);
        let synced = root.sync_all();
        let mut rounds = lock(&self.rounds);
        rounds.ended = round;
        match synced {
            Ok(()) => rounds.good = round,
            Err(errno) => rounds.failed = Some(errno),
        }
        drop(rounds);
        self.done.notify_all();
        synced.map_err(|errno| root.error("write to the disk", "", errno))
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps::{Plan, with_plan};
    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn any_number_of_threads_get_through() {
        let (_dir, root) = root();
        let flusher = Flusher::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        flusher.flush(&root).unwrap();
                    }
                });
            }
        });
        let rounds = flusher.rounds.into_inner().unwrap();
        assert_eq!(rounds.begun, rounds.ended);
        assert!((3..=24).contains(&rounds.begun), "{rounds:?}");
    }

    #[test]
    fn after_data_could_not_be_written_nothing_counts_as_written() {
        let (_dir, root) = root();
        let flusher = Flusher::default();
        flusher.flush(&root).unwrap();
        let (failed, _) = with_plan(Plan::Full(0), None, || flusher.flush(&root));
        failed.unwrap_err();
        // The kernel would say that all is well now.
        flusher.flush(&root).unwrap_err();
    }

    #[test]
    fn the_disk_is_at_work_while_much_is_written() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let store = Store::open(dir.path()).unwrap();
        let flushed = || lock(&store.flusher.rounds).good;
        store.writing_much(|| {
            let before = flushed();
            store.flusher.wrote(MUCH as usize - 1);
            assert_eq!(flushed(), before);
            store.flusher.wrote(1);
            boxr_testing::wait_until("it is flushed", || flushed() > before);
        });
        // Nobody is there any more.
        let before = flushed();
        store.flusher.wrote(2 * MUCH as usize);
        assert_eq!(flushed(), before);
    }
}
