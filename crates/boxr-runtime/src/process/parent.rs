//! The parent's side of a start.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use boxr_cgroup::Cgroup;
use boxr_sys::clone::{Cloned, Parent, clone3};
use boxr_sys::namespace::NamespaceKind;
use boxr_sys::pidfd::{self, Ended};
use boxr_sys::signal::Mask;
use rustix::io::Errno;
use rustix::process::Pid;

use super::protocol::{Channel, FromChild, READY_STEP, ToChild};
use super::{credentials, init, tuning};
use crate::agent::Agent;
use crate::error::{At, Error, Step, StepError};
use crate::hooks::{HookKind, Hooks};
use crate::idmap::Writer;
use crate::plan::{CgroupPlan, Plan, StartedBy};
use crate::rootfs::Ahead;

/// A first process that has been made and waits for [`Spawned::go`].
#[derive(Debug)]
pub struct Spawned {
    /// In the caller's pid namespace.
    pub pid: Pid,
    /// Close-on-exec. The process is a child of the caller.
    pub pidfd: OwnedFd,
    /// Its cgroup, where one was made.
    pub cgroup: Option<Cgroup>,
    /// The terminal's master, where it was made inside the box.
    pub terminal: Option<OwnedFd>,
    /// The socket that listens inside, where the plan has one.
    pub listener: Option<OwnedFd>,
    /// Times of steps in the child, nanoseconds of `CLOCK_MONOTONIC`.
    pub trace: Vec<(&'static str, u64)>,
    channel: Channel,
    /// Who gets the listener of its seccomp filter.
    agent: Option<Agent>,
    terminal_comes: bool,
    /// What the first process said before the intermediate one had handed it over.
    early: VecDeque<FromChild>,
    traced: bool,
}

/// A first process whose command runs.
#[derive(Debug)]
pub struct Running {
    /// In the caller's pid namespace.
    pub pid: Pid,
    /// Close-on-exec. The process is a child of the caller.
    pub pidfd: OwnedFd,
    /// Its cgroup, where one was made.
    pub cgroup: Option<Cgroup>,
    /// The terminal's master, where it was made inside the box.
    pub terminal: Option<OwnedFd>,
    /// Times of steps in the child, nanoseconds of `CLOCK_MONOTONIC`.
    pub trace: Vec<(&'static str, u64)>,
    /// Where the first process reports that it could not execute the command; `None` when it
    /// is known that it could.
    unconfirmed: Option<Channel>,
}

/// Carries `plan` out up to the point where the command could be executed.
///
/// `mask` is the signal mask that the command gets. The caller must have one thread.
///
/// # Errors
/// The step that failed, in either process. Nothing is left behind.
pub fn spawn(plan: Plan, mask: &Mask) -> Result<Spawned, Error> {
    let Plan { cgroup, .. } = plan;
    let plan = Plan { cgroup: CgroupPlan::Inherit, ..plan };
    let (mut made, mut entered) = match cgroup {
        CgroupPlan::Inherit => (None, None),
        CgroupPlan::New(request) => (Some(request.create()?), None),
        CgroupPlan::Existing(location) => (None, Some(Cgroup::open(&location)?)),
    };
    match spawn_in(&plan, made.as_mut().or(entered.as_mut()), mask) {
        Ok(mut spawned) => {
            spawned.cgroup = made;
            Ok(spawned)
        }
        Err(error) => {
            let error = blame_memory(error, made.as_ref().or(entered.as_ref()));
            if let Some(cgroup) = made {
                // The start's own error is the one to report.
                cgroup.remove().unwrap_or_default();
            }
            Err(error)
        }
    }
}

/// Says why a first process ended without a word, where the kernel counted that it had to kill one.
fn blame_memory(error: Error, cgroup: Option<&Cgroup>) -> Error {
    let silent = matches!(
        error,
        Error::ChildLost { .. } | Error::Step(StepError { step: Step::Channel | Step::Clone, .. })
    );
    match cgroup.filter(|_| silent).map(Cgroup::oom_killed) {
        Some(Ok(true)) => Error::OutOfMemory,
        _ => error,
    }
}

fn spawn_in(plan: &Plan, cgroup: Option<&mut Cgroup>, mask: &Mask) -> Result<Spawned, Error> {
    let (channel, childs) = Channel::pair().at(Step::Channel, "a socket pair")?;
    let staged = !plan.joined.is_empty();
    let child = init::Child {
        plan,
        channel: childs,
        mask,
        prepared: waits(cgroup.as_deref()) || maps_from_outside(plan),
        entrance: cgroup.as_deref().map(Cgroup::entrance).transpose()?.unwrap_or_default(),
        proc: OnceCell::new(),
        env: OnceCell::new(),
        held: OnceCell::new(),
        ahead: Ahead::from_outside(plan)?,
    };
    let namespaces = if staged { 0 } else { init::clone_flags(plan) };
    let into = cgroup.as_deref().and_then(Cgroup::clone_into_fd);
    let processors = tuning::enter_initial(&plan.process.tuning)?;
    let mut cloned = clone3(namespaces, into, Parent::Caller);
    if let (Err(Errno::BUSY | Errno::OPNOTSUPP), Some(cgroup)) = (&cloned, cgroup.as_deref())
        && let Some(below) = cgroup.of_oldest_member()?
    {
        cloned = clone3(namespaces, Some(below.as_fd()), Parent::Caller);
    }
    let (pid, pidfd) = match cloned.at(Step::Clone, init::kinds(plan))? {
        Cloned::Child => {
            drop(channel);
            if staged { child.join_then_run() } else { child.run() }
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(child);
    tuning::leave_initial(processors)?;
    let spawned = Spawned {
        pid,
        pidfd,
        cgroup: None,
        terminal: None,
        listener: None,
        trace: Vec::new(),
        channel,
        agent: plan.process.seccomp.as_ref().and_then(|seccomp| seccomp.agent.clone()),
        traced: plan.trace,
        terminal_comes: matches!(plan.stdio, crate::stdio::Stdio::TerminalInside),
        early: VecDeque::new(),
    };
    finish_spawn(spawned, plan, cgroup, staged)
}

/// Whether the cgroup has to be given the process.
fn waits(cgroup: Option<&Cgroup>) -> bool {
    cgroup.is_some_and(Cgroup::waits_for_process)
}

fn maps_from_outside(plan: &Plan) -> bool {
    plan.idmap.as_ref().is_some_and(|map| map.writer != Writer::FirstProcess)
}

/// Prepares the child from outside; a failure ends and reaps it.
fn finish_spawn(
    mut spawned: Spawned,
    plan: &Plan,
    cgroup: Option<&mut Cgroup>,
    staged: bool,
) -> Result<Spawned, Error> {
    let result = (|| {
        let waits = waits(cgroup.as_deref());
        if let Some(cgroup) = cgroup.filter(|_| waits) {
            cgroup.adopt(spawned.pid.as_raw_nonzero().get())?;
        }
        if staged {
            // The intermediate process joins the cgroup, which its sibling is born into.
            spawned.tell(ToChild::Prepared)?;
            spawned.replace_by_first_process()?;
        }
        if !staged && plan.makes(NamespaceKind::User) {
            credentials::apply_from_outside(plan, spawned.pid)?;
        }
        if let Some(map) = plan.idmap.as_ref() {
            map.write_from_outside(spawned.pid)?;
        }
        if maps_from_outside(plan) || (waits && !staged) {
            spawned.tell_prepared(plan)?;
        }
        crate::net_devices::move_all(plan, spawned.pid)?;
        if let Some(rdt) = &plan.intel_rdt {
            rdt.enter(spawned.pid.as_raw_nonzero().get())?;
        }
        if let Some(hooks) = &plan.hooks {
            spawned.run_hooks(hooks)?;
        }
        if plan.confinement.listener.is_some() {
            spawned.listener = match spawned.next()? {
                FromChild::Inside(listener) => Some(listener),
                _ => return Err(spawned.lost()),
            };
        }
        if spawned.terminal_comes {
            spawned.receive_terminal()?;
        }
        match plan.started_by {
            StartedBy::Maker => Ok(()),
            StartedBy::Another { .. } => spawned.await_ready(),
        }
    })();
    match result {
        Ok(()) => Ok(spawned),
        Err(error) => {
            // What the child itself says comes first: our own error is often only its echo.
            let told = match error {
                Error::Hook(_) => None,
                Error::ChildLost { .. } | Error::Step(StepError { step: Step::Channel, .. }) => {
                    spawned.drain_failure()
                }
                // Ours alone, perhaps: a child that is well would wait for us while we listen to it.
                _ => {
                    spawned.kill();
                    spawned.drain_failure()
                }
            };
            spawned.abandon();
            if let Some(rdt) = &plan.intel_rdt {
                // The start's own error is the one to report.
                rdt.leftovers().remove().unwrap_or_default();
            }
            Err(told.unwrap_or(error))
        }
    }
}

impl Spawned {
    /// Waits until the first process has done everything but execute, so that its namespaces are what they will
    /// be. A plan that asks for no [`crate::Plan::trace`] gives no sign, and is not waited for.
    ///
    /// # Errors
    /// The step that failed in the child, which is still to be abandoned.
    pub fn await_prepared(&mut self) -> Result<(), Error> {
        while self.traced && self.trace.last().is_none_or(|(step, _)| *step != READY_STEP) {
            match self.channel.next().at(Step::Channel, "the socket from the first process")? {
                FromChild::Trace { step, at } => self.trace.push((step, at)),
                FromChild::Failed(failure) => return Err(failure.into()),
                _ => return Err(self.lost()),
            }
        }
        Ok(())
    }

    /// Lets the command run, and returns when it does.
    ///
    /// # Errors
    /// The step that failed in the child, often [`Step::Exec`]. The child has been reaped and
    /// its cgroup removed.
    pub fn go(mut self) -> Result<Running, Error> {
        let result = self.let_go().and_then(|()| self.await_exec());
        match result {
            Ok(()) => {}
            Err(error) => {
                let error = self.drain_failure().unwrap_or(error);
                self.abandon();
                return Err(error);
            }
        }
        let Self { pid, pidfd, cgroup, terminal, trace, .. } = self;
        Ok(Running { pid, pidfd, cgroup, terminal, trace, unconfirmed: None })
    }

    /// Lets the command run and does not wait until it does: one wake-up less. Whether it could be
    /// executed is told by [`Running::take_failure`] when the first process has ended.
    ///
    /// # Errors
    /// The first process is gone already. It has been reaped and its cgroup removed.
    pub fn release(mut self) -> Result<Running, Error> {
        if let Err(error) = self.let_go() {
            let error = self.drain_failure().unwrap_or(error);
            self.abandon();
            return Err(error);
        }
        let Self { pid, pidfd, cgroup, terminal, trace, channel, .. } = self;
        Ok(Running { pid, pidfd, cgroup, terminal, trace, unconfirmed: Some(channel) })
    }

    /// Leaves the first process to a later boxr, which lets the command run
    /// ([`super::start::start`]). It was planned with [`StartedBy::Another`].
    ///
    /// # Errors
    /// The first process is gone already. It has been reaped and its cgroup removed.
    pub fn detach(mut self) -> Result<(), Error> {
        match self.tell(ToChild::Detach) {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = self.drain_failure().unwrap_or(error.into());
                self.abandon();
                Err(error)
            }
        }
    }

    /// Says Go. Where a seccomp agent answers calls of the command, it is reached before, and has the
    /// listener afterwards.
    fn let_go(&mut self) -> Result<(), Error> {
        let Some(agent) = self.agent.take() else { return Ok(self.tell(ToChild::Go)?) };
        let connection = agent.connect()?;
        self.tell(ToChild::Go)?;
        match self.next()? {
            FromChild::Listener(listener) => connection.hand_over(self.pid, listener.as_fd())?,
            _ => return Err(self.lost()),
        }
        Ok(self.tell(ToChild::Delivered)?)
    }

    /// Ends a first process that is not to run after all, and removes its cgroup.
    pub fn abandon(self) {
        let Self { pidfd, cgroup, channel, .. } = self;
        drop(channel);
        kill(&pidfd);
        pidfd::reap(pidfd.as_fd(), true).unwrap_or_default();
        if let Some(cgroup) = cgroup {
            cgroup.remove().unwrap_or_default();
        }
    }

    /// The same because of `error`, which somebody met who looked at the process meanwhile. Gives the error to
    /// report: what the process itself said, if it had failed by then, as that is why it could not be found.
    pub fn abandon_for<E: From<Error>>(mut self, error: E) -> E {
        self.kill();
        let told = self.drain_failure();
        self.abandon();
        told.map_or(error, E::from)
    }

    fn kill(&self) {
        kill(&self.pidfd);
    }

    fn tell(&self, message: ToChild) -> Result<(), StepError> {
        self.channel.tell(message).at(Step::Channel, "the socket to the first process")
    }

    /// Lets the first process go on, with its root where that is made in its own user namespace.
    fn tell_prepared(&self, plan: &Plan) -> Result<(), Error> {
        match Ahead::root_for(plan, self.pid)? {
            Some(root) => Ok(self
                .channel
                .prepared_with(root.as_fd())
                .at(Step::Channel, "the socket to the first process")?),
            None => Ok(self.tell(ToChild::Prepared)?),
        }
    }

    fn next(&mut self) -> Result<FromChild, Error> {
        match self.early.pop_front() {
            Some(message) => Ok(message),
            None => self.hear(),
        }
    }

    fn hear(&mut self) -> Result<FromChild, Error> {
        loop {
            match self.channel.next().at(Step::Channel, "the socket from the first process")? {
                FromChild::Trace { step, at } => self.trace.push((step, at)),
                FromChild::Failed(error) => return Err(error.into()),
                other => return Ok(other),
            }
        }
    }

    /// Both processes speak over the same socket: the first one may be faster than the one that made it.
    fn replace_by_first_process(&mut self) -> Result<(), Error> {
        loop {
            match self.hear()? {
                FromChild::FirstProcess { pid, pidfd } => {
                    let intermediate = std::mem::replace(&mut self.pidfd, pidfd);
                    self.pid = Pid::from_raw(pid).ok_or_else(|| self.lost())?;
                    pidfd::reap(intermediate.as_fd(), true).at(Step::Clone, "the intermediate process")?;
                    return Ok(());
                }
                FromChild::Closed => return Err(self.lost()),
                early => self.early.push_back(early),
            }
        }
    }

    /// Runs the hooks that the first process waits for.
    fn run_hooks(&mut self, hooks: &Hooks) -> Result<(), Error> {
        let kinds = [HookKind::Prestart, HookKind::CreateRuntime];
        if !kinds.into_iter().any(|kind| hooks.has(kind)) {
            return Ok(());
        }
        match self.next()? {
            FromChild::AwaitsHooks => {}
            _ => return Err(self.lost()),
        }
        let pid = Some(self.pid.as_raw_nonzero().get());
        kinds.into_iter().try_for_each(|kind| hooks.run(kind, pid))?;
        Ok(self.tell(ToChild::HooksDone)?)
    }

    fn await_ready(&mut self) -> Result<(), Error> {
        match self.next()? {
            FromChild::Ready => Ok(()),
            _ => Err(self.lost()),
        }
    }

    fn receive_terminal(&mut self) -> Result<(), Error> {
        match self.next()? {
            FromChild::Terminal(master) => {
                self.terminal = Some(master);
                Ok(())
            }
            _ => Err(self.lost()),
        }
    }

    fn await_exec(&mut self) -> Result<(), Error> {
        match self.next()? {
            // A first process that was killed before execve(2) looks the same, and its exit status
            // tells: by that signal.
            FromChild::Closed => Ok(()),
            _ => Err(self.lost()),
        }
    }

    /// What the first process said last. It is told first that no word of ours will come any more: one that waits
    /// for it would never close its end.
    fn drain_failure(&mut self) -> Option<Error> {
        // A socket whose other end is gone cannot be shut down, and need not be.
        self.channel.say_no_more().unwrap_or_default();
        drain_failure(&self.channel)
    }

    fn lost(&self) -> Error {
        let how = match pidfd::reap(self.pidfd.as_fd(), false) {
            Ok(Some(Ended::Signal(signal))) => format!("by signal {signal}"),
            Ok(Some(Ended::Code(code))) => format!("with status {code}"),
            Ok(None) | Err(_) => "without a word".to_owned(),
        };
        Error::ChildLost { how }
    }
}

impl Running {
    /// A child of the caller's that something else than [`spawn`] has started, with the master of its terminal
    /// if it has one.
    pub fn of_child(pid: Pid, pidfd: OwnedFd, terminal: Option<OwnedFd>) -> Self {
        Self { pid, pidfd, cgroup: None, terminal, trace: Vec::new(), unconfirmed: None }
    }

    /// Why the command was not executed after all, asked when the first process has ended.
    pub fn take_failure(&mut self) -> Option<Error> {
        self.unconfirmed.take().and_then(|channel| drain_failure(&channel))
    }
}

fn kill(process: &OwnedFd) {
    // Already gone is what is wanted.
    boxr_sys::signal::send(process.as_fd(), rustix::process::Signal::KILL.as_raw()).unwrap_or_default();
}

/// What the other side said before it closed its end.
fn drain_failure(channel: &Channel) -> Option<Error> {
    loop {
        match channel.next() {
            Ok(FromChild::Failed(error)) => return Some(error.into()),
            Ok(FromChild::Closed) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{PidfdFlags, getpid, pidfd_open};

    use super::*;

    #[test]
    #[allow(clippy::zombie_processes, reason = "reaped by its pidfd")]
    fn a_first_process_may_be_faster_than_its_maker() {
        let (channel, child) = Channel::pair().unwrap();
        let maker = std::process::Command::new("true").spawn().unwrap();
        let maker = Pid::from_child(&maker);
        let terminal = tempfile::tempfile().unwrap();
        child.terminal(terminal.as_fd()).unwrap();
        let first = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        child.first_process(getpid().as_raw_nonzero().get(), first.as_fd()).unwrap();
        let mut spawned = Spawned {
            pid: maker,
            pidfd: pidfd_open(maker, PidfdFlags::empty()).unwrap(),
            cgroup: None,
            terminal: None,
            listener: None,
            trace: Vec::new(),
            channel,
            agent: None,
            terminal_comes: true,
            early: VecDeque::new(),
            traced: false,
        };
        spawned.replace_by_first_process().unwrap();
        assert_eq!(spawned.pid, getpid());
        spawned.receive_terminal().unwrap();
        assert!(spawned.terminal.is_some());
    }
}
