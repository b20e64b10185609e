//! Health checks of a box, by its monitor or the boxr that it is in the foreground of, without threads: each is a
//! `boxr exec` of its own that is waited for with everything else.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use boxr_sys::pidfd::{self, Ended};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::deadline::Deadline;
use crate::events::{self, Action, Event};
use crate::foreground::now;
use crate::health::{Check, Health, HealthState, OnFailure};
use crate::outcome::EngineError;
use crate::store::{BoxDir, Wait};

/// So much of what a check writes is remembered, in bytes.
const LONGEST: usize = 4096;
/// Between the signal that asks a check to end and the one that makes it, milliseconds.
const GRACE: u64 = 1000;

/// The checks of one box.
#[derive(Debug)]
pub(crate) struct Checks {
    health: Health,
    next: Deadline,
    early_until: Deadline,
    running: Option<Run>,
}

/// A check under way.
#[derive(Debug)]
struct Run {
    process: OwnedFd,
    output: std::fs::File,
    written: Vec<u8>,
    start: i64,
    until: Deadline,
    /// It was asked to end.
    is_late: bool,
}

impl Checks {
    /// Those of a box that runs from now on.
    pub fn new(health: Option<&Health>) -> Option<Self> {
        let health = health.filter(|health| !health.test.is_empty())?;
        Some(Self {
            health: health.clone(),
            next: Deadline::after_millis(match health.start_period {
                0 => health.interval,
                _ => health.interval.min(health.start_interval),
            }),
            early_until: Deadline::after_millis(health.start_period),
            running: None,
        })
    }

    /// When something is to be done, whatever comes.
    pub fn next(&self) -> Deadline {
        self.running.as_ref().map_or(self.next, |run| run.until)
    }

    /// What is to be waited for.
    pub fn interest(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.running.iter().flat_map(|run| [run.process.as_fd(), run.output.as_fd()])
    }

    /// Ends what is under way; there are no more.
    ///
    /// # Errors
    /// poll(2), waitid(2).
    pub fn stop(self) -> Result<(), Errno> {
        let Some(run) = self.running else { return Ok(()) };
        // It may have ended, as the box's other commands with the box.
        boxr_sys::signal::send(run.process.as_fd(), Signal::TERM.as_raw()).unwrap_or_default();
        let patience = Deadline::after_millis(GRACE);
        let mut process = [PollFd::new(&run.process, PollFlags::IN)];
        loop {
            match poll(&mut process, Some(&patience.remaining())) {
                Ok(1..) => break,
                Err(Errno::INTR) => {}
                Ok(0) => {
                    boxr_sys::signal::send(run.process.as_fd(), Signal::KILL.as_raw()).unwrap_or_default();
                    break;
                }
                Err(errno) => return Err(errno),
            }
        }
        pidfd::reap(run.process.as_fd(), true).map(|_| ())
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn turn(&mut self, dir: &BoxDir) -> Result<(), EngineError> {
        let Some(run) = &mut self.running else {
            if self.next.has_passed() {
                self.start(dir)?;
            }
            return Ok(());
        };
        run.drain();
        match pidfd::reap(run.process.as_fd(), false) {
            Ok(None) => {}
            ended => return self.end(dir, ended.ok().flatten()),
        }
        if run.until.has_passed() {
            // The second time there is nothing left to ask.
            let signal = if run.is_late { Signal::KILL } else { Signal::TERM };
            boxr_sys::signal::send(run.process.as_fd(), signal.as_raw()).unwrap_or_default();
            (run.is_late, run.until) = (true, Deadline::after_millis(GRACE));
        }
        Ok(())
    }

    fn start(&mut self, dir: &BoxDir) -> Result<(), EngineError> {
        let start = now();
        match self.spawn(dir) {
            Ok(run) => self.running = Some(Run { start, ..run }),
            // Said as a check that has failed.
            Err(error) => {
                let check = Check { start, end: now(), exit: -1, output: error.to_string() };
                self.note(dir, check)?;
            }
        }
        Ok(())
    }

    fn spawn(&self, dir: &BoxDir) -> std::io::Result<Run> {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK)?;
        let errors = write.try_clone()?;
        let mut command = own(dir, "exec");
        command.arg("--unjournaled").arg(dir.id().as_str()).args(&self.health.test);
        let child = command.stdin(Stdio::null()).stdout(write).stderr(errors).spawn()?;
        Ok(Run {
            process: pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?,
            output: read.into(),
            written: Vec::new(),
            start: 0,
            until: Deadline::after_millis(self.health.timeout),
            is_late: false,
        })
    }

    fn end(&mut self, dir: &BoxDir, ended: Option<Ended>) -> Result<(), EngineError> {
        let Some(mut run) = self.running.take() else { return Ok(()) };
        run.drain();
        let exit = match ended {
            _ if run.is_late => -1,
            Some(Ended::Code(code)) => i32::from(code),
            Some(Ended::Signal(signal)) => 128 + i32::from(signal),
            None => -1,
        };
        let mut output = String::from_utf8_lossy(&run.written).into_owned();
        if run.is_late {
            output = format!("the check took longer than {} ms\n{output}", self.health.timeout);
        }
        self.note(dir, Check { start: run.start, end: now(), exit, output })
    }

    fn note(&mut self, dir: &BoxDir, check: Check) -> Result<(), EngineError> {
        let is_early = !self.early_until.has_passed();
        let interval = self.health.interval;
        let pause = if is_early { interval.min(self.health.start_interval) } else { interval };
        self.next = Deadline::after_millis(pause);
        let mut has_become_unhealthy = false;
        let mut before = None;
        let Some(lock) = dir.lock(Wait::Yes)? else { return Ok(()) };
        // Removed meanwhile.
        if lock.read_state().is_err() {
            return Ok(());
        }
        let state = lock.update_state(|state| {
            let known = state.health.get_or_insert_with(HealthState::default);
            before = Some(known.condition);
            has_become_unhealthy = known.note(check, &self.health, is_early);
        })?;
        drop(lock);
        let now = state.health.as_ref().map(|known| known.condition);
        if let Some(condition) = now.filter(|_| now != before) {
            let told = |event: Event| event.with_detail(condition.word());
            events::note_with(dir.paths(), &state, Action::HealthStatus, told);
        }
        if self.health.tells && now == Some(crate::health::Condition::Healthy) && now != before {
            crate::notify::ready();
        }
        if has_become_unhealthy { self.act(dir) } else { Ok(()) }
    }

    /// What was asked for is done by another boxr: it ends this monitor's box.
    fn act(&self, dir: &BoxDir) -> Result<(), EngineError> {
        let word = match self.health.on_failure {
            OnFailure::None => return Ok(()),
            OnFailure::Kill => "kill",
            OnFailure::Restart => "restart",
            OnFailure::Stop => "stop",
        };
        let mut command = own(dir, word);
        command.arg(dir.id().as_str());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = command.spawn().map(|_| ());
        started.map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            EngineError::system(format!("{word} an unhealthy box"), errno)
        })
    }
}

/// A command line of boxr about the boxes beside `dir`. The keys of a terminal do not reach it: they are for the box.
fn own(dir: &BoxDir, word: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg("--root").arg(&dir.paths().data).arg("--state").arg(&dir.paths().state).arg(word);
    boxr_sys::signal::unblock_in(command.process_group(0));
    command
}

impl Run {
    /// Takes what was written, and forgets what is too much.
    fn drain(&mut self) {
        let mut buffer = [0u8; 4096];
        while let Ok(count @ 1..) = self.output.read(&mut buffer) {
            let room = LONGEST.saturating_sub(self.written.len()).min(count);
            self.written.extend_from_slice(&buffer[..room]);
        }
    }
}
