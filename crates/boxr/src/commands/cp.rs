//! `boxr cp`

mod interrupt;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;

use boxr_engine::events::{self, Action};
use boxr_engine::lifecycle::copy::{Files, Incoming, Ingoing, Outgoing, Request, left_out};
use boxr_engine::store::BoxDir;
use boxr_image::copy::{Base, Clash, CopyError, Owners, Source, Target, lay, send};
use boxr_image::pack::Holes;

use crate::boxes;
use crate::cli::Invocation;
use crate::format::size;
use crate::report::{Report, errno_text, io_text, stdout_failed};
use interrupt::Interruptible;

/// Bytes that go through at once.
const BUFFER: usize = 128 * 1024;

/// One end of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End<'a> {
    /// An archive on stdin or stdout.
    Stream,
    /// A path of the caller's.
    Host(&'a str),
    /// A path in a box.
    Box { name: &'a str, path: &'a str },
}

impl<'a> End<'a> {
    /// Docker's rule: what begins with a slash or a dot is a path, and the first colon ends a name.
    fn parse(text: &'a str) -> Self {
        match text.split_once(':') {
            _ if text == "-" => Self::Stream,
            Some((name, path)) if !name.is_empty() && !text.starts_with(['/', '.']) => {
                Self::Box { name, path }
            }
            _ => Self::Host(text),
        }
    }
}

/// Carries out `boxr cp`: files between the host and a box.
///
/// # Errors
/// There is nothing to copy, or no place for it; not everything could be copied.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let refused = |why: &str| Err(Report::new(format!("boxr cp: {why}")).status(1));
    let [source, target] = invocation.positionals() else {
        return refused("it takes what is to be copied, and where to");
    };
    match (End::parse(source), End::parse(target)) {
        (End::Box { .. }, End::Box { .. }) => refused("files are not copied from one box to another"),
        (End::Box { path: "", .. }, _) | (_, End::Box { path: "", .. }) => refused("a box's path is empty"),
        (End::Box { name, path }, to) => out(&invocation, (name, path), to),
        (from, End::Box { name, path }) => into(&invocation, from, (name, path)),
        _ => refused("one of both must be in a box: CONTAINER:PATH"),
    }
}

fn files<'d>(dir: &'d BoxDir, name: &str, path: &str) -> Result<Files<'d>, Report> {
    let files = Files::open(dir).map_err(|error| Report::from(error).status(1))?;
    let Some(files) = files else {
        return Err(Report::new(format!("box {name} has no files of its own, but the host's"))
            .detail("there are some in boxes of images and of --rootfs DIR")
            .status(1));
    };
    match files.hidden(path.as_bytes()) {
        Some(why) => Err(Report::new(format!("cannot copy {name}:{path}: {why}"))
            .suggest(format!("boxr start {name}"))
            .status(1)),
        None => Ok(files),
    }
}

fn out(invocation: &Invocation, (name, path): (&str, &str), to: End<'_>) -> Result<u8, Report> {
    if to == End::Stream && io::stdout().is_terminal() {
        return Err(Report::new("boxr cp: an archive is not written to a terminal")
            .suggest(format!("boxr cp {name}:{path} DEST"))
            .status(1));
    }
    let store = boxes::open_store(&invocation.globals)?;
    let dir = boxes::find(&store, name)?;
    let files = files(&dir, name, path)?;
    let holes = if to == End::Stream { Holes::Filled } else { Holes::Kept };
    let follow = invocation.switch("follow-link");
    let request = Request { path: path.as_bytes().to_vec(), follow, holes };
    let outgoing = files.leave(&request).map_err(|error| Report::from(error).status(1))?;
    match to {
        End::Host(target) => {
            let owners = if invocation.switch("archive") { Owners::Kept } else { Owners::Callers };
            let copied = to_host(outgoing, target, owners, clash(invocation))?;
            success(invocation, copied, target);
        }
        _ => to_stdout(outgoing)?,
    }
    note(&dir, Action::ArchivePath, path);
    Ok(0)
}

fn note(dir: &BoxDir, action: Action, path: &str) {
    // It may have been removed meanwhile.
    if let Ok(state) = dir.read_state() {
        events::note_with(dir.paths(), &state, action, |event| event.with("path", path));
    }
}

/// What becomes of a directory in the place of a file, and the other way round.
fn clash(invocation: &Invocation) -> Clash {
    if invocation.switch("overwrite") { Clash::Replaced } else { Clash::Refused }
}

fn to_host(outgoing: Outgoing, target: &str, owners: Owners, clash: Clash) -> Result<u64, Report> {
    let path = target.as_bytes();
    let into = Target::find(&Base::Host, path).and_then(|found| found.takes(outgoing.is_directory, path));
    let into = into.map_err(|error| not_copied(&error))?;
    let mut archive = Interruptible::new(&outgoing.archive)
        .map_err(|errno| Report::new(format!("cannot receive signals: {}", errno_text(errno))).status(1))?;
    let laid = lay(io::BufReader::with_capacity(BUFFER, &mut archive), &into, owners, clash);
    let copied = archive.bytes;
    if let Some(signal) = archive.ended_by {
        return Err(Report::silent(u8::try_from(128 + signal).unwrap_or(1)));
    }
    // A file of the host's that cannot be written is the reason, and not that nobody reads on.
    let laid = match laid {
        Err(error @ (CopyError::Tar(_) | CopyError::Read(_))) => {
            outgoing.finish().map_err(|error| Report::from(error).status(1))?;
            return Err(not_copied(&error));
        }
        laid => laid.map_err(|error| not_copied(&error))?,
    };
    warn(outgoing.finish().map_err(|error| Report::from(error).status(1))?);
    warn(left_out(laid));
    Ok(copied)
}

fn to_stdout(outgoing: Outgoing) -> Result<(), Report> {
    let mut stdout = io::stdout().lock();
    let copied = io::copy(&mut &outgoing.archive, &mut stdout).and_then(|_| stdout.flush());
    copied.map_err(|error| stdout_failed(&error))?;
    warn(outgoing.finish().map_err(|error| Report::from(error).status(1))?);
    Ok(())
}

fn into(invocation: &Invocation, from: End<'_>, (name, path): (&str, &str)) -> Result<u8, Report> {
    if from == End::Stream && io::stdin().is_terminal() {
        return Err(Report::new("boxr cp: an archive is not read from a terminal")
            .suggest(format!("boxr cp SRC {name}:{path}"))
            .status(1));
    }
    let source = match from {
        End::Host(source) => {
            let found = Source::find(&Base::Host, source.as_bytes(), invocation.switch("follow-link"));
            Some(found.map_err(|error| not_copied(&error))?)
        }
        _ => None,
    };
    let what = match &source {
        None => Incoming::Archive,
        Some(source) if source.is_directory() => Incoming::Directory,
        Some(_) => Incoming::File,
    };
    let store = boxes::open_store(&invocation.globals)?;
    let dir = boxes::find(&store, name)?;
    let files = files(&dir, name, path)?;
    let owners = if invocation.switch("archive") { Owners::Kept } else { Owners::All { uid: 0, gid: 0 } };
    let ingoing = files
        .enter(path.as_bytes(), what, owners, clash(invocation))
        .map_err(|error| Report::from(error).status(1))?;
    let copied = match source {
        Some(source) => from_host(ingoing, &source)?,
        None => from_stdin(ingoing)?,
    };
    note(&dir, Action::ExtractToDir, path);
    success(invocation, copied, &format!("{name}:{path}"));
    Ok(0)
}

fn from_host(ingoing: Ingoing, source: &Source) -> Result<u64, Report> {
    let mut to = Counted { inner: &ingoing.archive, bytes: 0 };
    let sent =
        send(source, Holes::Kept, BufWriter::with_capacity(BUFFER, &mut to)).and_then(|(to, contents)| {
            let flushed = to.into_inner().map(drop);
            flushed.map_err(|error| CopyError::Write(error.into_error())).map(|()| contents)
        });
    let copied = to.bytes;
    match sent {
        // Why nobody reads on, the other side knows.
        Err(error @ CopyError::Write(_)) => {
            ingoing.finish().map_err(|error| Report::from(error).status(1))?;
            Err(not_copied(&error))
        }
        Err(error) => Err(not_copied(&error)),
        Ok(contents) => {
            warn(ingoing.finish().map_err(|error| Report::from(error).status(1))?);
            if contents.sockets > 0 {
                warn(vec![format!("{} sockets were left out", contents.sockets)]);
            }
            Ok(copied)
        }
    }
}

fn from_stdin(ingoing: Ingoing) -> Result<u64, Report> {
    let mut stdin = io::stdin().lock();
    let copied = io::copy(&mut stdin, &mut &ingoing.archive);
    match copied {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Report::new(format!("cannot read stdin: {}", io_text(&error))).status(1))
        }
        copied => {
            warn(ingoing.finish().map_err(|error| Report::from(error).status(1))?);
            // It ended before what was written did.
            Ok(copied.unwrap_or_default())
        }
    }
}

fn not_copied(error: &CopyError) -> Report {
    Report::new(format!("boxr cp: {error}")).status(1)
}

fn warn(notes: Vec<String>) {
    let stderr = io::stderr();
    for note in notes {
        // Whoever cannot be told is not told.
        drop(writeln!(stderr.lock(), "warning: {note}"));
    }
}

/// As docker has it: for a person, who has not asked for silence.
fn success(invocation: &Invocation, bytes: u64, to: &str) {
    if !invocation.switch("quiet") && io::stdout().is_terminal() {
        let to = OsStr::from_bytes(to.as_bytes()).display();
        let line = format!("Successfully copied {} to {to}", size::decimal(bytes));
        // Whoever cannot be told is not told.
        drop(writeln!(io::stderr().lock(), "{line}"));
    }
}

/// Counts what is written.
struct Counted<'f> {
    inner: &'f File,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
