//! `exec`: a further process in a running box, or in the namespaces of any process.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use boxr_runtime::Plan;
use boxr_runtime::idmap::Writer;
use boxr_runtime::plan::{CgroupPlan, Extras, StartedBy};
use boxr_runtime::process::parent::{Running, spawn};
use boxr_runtime::stdio::Stdio;
use boxr_sys::namespace::NamespaceKind;
use boxr_sys::signal;
use oci_spec::runtime::{LinuxSeccomp, Process};

use crate::config::grammar::UserSpec;
use crate::config::{self, Variable};
use crate::events::{Action, Event, Journal};
use crate::exposure;
use crate::foreground::wants_terminal;
use crate::id::Id;
use crate::image::container_root::ContainerRoot;
use crate::image::defaults::spelled;
use crate::image::{ContainerFiles, ImageError, users};
use crate::join;
use crate::options::{BoxOptions, CapabilityChange, Tty, User};
use crate::outcome::EngineError;
use crate::paths::Paths;
use crate::record::{ProcessRef, State, Status};
use crate::spec::{self, Situation};
use crate::store::BoxDir;
use crate::supervise::{Finish, Guest};
use crate::terminal::{self, DetachKeys};
use crate::volume::Places;

/// Where the process is started.
#[derive(Debug)]
pub enum ExecTarget<'a> {
    /// In a box of ours.
    Box(&'a BoxDir),
    /// In the namespaces of the process with this pid.
    Process(i32),
}

/// What is started. What is not said comes from the box.
#[derive(Debug)]
pub struct ExecRequest {
    /// Command and arguments; none means the shell of the box's user.
    pub args: Vec<String>,
    /// What was said of variables.
    pub env: Vec<Variable>,
    /// Where it starts, in the box.
    pub workdir: Option<PathBuf>,
    /// Who it runs as.
    pub user: Option<UserSpec>,
    /// Whether it has all rights that there are in the box.
    pub privileged: bool,
    /// Whether it gets a terminal.
    pub tty: Tty,
    /// How many descriptors from 3 on it inherits.
    pub preserve_fds: u32,
    /// Whether boxr returns at once.
    pub detach: bool,
    /// Keys that leave it running.
    pub detach_keys: DetachKeys,
    /// Whether it is journaled: a health check is not.
    pub journaled: bool,
}

/// How it went.
#[derive(Debug)]
pub enum ExecOutcome {
    /// It ended, or the person left it.
    Finished(Finish),
    /// It runs on its own, with this pid.
    Detached(i32),
}

/// Starts a process beside the first one and, unless detached, waits for its end. Nothing of
/// boxr's stays behind with it.
///
/// # Errors
/// [`EngineError`]; a paused box is refused, since the process would hang.
pub fn exec(target: &ExecTarget<'_>, request: ExecRequest) -> Result<ExecOutcome, EngineError> {
    let place = Place::find(target)?;
    match &place.options {
        Some(options) => exposure::protect_for(options)?,
        None => exposure::protect()?,
    }
    let mut options = merged(&place, &request)?;
    let namespaces = join::all_of(&place.process, &place.name)?;
    let joins_user = joins_user(&namespaces);
    let own_root = options.root.is_own();
    if options.user.is_none() && own_root && !joins_user && rustix::process::geteuid().is_root() {
        // Root of the box, without the groups of the caller.
        options.user = Some(User { uid: 0, gid: 0, groups: Some(Vec::new()) });
    }
    if options.args.is_empty() {
        options.args = vec![login_shell(&place)];
    }
    let journal = ExecJournal::of(target, &place, request.journaled, &options.args)?;
    let inside = place.options.as_ref().is_none_or(crate::prepare::terminal_is_inside);
    let how = How {
        preserve_fds: request.preserve_fds,
        detach: request.detach,
        detach_keys: request.detach_keys,
        terminal_inside: inside,
    };
    launch(&place, &options, namespaces, how, &journal)
}

/// Whether another user namespace than the caller's is among them.
pub(super) fn joins_user(namespaces: &[(NamespaceKind, OwnedFd)]) -> bool {
    namespaces.iter().any(|(kind, _)| *kind == NamespaceKind::User)
}

/// How a process is started in a box.
pub(super) struct How {
    /// How many descriptors from 3 on it inherits.
    pub preserve_fds: u32,
    /// Whether boxr returns at once.
    pub detach: bool,
    /// Keys that leave it running.
    pub detach_keys: DetachKeys,
    /// Whether its terminal comes from the devpts that it sees.
    pub terminal_inside: bool,
}

/// Starts it in `namespaces` and, unless detached, waits for its end.
///
/// # Errors
/// [`EngineError`]; nothing of it is left.
pub(super) fn launch(
    place: &Place,
    options: &BoxOptions,
    namespaces: Vec<(NamespaceKind, OwnedFd)>,
    how: How,
    journal: &ExecJournal<'_>,
) -> Result<ExecOutcome, EngineError> {
    let joins_user = joins_user(&namespaces);
    let has_terminal = !how.detach && wants_terminal(options);
    let (master, stdio) = stdio(&how, has_terminal)?;
    let situation = Situation {
        name: &place.name,
        id: "",
        new_user: false,
        nested: false,
        other_user: joins_user,
        privileged: !joins_user,
        caller: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        terminal: has_terminal,
        volumes: &Places::new(),
    };
    let (process, seccomp) = process(options, &situation)?;
    let extras = Extras {
        joined: namespaces,
        map_writer: Writer::FirstProcess,
        above: None,
        root_source: None,
        trees: Vec::new(),
        cgroup: place.cgroup.clone().map_or(CgroupPlan::Inherit, CgroupPlan::Existing),
        stdio,
        preserve_fds: how.preserve_fds,
        hooks: None,
        started_by: StartedBy::Maker,
        init: false,
        pause: false,
        die_with_parent: false,
        new_session: how.detach,
        keep_groups: options.user.is_none(),
        keep_user: options.user.is_none(),
        trace: false,
        confinement: crate::sandbox::spec::of_entry(options, how.preserve_fds)
            .map_err(crate::prepare::PrepareError::from)?,
        oci: crate::prepare::oci_extras(options, place.files.as_ref())
            .map_err(crate::prepare::PrepareError::from)?,
    };
    let plan = Plan::for_exec(&process, seccomp.as_ref(), extras)?;
    journal.note(Action::ExecCreate, None);
    let (mut running, signals) = start(plan)?;
    journal.note(Action::ExecStart, None);
    if how.detach {
        return Ok(ExecOutcome::Detached(running.pid.as_raw_nonzero().get()));
    }
    let master = master.or_else(|| running.terminal.take());
    let guest = Guest { running, signals, master, detach_keys: how.detach_keys };
    let finish = guest.run(options)?;
    match &finish {
        Finish::Ended(exit) => journal.note(Action::ExecDie, Some(exit.status())),
        Finish::Detached => journal.note(Action::ExecDetach, None),
    }
    Ok(ExecOutcome::Finished(finish))
}

/// What is journaled of a command that is run in a box.
pub(super) struct ExecJournal<'a> {
    place: Option<(&'a Paths, &'a State)>,
    command: String,
    id: String,
}

impl<'a> ExecJournal<'a> {
    pub(super) fn of(
        target: &ExecTarget<'a>,
        place: &'a Place,
        journaled: bool,
        args: &[String],
    ) -> Result<Self, EngineError> {
        let known = match (target, &place.state) {
            (ExecTarget::Box(dir), Some(state)) if journaled && state.journaled => Some((dir.paths(), state)),
            _ => None,
        };
        // What tells commands apart that run at the same time.
        let id = match known {
            Some(_) => {
                let random =
                    Id::random().map_err(|errno| EngineError::system("get random numbers", errno))?;
                random.0.to_string()
            }
            None => String::new(),
        };
        Ok(Self { place: known, command: args.join(" "), id })
    }

    fn note(&self, action: Action, exit: Option<u8>) {
        let Some((paths, state)) = self.place else { return };
        let mut event = Event::of_box(state, action).with("execID", &self.id);
        if matches!(action, Action::ExecCreate | Action::ExecStart) {
            event = event.with_detail(&self.command);
        }
        if let Some(exit) = exit {
            event = event.with("exitCode", exit.to_string());
        }
        Journal::of(paths).note(&[event]);
    }
}

/// The process, and the filter of system calls that goes with it in a container of an image.
fn process(
    options: &BoxOptions,
    situation: &Situation<'_>,
) -> Result<(Process, Option<LinuxSeccomp>), EngineError> {
    let mut process = spec::process(options, situation).map_err(crate::prepare::PrepareError::from)?;
    let seccomp = match &options.container {
        Some(container) => crate::image::spec::confine(&mut process, container)?,
        None if let Some(sandbox) = &options.sandbox => {
            let filter = crate::sandbox::spec::filter(sandbox);
            Some(filter.map_err(crate::prepare::PrepareError::from)?)
        }
        None => None,
    };
    Ok((process, seccomp))
}

/// Starts it; signals to boxr are received from then on.
fn start(plan: Plan) -> Result<(Running, OwnedFd), EngineError> {
    let (signals, mask) =
        signal::take_all().map_err(|errno| EngineError::system("receive signals", errno))?;
    let spawned = spawn(plan, &mask)?;
    if let Some(master) = &spawned.terminal {
        terminal::copy_size(master.as_fd())
            .map_err(|errno| EngineError::system("set the size of the terminal", errno))?;
    }
    Ok((spawned.go()?, signals))
}

/// Where a process is started, and what it inherits.
pub(super) struct Place {
    pub name: String,
    pub process: ProcessRef,
    pub cgroup: Option<boxr_cgroup::Location>,
    pub options: Option<BoxOptions>,
    pub state: Option<State>,
    pub files: Option<ContainerFiles>,
}

impl Place {
    pub(super) fn find(target: &ExecTarget<'_>) -> Result<Self, EngineError> {
        match target {
            ExecTarget::Process(pid) => {
                let process = ProcessRef::of(*pid)?.ok_or_else(|| {
                    EngineError::system(format!("find process {pid}"), rustix::io::Errno::SRCH)
                })?;
                Ok(Self {
                    name: format!("pid:{pid}"),
                    process,
                    cgroup: None,
                    options: None,
                    state: None,
                    files: None,
                })
            }
            ExecTarget::Box(dir) => {
                let state = super::current(dir)?;
                let process = super::running(&state)?;
                if state.status == Status::Paused {
                    return Err(EngineError::Wrong { name: state.name, is: "is paused".into() });
                }
                let options = dir.read_record()?.options;
                let files = ContainerFiles::of(dir, &options)?;
                let (name, cgroup) = (state.name.clone(), state.cgroup.clone());
                Ok(Self { name, process, cgroup, options: Some(options), state: Some(state), files })
            }
        }
    }
}

/// What was asked for, and for the rest what the box has; for a bare process, what the caller has.
fn merged(place: &Place, request: &ExecRequest) -> Result<BoxOptions, EngineError> {
    let mut own = match &place.options {
        Some(own) => own.clone(),
        None => BoxOptions { env: callers_environment(), ..BoxOptions::default() },
    };
    if request.privileged {
        own.capabilities = CapabilityChange { add: vec!["ALL".to_owned()], drop: Vec::new() };
        own.no_new_privileges = false;
        own.container.iter_mut().for_each(|container| container.privileged = true);
    }
    let user = match (&own.container, &request.user) {
        (Some(container), said) => {
            let user = said.as_ref().map_or_else(|| container.user.clone(), spelled);
            let root = ContainerRoot::open(place.process.pid);
            let resolved = users::resolve(&user, &container.groups, &|file| root.read(file));
            let mut user = resolved.map_err(|error| match place.process.is_alive() {
                true => ImageError::from(error).into(),
                // It has ended meanwhile, and its files with it.
                false => super::not_running(&place.name),
            })?;
            if container.groups.is_empty() {
                users::keep_mapped(&mut user, place.process.pid);
            }
            Some(user)
        }
        (None, Some(said)) => Some(config::user(said, &own.root)?),
        (None, None) => own.user.clone(),
    };
    Ok(BoxOptions {
        args: request.args.clone(),
        env: config::apply_environment(own.env.clone(), request.env.clone()),
        workdir: request.workdir.clone().or_else(|| own.workdir.clone()),
        user,
        tty: request.tty,
        timeout: None,
        new_session: false,
        init: false,
        ..own
    })
}

pub(super) fn callers_environment() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some(format!("{}={}", key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn stdio(how: &How, has_terminal: bool) -> Result<(Option<OwnedFd>, Stdio), EngineError> {
    let failed = |errno| EngineError::system("set up the standard descriptors", errno);
    if how.detach {
        let null = || {
            let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
            rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).map_err(failed)
        };
        return Ok((None, Stdio::Descriptors { stdin: null()?, stdout: null()?, stderr: null()? }));
    }
    if has_terminal {
        if how.terminal_inside {
            return Ok((None, Stdio::TerminalInside));
        }
        let (master, user_side) = terminal::open_pair().map_err(failed)?;
        terminal::copy_size(master.as_fd()).map_err(failed)?;
        return Ok((Some(master), Stdio::Terminal(user_side)));
    }
    Ok((None, Stdio::Inherit))
}

/// The shell that the box's own /etc/passwd names for the user, read through the root of its
/// first process without following links out of it; `/bin/sh` otherwise.
fn login_shell(place: &Place) -> String {
    shell_from_passwd(place).unwrap_or_else(|| "/bin/sh".to_owned())
}

fn shell_from_passwd(place: &Place) -> Option<String> {
    let uid = place.options.as_ref().and_then(|o| o.user.as_ref()).map_or(0, |user| user.uid);
    let bytes = ContainerRoot::open(place.process.pid).read("/etc/passwd").ok()??;
    let (text, number) = (String::from_utf8_lossy(&bytes), uid.to_string());
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            [_, _, id, _, _, _, shell] if *id == number && shell.starts_with('/') => {
                Some((*shell).to_owned())
            }
            _ => None,
        }
    })
}
