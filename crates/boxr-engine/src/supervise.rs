//! boxr while its foreground box runs: signals, the terminal, the time limit, health checks, the end.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use boxr_cgroup::{Cgroup, Location};
use boxr_runtime::process::parent::Running;
use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::pidfd;
use boxr_sys::signal::{self, Received};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::deadline::Deadline;
use crate::deliver::{Delivered, deliver, dropped_key};
use crate::events;
use crate::foreground::{RunRequest, exit_of};
use crate::health::Health;
use crate::monitor::{Checks, health_of};
use crate::options::{BoxOptions, Retention};
use crate::outcome::EngineError;
use crate::proxy::{self, Proxy, Ready, Typed};
use crate::record::{Exit, State};
use crate::store::BoxDir;
use crate::terminal::DetachKeys;

/// How the supervision ended.
#[derive(Debug)]
pub enum Finish {
    /// The command ended.
    Ended(Exit),
    /// The person typed the detach keys; the box runs on.
    Detached,
}

/// A running foreground box.
#[derive(Debug)]
pub struct Supervision {
    core: Core,
    dir: BoxDir,
    state: State,
    /// The names of those that it is on.
    networks: Vec<String>,
}

/// A process that was started by `exec`.
#[derive(Debug)]
pub struct Guest {
    /// It.
    pub running: Running,
    /// Signals to boxr.
    pub signals: OwnedFd,
    /// The master of its terminal.
    pub master: Option<OwnedFd>,
    /// Keys that leave it running.
    pub detach_keys: DetachKeys,
}

/// A command, the person's terminal, and signals between the two.
#[derive(Debug)]
struct Core {
    running: Running,
    signals: OwnedFd,
    proxy: Option<Proxy>,
    stop: Stop,
    shares_terminal: bool,
    care: Option<Care>,
}

/// The health checks of a box that has any.
#[derive(Debug)]
struct Care {
    checks: Checks,
    health: Health,
    dir: BoxDir,
}

/// A time limit, and the way to the end.
#[derive(Debug)]
struct Stop {
    limit: Option<Deadline>,
    kill_at: Option<Deadline>,
    grace: u64,
    signal: i32,
    timed_out: bool,
    ending: Option<u8>,
}

impl Supervision {
    /// Takes over what a start has made.
    ///
    /// # Errors
    /// The terminal cannot be put into raw mode; the box is ended.
    pub fn new(
        request: &RunRequest,
        running: Running,
        signals: OwnedFd,
        master: Option<OwnedFd>,
        dir: BoxDir,
        state: State,
    ) -> Result<Self, EngineError> {
        let keys = request.detach_keys.clone();
        let proxy = match proxy(master, keys) {
            Ok(proxy) => proxy,
            Err(error) => {
                end(&running);
                clear_up(running, &dir, &state)?;
                return Err(error);
            }
        };
        let networks = events::networks_of(&state, &request.options);
        let mut core = Core::new(running, signals, proxy, &request.options);
        core.care = Care::of(health_of(&request.options), &dir);
        Ok(Self { core, dir, state, networks })
    }

    /// Ends the box and clears up after it, when something of boxr's own has failed.
    ///
    /// # Errors
    /// What cannot be cleared up.
    pub fn abandon(self) -> Result<(), EngineError> {
        end(&self.core.running);
        self.clear_up()
    }

    /// Waits for the end and clears up after it.
    ///
    /// # Errors
    /// poll(2) or the terminal; the box is ended first.
    pub fn run(mut self) -> Result<Finish, EngineError> {
        match self.core.until_end() {
            Ok(Finish::Detached) => self.hand_over(),
            Ok(Finish::Ended(exit)) => {
                let failure = self.core.running.take_failure();
                let cgroup = self.core.running.cgroup.as_ref();
                events::note_end(self.dir.paths(), &self.state, exit, cgroup, &self.networks);
                if failure.is_some() {
                    // It has not run.
                    self.state.retention = Retention::Ephemeral;
                }
                self.clear_up()?;
                failure.map_or(Ok(Finish::Ended(exit)), |error| Err(error.into()))
            }
            Err(errno) => {
                self.abandon()?;
                Err(EngineError::system("look after the box", errno))
            }
        }
    }

    fn clear_up(self) -> Result<(), EngineError> {
        let Self { core: Core { running, proxy, care, .. }, dir, state, .. } = self;
        drop(proxy);
        // All else goes in any case.
        let stopped = care.map_or(Ok(()), Care::stop);
        clear_up(running, &dir, &state)?;
        stopped
    }

    fn hand_over(self) -> Result<Finish, EngineError> {
        let Self { core: Core { running, proxy, care, .. }, dir, state, .. } = self;
        // The monitor begins its own.
        care.map_or(Ok(()), Care::stop)?;
        let Some(proxy) = proxy else { return Ok(Finish::Detached) };
        crate::monitor::take_over(dir, state, running, proxy.into_master())?;
        Ok(Finish::Detached)
    }
}

fn clear_up(running: Running, dir: &BoxDir, state: &State) -> Result<(), EngineError> {
    // Without a pid namespace of its own, what the command left behind ends with it.
    let removed = running.cgroup.map_or(Ok(()), |cgroup| as_recorded(&cgroup, dir).kill_and_remove());
    crate::lifecycle::forget(dir, state)?;
    Ok(removed?)
}

/// A limit that the box was given while it ran may have put it in a further hierarchy of version 1.
fn as_recorded(cgroup: &Cgroup, dir: &BoxDir) -> Location {
    let recorded = dir.read_state().ok().and_then(|state| state.cgroup);
    recorded.unwrap_or_else(|| cgroup.location().clone())
}

/// The person's terminal, where the command has one.
fn proxy(master: Option<OwnedFd>, keys: DetachKeys) -> Result<Option<Proxy>, EngineError> {
    let proxy = master.map(|master| Proxy::new(master, keys)).transpose();
    proxy.map_err(|errno| EngineError::system("set up the terminal", errno))
}

/// Ends the command after a failure of boxr's own.
pub(crate) fn end(running: &Running) {
    // Already gone is what is wanted.
    signal::send(running.pidfd.as_fd(), Signal::KILL.as_raw()).unwrap_or_default();
    pidfd::reap(running.pidfd.as_fd(), true).unwrap_or_default();
}

impl Guest {
    /// Waits for the end.
    ///
    /// # Errors
    /// poll(2) or the terminal; the process is ended first.
    pub fn run(self, options: &BoxOptions) -> Result<Finish, EngineError> {
        let Self { running, signals, master, detach_keys } = self;
        let proxy = proxy(master, detach_keys).inspect_err(|_| end(&running))?;
        let mut core = Core::new(running, signals, proxy, options);
        match core.until_end() {
            Ok(Finish::Detached) => {
                core.leave().map_err(|errno| EngineError::system("leave the terminal", errno))?;
                Ok(Finish::Detached)
            }
            Ok(ended) => Ok(ended),
            Err(errno) => {
                end(&core.running);
                Err(EngineError::system("look after the process", errno))
            }
        }
    }
}

impl Core {
    fn new(running: Running, signals: OwnedFd, proxy: Option<Proxy>, options: &BoxOptions) -> Self {
        let shares_terminal = proxy.is_none() && !options.new_session;
        Self { running, signals, proxy, stop: Stop::new(options), shares_terminal, care: None }
    }

    /// The person has left: somebody has to hold the terminal and take its output until the
    /// process ends.
    fn leave(self) -> Result<(), Errno> {
        let Self { running, proxy, .. } = self;
        let Some(proxy) = proxy else { return Ok(()) };
        let master = proxy.into_master();
        match clone3(0, None, Parent::Caller)? {
            Cloned::Parent { .. } => Ok(()),
            Cloned::Child => {
                let drained = drain_until_end(&master, &running.pidfd);
                exit_now(u8::from(drained.is_err()))
            }
        }
    }

    fn until_end(&mut self) -> Result<Finish, Errno> {
        loop {
            let ready = self.wait()?;
            if ready.signal {
                while let Some(received) = signal::next(&self.signals)? {
                    self.on_signal(received)?;
                }
            }
            if let Some(proxy) = &mut self.proxy {
                match proxy.turn(ready.input, ready.output, ready.room)? {
                    Typed::Detach => return Ok(Finish::Detached),
                    Typed::Control => self.on_control_key()?,
                    Typed::Nothing => {}
                }
            }
            if ready.ended
                && let Some(ended) = pidfd::reap(self.running.pidfd.as_fd(), true)?
            {
                if let Some(proxy) = &mut self.proxy {
                    proxy.drain()?;
                }
                return Ok(Finish::Ended(self.stop.exit(exit_of(ended, self.stop.ending))));
            }
            self.on_time()?;
            if let Some(care) = &mut self.care {
                care.turn();
            }
        }
    }

    fn on_control_key(&mut self) -> Result<(), Errno> {
        let pid = self.running.pid.as_raw_nonzero().get();
        let Some(proxy) = &self.proxy else { return Ok(()) };
        match dropped_key(proxy.master().as_fd(), pid, proxy.last_typed()) {
            Some(signal) => self.send(signal),
            None => Ok(()),
        }
    }

    fn wait(&self) -> Result<Ready, Errno> {
        let care = self.care.as_ref().map(|care| care.checks.next());
        let next = self.stop.next().copied().into_iter().chain(care).min();
        let timeout = next.map(|deadline| deadline.remaining());
        let checks: Vec<_> = self.care.iter().flat_map(|care| care.checks.interest()).collect();
        proxy::wait(&self.running.pidfd, &self.signals, self.proxy.as_ref(), &checks, timeout.as_ref())
    }

    fn on_signal(&mut self, received: Received) -> Result<(), Errno> {
        let is = |signal: Signal| received.signal == signal.as_raw();
        if is(Signal::CHILD) || is(Signal::PIPE) || is(Signal::TTIN) || is(Signal::TTOU) {
            return Ok(());
        }
        if is(Signal::WINCH) {
            return self.proxy.as_ref().map_or(Ok(()), Proxy::resize);
        }
        if is(Signal::TSTP) {
            return self.stop_with_box();
        }
        if received.from_kernel && self.shares_terminal && !self.would_drop(received.signal) {
            // The keys of the terminal reached the command as well: it is in the same group.
            return Ok(());
        }
        self.send(received.signal)
    }

    fn would_drop(&self, number: i32) -> bool {
        crate::deliver::would_be_dropped(self.running.pid.as_raw_nonzero().get(), number)
    }

    fn send(&mut self, number: i32) -> Result<(), Errno> {
        let pid = self.running.pid.as_raw_nonzero().get();
        match deliver(self.running.pidfd.as_fd(), pid, number) {
            Ok(Delivered::Ended(asked)) => self.stop.ending = Some(asked),
            // It may just have ended.
            Ok(Delivered::Sent) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Ctrl-Z: the box stops with boxr, and goes on with it.
    fn stop_with_box(&mut self) -> Result<(), Errno> {
        let pidfd = self.running.pidfd.as_fd();
        signal::send(pidfd, Signal::STOP.as_raw())?;
        self.await_stop()?;
        if let Some(proxy) = &self.proxy {
            proxy.leave_raw()?;
        }
        signal::stop_self()?;
        if let Some(proxy) = &self.proxy {
            proxy.enter_raw()?;
        }
        match signal::send(self.running.pidfd.as_fd(), Signal::CONT.as_raw()) {
            Err(Errno::SRCH) => Ok(()),
            other => other,
        }
    }

    /// Waits until the first process has stopped, or for a second: while it still waits for its terminal's next
    /// line, it would take it from the shell that boxr gives the terminal back to.
    fn await_stop(&self) -> Result<(), Errno> {
        let how =
            WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        for _ in 0..200 {
            let pidfd = WaitId::PidFd(self.running.pidfd.as_fd());
            match rustix::process::waitid(pidfd, how) {
                Ok(None) | Err(Errno::INTR) => crate::lifecycle::waiting::pause(Duration::from_millis(5))?,
                Ok(Some(_)) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn on_time(&mut self) -> Result<(), Errno> {
        if self.stop.limit.as_ref().is_some_and(Deadline::has_passed) {
            self.stop.limit = None;
            self.stop.timed_out = true;
            self.stop.kill_at = Some(Deadline::after_seconds(self.stop.grace));
            self.send(self.stop.signal)?;
        }
        if self.stop.kill_at.as_ref().is_some_and(Deadline::has_passed) {
            self.stop.kill_at = None;
            self.send(Signal::KILL.as_raw())?;
        }
        Ok(())
    }
}

impl Care {
    fn of(health: Option<&Health>, dir: &BoxDir) -> Option<Self> {
        let checks = Checks::new(health)?;
        Some(Self { checks, health: health?.clone(), dir: dir.clone() })
    }

    /// Does what is due. A state that cannot be written is no cause to end a box: as with a monitor, whose
    /// standby takes over, the checks begin anew.
    fn turn(&mut self) {
        if self.checks.turn(&self.dir).is_err()
            && let Some(anew) = Checks::new(Some(&self.health))
        {
            self.checks = anew;
        }
    }

    fn stop(self) -> Result<(), EngineError> {
        self.checks.stop().map_err(|errno| EngineError::system("end a health check", errno))
    }
}

fn drain_until_end(master: &OwnedFd, process: &OwnedFd) -> Result<(), Errno> {
    // Not the caller's session nor its standard descriptors: it may wait for their end.
    crate::monitor::leave_caller()?;
    boxr_sys::title::set(c"boxr-exec", "boxr-exec")?;
    let mut buffer = [0u8; 4096];
    loop {
        let mut fds = [PollFd::new(process, PollFlags::IN), PollFd::new(master, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        if !fds[0].revents().is_empty() {
            return Ok(());
        }
        match rustix::io::read(master, &mut buffer) {
            Ok(0) | Err(Errno::IO) => return Ok(()),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

impl Stop {
    fn new(options: &BoxOptions) -> Self {
        Self {
            limit: options.timeout.map(Deadline::after_seconds),
            kill_at: None,
            grace: u64::from(options.stop_timeout.unwrap_or(10)),
            signal: crate::lifecycle::stop_signal(options),
            timed_out: false,
            ending: None,
        }
    }

    fn next(&self) -> Option<&Deadline> {
        self.limit.as_ref().or(self.kill_at.as_ref())
    }

    fn exit(&self, exit: Exit) -> Exit {
        if self.timed_out { Exit::Timeout } else { exit }
    }
}
