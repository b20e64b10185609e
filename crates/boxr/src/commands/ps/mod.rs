//! `boxr ps`: one state file is read per box, and nothing waits for a box.

pub(crate) mod filter;
mod row;

use std::io::IsTerminal;
use std::time::Duration;

use boxr_engine::monitor;
use boxr_engine::record::State;
use boxr_engine::store::{Contents, Entry, Observed, Store};

use crate::boxes;
use crate::cli::Invocation;
use crate::format::condition;
use crate::format::listing::{Header, Listing};
use crate::format::template::Object;
use crate::format::time;
use crate::report::{Report, write_stdout};
use filter::Filters;
use row::{Broken, Row};

const STANDARD: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

/// podman's.
const NAMESPACES: &str = "{{.ID}}\t{{.Names}}\t{{.Pid}}\t{{.CGROUPNS}}\t{{.IPC}}\t{{.MNT}}\t{{.NET}}\t{{.PIDNS}}\t{{.USERNS}}\t{{.UTS}}";

const HEADERS: &[Header] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Pod", "POD ID"),
    ("PodName", "PODNAME"),
    ("Pid", "PID"),
    ("CGROUPNS", "CGROUPNS"),
    ("IPC", "IPC"),
    ("MNT", "MNT"),
    ("NET", "NET"),
    ("PIDNS", "PIDNS"),
    ("USERNS", "USERNS"),
    ("UTS", "UTS"),
];

/// Carries out `boxr ps`.
///
/// # Errors
/// A filter or template that cannot be used; a store that cannot be listed.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let watch: Option<u64> = invocation.parsed("watch", "a number of seconds")?;
    loop {
        let text = text(&invocation, &store)?;
        let Some(seconds) = watch else {
            write_stdout(&text)?;
            return Ok(0);
        };
        // Back to the top, and nothing left of what was there.
        let screen = std::io::stdout().is_terminal();
        write_stdout(&if screen { format!("\x1b[H\x1b[J{text}") } else { text })?;
        super::stats::rest(Duration::from_secs(seconds.max(1)));
    }
}

/// The listing as it is now.
fn text(invocation: &Invocation, store: &Store) -> Result<String, Report> {
    let last = last(invocation)?;
    let filters = Filters::read(invocation.values("filter"), store)?;
    let listing = listing(invocation)?;
    let all = invocation.switch("all") || last.is_some() || filters.want_all();
    let mut entries = store.list()?;
    entries.iter_mut().for_each(|entry| revive(store, entry));
    // The newest first.
    entries.reverse();
    entries.retain(|entry| (all || is_up(entry)) && filters.accept(entry));
    entries.truncate(last.unwrap_or(usize::MAX));
    sort(&mut entries, invocation)?;
    let objects = objects(&entries, store, invocation.switch("no-trunc"));
    Ok(listing.render(objects.iter().map(|object| &**object))?)
}

/// The order of `--sort`; without it the newest come first, as in docker.
fn sort(entries: &mut [Entry], invocation: &Invocation) -> Result<(), Report> {
    let Some(field) = invocation.value("sort") else { return Ok(()) };
    let text = |entry: &Entry, of: fn(&State, Observed) -> String| match &entry.contents {
        Contents::Known { state, observed } => of(state, *observed),
        _ => String::new(),
    };
    let key: fn(&State, Observed) -> String = match field {
        "created" | "runningfor" => return Ok(()),
        "id" => |state, _| state.id.clone(),
        "image" => |state, _| state.image.clone(),
        "names" | "name" => |state, _| state.name.clone(),
        "command" => |state, _| state.command.clone(),
        "status" => |_, observed| condition::state(observed).to_owned(),
        // What is kept on disk is not known without looking at all of it.
        _ => {
            let fields = "created, id, image, names, runningfor, status or command";
            return Err(invocation.bad_value("sort", field, fields));
        }
    };
    entries.sort_by_cached_key(|entry| text(entry, key));
    Ok(())
}

/// A box that has lost its monitor gets one. One that cannot be helped now is listed as it is.
fn revive(store: &Store, entry: &mut Entry) {
    let Contents::Known { state, observed } = &mut entry.contents else { return };
    if !monitor::has_lost_its_monitor(state) {
        return;
    }
    let Ok(dir) = store.resolve(&state.id) else { return };
    if let Ok(now) = monitor::ensure_if_free(&dir, (**state).clone()) {
        *observed = store.observe(&now);
        **state = now;
    }
}

/// How many were asked for with `--last` or `--latest`; like docker's, a negative number is all that run.
fn last(invocation: &Invocation) -> Result<Option<usize>, Report> {
    if invocation.switch("latest") {
        return Ok(Some(1));
    }
    let last: Option<i64> = invocation.parsed("last", "a number of boxes")?;
    Ok(last.and_then(|last| usize::try_from(last).ok()))
}

fn listing(invocation: &Invocation) -> Result<Listing, Report> {
    let format = invocation.value("format");
    let of_namespaces = invocation.switch("ns");
    if of_namespaces && invocation.switch("size") {
        return Err(Report::new("boxr ps: --ns and --size show different columns"));
    }
    let mut standard = if of_namespaces { NAMESPACES } else { STANDARD }.to_owned();
    if invocation.switch("size") {
        standard.push_str("\t{{.Size}}");
    }
    if invocation.switch("pod") && !of_namespaces {
        standard.push_str("\t{{.Pod}}\t{{.PodName}}");
    }
    let quiet = invocation.switch("quiet") && matches!(format, None | Some("table"));
    let format = if quiet { Some("{{.ID}}") } else { format };
    let listing = Listing::new(format, &standard, HEADERS)?;
    Ok(if invocation.switch("noheading") { listing.without_heading() } else { listing })
}

fn is_up(entry: &Entry) -> bool {
    matches!(entry.contents, Contents::Known { observed, .. } if condition::is_up(observed))
}

fn objects<'a>(entries: &'a [Entry], store: &'a Store, full: bool) -> Vec<Box<dyn Object + 'a>> {
    let now = time::now();
    entries
        .iter()
        .map(|entry| -> Box<dyn Object + 'a> {
            match &entry.contents {
                Contents::Known { state, observed } => {
                    Box::new(Row { store, state, observed: *observed, now, full })
                }
                Contents::Creating => Box::new(Broken { id: &entry.id, full, damaged: false }),
                Contents::Damaged(_) => Box::new(Broken { id: &entry.id, full, damaged: true }),
            }
        })
        .collect()
}

/// Whether the box's cgroup is frozen, though boxr did not do it. Only asked of boxes that are up.
fn is_frozen(state: &boxr_engine::record::State, observed: Observed) -> bool {
    if !matches!(observed, Observed::Running | Observed::Unresponsive) {
        return false;
    }
    let Some(location) = &state.cgroup else { return false };
    let frozen = boxr_cgroup::Cgroup::open(location).and_then(|cgroup| cgroup.frozen());
    matches!(frozen, Ok(boxr_cgroup::Frozen::Yes | boxr_cgroup::Frozen::Partly))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::{entry, state, store};
    use boxr_engine::record::Exit;

    fn listed(format: Option<&str>, observed: Observed) -> String {
        let (_dir, store) = store();
        let mut state = state();
        let now = time::now();
        state.command = "python3 -m http.server 8000".to_owned();
        state.created = now - 130_000_000_000;
        state.started = Some(now - 120_500_000_000);
        state.finished = Some(now - 500_000_000);
        let entries = [entry(state, observed)];
        let objects = objects(&entries, &store, false);
        let listing = Listing::new(format, STANDARD, HEADERS).unwrap();
        listing.render(objects.iter().map(|object| &**object)).unwrap()
    }

    #[test]
    fn a_table_as_dockers() {
        let expected = "\
CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS         PORTS     NAMES
0123456789ab   host      \"python3 -m http.ser…\"   2 minutes ago   Up 2 minutes             web
";
        assert_eq!(listed(None, Observed::Running), expected);
        assert!(listed(None, Observed::Exited(Exit::Code(0))).contains("Exited (0) Less than a second ago"));
    }

    #[test]
    fn templates_and_json() {
        let format = "{{.ID}} {{.State}} {{.Label \"com.example.tier\"}} {{.Labels}} {{.Image | upper}}";
        let expected = "0123456789ab running front com.example.tier=front HOST\n";
        assert_eq!(listed(Some(format), Observed::Running), expected);
        let json: serde_json::Value = serde_json::from_str(&listed(Some("json"), Observed::Paused)).unwrap();
        assert_eq!(json["Status"], "Up 2 minutes (Paused)");
        assert_eq!(json.as_object().unwrap().len(), 16);
    }

    #[test]
    fn every_field_has_a_heading() {
        let (_dir, store) = store();
        let entries = [entry(state(), Observed::Created)];
        let objects = objects(&entries, &store, false);
        for field in objects[0].names() {
            assert!(HEADERS.iter().any(|(name, _)| *name == field), "{field}");
        }
    }
}
