//! Waiting for a condition that no descriptor announces.

use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails: long, because machines are slow and
/// busy, and because only a failing test ever waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks at `condition` until it gives a value, and panics past `deadline`.
///
/// Looks often at first and then every 20 ms: the wait ends with the condition, not with a guess.
#[track_caller]
pub fn wait_for<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "after {deadline:?} still not so: {what}");
        let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(pause.subsec_nanos()) };
        // An interrupted poll only means that we look again sooner.
        rustix::event::poll(&mut [], Some(&timeout)).ok();
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// [`wait_for`] of a plain condition, with [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, PATIENCE, || condition().then_some(()));
}

/// Whether `fd` becomes readable (a pidfd: whether the process ends) before `deadline` is over.
pub fn readable(fd: &impl std::os::fd::AsFd, deadline: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let end = Instant::now() + deadline;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("poll: {errno}"),
        }
    }
}
