//! Commands about pods.

mod act;
mod create;
mod filter;
mod inspect;
mod list;
mod logs;
mod look;
pub mod membership;

use boxr_engine::pod::{self, PodError, View};
use boxr_engine::store::{PodDir, Store, StoreError};

use crate::boxes;
use crate::cli::{Invocation, run_member};
use crate::report::{Explain, Report};
use crate::whole_file;

pub use act::{kill, pause, prune, remove, restart, start, stop, unpause};
pub use create::run as create;
pub use inspect::{exists, run as inspect};
pub use list::run as list;
pub use logs::run as logs;
pub use look::{stats, top};

/// Carries out `boxr pod COMMAND`.
///
/// # Errors
/// A word that is no command there, and what that command reports.
pub fn group(invocation: Invocation) -> Result<u8, Report> {
    run_member(invocation)
}

impl Explain for PodError {
    fn report(&self) -> Report {
        let report = Report::new(self.to_string());
        match self {
            Self::Running { name, .. } => {
                report.suggest(format!("boxr pod stop {name}")).suggest(format!("boxr pod rm --force {name}"))
            }
            Self::Empty { name } => report.suggest(format!("boxr run -d --pod {name} -- COMMAND")),
            Self::Elsewhere { name } | Self::Open { name, .. } => {
                report.suggest(format!("boxr pod stop {name}"))
            }
        }
    }
}

/// Finds a pod by name, id or beginning of an id.
///
/// # Errors
/// There is none.
fn find(store: &Store, wanted: &str) -> Result<PodDir, Report> {
    Ok(store.resolve_pod(wanted)?)
}

/// A pod with all that is known of it; what was killed of it is repaired.
fn view(store: &Store, dir: PodDir) -> Result<View, Report> {
    let record = dir.read_record()?;
    let gone = || StoreError::NoPod { wanted: record.name.clone() };
    let state = dir.read_state()?.ok_or_else(gone)?;
    // One that cannot be helped now is shown as it is.
    let state = pod::repair(store, &dir, &record, state.clone()).unwrap_or(state);
    Ok(pod::look(store.here(), (dir, record, state), &pod::members(store)?))
}

/// Every pod, the oldest first.
fn views(store: &Store) -> Result<Vec<View>, Report> {
    let all = pod::members(store)?;
    let found = store.pods()?.into_iter().map(|(dir, record, state)| {
        let state = pod::repair(store, &dir, &record, state.clone()).unwrap_or(state);
        pod::look(store.here(), (dir, record, state), &all)
    });
    Ok(found.collect())
}

/// The pods a command is about: those named, those whose ids are in `--pod-id-file`, or all with `--all`.
fn targets(store: &Store, invocation: &Invocation) -> Result<Vec<String>, Report> {
    if invocation.switch("all") {
        return Ok(match invocation.command.name {
            // Also what killed commands have left.
            "pod rm" => store.all_pods()?.into_iter().map(|id| id.to_string()).collect(),
            _ => store.pods()?.into_iter().map(|(_, record, _)| record.id).collect(),
        });
    }
    let mut targets = invocation.positionals().to_vec();
    if invocation.offers("pod-id-file") {
        for file in invocation.values("pod-id-file") {
            targets.push(read_id(file)?);
        }
    }
    Ok(targets)
}

/// Puts the pod that was made last in the place of the name (`--latest`).
///
/// # Errors
/// There is none.
pub fn put_latest(invocation: &mut Invocation) -> Result<(), Report> {
    let last = boxes::open_store(&invocation.globals)?.pods()?.pop().map(|(_, record, _)| record.id);
    let last = last.ok_or_else(|| Report::new("there is no pod: --latest is none").status(125))?;
    invocation.matches.positionals.insert(0, last);
    Ok(())
}

/// The id in a file of `--pod-id-file`.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read_id(file: &str) -> Result<String, Report> {
    let read = std::fs::read_to_string(file);
    let read = read
        .map_err(|error| Report::new(format!("--pod-id-file {file}: {}", crate::report::io_text(&error))))?;
    Ok(read.trim().to_owned())
}

/// Writes the id of a new pod.
fn write_id(file: &str, id: &str) -> Result<(), Report> {
    let written = whole_file::WholeFile::create(std::path::Path::new(file)).and_then(|mut whole| {
        std::io::Write::write_all(&mut whole, id.as_bytes())?;
        whole.commit()
    });
    written.map_err(|error| Report::new(format!("--pod-id-file {file}: {}", crate::report::io_text(&error))))
}
