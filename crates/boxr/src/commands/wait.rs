//! `boxr wait`

use boxr_engine::lifecycle::wait::Waiter;
use boxr_engine::record::{Exit, State};
use boxr_engine::store::{Observed, Store};

use crate::boxes;
use crate::cli::Invocation;
use crate::format::condition;
use crate::report::{Report, write_stdout};

/// Carries out `boxr wait`: a line with the exit status for each box, in the order given.
///
/// # Errors
/// When the store cannot be opened.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    if invocation.values("condition").next().is_some() {
        let conditions = conditions(&invocation)?;
        return boxes::for_each(invocation.positionals(), |name| until(&store, name, &conditions));
    }
    // All are watched before the first is waited for: one that ends and removes itself meanwhile
    // is not missed.
    let waiters = invocation.positionals().iter().map(|name| {
        let waiter = boxes::find(&store, name).and_then(|dir| Ok(Waiter::new(&store, dir)?));
        (name, waiter)
    });
    let waiters: Vec<_> = waiters.collect();
    boxes::for_each(waiters, |(name, waiter)| match waiter?.wait()? {
        Exit::Unknown => {
            write_stdout("unknown\n")?;
            Err(Report::new(format!("{name}: nobody saw how it ended"))
                .detail("its monitor was killed, or it was removed, and this kernel does not tell")
                .status(1))
        }
        exit => write_stdout(&format!("{}\n", exit.status())),
    })
}

/// What a box is waited for to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// It does not run.
    NotRunning,
    /// It ends from now on.
    NextExit,
    /// It is gone.
    Removed,
    /// One of the states that `ps` shows.
    State(&'static str),
    /// What its health checks say.
    Health(&'static str),
}

const STATES: [&str; 5] = ["created", "running", "paused", "restarting", "removing"];
const HEALTHS: [&str; 3] = ["healthy", "unhealthy", "starting"];

fn conditions(invocation: &Invocation) -> Result<Vec<Condition>, Report> {
    let known = |list: &'static [&'static str], word: &str| list.iter().copied().find(|known| *known == word);
    let read = |word: &str| match word {
        "stopped" | "exited" | "not-running" => Ok(Condition::NotRunning),
        "next-exit" => Ok(Condition::NextExit),
        "removed" => Ok(Condition::Removed),
        word => match (known(&STATES, word), known(&HEALTHS, word)) {
            (Some(state), _) => Ok(Condition::State(state)),
            (_, Some(health)) => Ok(Condition::Health(health)),
            _ => Err(invocation.bad_value(
                "condition",
                word,
                "not-running, next-exit, removed, running, paused, created, healthy or unhealthy",
            )),
        },
    };
    invocation.values("condition").flat_map(|words| words.split(',')).map(read).collect()
}

/// Waits until one of the conditions holds, and prints the exit status; -1 of a box that has not ended, as podman.
fn until(store: &Store, name: &str, conditions: &[Condition]) -> Result<(), Report> {
    let dir = boxes::find(store, name)?;
    let mut last = dir.read_state().ok().and_then(|state| state.exit);
    let before = dir.read_state().ok();
    // It may end before it is looked at again.
    let mut has_run = before.as_ref().is_some_and(|state| condition::is_up(store.observe(state)));
    let mut accept = |looked: Option<(&State, Observed)>| {
        let Some((state, observed)) = looked else { return true };
        last = state.exit.or(last);
        let runs = condition::is_up(observed);
        // Another end than the one that was there.
        has_run |= runs || before.as_ref().is_some_and(|before| before.started != state.started);
        let ended = matches!(observed, Observed::Exited(_) | Observed::Restarting(_));
        conditions.iter().any(|wanted| match wanted {
            Condition::NotRunning => ended || observed == Observed::Created,
            Condition::NextExit => ended && has_run,
            Condition::Removed => false,
            Condition::State(word) => condition::state(observed) == *word,
            Condition::Health(word) => {
                runs && state.health.as_ref().is_some_and(|health| health.condition.word() == *word)
            }
        })
    };
    let ended = Waiter::new(store, dir)?.wait_until(&mut accept)?;
    let known = ended.filter(|exit| *exit != Exit::Unknown).or(last);
    write_stdout(&format!("{}\n", known.map_or(-1, |exit| i32::from(exit.status()))))
}
