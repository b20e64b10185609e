//! `boxr prune`

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use boxr_engine::lifecycle::prune::prune;
use boxr_engine::record::State;

use crate::boxes;
use crate::cli::{Globals, Invocation};
use crate::format::{size, time};
use crate::report::{Report, tell, write_stdout};

const QUESTION: &str = "This removes all boxes that do not run, with their logs. Go on? [y/N] ";

/// Which boxes are meant; all conditions must hold.
#[derive(Debug, Default)]
pub struct Filters {
    /// Made before then, nanoseconds since 1970 UTC.
    until: Option<i64>,
    labels: Vec<Label>,
}

/// A label that is wanted, or not.
#[derive(Debug)]
struct Label {
    key: String,
    value: Option<String>,
    wanted: bool,
}

/// Carries out `boxr prune`.
///
/// # Errors
/// A filter that cannot be used; nobody to ask; a store that cannot be listed.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let filters = Filters::read(invocation.values("filter"), time::now())?;
    if !invocation.switch("force") && !agreed("boxr prune", QUESTION)? {
        return Ok(0);
    }
    let (mut text, bytes, status) = prune_boxes(&invocation.globals, &filters)?;
    text.push_str(&format!("Total reclaimed space: {}\n", size::decimal_precise(bytes)));
    write_stdout(&text)?;
    Ok(status)
}

/// Removes boxes that do not run: what is said of it, the bytes that are free again, and the status.
///
/// # Errors
/// A store that cannot be listed.
pub fn prune_boxes(globals: &Globals, filters: &Filters) -> Result<(String, u64, u8), Report> {
    let store = boxes::open_store(globals)?;
    let pruned = prune(&store, |state| filters.accept(state))?;
    let mut text = String::new();
    if !pruned.removed.is_empty() {
        text.push_str("Deleted Containers:\n");
        text.extend(pruned.removed.iter().flat_map(|id| [id.as_str(), "\n"]));
        text.push('\n');
    }
    if !pruned.tries.is_empty() {
        tell(&format!("boxr: tries stay, as their changes are nowhere else: {}", pruned.tries.join(", ")));
        tell("  try: boxr apply NAME, or boxr rm NAME");
    }
    let status = boxes::for_each(pruned.failed, |(_, error)| Err(error.into()))?;
    Ok((text, pruned.bytes, status))
}

/// Asks whoever is at the terminal.
///
/// # Errors
/// There is no terminal.
pub fn agreed(command: &str, question: &str) -> Result<bool, Report> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Report::new(format!("{command}: there is no terminal to ask on"))
            .suggest(format!("{command} --force")));
    }
    let mut stderr = std::io::stderr().lock();
    let failed =
        |error| Report::new(format!("cannot ask on the terminal: {}", crate::report::io_text(&error)));
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(failed)?;
    let mut answer = String::new();
    stdin.read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

impl Filters {
    /// Reads them.
    ///
    /// # Errors
    /// One that cannot be used.
    pub fn read<'a>(values: impl Iterator<Item = &'a str>, now: i64) -> Result<Self, Report> {
        let mut filters = Self::default();
        for text in values {
            let bad = |reason: String| {
                Report::new(format!("--filter {text}: {reason}"))
                    .detail("filters: until=TIME label=KEY[=VALUE] label!=KEY[=VALUE]")
            };
            let (key, value) = text.split_once('=').ok_or_else(|| bad("it takes KEY=VALUE".to_owned()))?;
            match key {
                "until" => {
                    let until =
                        time::parse(value, now).ok_or_else(|| bad(format!("not {}", time::ACCEPTED)))?;
                    filters.until = Some(until.min(filters.until.unwrap_or(i64::MAX)));
                }
                "label" | "label!" => filters.labels.push(Label::read(value, key == "label")),
                _ => return Err(bad("no such filter".to_owned())),
            }
        }
        Ok(filters)
    }

    /// Before when something must have been made, nanoseconds since 1970 UTC.
    pub fn until(&self) -> Option<i64> {
        self.until
    }

    fn accept(&self, state: &State) -> bool {
        self.accepts(state.created, &state.labels)
    }

    /// Whether something that was made then, nanoseconds since 1970 UTC, and has these labels is meant.
    pub fn accepts(&self, created: i64, labels: &BTreeMap<String, String>) -> bool {
        self.until.is_none_or(|until| created < until)
            && self.labels.iter().all(|label| label.matches(labels) == label.wanted)
    }
}

impl Label {
    fn read(text: &str, wanted: bool) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self { key: key.to_owned(), value: Some(value.to_owned()), wanted },
            None => Self { key: text.to_owned(), value: None, wanted },
        }
    }

    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::state;

    #[test]
    fn filters_narrow() {
        let state = state();
        for (filters, expected) in [
            (&["until=10m"][..], true),
            (&["until=2000-01-01"], false),
            (&["label=com.example.tier"], true),
            (&["label=com.example.tier=back"], false),
            (&["label!=com.example.tier"], false),
            (&["label!=com.example.tier=back", "until=1s"], true),
        ] {
            let read = Filters::read(filters.iter().copied(), state.created + 3_600_000_000_000).unwrap();
            assert_eq!(read.accept(&state), expected, "{filters:?}");
        }
        assert!(Filters::read(["until=soon"].into_iter(), 0).is_err());
        assert!(Filters::read(["name=x"].into_iter(), 0).is_err());
    }
}
