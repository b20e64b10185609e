//! The condition of a box in docker's words: its state, and the sentence of `ps`.

use boxr_engine::health::Condition;
use boxr_engine::record::{Exit, State, Status};
use boxr_engine::store::Observed;

use super::time::human_duration;

/// The states that docker knows, for `--filter status=`.
pub const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "exited", "removing", "dead"];

/// One of [`STATES`].
pub fn state(observed: Observed) -> &'static str {
    match observed {
        Observed::Creating | Observed::Created | Observed::Unclear(Status::Created) => "created",
        Observed::Running | Observed::Unresponsive | Observed::Unclear(Status::Running) => "running",
        Observed::Paused | Observed::Unclear(Status::Paused) => "paused",
        Observed::Restarting(_) => "restarting",
        Observed::Ending | Observed::Exited(_) | Observed::Unclear(Status::Exited) => "exited",
    }
}

/// Whether `ps` lists it without `--all`.
pub fn is_up(observed: Observed) -> bool {
    matches!(state(observed), "running" | "paused" | "restarting")
}

/// `Up 5 seconds`, `Exited (137) 2 hours ago`; `frozen` says that its cgroup is, though not by boxr.
pub fn sentence(state: &State, observed: Observed, frozen: bool, now: i64) -> String {
    let up = || format!("Up {}", human_duration(now.saturating_sub(state.started.unwrap_or(state.created))));
    match observed {
        Observed::Creating => "Starting".to_owned(),
        Observed::Created => "Created".to_owned(),
        Observed::Paused => format!("{} (Paused)", up()),
        Observed::Running | Observed::Unresponsive if frozen => format!("{} (Frozen)", up()),
        Observed::Running => match &state.health {
            Some(health) if health.condition == Condition::Starting => format!("{} (health: starting)", up()),
            Some(health) => format!("{} ({})", up(), health.condition.word()),
            None => up(),
        },
        Observed::Unresponsive => format!("{} (Unresponsive)", up()),
        Observed::Ending => "Ending".to_owned(),
        Observed::Restarting(exit) => {
            let since = now.saturating_sub(state.finished.unwrap_or(now));
            format!("Restarting ({}) {} ago", exit_word(exit), human_duration(since))
        }
        Observed::Exited(exit) => match state.finished {
            Some(then) => {
                format!("Exited ({}) {} ago", exit_word(exit), human_duration(now.saturating_sub(then)))
            }
            None => format!("Exited ({})", exit_word(exit)),
        },
        Observed::Unclear(status) => {
            let word = self::state(Observed::Unclear(status));
            format!("Unknown (last seen {word})")
        }
    }
}

/// The exit status, or `unknown`: a number nobody saw is not made up.
pub fn exit_word(exit: Exit) -> String {
    if exit == Exit::Unknown { "unknown".to_owned() } else { exit.status().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::state as sample;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn sentences_of_docker() {
        let mut state = sample();
        state.started = Some(100 * SECOND);
        state.finished = Some(103 * SECOND);
        let shown = |observed| sentence(&state, observed, false, 105 * SECOND);
        assert_eq!(shown(Observed::Running), "Up 5 seconds");
        assert_eq!(shown(Observed::Paused), "Up 5 seconds (Paused)");
        assert_eq!(shown(Observed::Unresponsive), "Up 5 seconds (Unresponsive)");
        assert_eq!(shown(Observed::Exited(Exit::Signal(9))), "Exited (137) 2 seconds ago");
        assert_eq!(shown(Observed::Exited(Exit::Timeout)), "Exited (124) 2 seconds ago");
        assert_eq!(shown(Observed::Exited(Exit::Unknown)), "Exited (unknown) 2 seconds ago");
        assert_eq!(shown(Observed::Created), "Created");
        assert_eq!(sentence(&state, Observed::Running, true, 160 * SECOND), "Up About a minute (Frozen)");
    }

    #[test]
    fn every_observation_has_a_state_that_can_be_filtered_by() {
        for observed in [Observed::Creating, Observed::Ending, Observed::Unclear(Status::Paused)] {
            assert!(STATES.contains(&state(observed)));
        }
    }
}
