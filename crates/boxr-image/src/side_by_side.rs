//! Work on several things at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Layers that are worked on at once, at most. Registries answer more from one place slower.
pub(crate) const MOST: usize = 6;

/// Does `work` for every item, several at once. The first error ends it all: `given_up` is then true, for
/// whoever is in the middle of something.
pub(crate) fn side_by_side<T: Sync, R: Send, E: Send>(
    items: &[T],
    given_up: &AtomicBool,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new(Ok(Vec::with_capacity(items.len())));
    let worker = || {
        while let Some(item) = items.get(next.fetch_add(1, Relaxed)) {
            let done = work(item);
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            match (done, &mut *outcome) {
                (Ok(done), Ok(all)) => all.push(done),
                (Err(error), Ok(_)) => {
                    given_up.store(true, Relaxed);
                    *outcome = Err(error);
                }
                (_, Err(_)) => {}
            }
            if outcome.is_err() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..items.len().min(MOST) {
            scope.spawn(worker);
        }
        worker();
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}
