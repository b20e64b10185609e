//! The monitor's loop: output to the log and to clients, until the box has ended.

use std::os::fd::{AsFd, OwnedFd};

use boxr_cgroup::Cgroup;
use boxr_sys::pidfd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::time::Timespec;

use super::checks::Checks;
use super::clients::{Clients, PACKET};
use super::standby::Standby;
use super::streams::{Burst, Streams};
use crate::deadline::Deadline;
use crate::deliver::{Delivered, deliver, dropped_key};
use crate::events;
use crate::foreground::{exit_of, now};
use crate::health::Health;
use crate::logs::Log;
use crate::options::{BoxOptions, LogLimits, LogTarget, Retention};
use crate::outcome::EngineError;
use crate::record::{Exit, ProcessRef, State, Status};
use crate::store::{BoxDir, StoreError, Wait};

/// Seconds that the last output of a box that has ended may take.
const PATIENCE: u64 = 10;

/// How long nothing comes until the memory for much is given back.
const LULL: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Between two tries to write an end to a disk that is full.
const UNTIL_SPACE: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// Everything that a monitor, or a standby that becomes one, needs.
#[derive(Debug)]
pub(super) struct Watch {
    /// The box's directory, with a lock of its own.
    pub dir: BoxDir,
    /// Its first process.
    pub process: ProcessRef,
    /// The same, held.
    pub pidfd: OwnedFd,
    /// The ends of its standard descriptors.
    pub streams: Streams,
    /// Its log.
    pub log: Log,
    /// A signal that only SIGKILL could carry out, typed on its terminal.
    pub ending: Option<u8>,
    /// What it was started from, as far as it matters here.
    pub terms: Terms,
    /// While it writes much.
    pub burst: Burst,
    /// Its ports.
    pub held: crate::network::Held,
}

/// What of the options a monitor acts on.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub name: String,
    pub log: LogLimits,
    pub log_to: LogTarget,
    pub retention: Retention,
    pub limit: Option<Deadline>,
    pub grace: u64,
    pub stop_signal: i32,
    pub health: Option<Health>,
}

/// The health check of a box.
pub(crate) fn health_of(options: &BoxOptions) -> Option<&Health> {
    options.container.as_ref().and_then(|container| container.health.as_ref())
}

impl Terms {
    /// Those of a box that starts now.
    pub fn of(options: &BoxOptions, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            log: options.log,
            log_to: options.log_to.clone(),
            retention: options.retention,
            limit: options.timeout.map(Deadline::after_seconds),
            grace: u64::from(options.stop_timeout.unwrap_or(10)),
            stop_signal: crate::lifecycle::stop_signal(options),
            health: health_of(options).cloned(),
        }
    }
}

/// Opens the door to clients. `first` is attached before the box's first byte.
///
/// # Errors
/// socket(2), bind(2).
pub(super) fn open_to_clients(dir: &BoxDir, first: Option<OwnedFd>) -> Result<Clients, EngineError> {
    let socket = format!("/proc/self/fd/{}/{}", raw(dir), super::attach::SOCKET);
    let clients = Clients::listen(dir.dir_fd(), &socket, first);
    clients.map_err(|errno| EngineError::system("listen for clients of the box", errno))
}

/// Looks after the box until it has ended and its end is written down.
///
/// # Errors
/// What cannot be gone on with; the standby then takes over.
pub(super) fn serve(mut watch: Watch, mut clients: Clients) -> Result<(), EngineError> {
    let failed = |errno| EngineError::system("look after the box", errno);
    let mut standby = Standby::start(&mut watch, &mut clients)?;
    // The box runs: now there is time to make its record survive a loss of power. A disk that
    // refuses takes nothing from a box that runs.
    watch.dir.persist().unwrap_or_default();
    slim_down();
    let mut checks = Checks::new(watch.terms.health.as_ref());
    let mut kill_at: Option<Deadline> = None;
    let mut timed_out = false;
    loop {
        if let Event::Ended =
            turn(&mut watch, &mut clients, &mut standby, (kill_at, checks.as_ref())).map_err(failed)?
        {
            break;
        }
        if let Some(checks) = &mut checks {
            checks.turn(&watch.dir)?;
        }
        if watch.terms.limit.is_some_and(|limit| limit.has_passed()) {
            watch.terms.limit = None;
            timed_out = true;
            kill_at = Some(Deadline::after_seconds(watch.terms.grace));
            ask_to_end(&watch, watch.terms.stop_signal)?;
        }
        if kill_at.is_some_and(|moment| moment.has_passed()) {
            kill_at = None;
            ask_to_end(&watch, Signal::KILL.as_raw())?;
        }
    }
    let dir = watch.dir.clone();
    let state = finish(watch, clients, timed_out)?;
    crate::lifecycle::again::after_end(&dir)?;
    crate::pod::after_end(&dir.whole_store(), &state)
}

/// From here on the process mostly sleeps, for as long as the box lives.
pub(crate) fn slim_down() {
    boxr_sys::heap::trim();
    // A kernel that does not care for the advice keeps the pages.
    boxr_sys::memory::release_program().unwrap_or_default();
}

fn raw(dir: &BoxDir) -> i32 {
    use std::os::fd::AsRawFd;
    dir.dir_fd().as_raw_fd()
}

enum Event {
    Some,
    Ended,
}

fn turn(
    watch: &mut Watch,
    clients: &mut Clients,
    standby: &mut Standby,
    (kill_at, checks): (Option<Deadline>, Option<&Checks>),
) -> Result<Event, Errno> {
    let behind = clients.are_behind();
    let mut fds = vec![
        PollFd::new(&watch.pidfd, PollFlags::IN),
        PollFd::from_borrowed_fd(standby.pidfd(), PollFlags::IN),
    ];
    // A box whose clients are behind waits, as with a full pipe. Its outputs are left out then: a
    // terminal that has hung up says so also where nothing is asked for.
    for (_, output) in watch.streams.outputs.iter().filter(|_| !behind) {
        fds.push(PollFd::new(output, PollFlags::IN));
    }
    if let Some(input) = watch.streams.input.as_ref().filter(|_| watch.streams.has_pending_input()) {
        fds.push(PollFd::new(input, PollFlags::OUT));
    }
    let door = fds.len();
    clients.interest(watch.streams.has_pending_input(), &mut fds);
    if let Some(checks) = checks {
        fds.extend(checks.interest().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    }
    let next = [watch.terms.limit, kill_at, checks.map(Checks::next)].into_iter().flatten().min();
    let mut timeout = next.map(|deadline| deadline.remaining());
    if watch.burst.goes_on() {
        timeout = Some(timeout.map_or(LULL, |timeout| timeout.min(LULL)));
    }
    let lull = match poll(&mut fds, timeout.as_ref()) {
        Ok(ready) => ready == 0,
        Err(Errno::INTR) => false,
        Err(errno) => return Err(errno),
    };
    let some = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
    let ready: Vec<bool> = fds.iter().map(|fd| fd.revents().intersects(some)).collect();
    drop(fds);
    if lull && watch.burst.goes_on() {
        watch.burst.end();
        watch.log.rest();
    }
    if ready.get(1) == Some(&true) {
        standby.restart(watch, clients)?;
    }
    watch.streams.flush_input();
    let was_open = watch.streams.input.is_some();
    if !clients.is_empty() || ready.get(door) == Some(&true) {
        clients.turn(&mut watch.streams)?;
    }
    if clients.want_ports() {
        // First free: what is bound already cannot be bound.
        watch.held = Default::default();
        watch.held = watch.dir.hold_ports();
        clients.ports_are_held();
    }
    let keys = watch.streams.take_control_keys();
    if !keys.is_empty() {
        on_control_keys(watch, &keys)?;
    }
    if was_open && watch.streams.input_is_closed() {
        standby.close_input();
    }
    if !behind && !clients.are_behind() {
        copy_outputs(watch, clients)?;
    }
    Ok(if ready.first() == Some(&true) { Event::Ended } else { Event::Some })
}

/// Ctrl-C at a first process that the kernel protects from it.
fn on_control_keys(watch: &mut Watch, keys: &[u8]) -> Result<(), Errno> {
    let Some(master) = watch.streams.terminal() else { return Ok(()) };
    let pid = watch.process.pid;
    let Some(signal) = dropped_key(master.as_fd(), pid, keys) else { return Ok(()) };
    match deliver(watch.pidfd.as_fd(), pid, signal) {
        Ok(Delivered::Ended(asked)) => watch.ending = Some(asked),
        Ok(Delivered::Sent) | Err(Errno::SRCH) => {}
        Err(errno) => return Err(errno),
    }
    Ok(())
}

/// Moves what is there, a chunk of each stream, or much of it where there is nobody but the log. True when
/// there was any.
fn copy_outputs(watch: &mut Watch, clients: &mut Clients) -> Result<bool, Errno> {
    let mut packet = [0u8; PACKET];
    let mut any = false;
    let Watch { streams, log, burst, .. } = watch;
    let mut closed = Vec::new();
    for (index, (stream, output)) in streams.outputs.iter().enumerate() {
        if clients.are_behind() {
            break;
        }
        let bytes = if burst.goes_on() && clients.is_empty() {
            burst.read(output)
        } else {
            rustix::io::read(output, &mut packet).map(|count| &packet[..count])
        };
        match bytes {
            // EIO: the last process that had the terminal open is gone.
            Ok([]) | Err(Errno::IO) => closed.push(index),
            Ok(bytes) => {
                any = true;
                log.write(*stream, bytes);
                clients.send(*stream, bytes);
                if bytes.len() >= PACKET && clients.is_empty() {
                    burst.pour(output, |bytes| log.write(*stream, bytes));
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    for index in closed.into_iter().rev() {
        streams.outputs.remove(index);
    }
    Ok(any)
}

fn ask_to_end(watch: &Watch, number: i32) -> Result<(), EngineError> {
    match deliver(watch.pidfd.as_fd(), watch.process.pid, number) {
        Ok(Delivered::Sent | Delivered::Ended(_)) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(EngineError::system("end the box", errno)),
    }
}

/// The order matters: all output is in the log before the state says that the box has ended, and
/// the state says so before clients learn of it.
fn finish(mut watch: Watch, mut clients: Clients, timed_out: bool) -> Result<State, EngineError> {
    let failed = |errno| EngineError::system("write the last output", errno);
    let state = watch.dir.read_state()?;
    let cgroup = state.cgroup.as_ref().map(Cgroup::open).transpose();
    if let Ok(Some(cgroup)) = &cgroup {
        // Without a pid namespace of its own the box may have left processes; they end with it.
        cgroup.kill().unwrap_or_default();
    }
    // What the box left behind may go on writing where it has no cgroup to end it by, and a client
    // may be stopped: neither keeps the end from being written down.
    let patience = Deadline::after_seconds(PATIENCE);
    watch.burst.last();
    while copy_outputs(&mut watch, &mut clients).map_err(failed)? || clients.are_behind() {
        if patience.has_passed() {
            break;
        }
        if clients.are_behind() {
            clients.turn(&mut watch.streams).map_err(failed)?;
            wait_for_clients(&clients);
        }
    }
    if clients.are_behind() {
        // What they have not taken is in the log, with the rest of what the box has written.
        clients.drop_those_behind();
        let patience = Deadline::after_seconds(PATIENCE);
        while !patience.has_passed() && copy_outputs(&mut watch, &mut clients).map_err(failed)? {}
    }
    watch.log.rest();
    let exit = exit(&watch, &state, timed_out);
    note_end(&watch.dir, &state, exit, cgroup.as_ref().ok().and_then(Option::as_ref));
    let mut oom_killed = false;
    if let Ok(Some(cgroup)) = cgroup {
        // Counted there only.
        oom_killed = cgroup.oom_kills().is_ok_and(|count| count.is_some_and(|count| count > 0));
        cgroup.remove().unwrap_or_default();
    }
    // The ports are free when the state says that the box has ended.
    drop(std::mem::take(&mut watch.held));
    let mut written = write_end(&watch, exit, oom_killed);
    clients.finish(exit.status());
    // No status is lost for a full disk: it is written when there is space again, or the box is removed.
    while let Err(EngineError::Store(StoreError::Full { .. })) = &written {
        poll(&mut [], Some(&UNTIL_SPACE)).unwrap_or_default();
        written = write_end(&watch, exit, oom_killed);
    }
    written.map(|()| state)
}

/// Journals the end of a box that was in `state`; which networks it leaves its record tells.
pub(super) fn note_end(dir: &BoxDir, state: &State, exit: Exit, cgroup: Option<&Cgroup>) {
    let record = if state.networked { dir.read_record().ok() } else { None };
    let networks = record.map(|record| events::networks_of(state, &record.options)).unwrap_or_default();
    events::note_end(dir.paths(), state, exit, cgroup, &networks);
}

fn wait_for_clients(clients: &Clients) {
    let mut fds = Vec::new();
    clients.interest(true, &mut fds);
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    // Only a pause between two tries.
    poll(&mut fds, Some(&second)).unwrap_or_default();
}

fn exit(watch: &Watch, state: &State, timed_out: bool) -> Exit {
    if timed_out {
        return Exit::Timeout;
    }
    let own = pidfd::reap(watch.pidfd.as_fd(), true).ok().flatten();
    let seen = own.or_else(|| super::adopt::await_exit_status(&watch.pidfd, watch.process.pid));
    seen.map_or(Exit::Unknown, |ended| exit_of(ended, watch.ending.or(state.ending_signal)))
}

fn write_end(watch: &Watch, exit: Exit, oom_killed: bool) -> Result<(), EngineError> {
    let Some(lock) = watch.dir.lock(Wait::Yes)? else { return Ok(()) };
    let state = lock.read_state()?;
    if state.status == Status::Exited || state.process.is_some_and(|process| process != watch.process) {
        // Written by another, or started again since: neither end nor FIFOs are this monitor's any more.
        return Ok(());
    }
    // What cannot be given back now goes with the box: its end is written down all the same.
    let released = !state.networked || lock.release_network().is_ok();
    let state = lock.update_state(|state| {
        state.status = Status::Exited;
        state.finished = Some(now());
        state.exit = Some(exit);
        state.oom_killed = oom_killed;
        state.process = None;
        state.supervisor = None;
        state.cgroup = None;
        state.networked &= !released;
    })?;
    // Until here whoever looks finds by them that there is a standby, which knows the end too.
    super::streams::remove_all(watch.dir.dir_fd())
        .map_err(|errno| EngineError::system("remove the box's FIFOs", errno))?;
    if watch.terms.retention == Retention::Ephemeral && !state.again.is_being_restarted() {
        lock.remove_known(&state)?;
    }
    Ok(())
}
