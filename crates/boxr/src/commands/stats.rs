//! `boxr stats`

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use boxr_cgroup::PressureFigures;
use boxr_engine::lifecycle::stats::{Sample, cpu_percent, sample};
use boxr_engine::record::State;
use boxr_engine::store::{Contents, Store};
use serde_json::Value;

use crate::boxes;
use crate::cli::Invocation;
use crate::format::listing::{Header, Listing};
use crate::format::template::Object;
use crate::format::{condition, size};
use crate::report::{Report, stdout_failed};

const STANDARD: &str = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}\t{{.Pressure}}";

pub(super) const HEADERS: &[Header] = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
    ("Pressure", "PRESSURE CPU / MEM / IO"),
    ("CPUPressure", "CPU PRESSURE"),
    ("MemPressure", "MEM PRESSURE"),
    ("IOPressure", "IO PRESSURE"),
    // podman's names of them.
    ("Pod", "POD"),
    ("CID", "CID"),
    ("CPU", "CPU %"),
    ("Mem", "MEM %"),
    ("MemUsageBytes", "MEM USAGE / LIMIT"),
    ("PIDS", "PIDS"),
];

/// Time between the two looks of `--no-stream`.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);

/// Carries out `boxr stats`.
///
/// # Errors
/// A value or template that cannot be used; a name that is no box.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let listing = Listing::new(invocation.value("format"), STANDARD, HEADERS)?;
    interval(&invocation)?;
    let store = boxes::open_store(&invocation.globals)?;
    // Named ones have to be there; without names, boxes come and go.
    let named = named(&store, &invocation)?;
    watch(&invocation, &listing, &store, named)
}

/// Shows the boxes of these ids, or all, as often as the command line says.
///
/// # Errors
/// As [`run`].
pub(super) fn watch(
    invocation: &Invocation,
    listing: &Listing,
    store: &Store,
    (status, named): (u8, Option<Vec<String>>),
) -> Result<u8, Report> {
    let interval = interval(invocation)?;
    let once = invocation.switch("no-stream");
    if named.as_ref().is_some_and(Vec::is_empty) {
        return Ok(status);
    }
    let mut before: BTreeMap<String, Sample> = BTreeMap::new();
    let mut stdout = std::io::stdout();
    let screen =
        stdout.is_terminal() && !once && invocation.value("format").is_none_or(|f| f.starts_with("table"));
    let mut first = true;
    loop {
        let states = look(store, invocation, named.as_deref())?;
        let samples: BTreeMap<String, Sample> = states
            .iter()
            .filter(|(_, up)| *up)
            .map(|(state, _)| (state.id.clone(), sample(store, state)))
            .collect();
        if !first || samples.is_empty() {
            let rows: Vec<Row<'_>> = states
                .iter()
                .map(|(state, _)| Row {
                    state,
                    now: samples.get(&state.id),
                    before: before.get(&state.id),
                    full: invocation.switch("no-trunc"),
                })
                .collect();
            let text = listing.render(rows.iter().map(|row| row as &dyn Object))?;
            // Back to the top, and nothing left of what was there.
            let text =
                if screen && !invocation.switch("no-reset") { format!("\x1b[H\x1b[J{text}") } else { text };
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|e| stdout_failed(&e))?;
            if once {
                return Ok(status);
            }
        }
        before = samples;
        rest(if first { FIRST_INTERVAL.min(interval) } else { interval });
        first = false;
    }
}

fn interval(invocation: &Invocation) -> Result<Duration, Report> {
    let accepted = "a number of seconds, at least 0.1";
    let seconds: f64 = invocation.parsed("interval", accepted)?.unwrap_or(1.0);
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|interval| *interval >= Duration::from_millis(100))
        .ok_or_else(|| {
            let text = invocation.value("interval").unwrap_or_default();
            invocation.bad_value("interval", text, accepted)
        })
}

/// Ids of the boxes that were named; `None` when all are meant.
fn named(store: &Store, invocation: &Invocation) -> Result<(u8, Option<Vec<String>>), Report> {
    if invocation.positionals().is_empty() {
        return Ok((0, None));
    }
    let mut ids = Vec::new();
    let status = boxes::for_each(invocation.positionals(), |name| {
        ids.push(boxes::find(store, name)?.id().as_str().to_owned());
        Ok(())
    })?;
    Ok((status, Some(ids)))
}

/// The boxes to show, and whether each is up.
fn look(
    store: &Store,
    invocation: &Invocation,
    named: Option<&[String]>,
) -> Result<Vec<(State, bool)>, Report> {
    let all = invocation.switch("all");
    let found = store.list()?.into_iter().filter_map(|entry| match entry.contents {
        Contents::Known { state, observed } => Some((*state, condition::is_up(observed))),
        _ => None,
    });
    Ok(match named {
        Some(ids) => found.filter(|(state, _)| ids.contains(&state.id)).collect(),
        None => found.filter(|(_, up)| *up || all).collect(),
    })
}

/// The time between two looks (`--interval`): figures change all the while, there is nothing to wait on.
pub(super) fn rest(duration: Duration) {
    let until = Instant::now() + duration;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::sleep(left);
    }
}

/// A box with two looks at it.
struct Row<'a> {
    state: &'a State,
    /// `None` of one that does not run.
    now: Option<&'a Sample>,
    before: Option<&'a Sample>,
    full: bool,
}

impl Row<'_> {
    fn text(&self, name: &str) -> Option<String> {
        Some(match name {
            "ID" | "Container" | "CID" if self.full => self.state.id.clone(),
            "ID" | "Container" | "CID" => {
                self.state.id.get(..boxr_engine::id::SHORT).unwrap_or(&self.state.id).to_owned()
            }
            "Pod" => {
                let id = self.state.pod.as_deref().unwrap_or_default();
                if self.full { id } else { id.get(..boxr_engine::id::SHORT).unwrap_or(id) }.to_owned()
            }
            "Name" => self.state.name.clone(),
            "CPUPerc" | "CPU" => {
                let share = self.before.zip(self.now).and_then(|(before, now)| cpu_percent(before, now));
                or_unknown(share.map(size::percent))
            }
            "MemUsage" | "MemUsageBytes" => {
                let used = self.now.and_then(|now| now.memory).map(size::binary);
                let limit = self.now.and_then(|now| now.memory_limit).map(size::binary);
                format!("{} / {}", or_unknown(used), or_unknown(limit))
            }
            "MemPerc" | "Mem" => or_unknown(self.memory_share().map(size::percent)),
            "NetIO" => pair(self.now.and_then(|now| now.network)),
            "BlockIO" => pair(self.now.and_then(|now| now.block)),
            "PIDs" | "PIDS" => or_unknown(self.now.and_then(|now| now.tasks).map(|tasks| tasks.to_string())),
            "CPUPressure" => pressure(self.now.and_then(|now| now.pressure.cpu)),
            "MemPressure" => pressure(self.now.and_then(|now| now.pressure.memory)),
            "IOPressure" => pressure(self.now.and_then(|now| now.pressure.io)),
            "Pressure" => {
                let figures = self.now.map(|now| now.pressure).unwrap_or_default();
                [figures.cpu, figures.memory, figures.io].map(pressure).join(" / ")
            }
            _ => return None,
        })
    }

    #[allow(clippy::cast_precision_loss, reason = "two places are shown")]
    fn memory_share(&self) -> Option<f64> {
        let now = self.now?;
        let limit = now.memory_limit.filter(|limit| *limit > 0)?;
        Some(now.memory? as f64 * 100.0 / limit as f64)
    }
}

/// docker's word for what is not known.
fn or_unknown(text: Option<String>) -> String {
    text.unwrap_or_else(|| "--".to_owned())
}

fn pair(figures: Option<(u64, u64)>) -> String {
    figures.map_or_else(
        || "--".to_owned(),
        |(read, written)| format!("{} / {}", size::decimal(read), size::decimal(written)),
    )
}

/// The share of the last ten seconds in which some task waited.
fn pressure(figures: Option<PressureFigures>) -> String {
    or_unknown(figures.map(|figures| size::percent(figures.some.avg10)))
}

impl Object for Row<'_> {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.text(name).map(|text| Cow::Owned(Value::String(text)))
    }

    fn all(&self) -> Value {
        HEADERS.iter().map(|(name, _)| ((*name).to_owned(), Value::from(self.text(name)))).collect()
    }

    fn names(&self) -> Vec<&str> {
        HEADERS.iter().map(|(name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::state;

    #[test]
    fn columns_of_docker_and_pressure() {
        let state = state();
        let at = Instant::now();
        let before = Sample {
            at,
            cpu_ns: Some(0),
            memory: Some(442_368),
            memory_limit: Some(2_088_763_392),
            network: Some((1093, 0)),
            block: None,
            tasks: Some(3),
            pressure: boxr_cgroup::Pressure::default(),
        };
        let mut now = Sample { at: at + Duration::from_secs(1), cpu_ns: Some(123_400_000), ..before.clone() };
        now.pressure.cpu = Some(PressureFigures::default());
        let listing = Listing::new(None, STANDARD, HEADERS).unwrap();
        let row = Row { state: &state, now: Some(&now), before: Some(&before), full: false };
        let down = Row { state: &state, now: None, before: None, full: false };
        let rows: [&dyn Object; 2] = [&row, &down];
        let expected = "\
CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O       BLOCK I/O   PIDS      PRESSURE CPU / MEM / IO
0123456789ab   web       12.34%    432KiB / 1.945GiB   0.02%     1.09kB / 0B   --          3         0.00% / -- / --
0123456789ab   web       --        -- / --             --        --            --          --        -- / -- / --
";
        assert_eq!(listing.render(rows).unwrap(), expected);
    }
}
