//! Asking again.

use std::time::Duration;

use super::RegistryError;

/// How often a question is asked again that may be answered later.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often it is asked in all.
    pub attempts: u32,
    /// The wait before the second time; it doubles each time.
    pub first_wait: Duration,
    /// The longest wait, also if the registry asks for a longer one.
    pub longest_wait: Duration,
    /// How long nothing may come from the registry.
    pub silence: Duration,
}

/// A question that was not answered.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Box<RegistryError>,
    /// How long the registry wants to be left alone.
    pub(super) wait: Option<Duration>,
}

impl From<RegistryError> for Failed {
    fn from(error: RegistryError) -> Self {
        Self { error: Box::new(error), wait: None }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            silence: Duration::from_secs(60),
        }
    }
}

impl Patience {
    /// The wait before attempt `next`, counted from 0; `asked` is what the registry wants.
    pub(super) fn wait(&self, next: u32, asked: Option<Duration>) -> Duration {
        let doubled =
            self.first_wait.saturating_mul(1u32.checked_shl(next.saturating_sub(1)).unwrap_or(u32::MAX));
        // A quarter more or less, so that many machines do not come back at the same moment.
        let doubled = doubled.mul_f64(0.75 + f64::from(nanoseconds() % 1000) / 2000.0);
        asked.unwrap_or(doubled).min(self.longest_wait)
    }

    /// Waits before attempt `next`, counted from 0.
    pub(crate) fn pause(&self, next: u32) {
        std::thread::sleep(self.wait(next, None));
    }

    /// Asks until there is an answer, a refusal, or no patience.
    pub(super) fn ask<T>(&self, mut question: impl FnMut() -> Result<T, Failed>) -> Result<T, RegistryError> {
        let mut next = 1;
        loop {
            match question() {
                Ok(answer) => return Ok(answer),
                Err(failed) if failed.error.may_pass() && next < self.attempts => {
                    // The registry gives no sign when it can answer again, but for how long it asks to be left alone.
                    std::thread::sleep(self.wait(next, failed.wait));
                    next += 1;
                }
                Err(failed) => return Err(*failed.error),
            }
        }
    }
}

fn nanoseconds() -> u32 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let patience = Patience::default();
        for (next, least, most) in [(1, 375, 625), (2, 750, 1250), (3, 1500, 2500), (40, 30_000, 30_000)] {
            let wait = patience.wait(next, None).as_millis();
            assert!((least..=most).contains(&wait), "{next}: {wait}");
        }
        assert_eq!(patience.wait(1, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(patience.wait(1, Some(Duration::from_secs(700))), Duration::from_secs(30));
    }
}
