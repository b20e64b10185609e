//! Starting a box under a monitor.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use boxr_runtime::Plan;
use boxr_runtime::error::{Step, StepError};
use boxr_runtime::process::parent::{Running, Spawned, spawn};
use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::signal::{self, Mask};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::serve::{self, Terms, Watch, health_of};
use super::streams::Burst;
use super::{standby, streams};
use crate::events::{self, Event, Journal};
use crate::foreground::{
    find_box, namespaces, now, remove_files_for_caller, wants_terminal, write_files_for_caller,
};
use crate::image::ContainerFiles;
use crate::image::mounted::MountedFiles;
use crate::logs::{Log, WhoLogs};
use crate::network::{self, Reserved};
use crate::options::{BoxOptions, LogDriver};
use crate::outcome::EngineError;
use crate::prepare::{self, Manner, PrepareError};
use crate::record::{Again, ProcessRef, State, Status};
use crate::status::{NamespaceIds, StatusSink};
use crate::store::{BoxDir, Store};
use crate::supervise;
use crate::terminal;

/// A start of a box whose record and state exist, and whose lock is held.
#[derive(Debug)]
pub struct StartRequest<'a> {
    /// All boxes.
    pub store: &'a Store,
    /// This one; its lock is the caller's.
    pub dir: &'a BoxDir,
    /// What it is made from.
    pub options: &'a BoxOptions,
    /// How it is; what the start changes is written.
    pub state: State,
    /// A file that gets the id.
    pub cidfile: Option<PathBuf>,
    /// Whom to tell when the command runs.
    pub status: Option<StatusSink>,
    /// The monitor's end of a client that is attached from the first byte on.
    pub client: Option<OwnedFd>,
    /// What is journaled before the start, if it succeeds.
    pub events: Vec<Event>,
}

/// What a start has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// The box's first process.
    pub process: ProcessRef,
}

/// What the monitor tells of the start, once.
#[derive(Debug, Serialize, Deserialize)]
enum Told {
    Started { process: ProcessRef },
    Step { step: u8, object: String, errno: i32 },
    Helper { second: bool, reason: String },
    Lost { how: String },
    Store { doing: String, errno: i32 },
    Network(boxr_network::Told),
}

/// Starts the box and returns when its command runs.
///
/// # Errors
/// [`EngineError`]; no process and no cgroup is left behind. The directory is the caller's.
pub fn start(mut request: StartRequest<'_>) -> Result<Started, EngineError> {
    let failed = |errno| EngineError::system("make the box's standard descriptors", errno);
    let (streams, ends) = make_streams(&request).map_err(failed)?;
    let name = request.state.name.clone();
    let id = request.state.id.clone();
    let files = ContainerFiles::of(request.dir, request.options)?;
    let volumes = crate::volume::find(request.options, request.store.paths()).map_err(PrepareError::from)?;
    crate::volume::check_memory(request.store, request.dir.id(), request.options, &volumes)?;
    let find = find_box(request.store);
    if request.options.network.is_wanted() && !request.state.networked {
        // Before there is anything of it: what a kill leaves is given back with the box.
        request.state.networked = true;
        request.dir.write_state(&request.state)?;
    }
    let networks = network::networks(request.store.paths());
    if request.state.started.is_none() {
        network::check_names(&networks, request.options)?;
    }
    let mut network = network::reserve(
        request.store,
        &networks,
        request.options,
        request.dir.id(),
        &name,
        network::hosts_of(request.options),
    )?;
    let above = network.above(request.store)?;
    let around = network.surroundings(request.store, request.options)?;
    let manner = Manner {
        streams: ends,
        monitored: true,
        trace: request.status.is_some(),
        files,
        mounted: MountedFiles::of(request.dir, request.options)?,
        filters: None,
        volumes,
        around,
        above,
        pod: network.take_side(),
    };
    let options = network.with_files(request.dir, request.options)?;
    let (plan, _) = prepare::prepare(&options, &name, &id, manner, &find)?;
    drop((find, options));
    request.state.networked = network.is_some();
    if let boxr_runtime::plan::CgroupPlan::New(cgroup) = &plan.cgroup {
        // Known before it is made, so that a kill in between leaves none that nobody knows of.
        let noted = State { cgroup: Some(cgroup.location().clone()), ..request.state.clone() };
        request.dir.write_state(&noted)?;
    } else if request.state.networked {
        request.dir.write_state(&request.state)?;
    }
    let log_dir = request.dir.make_data()?;
    let who = WhoLogs { id: &id, name: &name, data: &log_dir };
    let log = Log::open(who, &request.options.log_to, request.options.log)?;
    let (hear, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| EngineError::system("talk to the monitor", errno))?;
    let cloned =
        clone3(0, None, Parent::Caller).map_err(|errno| EngineError::system("start the monitor", errno))?;
    match cloned {
        Cloned::Child => {
            drop(hear);
            be_monitor(request, plan, network, streams, log, tell)
        }
        Cloned::Parent { pidfd, .. } => {
            drop(tell);
            let told = hear_outcome(&hear, &name);
            match &told {
                Ok(_) => network.hand_over(),
                Err(_) => {
                    boxr_sys::pidfd::reap(pidfd.as_fd(), true).unwrap_or_default();
                }
            }
            told
        }
    }
}

fn make_streams(request: &StartRequest<'_>) -> Result<(Option<streams::Streams>, prepare::Streams), Errno> {
    let options = request.options;
    if request.state.tty || wants_terminal(options) && options.tty == crate::options::Tty::Always {
        if prepare::terminal_is_inside(options) {
            return Ok((None, prepare::Streams::TerminalInside));
        }
        let (master, user_side) = terminal::open_pair()?;
        terminal::copy_size(master.as_fd())?;
        return Ok((Some(streams::of_terminal(master)?), prepare::Streams::Terminal(user_side)));
    }
    if options.log_to.driver == LogDriver::Passthrough {
        return Ok((None, callers_own(options)?));
    }
    let privileged = rustix::process::geteuid().is_root();
    let openers = match options.user.as_ref().map(|user| user.uid).filter(|uid| privileged && *uid != 0) {
        // Which user it is only the container's files tell, and it may switch to others.
        _ if options.root.image().is_some() => streams::Openers::Anybody,
        Some(uid) => streams::Openers::User(uid),
        None => streams::Openers::Caller,
    };
    let (ours, ends) = streams::make(request.dir.dir_fd(), options.interactive, openers)?;
    Ok((Some(ours), prepare::Streams::Descriptors(ends.stdin, ends.stdout, ends.stderr)))
}

/// boxr's own standard descriptors, for a box that writes to whoever started it; stdin where that was asked for.
fn callers_own(options: &BoxOptions) -> Result<prepare::Streams, Errno> {
    let own = |fd: std::os::fd::BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    let input = match options.interactive {
        true => own(rustix::stdio::stdin())?,
        false => {
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
            rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?
        }
    };
    Ok(prepare::Streams::Descriptors(input, own(rustix::stdio::stdout())?, own(rustix::stdio::stderr())?))
}

/// In the monitor: starts the box, tells how that went, and stays.
fn be_monitor(
    mut request: StartRequest<'_>,
    plan: Plan,
    network: Reserved<'_>,
    streams: Option<streams::Streams>,
    log: Log,
    tell: OwnedFd,
) -> ! {
    let client = request.client.take();
    let how = request.options.sdnotify;
    let started = launch(request, plan, network, streams, log).map(|watch| {
        // Before the starter hears of it: who attaches next finds the door.
        let clients = serve::open_to_clients(&watch.dir, client);
        (watch, clients)
    });
    let told = match &started {
        Ok((watch, _)) => {
            crate::notify::started(how, Some(std::process::id()));
            Told::Started { process: watch.process }
        }
        Err(error) => error_told(error),
    };
    let text = serde_json::to_vec(&told).unwrap_or_default();
    // A starter that was killed meanwhile does not need it.
    rustix::io::write(&tell, &text).unwrap_or_default();
    drop(tell);
    match started.and_then(|(watch, clients)| serve::serve(watch, clients?)) {
        Ok(()) => exit_now(0),
        Err(_) => exit_now(125),
    }
}

fn launch(
    mut request: StartRequest<'_>,
    plan: Plan,
    network: Reserved<'_>,
    streams: Option<streams::Streams>,
    log: Log,
) -> Result<Watch, EngineError> {
    let system = |doing: &'static str| move |errno| EngineError::system(doing, errno);
    let mask = leave_caller().map_err(system("leave the caller's session"))?;
    let mut spawned = spawn(plan, &mask)?;
    let noted = note_start(&request, &spawned)
        .and_then(|noted| Ok((noted, namespaces(&mut spawned, request.status.as_ref())?)));
    let connected = noted.and_then(|noted| Ok((noted, network.connect(spawned.pid)?)));
    let (((process, dir), namespaces), held) = match connected {
        Ok(connected) => connected,
        Err(error) => return Err(spawned.abandon_for(error)),
    };
    let mut running = match spawned.go() {
        Ok(running) => running,
        Err(error) => {
            remove_files_for_caller(request.options.pidfile.as_deref(), request.cidfile.as_deref());
            // Back to what it was: a box that has not started.
            give_network_back(&request)?;
            let back =
                State { cgroup: None, networked: false, error: Some(error.to_string()), ..request.state };
            request.dir.write_state(&back)?;
            return Err(error.into());
        }
    };
    let terms = Terms::of(request.options, &request.state.name);
    match settle(&mut request, &mut running, streams, &terms, &namespaces) {
        Ok(streams) => {
            if request.state.networked {
                network::links::tell(request.store, &dir, &request.state.name);
            }
            // Before anybody hears that it runs, and may do something else to it.
            if request.state.journaled {
                request.events.extend(events::of_start(&request.state, request.options));
                Journal::of(request.store.paths()).note(&request.events);
            }
            let burst = Burst::default();
            Ok(Watch { dir, process, pidfd: running.pidfd, streams, log, ending: None, terms, burst, held })
        }
        Err(error) => {
            supervise::end(&running);
            if let Some(cgroup) = running.cgroup {
                cgroup.kill()?;
                cgroup.remove()?;
            }
            remove_files_for_caller(request.options.pidfile.as_deref(), request.cidfile.as_deref());
            give_network_back(&request)?;
            let back =
                State { cgroup: None, networked: false, error: Some(error.to_string()), ..request.state };
            request.dir.write_state(&back)?;
            Err(error)
        }
    }
}

/// After a start that failed late.
fn give_network_back(request: &StartRequest<'_>) -> Result<(), EngineError> {
    crate::pod::after_end(request.store, &request.state)?;
    if request.state.networked {
        network::release(request.store.paths(), request.dir.id())?;
    }
    Ok(())
}

/// What remains to be done when the command runs already; what fails here ends it.
fn settle(
    request: &mut StartRequest<'_>,
    running: &mut Running,
    streams: Option<streams::Streams>,
    terms: &Terms,
    namespaces: &NamespaceIds,
) -> Result<streams::Streams, EngineError> {
    let system = |doing: &'static str| move |errno| EngineError::system(doing, errno);
    let streams = match (streams, running.terminal.take()) {
        (Some(streams), _) => streams,
        (None, Some(master)) => streams::of_terminal(master).map_err(system("open the terminal"))?,
        (None, None) => streams::none(),
    };
    if let Some(status) = &mut request.status {
        let pid = running.pid.as_raw_nonzero().get();
        status.started(&request.state.id, &request.state.name, pid, namespaces)?;
    }
    close_callers_files().map_err(system("close the caller's files"))?;
    standby::title(c"boxr-monitor", &terms.name).map_err(system("name the monitor"))?;
    // The start is over. The descriptor is shared with the starter, which may have been killed.
    rustix::fs::flock(request.dir.dir_fd(), rustix::fs::FlockOperation::Unlock)
        .map_err(system("give the box's lock back"))?;
    Ok(streams)
}

/// A session of its own, no files of the caller's, no signal that ends it by accident.
pub(crate) fn leave_caller() -> Result<Mask, Errno> {
    rustix::process::setsid()?;
    let (signals, _) = signal::take_all()?;
    drop(signals);
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    for number in 0..3 {
        boxr_sys::fd::place(null.as_fd(), number)?;
    }
    Ok(signal::nothing_blocked())
}

/// Closes what the caller had open from 3 on and a box may inherit (`--preserve-fds`): whatever
/// waits for the end of such a file would wait for the end of the box. boxr's own are close-on-exec.
pub(super) fn close_callers_files() -> Result<(), Errno> {
    boxr_sys::fd::close_inherited()
}

fn note_start(request: &StartRequest<'_>, spawned: &Spawned) -> Result<(ProcessRef, BoxDir), EngineError> {
    if let Some(master) = &spawned.terminal {
        terminal::copy_size(master.as_fd())
            .map_err(|errno| EngineError::system("set the size of the terminal", errno))?;
    }
    let (pid, cgroup) = (spawned.pid.as_raw_nonzero().get(), spawned.cgroup.as_ref());
    let process = ProcessRef::of(pid)?
        .ok_or_else(|| EngineError::from(StepError::new(Step::Clone, "the first process", Errno::SRCH)))?;
    let state = State {
        status: Status::Running,
        started: Some(now()),
        finished: None,
        process: Some(process),
        supervisor: Some(ProcessRef::current()?),
        monitored: true,
        ending_signal: None,
        exit: None,
        oom_killed: false,
        error: None,
        health: health_of(request.options).map(|_| Default::default()),
        again: Again { at: None, ..request.state.again },
        boot_id: request.store.here().boot_id.clone(),
        pid_namespace: request.store.here().pid_namespace,
        cgroup: cgroup.map(|cgroup| cgroup.location().clone()),
        ..request.state.clone()
    };
    write_files_for_caller(request.options, request.cidfile.as_deref(), &state)?;
    if let (Some(path), Some(monitor)) = (&request.options.monitor_pidfile, &state.supervisor) {
        std::fs::write(path, format!("{}\n", monitor.pid)).map_err(|error| EngineError::File {
            path: path.display().to_string(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })?;
    }
    request.dir.write_state(&state)?;
    Ok((process, request.dir.reopen()?))
}

fn error_told(error: &EngineError) -> Told {
    use boxr_runtime::Error as Runtime;
    match error {
        EngineError::Runtime(Runtime::Step(e)) => {
            Told::Step { step: e.step as u8, object: e.object.clone(), errno: e.errno.raw_os_error() }
        }
        EngineError::Runtime(Runtime::IdMapHelper { program, reason }) => {
            Told::Helper { second: *program == "newgidmap", reason: reason.clone() }
        }
        EngineError::Runtime(Runtime::Cgroup(e)) => Told::Lost { how: e.to_string() },
        EngineError::System { doing, errno } => {
            Told::Store { doing: doing.clone(), errno: errno.raw_os_error() }
        }
        EngineError::Network(boxr_network::Error::System { doing, object, errno }) => {
            Told::Store { doing: format!("{doing} {object}"), errno: errno.raw_os_error() }
        }
        EngineError::Network(other) => Told::Network(other.into()),
        other => Told::Lost { how: other.to_string() },
    }
}

fn hear_outcome(hear: &OwnedFd, name: &str) -> Result<Started, EngineError> {
    let lost = || EngineError::MonitorLost { name: name.to_owned() };
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        match rustix::io::read(hear, &mut buffer) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR) => {}
            Err(_) => return Err(lost()),
        }
    }
    let errno = Errno::from_raw_os_error;
    Err(match serde_json::from_slice(&text).map_err(|_| lost())? {
        Told::Started { process } => return Ok(Started { process }),
        Told::Step { step, object, errno: number } => {
            let step = Step::from_number(step).ok_or_else(lost)?;
            StepError::new(step, object, errno(number)).into()
        }
        Told::Helper { second, reason } => {
            let program = if second { "newgidmap" } else { "newuidmap" };
            boxr_runtime::Error::IdMapHelper { program, reason }.into()
        }
        Told::Lost { how } => boxr_runtime::Error::ChildLost { how }.into(),
        Told::Network(told) => boxr_network::Error::from(told).into(),
        Told::Store { doing, errno: number } => EngineError::system(doing, errno(number)),
    })
}
