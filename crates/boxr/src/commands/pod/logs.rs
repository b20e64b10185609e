//! `boxr pod logs`

use std::io::{self, BufWriter, ErrorKind, Write};

use boxr_engine::logs::{LogError, LogPlace, Query, Sink, Split, Stream, read};
use boxr_engine::store::{BoxDir, Store};
use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::pidfd;
use std::os::fd::AsFd;

use crate::boxes;
use crate::cli::Invocation;
use crate::commands::logs::{follow, query};
use crate::report::Report;

/// Carries out `boxr pod logs`: member by member; with `--follow` as it comes.
///
/// # Errors
/// A value that cannot be used; no such pod; a log that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let query = query(&invocation)?;
    let store = boxes::open_store(&invocation.globals)?;
    let view = super::view(&store, super::find(&store, invocation.first())?)?;
    let mut members = view.box_dirs(&store)?;
    if let Some(wanted) = invocation.value("container") {
        let one = boxes::find(&store, wanted)?;
        members.retain(|(_, dir)| dir.id() == one.id());
        if members.is_empty() {
            let name = &view.record.name;
            return Err(Report::new(format!("box {wanted} is no member of pod {name}")).status(125));
        }
    }
    let names = invocation.switch("names");
    if invocation.switch("follow") && members.len() > 1 {
        return follow_all(&store, &members, &query, names);
    }
    for (name, dir) in &members {
        if let Err(error) = show(&store, (name, dir), &query, names, invocation.switch("follow")) {
            return ended(error);
        }
    }
    Ok(0)
}

fn ended(error: LogError) -> Result<u8, Report> {
    match error {
        LogError::Output(error) if error.kind() == ErrorKind::BrokenPipe => Ok(141),
        error => Err(Report::from(error)),
    }
}

/// A process for each, as each waits for another log.
fn follow_all(store: &Store, members: &[(String, BoxDir)], query: &Query, names: bool) -> Result<u8, Report> {
    let failed = |errno: rustix::io::Errno| Report::new(format!("cannot follow several logs: {errno}"));
    let mut children = Vec::new();
    for (name, dir) in members {
        match clone3(0, None, Parent::Caller).map_err(failed)? {
            Cloned::Child => exit_now(u8::from(show(store, (name, dir), query, names, true).is_err())),
            Cloned::Parent { pidfd, .. } => children.push(pidfd),
        }
    }
    for child in children {
        pidfd::reap(child.as_fd(), true).map_err(failed)?;
    }
    Ok(0)
}

fn show(
    store: &Store,
    (name, dir): (&str, &BoxDir),
    query: &Query,
    names: bool,
    follows: bool,
) -> Result<(), LogError> {
    // One without a log has written nothing that boxr keeps.
    let Ok(Some(data)) = dir.data_path() else { return Ok(()) };
    let Ok(record) = dir.read_record() else { return Ok(()) };
    let target = record.options.log_to;
    if !target.driver.is_file() {
        return Ok(());
    }
    let place = LogPlace::of(&data, &target);
    let split = Split {
        stdout: BufWriter::with_capacity(1 << 16, io::stdout()),
        stderr: BufWriter::with_capacity(1 << 16, io::stderr()),
    };
    let mut sink = Named { split, name: names.then(|| format!("{name} ")), begun: [false; 2] };
    if follows { follow(store, dir, place, query, &mut sink) } else { read(place, query, &mut sink) }
}

/// A sink that puts a name before each line.
struct Named<O, E> {
    split: Split<O, E>,
    name: Option<String>,
    /// Whether a line of stdout, or of stderr, has begun and not ended.
    begun: [bool; 2],
}

impl<O: Write, E: Write> Sink for Named<O, E> {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let Some(name) = &self.name else { return self.split.take(stream, bytes) };
        let begun = &mut self.begun[usize::from(stream == Stream::Stderr)];
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !*begun {
                self.split.take(stream, name.as_bytes())?;
            }
            self.split.take(stream, line)?;
            *begun = !line.ends_with(b"\n");
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.split.flush()
    }
}
