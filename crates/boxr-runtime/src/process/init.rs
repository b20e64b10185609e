//! The first process of a box, from its first instruction to execve(2).

use std::cell::OnceCell;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use boxr_cgroup::Entrance;
use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::exec::CVector;
use boxr_sys::namespace::NamespaceKind;
use boxr_sys::signal::{Disposition, Mask};
use rustix::io::Errno;
use rustix::process::Signal;

use super::procfs::Procfs;
use super::protocol::{Channel, ToChild};
use super::{command, credentials, home, landlock, namespaces, pause, reaper, seccomp, terminal, tuning};
use crate::capabilities::Sets;
use crate::error::{At, Failure, Step, StepError};
use crate::hooks::HookKind;
use crate::idmap::{IdMap, Writer};
use crate::plan::{Home, Plan, StartedBy};
use crate::rootfs;

/// Status of a first process that could not do what it was made for; its parent was told why.
pub(super) const FAILED: u8 = 125;

/// What the first process works from, in its copy of the parent's memory.
pub(super) struct Child<'p> {
    pub plan: &'p Plan,
    pub channel: Channel,
    pub mask: &'p Mask,
    /// Whether the parent has to do something first.
    pub prepared: bool,
    /// The way into cgroups that it is not born into.
    pub entrance: Entrance,
    /// The host's procfs, where the plan needs it later than it can be reached by its path.
    pub proc: OnceCell<Procfs>,
    /// The environment, where it is not that of the plan.
    pub env: OnceCell<CVector>,
    /// Capabilities to be put in force when the seccomp filter is loaded.
    pub held: OnceCell<Sets>,
    /// Trees that were opened before there was a first process.
    pub ahead: rootfs::Ahead,
}

/// Namespaces that clone3(2) makes at once. The cgroup namespace comes later, when the process
/// is in the cgroup that becomes its root; the time namespace, when its offsets are set.
pub(super) fn clone_flags(plan: &Plan) -> u64 {
    plan.new
        .iter()
        .filter(|kind| !matches!(kind, NamespaceKind::Cgroup | NamespaceKind::Time))
        .fold(0, |flags, kind| flags | kind.clone_flag())
}

/// Their names, for an error.
pub(super) fn kinds(plan: &Plan) -> String {
    let words: Vec<_> = plan.new.iter().map(|kind| kind.word()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

impl Child<'_> {
    /// Becomes the command.
    pub fn run(mut self) -> ! {
        if let Err(failure) = self.prepare().and_then(|()| Ok(reset_signals()?)) {
            self.fail(&failure);
        }
        self.trace(4);
        if self.plan.pause {
            self.stay();
        }
        if self.plan.init {
            self.execute_under_init();
        }
        let failure = match self.await_go() {
            Ok(()) => self.replace(),
            Err(failure) => failure,
        };
        self.fail(&failure)
    }

    /// Joins namespaces, makes the first process in them and steps aside.
    pub fn join_then_run(mut self) -> ! {
        match self.join_and_clone() {
            Ok(Role::Intermediate) => exit_now(0),
            Ok(Role::First) => {
                self.prepared =
                    self.plan.idmap.as_ref().is_some_and(|map| map.writer != Writer::FirstProcess);
                self.run()
            }
            Err(failure) => self.fail(&failure),
        }
    }

    fn fail(&self, failure: &Failure) -> ! {
        // A parent that is gone cannot be told, and then nobody waits for the reason either.
        self.channel.fail(failure).unwrap_or_default();
        exit_now(FAILED)
    }

    fn join_and_clone(&mut self) -> Result<Role, Failure> {
        self.entrance.enter().map_err(not_entered)?;
        self.await_word(ToChild::Prepared)?;
        // Through the host's /proc, and before anybody in the joined namespaces can look at this process:
        // their /proc may be made up (CVE-2025-52881).
        credentials::apply_through_proc(self.plan)?;
        self.hold_proc()?;
        if !self.plan.makes(NamespaceKind::Time) && !self.plan.nests() {
            // The offsets of a new one are written through a /proc/self that is the caller's own, and so are maps; in
            // the user namespace between are processes of boxr's only.
            hide()?;
        }
        namespaces::join_all(self.plan)?;
        if self.plan.is_laid_from_above() {
            self.ahead = rootfs::Ahead::from_above(self.plan)?;
        }
        let cloned =
            clone3(clone_flags(self.plan), None, Parent::CallersParent).at(Step::Clone, kinds(self.plan))?;
        match cloned {
            Cloned::Child => Ok(Role::First),
            Cloned::Parent { pid, pidfd } => {
                if let Some(map) = &self.plan.idmap {
                    map.write_from_above(pid)?;
                }
                let told = self.channel.first_process(pid.as_raw_nonzero().get(), pidfd.as_fd());
                told.at(Step::Channel, "the socket to boxr")?;
                Ok(Role::Intermediate)
            }
        }
    }

    /// Keeps the host's /proc at hand for what is written below it when another is at its place.
    fn hold_proc(&self) -> Result<(), StepError> {
        let plan = self.plan;
        let needed = !plan.sysctls.is_empty() || plan.process.tuning.has_label();
        if needed && self.proc.get().is_none() {
            let proc = Procfs::open().at(Step::Session, "/proc (not a procfs?)")?;
            // It was seen to be empty.
            self.proc.set(proc).unwrap_or_default();
        }
        Ok(())
    }

    fn prepare(&mut self) -> Result<(), Failure> {
        let plan = self.plan;
        self.entrance.enter().map_err(not_entered)?;
        self.trace(0);
        if self.prepared {
            self.ahead.receive_root(unless_gone(self.channel.await_prepared())?);
        }
        self.entrance.find_inner().map_err(not_entered)?;
        if let Some(map) = &plan.idmap {
            map.write_from_inside()?;
            credentials::become_root_of_namespace(map)?;
            self.show_to_caller();
        }
        self.hold_proc()?;
        namespaces::set_up(plan, self.proc.get())?;
        if let Some(port) = plan.confinement.listener {
            namespaces::listen(port, &self.channel)?;
        }
        self.entrance.enter_inner().map_err(not_entered)?;
        self.trace(1);
        let inner = self.rootfs_and_terminal()?;
        self.trace(2);
        terminal::set_up(plan, inner.as_ref())?;
        Ok(self.finish()?)
    }

    /// oom_score_adj needs the host's /proc, the terminal inside needs the new /dev/pts: both
    /// happen around the change of root.
    fn rootfs_and_terminal(&self) -> Result<Option<OwnedFd>, Failure> {
        let plan = self.plan;
        let own_root = plan.root.is_foreign();
        if plan.joined.is_empty() && !plan.makes(NamespaceKind::User) {
            credentials::apply_through_proc(plan)?;
        }
        if !plan.pause && (own_root || !plan.joined.is_empty()) && !self.is_alone() {
            hide()?;
        }
        rootfs::set_up(plan, &self.ahead, &|| self.hooks_of_creation())?;
        match &plan.stdio {
            crate::stdio::Stdio::TerminalInside => {
                Ok(Some(terminal::make_inside(&self.channel, own_root, plan)?))
            }
            _ => Ok(None),
        }
    }

    /// Whoever connects its network opens its namespaces meanwhile. Nobody else in its user namespace, and in its
    /// pid namespace no other with a right over it: nobody looks. One that stays is hidden when they have been opened,
    /// before anybody else is in them.
    fn is_alone(&self) -> bool {
        let plan = self.plan;
        let own_pids = plan.makes(NamespaceKind::Pid) || plan.nests();
        plan.makes(NamespaceKind::User) && (own_pids || self.is_among_the_callers())
    }

    /// Among the host's processes, those with a right over an ordinary user's are the user's own: another container of
    /// the same user is in a user namespace beside this one. pasta, who opens this one's, is not to be kept out.
    fn is_among_the_callers(&self) -> bool {
        let is_users = |map: &IdMap| map.writer != Writer::Boxr && map.uids.iter().all(|ids| ids.host != 0);
        !self.plan.joins(NamespaceKind::Pid) && self.plan.idmap.as_ref().is_some_and(is_users)
    }

    /// A change to a subordinate id hides this process (prctl(2), `PR_SET_DUMPABLE`), also from an ordinary user's boxr and
    /// pasta, which connect its network.
    fn show_to_caller(&self) {
        let is_users = |map: &IdMap| matches!(map.writer, Writer::Helpers | Writer::Above);
        if self.is_alone() && self.plan.idmap.as_ref().is_some_and(is_users) {
            show();
        }
    }

    /// Hooks that find the mounts made and the root not entered yet.
    fn hooks_of_creation(&self) -> Result<(), Failure> {
        let Some(hooks) = &self.plan.hooks else { return Ok(()) };
        if hooks.has(HookKind::Prestart) || hooks.has(HookKind::CreateRuntime) {
            match self.channel.await_hooks() {
                // boxr has ended, or gave up because of a hook.
                Err(Errno::PIPE | Errno::CONNRESET) => exit_now(FAILED),
                other => other.at(Step::Channel, "the socket from boxr")?,
            }
        }
        Ok(hooks.run(HookKind::CreateContainer, Some(own_pid()))?)
    }

    fn finish(&self) -> Result<(), StepError> {
        let plan = self.plan;
        tuning::apply(&plan.process.tuning)?;
        if let Some(proc) = self.proc.get() {
            tuning::apply_labels(&plan.process.tuning, proc)?;
        }
        if plan.home == Home::FromPasswd
            && let Some(env) = home::complete(&plan.process)
        {
            // It was not set before.
            self.env.set(env).unwrap_or_default();
        }
        // Root of the container may enter what its user may not, and some users only what root may not
        // (a network filesystem); either will do, as in other runtimes.
        let entered = command::enter_workdir(plan);
        if let Some(sets) = credentials::apply(plan)? {
            // It was not set before.
            self.held.set(sets).unwrap_or_default();
        }
        self.show_to_caller();
        if plan.die_with_parent {
            // After the ids, a change of which clears it (prctl(2)). Until the command may run, a boxr that
            // has ended is seen by its closed channel.
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
                .at(Step::Session, "end with parent")?;
        }
        self.trace(3);
        match entered {
            Err(StepError { errno: Errno::ACCESS, .. }) => command::enter_workdir(plan)?,
            other => other?,
        }
        self.close_descriptors()
    }

    /// 0, 1, 2 and what was asked for stay open; everything else ends with execve(2).
    fn close_descriptors(&self) -> Result<(), StepError> {
        if self.lets_go() && self.plan.hooks.is_none() {
            return Ok(());
        }
        let first = self.first_closed();
        boxr_sys::fd::close_on_exec_from(first).at(Step::Descriptors, format!("{first} and above"))
    }

    fn first_closed(&self) -> u32 {
        3u32.saturating_add(self.plan.preserve_fds)
    }

    /// Whether descriptors are closed before execve(2) rather than by it.
    fn lets_go(&self) -> bool {
        self.plan.root.is_foreign() || self.plan.joins(NamespaceKind::Mount)
    }

    /// In a tree that others made, closes all of that now: `#!/proc/self/fd/N/…` in the box's command
    /// is resolved before execve(2) closes anything (CVE-2024-21626). Nothing but execve(2) may follow.
    fn let_go(&self) -> Result<(), StepError> {
        if self.lets_go() { self.close_but(self.channel.as_fd()) } else { Ok(()) }
    }

    fn close_but(&self, keep: BorrowedFd<'_>) -> Result<(), StepError> {
        let first = self.first_closed();
        boxr_sys::fd::close_from_but(first, keep).at(Step::Descriptors, format!("{first} and above"))
    }

    fn replace(&self) -> Failure {
        let process = &self.plan.process;
        let env = self.env.get().unwrap_or(&process.env);
        match self.last_steps() {
            Ok(None) => command::execute(process, env).into(),
            Ok(Some(path)) => command::execute_found(&path, process, env).into(),
            Err(failure) => failure,
        }
    }

    /// The command's file, where it had to be found before.
    fn last_steps(&self) -> Result<Option<CString>, Failure> {
        if let Some(hooks) = &self.plan.hooks {
            hooks.run(HookKind::StartContainer, Some(own_pid()))?;
        }
        boxr_sys::signal::set_mask(self.mask).at(Step::Session, "signal mask")?;
        let Some(filter) = &self.plan.process.seccomp else {
            self.let_go()?;
            return Ok(None);
        };
        // Under the filter there may be no way to look for it, or to tell that it is not there.
        let path = command::find(&self.plan.process)?;
        self.let_go()?;
        if let Some(landlock) = &self.plan.confinement.landlock {
            landlock::restrict(landlock)?;
        }
        seccomp::load(filter, &self.channel)?;
        if let Some(sets) = self.held.get() {
            sets.put_in_force()?;
        }
        Ok(Some(path))
    }

    /// The word to execute: from the boxr that made this process, or from a later one.
    fn await_go(&mut self) -> Result<(), Failure> {
        let StartedBy::Another { listener } = &self.plan.started_by else {
            return Ok(self.await_word(ToChild::Go)?);
        };
        command::find(&self.plan.process)?;
        self.channel.ready().at(Step::Channel, "the socket to boxr")?;
        self.await_word(ToChild::Detach)?;
        // It may wait for days: nothing of the host's is held for so long.
        self.close_but(listener.as_fd())?;
        let started = Channel::accept_go(listener.as_fd()).at(Step::Channel, "the socket for `start`")?;
        // Closed above; its number may be that of the new one.
        std::mem::forget(std::mem::replace(&mut self.channel, started));
        Ok(())
    }

    /// Keeps the namespaces, without a command, a descriptor or a right.
    fn stay(mut self) -> ! {
        let ready = self.await_go().and_then(|()| {
            hide()?;
            pause::get_ready()?;
            boxr_sys::fd::close_from_but(0, self.channel.as_fd()).at(Step::Descriptors, "all")?;
            Ok(confine_init(self.plan, self.held.take())?)
        });
        if let Err(failure) = ready {
            self.fail(&failure);
        }
        // Its end tells boxr that all is done. What else this process had is closed already.
        drop(self.channel);
        pause::for_ever()
    }

    fn execute_under_init(mut self) -> ! {
        if let Err(failure) = self.await_go() {
            self.fail(&failure);
        }
        let (confined, confines) = match rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC) {
            Ok(ends) => ends,
            Err(errno) => {
                let error = StepError::new(Step::Channel, "the pipe to the command below init", errno);
                self.fail(&error.into())
            }
        };
        match clone3(0, None, Parent::Caller) {
            Ok(Cloned::Child) => {
                drop(confines);
                let failure = match await_end(&confined).and_then(|()| reaper::in_foreground(self.plan)) {
                    Ok(()) => self.replace(),
                    Err(error) => error.into(),
                };
                self.fail(&failure)
            }
            Ok(Cloned::Parent { pid, pidfd }) => {
                drop(confined);
                // Nothing of the host's may stay open in the box; and the command's copy of the
                // channel alone must keep it open until it executes.
                let plan = self.plan;
                let held = self.held.take();
                drop(self);
                if plan.makes(NamespaceKind::User) || plan.joins(NamespaceKind::User) {
                    show();
                }
                match boxr_sys::fd::close_all_but([pidfd, confines]) {
                    Ok([pidfd, confines]) if confine_init(plan, held).is_ok() => {
                        drop(confines);
                        reaper::run(pid, &pidfd)
                    }
                    _ => exit_now(FAILED),
                }
            }
            Err(errno) => {
                let error = StepError::new(Step::Clone, "the command below init", errno);
                self.fail(&error.into())
            }
        }
    }

    fn await_word(&self, word: ToChild) -> Result<(), StepError> {
        unless_gone(self.channel.await_word(word))
    }

    fn trace(&self, step: u8) {
        if self.plan.trace {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let at = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
            // Only a picture of where time went.
            self.channel.trace(step, at).unwrap_or_default();
        }
    }
}

/// What boxr said. When it has ended nobody is left to report to, and nothing may be left behind.
fn unless_gone<T>(said: Result<T, Errno>) -> Result<T, StepError> {
    match said {
        Err(Errno::PIPE) => exit_now(FAILED),
        other => other.at(Step::Channel, "the socket from boxr"),
    }
}

/// Waits until init is confined like its command: that must not find one with more rights, or without a filter,
/// which it may trace.
fn await_end(pipe: &OwnedFd) -> Result<(), StepError> {
    let read = rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut [0u8; 1]));
    read.map(drop).at(Step::Channel, "the pipe from init")
}

/// The command may be allowed to trace init, which is then no way out of its filter. What goes wrong here does
/// so in the command as well, and is told from there.
fn confine_init(plan: &Plan, held: Option<Sets>) -> Result<(), StepError> {
    if let Some(filter) = &plan.process.seccomp {
        seccomp::load_alone(filter)?;
    }
    held.map_or(Ok(()), |sets| sets.put_in_force())
}

/// As the container's processes see it.
fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Why a cgroup was not entered, as the parent is told.
fn not_entered(error: boxr_cgroup::Error) -> StepError {
    match error {
        boxr_cgroup::Error::System { path, errno, .. } => {
            StepError::new(Step::Cgroup, path.display().to_string(), errno)
        }
        other => StepError::new(Step::Cgroup, other.to_string(), Errno::INVAL),
    }
}

enum Role {
    Intermediate,
    First,
}

/// Nobody without `CAP_SYS_PTRACE` over the host may trace this process or look at its `/proc/PID/fd`
/// and `exe`, until execve(2) makes it the command (ptrace(2), `PR_SET_DUMPABLE`).
fn hide() -> Result<(), StepError> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .at(Step::Session, "not dumpable")
}

/// The opposite, for an init that stays: where the box cannot be the host's root, its owner may enter
/// its namespaces through `/proc/PID/ns`, as those of any other process of theirs.
fn show() {
    // Without it only `exec` is refused.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable).unwrap_or_default();
}

/// The Rust runtime ignores SIGPIPE; the command must find the default.
fn reset_signals() -> Result<(), StepError> {
    boxr_sys::signal::set_disposition(Signal::PIPE.as_raw(), Disposition::Default)
        .at(Step::Session, "signals")
}
