//! `boxr pod logs`

use std::io::{self, BufWriter, ErrorKind, Write};

use boxr_engine::logs::{LogError, LogPlace, Query, Sink, Split, Stream, read};
use boxr_engine::store::{BoxDir, Store};
use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::pidfd;
use std::os::fd::AsFd;

use crate::boxes;
use crate::cli::Invocation;
use crate::commands::logs::{follow, mark, query};
use crate::report::Report;

/// What stands before each line, as with podman.
#[derive(Clone, Copy, Debug)]
struct Mark {
    what: What,
    /// Whether each member has a colour.
    in_colour: bool,
}

/// What of a member stands there.
#[derive(Clone, Copy, Debug)]
enum What {
    /// There is one container only.
    Nothing,
    /// The short id of the member.
    Id,
    /// Its name.
    Name,
}

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
    let several = invocation.value("container").is_none() && view.members.len() > 1;
    let what = match invocation.switch("names") {
        true => What::Name,
        false if several => What::Id,
        false => What::Nothing,
    };
    let mark = Mark { what, in_colour: invocation.switch("color") };
    if invocation.switch("follow") && members.len() > 1 {
        return follow_all(&store, &members, &query, mark);
    }
    for (index, (name, dir)) in members.iter().enumerate() {
        let before = mark.of(name, dir, index);
        if let Err(error) = show(&store, dir, &query, before, invocation.switch("follow")) {
            return ended(error);
        }
    }
    Ok(0)
}

impl Mark {
    /// What stands before the lines of the member at this place; `None` for nothing.
    fn of(self, name: &str, dir: &BoxDir, index: usize) -> Option<String> {
        let word = match self.what {
            What::Nothing => return None,
            What::Id => dir.id().short(),
            What::Name => name,
        };
        Some(mark(word, self.in_colour.then_some(index)))
    }
}

fn ended(error: LogError) -> Result<u8, Report> {
    match error {
        LogError::Output(error) if error.kind() == ErrorKind::BrokenPipe => Ok(141),
        error => Err(Report::from(error)),
    }
}

/// A process for each, as each waits for another log.
fn follow_all(store: &Store, members: &[(String, BoxDir)], query: &Query, mark: Mark) -> Result<u8, Report> {
    let failed = |errno: rustix::io::Errno| Report::new(format!("cannot follow several logs: {errno}"));
    let mut children = Vec::new();
    for (index, (name, dir)) in members.iter().enumerate() {
        let before = mark.of(name, dir, index);
        match clone3(0, None, Parent::Caller).map_err(failed)? {
            Cloned::Child => exit_now(u8::from(show(store, dir, query, before, true).is_err())),
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
    dir: &BoxDir,
    query: &Query,
    before: Option<String>,
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
    let mut sink = Marked { split, before, begun: [false; 2] };
    if follows { follow(store, dir, place, query, &mut sink) } else { read(place, query, &mut sink) }
}

/// A sink that puts something before each line.
struct Marked<O, E> {
    split: Split<O, E>,
    before: Option<String>,
    /// Whether a line of stdout, or of stderr, has begun and not ended.
    begun: [bool; 2],
}

impl<O: Write, E: Write> Sink for Marked<O, E> {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let Some(before) = &self.before else { return self.split.take(stream, bytes) };
        let begun = &mut self.begun[usize::from(stream == Stream::Stderr)];
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !*begun {
                self.split.take(stream, before.as_bytes())?;
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
