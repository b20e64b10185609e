//! `boxr logs`: what the box wrote to stdout on stdout, and to stderr on stderr.

use std::io::{BufWriter, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use boxr_engine::logs::{Follower, LogError, LogPlace, Query, Sink, Split, Stream, read};
use boxr_engine::options::LogDriver;
use boxr_engine::record::ProcessRef;
use boxr_engine::store::{BoxDir, Observed, Store, StoreError};

use crate::boxes;
use crate::cli::Invocation;
use crate::format::time;
use crate::report::{Explain, Report, errno_text, stdout_failed};

impl Explain for LogError {
    fn report(&self) -> Report {
        match self {
            Self::System { action, path, errno } => {
                Report::new(format!("cannot {action} {}: {}", path.display(), errno_text(*errno)))
            }
            Self::NotAFile { path } => {
                Report::new(format!("{} is not a file, so it can be no log", path.display()))
            }
            Self::Foreign { path } => Report::new(format!(
                "{} is not one of boxr's logs, and a rotation of the log would replace it",
                path.display()
            ))
            .detail("move it away, or choose another --log-opt path"),
            Self::Output(error) => stdout_failed(error),
        }
    }
}

/// Carries out `boxr logs`.
///
/// # Errors
/// A value that cannot be used; no such box; a log that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let query = query(&invocation)?;
    let store = boxes::open_store(&invocation.globals)?;
    let names = invocation.positionals();
    if invocation.switch("follow") && names.len() > 1 {
        return Err(Report::new("boxr logs: --follow is of one box at a time")
            .suggest(format!("boxr logs --follow {}", names[0])));
    }
    let mut status = 0;
    for (index, name) in names.iter().enumerate() {
        match print(&invocation, &store, name, index, &query) {
            Ok(0) => {}
            Ok(other) => return Ok(other),
            Err(report) if names.len() == 1 => return Err(report),
            Err(report) => {
                report.print();
                status = 1;
            }
        }
    }
    Ok(status)
}

/// Prints the log of one box, the `index`th of those that are printed.
fn print(
    invocation: &Invocation,
    store: &Store,
    name: &str,
    index: usize,
    query: &Query,
) -> Result<u8, Report> {
    let dir = boxes::find(store, name)?;
    let failed = |error: StoreError| Report::from(error).status(1);
    let Some(data) = dir.data_path().map_err(failed)? else { return unlogged(&dir, name) };
    let target = dir.read_record().map(|record| record.options.log_to).unwrap_or_default();
    if !target.driver.is_file() {
        return kept_elsewhere(&dir, name, target.driver);
    }
    let place = LogPlace::of(&data, &target);
    // A box whose monitor was killed gets a new one, or what it writes from now on would not come.
    if let Err(error) = boxr_engine::lifecycle::current(&dir) {
        error.report().print();
    }
    let split = Split {
        stdout: BufWriter::with_capacity(1 << 16, std::io::stdout()),
        stderr: BufWriter::with_capacity(1 << 16, std::io::stderr()),
    };
    let mut sink = Prefixed::new(split, prefix(invocation, &dir, index));
    let done = if invocation.switch("follow") {
        follow(store, &dir, place, query, &mut sink)
    } else {
        read(place, query, &mut sink)
    };
    match done {
        Ok(()) => Ok(0),
        Err(LogError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(141),
        Err(error) => Err(Report::from(error).status(1)),
    }
}

/// What stands before each line: the box's name, or, where there are several, the beginning of its id.
fn prefix(invocation: &Invocation, dir: &BoxDir, index: usize) -> Vec<u8> {
    let word = match (invocation.switch("names"), invocation.positionals().len() > 1) {
        (true, _) => dir.read_state().map(|state| state.name).unwrap_or_default(),
        (false, true) => dir.id().short().to_owned(),
        (false, false) => return Vec::new(),
    };
    mark(&word, invocation.switch("color").then_some(index)).into_bytes()
}

/// A word before a line, in the colour of this place among others where there is one.
pub fn mark(word: &str, colour: Option<usize>) -> String {
    /// Foregrounds that can be told apart on light and on dark (ECMA-48, "Select graphic rendition").
    const COLOURS: [u8; 6] = [32, 33, 34, 35, 36, 31];
    match colour {
        Some(index) => format!("\x1b[{}m{word}\x1b[0m ", COLOURS[index % COLOURS.len()]),
        None => format!("{word} "),
    }
}

/// Puts something before each line.
struct Prefixed<S> {
    inner: S,
    prefix: Vec<u8>,
    /// By stream: whether the last bytes did not end a line.
    within_line: [bool; 2],
}

impl<S: Sink> Prefixed<S> {
    fn new(inner: S, prefix: Vec<u8>) -> Self {
        Self { inner, prefix, within_line: [false; 2] }
    }
}

impl<S: Sink> Sink for Prefixed<S> {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> std::io::Result<()> {
        if self.prefix.is_empty() {
            return self.inner.take(stream, bytes);
        }
        let index = usize::from(stream == Stream::Stderr);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.within_line[index] {
                self.inner.take(stream, &self.prefix)?;
            }
            self.within_line[index] = !line.ends_with(b"\n");
            self.inner.take(stream, line)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// A box whose output boxr does not keep.
fn kept_elsewhere(dir: &BoxDir, name: &str, driver: LogDriver) -> Result<u8, Report> {
    let report =
        Report::new(format!("box {name} has no log that boxr keeps: --log-driver {}", driver.word()));
    Err(match driver {
        LogDriver::Journald => report.suggest(format!("journalctl CONTAINER_ID_FULL={}", dir.id().as_str())),
        LogDriver::Passthrough => report.detail("its output went to whoever started it"),
        _ => report.detail("its output is kept by nobody"),
    }
    .status(1))
}

/// A box whose output nobody keeps: it went to the terminal or pipe of whoever started it.
fn unlogged(dir: &BoxDir, name: &str) -> Result<u8, Report> {
    let state = dir.read_state().map_err(|error| Report::from(error).status(1))?;
    if state.monitored {
        return Ok(0);
    }
    Err(Report::new(format!("box {name} has no log"))
        .detail("it runs in the foreground, where its output goes to whoever started it")
        .suggest("boxr run -d")
        .status(1))
}

/// What of a log is meant.
///
/// # Errors
/// A value that cannot be used.
pub(super) fn query(invocation: &Invocation) -> Result<Query, Report> {
    let now = time::now();
    let moment = |flag: &str| -> Result<Option<i64>, Report> {
        invocation
            .value(flag)
            .map(|text| {
                time::parse(text, now).ok_or_else(|| invocation.bad_value(flag, text, time::ACCEPTED))
            })
            .transpose()
    };
    let tail = match invocation.value("tail") {
        None | Some("all") => None,
        Some(text) => match text.parse::<i64>() {
            // docker's: a negative number is all.
            Ok(count) => u64::try_from(count).ok(),
            Err(_) => return Err(invocation.bad_value("tail", text, "a number of lines, or all")),
        },
    };
    Ok(Query {
        tail,
        since: moment("since")?,
        until: moment("until")?,
        timestamps: invocation.switch("timestamps"),
    })
}

/// Gives what there is and what comes, until the box has ended.
pub(super) fn follow(
    store: &Store,
    dir: &BoxDir,
    place: LogPlace,
    query: &Query,
    sink: &mut dyn Sink,
) -> Result<(), LogError> {
    let mut follower = Follower::open(place, &dir.path(), query)?;
    let held = held(dir);
    let wake: Vec<BorrowedFd<'_>> = held.iter().map(AsFd::as_fd).collect();
    let stdout = std::io::stdout();
    follower.follow(sink, &wake, Some(stdout.as_fd()), || has_ended(store, dir))
}

/// The processes whose ends the state may not tell.
fn held(dir: &BoxDir) -> Vec<OwnedFd> {
    let Ok(state) = dir.read_state() else { return Vec::new() };
    let open = |process: Option<ProcessRef>| process.and_then(|process| process.open().ok());
    [open(state.process), open(state.supervisor)].into_iter().flatten().collect()
}

/// Whether nothing more will be written: the box has ended or is gone, and its monitor is done with
/// its output.
fn has_ended(store: &Store, dir: &BoxDir) -> bool {
    match dir.read_state() {
        Ok(state) => matches!(store.observe(&state), Observed::Exited(_)),
        Err(_) => true,
    }
}
