//! Making many files last at once.
//!
//! An image has thousands of files, and fsync(2) of each would take longer than everything else.
//! syncfs(2) does it in one call; threads that need it while one runs share the next one.

use std::sync::{Condvar, Mutex, PoisonError};

use super::StoreError;
use super::files::Root;

#[derive(Debug, Default)]
pub(super) struct Flusher {
    rounds: Mutex<Rounds>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    begun: u64,
    ended: u64,
    /// The latest round that succeeded.
    good: u64,
}

impl Flusher {
    /// Returns when everything that was written before the call is on the disk.
    pub(super) fn flush(&self, root: &Root) -> Result<(), StoreError> {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        // A round that runs already may have passed by what this caller wrote.
        let mine = rounds.begun + 1;
        loop {
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
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        rounds.ended = round;
        if synced.is_ok() {
            rounds.good = round;
        }
        drop(rounds);
        self.done.notify_all();
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_threads_get_through() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
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
}
