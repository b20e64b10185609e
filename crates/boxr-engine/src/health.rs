//! Health checks: what they are, and how the last ones went (docker's HEALTHCHECK).

use serde::{Deserialize, Serialize};

/// A command that tells by its status whether a box is well. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// The command and its arguments.
    pub test: Vec<String>,
    /// Between the end of one check and the next.
    pub interval: u64,
    /// How long one may take.
    pub timeout: u64,
    /// How long after its start failures do not count.
    pub start_period: u64,
    /// Between two checks in that time, where that is less.
    pub start_interval: u64,
    /// Whether systemd is told when it is well.
    #[serde(default)]
    pub tells: bool,
    /// So many failures in a row make it unhealthy.
    pub retries: u32,
    /// What is done then.
    pub on_failure: OnFailure,
}

impl Default for Health {
    /// Docker's.
    fn default() -> Self {
        Self {
            tells: false,
            test: Vec::new(),
            interval: 30_000,
            timeout: 30_000,
            start_period: 0,
            start_interval: 5_000,
            retries: 3,
            on_failure: OnFailure::None,
        }
    }
}

/// What is done about a box that has become unhealthy (podman's words).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is said.
    #[default]
    None,
    /// It is killed.
    Kill,
    /// It is restarted.
    Restart,
    /// It is stopped.
    Stop,
}

/// How a box is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Nobody knows yet.
    #[default]
    Starting,
    /// The last check went well.
    Healthy,
    /// The last ones failed.
    Unhealthy,
}

impl Condition {
    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One check that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Nanoseconds since 1970 UTC.
    pub start: i64,
    /// Nanoseconds since 1970 UTC.
    pub end: i64,
    /// Its status; -1 when it took too long.
    pub exit: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

/// What the checks of a box came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthState {
    /// How it is.
    pub condition: Condition,
    /// Failures in a row.
    pub streak: u32,
    /// The last checks, the newest last.
    pub log: Vec<Check>,
}

/// Checks that are remembered.
const REMEMBERED: usize = 5;

impl HealthState {
    /// Takes the next check in; `true` when that has made the box unhealthy.
    pub fn note(&mut self, check: Check, health: &Health, is_early: bool) -> bool {
        let was = self.condition;
        if check.exit == 0 {
            (self.condition, self.streak) = (Condition::Healthy, 0);
        } else if !(is_early && was == Condition::Starting) {
            self.streak += 1;
            if self.streak >= health.retries.max(1) {
                self.condition = Condition::Unhealthy;
            }
        }
        self.log.push(check);
        let over = self.log.len().saturating_sub(REMEMBERED);
        self.log.drain(..over);
        was != Condition::Unhealthy && self.condition == Condition::Unhealthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_in_a_row_and_not_at_the_beginning() {
        let health = Health { retries: 2, ..Health::default() };
        let mut state = HealthState::default();
        let check = |exit| Check { exit, ..Check::default() };
        assert!(!state.note(check(1), &health, true) && state.streak == 0);
        assert!(!state.note(check(1), &health, false) && state.condition == Condition::Starting);
        assert!(state.note(check(1), &health, false) && state.condition == Condition::Unhealthy);
        assert!(!state.note(check(1), &health, false), "it is no news");
        assert!(!state.note(check(0), &health, false) && state.condition == Condition::Healthy);
        assert!(!state.note(check(1), &health, true) && state.streak == 1, "it was well already");
        assert_eq!(state.log.len(), 5);
    }
}
