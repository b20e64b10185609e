//! `events`: figures of a container, and when its memory runs out, a JSON object a line.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use boxr_cgroup::events::{ContainerStats, Event, OomNews, OomWatch};
use boxr_cgroup::{Cgroup, Location};
use boxr_runtime::identity::ProcessError;
use boxr_runtime::units;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::cli::Globals;
use crate::cli::words::Words;
use crate::container::{Container, State};
use crate::error::Error;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the command.
///
/// # Errors
/// The container is not running.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let id = words.only_id("events")?;
    let interval = match words.text("interval")? {
        None => DEFAULT_INTERVAL,
        Some(text) => interval(text)?,
    };
    let container = Container::open(&globals.root, id)?;
    let state = container.state()?;
    let gone = || Error::WrongState(format!("container with id {id} is not running"));
    if !container.status(&state)?.is_alive() {
        return Err(gone());
    }
    if words.on("stats") {
        return print_stats(&state);
    }
    let process = match state.process.ok_or_else(gone)?.open() {
        Err(ProcessError::Gone { .. } | ProcessError::Another { .. }) => return Err(gone()),
        other => other?,
    };
    follow(&state, &process, interval)
}

fn interval(text: &str) -> Result<Duration, Error> {
    let bad = || Error::Usage(format!("invalid value {text:?} for flag -interval"));
    let nanoseconds = units::duration(text).ok_or_else(bad)?;
    match u64::try_from(nanoseconds) {
        Ok(nanoseconds) if nanoseconds > 0 => Ok(Duration::from_nanos(nanoseconds)),
        _ => Err(Error::Usage("duration interval must be greater than 0".into())),
    }
}

/// Prints until the container has ended, or nobody listens any more.
fn follow(state: &State, process: &OwnedFd, interval: Duration) -> Result<u8, Error> {
    let mut watch = watch(state.cgroup.as_ref())?;
    let mut next = Instant::now() + interval;
    loop {
        let wake = wait(process, watch.as_ref(), next)?;
        // First: what ended the container is told before its end is acted upon.
        if let Some(watch) = &mut watch
            && watch.news()? == OomNews::OutOfMemory
            && print(&Event::Oom { id: &state.id }) != 0
        {
            return Ok(1);
        }
        match wake {
            Wake::Ended => return Ok(0),
            Wake::News => {}
            Wake::Time => {
                next += interval;
                if print_stats(state)? != 0 {
                    return Ok(1);
                }
            }
        }
    }
}

/// `None` where nobody counts the container's memory.
fn watch(location: Option<&Location>) -> Result<Option<OomWatch>, Error> {
    let Some(location) = location else { return Ok(None) };
    match Cgroup::open(location)?.watch_oom() {
        Ok(watch) => Ok(Some(watch)),
        Err(boxr_cgroup::Error::NoCgroup { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

enum Wake {
    Ended,
    News,
    Time,
}

fn wait(process: &OwnedFd, watch: Option<&OomWatch>, until: Instant) -> Result<Wake, Error> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().min(i64::MAX as u64) as i64,
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = vec![PollFd::new(process, PollFlags::IN)];
        fds.extend(watch.map(|watch| PollFd::new(watch, PollFlags::IN)));
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Ok(Wake::Time),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(Wake::Ended),
            Ok(_) => return Ok(Wake::News),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::System { action: "wait for events", errno }),
        }
    }
}

fn print_stats(state: &State) -> Result<u8, Error> {
    let stats = match &state.cgroup {
        Some(location) => Cgroup::open(location)?.container_stats()?,
        None => ContainerStats::default(),
    };
    Ok(print(&Event::Stats { id: &state.id, data: &stats }))
}

/// One line; 1 where nobody reads any more.
fn print(event: &Event<'_>) -> u8 {
    let mut line = match serde_json::to_vec(event) {
        Ok(line) => line,
        // Numbers, texts and maps of them always are JSON.
        Err(error) => error.to_string().into_bytes(),
    };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    u8::from(out.write_all(&line).and_then(|()| out.flush()).is_err())
}
