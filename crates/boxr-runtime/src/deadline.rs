//! Moments on the clock that does not jump.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A moment on `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    nanos: i128,
}

impl Deadline {
    /// So many seconds from now.
    pub fn after_seconds(seconds: u64) -> Self {
        Self { nanos: now() + i128::from(seconds) * 1_000_000_000 }
    }

    /// So many milliseconds from now.
    pub fn after_millis(millis: u64) -> Self {
        Self { nanos: now() + i128::from(millis) * 1_000_000 }
    }

    /// Whether it has passed.
    pub fn has_passed(&self) -> bool {
        now() >= self.nanos
    }

    /// How long until then, for poll(2); zero when it has passed.
    pub fn remaining(&self) -> Timespec {
        let rest = (self.nanos - now()).max(0);
        let seconds = i64::try_from(rest / 1_000_000_000).unwrap_or(i64::MAX);
        Timespec { tv_sec: seconds, tv_nsec: (rest % 1_000_000_000) as i64 }
    }
}

fn now() -> i128 {
    let now = clock_gettime(ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}
