//! `boxr pod create`

use boxr_engine::config::{self, Caller, PodFlags, RawRun};
use boxr_engine::lifecycle::remove::Force;
use boxr_engine::pod::{self, ExitPolicy, PodOptions, PodRecord, PodRequest};
use boxr_engine::store::{Store, StoreError};

use crate::boxes;
use crate::cli::Invocation;
use crate::cli::request::{said_but, warn};
use crate::report::{Report, write_stdout};

/// Carries out `boxr pod create`: prints the id.
///
/// # Errors
/// A name that is in use, values that do not go together; nothing is left.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let mut raw = said_but(&invocation, &Caller::current()?, &["share"])?;
    let name = match (raw.name.take(), invocation.positionals().first()) {
        (None, word) => word.cloned(),
        (name, None) => name,
        (Some(_), Some(word)) => {
            return Err(Report::new(format!("boxr pod create: --name and {word} are two names"))
                .suggest(format!("boxr pod create --name {word}")));
        }
    };
    if invocation.switch("replace") && name.is_none() {
        return Err(Report::new("boxr pod create: --replace needs --name"));
    }
    let options = resolve(&raw, flags(&invocation)?)?;
    let store = boxes::open_store(&invocation.globals)?;
    if let (true, Some(name)) = (invocation.switch("replace"), &name) {
        replace(&store, name)?;
    }
    let record = make(&store, name, options)?;
    if let Some(file) = invocation.value("pod-id-file")
        && let Err(report) = super::write_id(file, &record.id)
    {
        pod::remove(&store, &store.resolve_pod(&record.id)?, Force::Yes)?;
        return Err(report);
    }
    write_stdout(&format!("{}\n", record.id))?;
    Ok(0)
}

/// Makes a pod of what was said.
///
/// # Errors
/// The name is in use.
pub(super) fn make(store: &Store, name: Option<String>, options: PodOptions) -> Result<PodRecord, Report> {
    let words = boxr_sys::entry::words().into_iter();
    let command = words.map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(pod::create(store, PodRequest { options, name, command })?)
}

/// The options of a pod that `run --pod new:NAME` makes.
///
/// # Errors
/// What excludes each other.
pub(super) fn of_new(raw: &RawRun) -> Result<PodOptions, Report> {
    resolve(raw, PodFlags::default())
}

fn resolve(raw: &RawRun, flags: PodFlags) -> Result<PodOptions, Report> {
    let mut notes = Vec::new();
    let options = config::resolve_pod(raw, flags, &mut notes)?;
    warn(&notes);
    Ok(options)
}

fn flags(invocation: &Invocation) -> Result<PodFlags, Report> {
    let exit_policy = match invocation.value("exit-policy") {
        None | Some("continue") => ExitPolicy::Continue,
        Some("stop") => ExitPolicy::Stop,
        Some(other) => return Err(invocation.bad_value("exit-policy", other, "continue or stop")),
    };
    let infra = match invocation.value("infra") {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => return Err(invocation.bad_value("infra", other, "true or false")),
    };
    Ok(PodFlags {
        share: invocation.value("share").map(str::to_owned),
        infra,
        infra_name: invocation.value("infra-name").map(str::to_owned),
        exit_policy,
    })
}

/// Removes the pod of this name, if there is one.
fn replace(store: &Store, name: &str) -> Result<(), Report> {
    let dir = match store.resolve_pod(name) {
        Err(StoreError::NoPod { .. }) => return Ok(()),
        found => found?,
    };
    // An id that begins like the name is another pod's.
    if dir.read_record().is_ok_and(|record| record.name == name) {
        super::act::report(pod::remove(store, &dir, Force::Yes)?);
    }
    Ok(())
}
