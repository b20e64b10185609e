//! `boxr ns`

use boxr_engine::nsview::{BoxOwner, Filter, Users, View, dot, json, rows, target_rows, tree};
use boxr_engine::store::{Contents, Store};
use boxr_sys::namespace::NamespaceKind;
use rustix::io::Errno;

use crate::boxes::{find, open_store};
use crate::cli::Invocation;
use crate::format::table::{align, ellipsis};
use crate::report::{Report, errno_text, tell, write_stdout};

/// The widest last cell of a table, in columns.
const WIDEST: usize = 80;

/// Shows namespaces: all, or those of boxes and processes.
///
/// # Errors
/// A kind, box or process that is not there; a process that may not be looked at.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let kinds = invocation.values("type").map(|word| {
        NamespaceKind::from_word(word).ok_or_else(|| {
            invocation.bad_value("type", word, "one of pid, network, mount, uts, ipc, user, cgroup, time")
        })
    });
    let kinds = kinds.collect::<Result<Vec<_>, Report>>()?;
    let store = open_store(&invocation.globals)?;
    let targets = invocation.positionals().iter().map(|word| target(&store, word));
    let targets = targets.collect::<Result<Vec<i32>, Report>>()?;
    let view = View::take(&owners(&store)?)
        .map_err(|errno| Report::new(format!("cannot list the processes in /proc: {}", errno_text(errno))))?;
    for pid in &targets {
        check_readable(&view, *pid)?;
    }
    let filter = Filter { kinds, processes: targets.clone() };
    write_stdout(&render(&invocation, &view, &filter, &targets)?)?;
    tell_unreadable(&view);
    Ok(0)
}

fn render(invocation: &Invocation, view: &View, filter: &Filter, targets: &[i32]) -> Result<String, Report> {
    if invocation.switch("json") {
        let value = json(view, filter, &Users::read());
        let text = serde_json::to_string_pretty(&value)
            .map_err(|error| Report::new(format!("cannot write JSON: {error}")))?;
        return Ok(text + "\n");
    }
    if invocation.switch("tree") {
        return Ok(tree(view, filter));
    }
    if invocation.switch("dot") {
        return Ok(dot(view, filter));
    }
    if targets.is_empty() {
        return Ok(table(&rows(view, filter, &Users::read())));
    }
    let tables = targets.iter().zip(invocation.positionals()).map(|(pid, word)| {
        let heading = if targets.len() > 1 { format!("{word} (pid {pid}):\n") } else { String::new() };
        heading + &table(&target_rows(view, filter, *pid))
    });
    Ok(tables.collect::<Vec<_>>().join("\n"))
}

/// Aligned; the last cell, which may be a whole script, is cut.
fn table(rows: &[Vec<String>]) -> String {
    let line = |row: &Vec<String>| match row.split_last() {
        Some((last, cells)) => format!("{}\t{}\n", cells.join("\t"), ellipsis(last, WIDEST)),
        None => String::new(),
    };
    align(&rows.iter().map(line).collect::<String>())
}

/// The boxes that run.
fn owners(store: &Store) -> Result<Vec<BoxOwner>, Report> {
    let entries = store.list()?;
    let known = entries.into_iter().filter_map(|entry| match entry.contents {
        Contents::Known { state, .. } => Some(state),
        Contents::Creating | Contents::Damaged(_) => None,
    });
    let alive = known.filter_map(|state| {
        let process = state.process.filter(|process| process.is_alive())?;
        let name = if state.name.is_empty() { state.id.chars().take(12).collect() } else { state.name };
        Some(BoxOwner { name, id: state.id, pid: process.pid })
    });
    Ok(alive.collect())
}

/// The process that an argument means: `pid:N`, a box, or a bare number that no box has.
fn target(store: &Store, word: &str) -> Result<i32, Report> {
    if let Some(number) = word.strip_prefix("pid:") {
        return number
            .parse()
            .ok()
            .filter(|pid| *pid > 0)
            .ok_or_else(|| Report::new(format!("{word}: {number:?} is not a pid")).status(1));
    }
    let found = match (find(store, word), word.parse::<i32>()) {
        (Err(_), Ok(pid)) if pid > 0 => return Ok(pid),
        (found, _) => found?,
    };
    let state = found.read_state()?;
    state.process.filter(|process| process.is_alive()).map(|process| process.pid).ok_or_else(|| {
        Report::new(format!("box {word} does not run: it has no namespaces"))
            .status(1)
            .suggest(format!("boxr start {word}"))
    })
}

fn check_readable(view: &View, pid: i32) -> Result<(), Report> {
    if view.processes.contains_key(&pid) {
        return Ok(());
    }
    let errno = std::fs::read_link(format!("/proc/{pid}/ns/net")).err();
    let errno = errno.and_then(|error| error.raw_os_error()).map(Errno::from_raw_os_error);
    Err(match errno {
        Some(errno @ (Errno::ACCESS | Errno::PERM)) => {
            Report::new(format!("cannot look at the namespaces of process {pid}: {}", errno_text(errno)))
                .detail("the process is another user's, or has more privileges than you")
                .suggest(format!("sudo boxr ns pid:{pid}"))
        }
        _ => Report::new(format!("there is no process {pid}")),
    }
    .status(1))
}

/// On stderr: the results stay results.
fn tell_unreadable(view: &View) {
    let remedy = match rustix::process::geteuid().is_root() {
        true => "that takes CAP_SYS_PTRACE",
        false => "that takes root: sudo boxr ns",
    };
    match view.unreadable {
        0 => {}
        1 => tell(&format!("note: 1 process could not be looked at; {remedy}")),
        count => tell(&format!("note: {count} processes could not be looked at; {remedy}")),
    }
}
