//! A box that runs as boxr's own child, with the caller's standard descriptors or a terminal.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_runtime::plan::CgroupPlan;
use boxr_runtime::process::parent::{Running, Spawned, spawn};
use boxr_sys::signal;
use rustix::io::Errno;

use crate::events::{self, Action, Event, Journal};
use crate::id::Id;
use crate::image::mounted::MountedFiles;
use crate::image::{self, ContainerFiles};
use crate::join::{FindBox, JoinError};
use crate::lifecycle::requires;
use crate::monitor::health_of;
use crate::network;
use crate::options::{BoxOptions, Tty};
use crate::outcome::EngineError;
use crate::prepare::{self, Manner, PrepareError, Streams};
use crate::record::{Exit, FORMAT, ProcessRef, Record, State, Status};
use crate::sandbox;
use crate::sandbox::leftovers::Leftovers;
use crate::sandbox::proxy::Proxy;
use crate::status::{NamespaceIds, StatusSink, namespaces_of};
use crate::store::{BoxDir, Store};
use crate::supervise::{Finish, Supervision};
use crate::terminal::{self, DetachKeys};
use crate::timing::Timing;

/// One `boxr run`, resolved.
#[derive(Debug)]
pub struct RunRequest {
    /// What the box is.
    pub options: BoxOptions,
    /// The name that was asked for.
    pub name: Option<String>,
    /// Keys that leave the box running.
    pub detach_keys: DetachKeys,
    /// Where events go.
    pub status: Option<StatusSink>,
    /// Whether the time of each step is wanted.
    pub timing: bool,
    /// A file that gets the id.
    pub cidfile: Option<PathBuf>,
}

/// How a foreground box came to its end.
#[derive(Debug)]
pub struct Ran {
    /// How it ended, or that the person left it running.
    pub finish: Finish,
    /// Its name.
    pub name: String,
    /// Where the time of the start went, if that was asked for.
    pub timing: Option<Timing>,
    /// What the proxy of a sandbox has refused, a line each.
    pub refused: Vec<String>,
}

/// Runs a box to its end.
///
/// # Errors
/// [`EngineError`]; nothing is left behind.
pub fn run(store: &Store, mut request: RunRequest) -> Result<Ran, EngineError> {
    let mut timing = request.timing.then(Timing::start);
    let mut mark = |step: &str| {
        if let Some(timing) = &mut timing {
            timing.mark(step);
        }
    };
    requires::resolve(store, &mut request.options)?;
    requires::start_first(store, &request.options)?;
    let claim = store.create(request.name.as_deref(), request.options.retention)?;
    requires::note(store, &request.options, claim.id())?;
    let name = claim.name().to_owned();
    mark("state directory");
    image::files::make(&claim, &mut request.options)?;
    crate::attempt::make(&claim, &mut request.options)?;
    crate::volume::attach(store, &claim, &mut request.options)?;
    sandbox::landlock::with_own_directories(&claim, &mut request.options)?;
    let leftovers = Leftovers::of(&request.options)?;
    crate::secret::attach(&claim, &mut request.options)?;
    let files = ContainerFiles::of(&claim, &request.options)?;
    let mounted = MountedFiles::of(&claim, &request.options)?;
    let (master, streams) = streams(&request.options)?;
    let told = request.timing || request.status.is_some();
    let volumes = crate::volume::find(&request.options, store.paths()).map_err(PrepareError::from)?;
    crate::volume::check_memory(store, claim.id(), &request.options, &volumes)?;
    let find = find_box(store);
    let networks = network::networks(store.paths());
    network::check_names(&networks, &request.options)?;
    let mut network = network::reserve(
        store,
        &networks,
        &request.options,
        claim.id(),
        &name,
        network::hosts_of(&request.options),
    )?;
    let above = network.above(store)?;
    let around = network.surroundings(store, &request.options)?;
    let filters = request.options.sandbox.as_ref().map(|_| store.paths().state.join("filters"));
    let pod = network.take_side();
    let manner = Manner {
        streams,
        monitored: false,
        trace: told,
        files,
        mounted,
        filters,
        volumes,
        around,
        above,
        pod,
    };
    let options = network.with_files(&claim, &request.options)?;
    let (plan, _) = prepare::prepare(&options, &name, claim.id().as_str(), manner, &find)?;
    drop(options);
    mark("plan");
    let mut state = draft_state(store, claim.id().as_str(), &name, &request)?;
    if !is_recorded_meanwhile(&request.options) {
        write_record(&claim, &request)?;
    }
    state.networked = network.is_some();
    if let CgroupPlan::New(cgroup) = &plan.cgroup {
        // Known before it is made: a boxr that is killed in between must not leave one that
        // nobody knows of.
        state.cgroup = Some(cgroup.location().clone());
        claim.write_state(&state)?;
    } else if state.networked {
        claim.write_state(&state)?;
    }
    mark("state files");
    let (signals, mask) =
        signal::take_all().map_err(|errno| EngineError::system("receive signals", errno))?;
    let mut spawned = spawn(plan, &mask)?;
    mark("clone");
    let noted = note_start(&claim, &request, &spawned, &mut state)
        .and_then(|()| namespaces(&mut spawned, request.status.as_ref()));
    let connected = noted.and_then(|namespaces| {
        Ok((namespaces, network.connect(spawned.pid)?, Proxy::of(&request.options, spawned.listener.take())?))
    });
    // Held until the box has ended.
    let (namespaces, _held, proxy) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            let error = spawned.abandon_for(error);
            undo(store, &request, &state);
            return Err(error);
        }
    };
    mark("state");
    let running = if told { spawned.go() } else { spawned.release() };
    let running = running.inspect_err(|_| undo(store, &request, &state))?;
    mark("execute");
    crate::notify::started(request.options.sdnotify, None);
    if state.journaled {
        let mut events = vec![Event::of_box(&state, Action::Create), Event::of_box(&state, Action::Attach)];
        events.extend(events::of_start(&state, &request.options));
        Journal::of(store.paths()).note(&events);
    }
    let dir = claim.commit()?;
    if let Some(timing) = &mut timing {
        running.trace.iter().for_each(|(step, at)| timing.mark_in_box(step, *at));
    }
    let (running, master) = take_terminal(running, master);
    let (id, pid) = (state.id.clone(), running.pid.as_raw_nonzero().get());
    let supervision = Supervision::new(&request, running, signals, master, dir, state)?;
    if let Some(status) = &mut request.status
        && let Err(error) = status.started(&id, &name, pid, &namespaces)
    {
        supervision.abandon()?;
        remove_files(&request);
        return Err(error);
    }
    let finish = supervision.run().inspect_err(|_| remove_files(&request))?;
    if let (Some(status), Finish::Ended(exit)) = (&mut request.status, &finish) {
        status.ended(&id, *exit)?;
    }
    leftovers.end()?;
    let refused = proxy.map(Proxy::end).unwrap_or_default();
    Ok(Ran { finish, name, timing, refused })
}

/// What a start that failed has left but its directory. The error that made it fail is the one that counts.
fn undo(store: &Store, request: &RunRequest, state: &State) {
    remove_files(request);
    crate::pod::after_end(store, state).unwrap_or_default();
    if let Some(id) = Id::parse(&state.id).filter(|_| state.networked) {
        network::release(store.paths(), &id).unwrap_or_default();
    }
}

/// The namespaces of the first process, if somebody is to be told.
///
/// # Errors
/// The step that failed in it.
pub(crate) fn namespaces(
    spawned: &mut Spawned,
    status: Option<&StatusSink>,
) -> Result<NamespaceIds, EngineError> {
    if status.is_none() {
        return Ok(NamespaceIds::new());
    }
    spawned.await_prepared()?;
    Ok(namespaces_of(spawned.pid.as_raw_nonzero().get()))
}

/// The first process of a running box, by whatever addresses it.
pub fn find_box(store: &Store) -> Box<FindBox<'_>> {
    Box::new(|reference| {
        let dir = store.resolve(reference).map_err(|error| JoinError::Box(Box::new(error)))?;
        let state = dir.read_state().map_err(|error| JoinError::Box(Box::new(error)))?;
        let alive = state.process.filter(ProcessRef::is_alive);
        alive.ok_or_else(|| JoinError::NotRunning { name: reference.to_owned() })
    })
}

/// Whether the command gets a terminal of its own.
pub fn wants_terminal(options: &BoxOptions) -> bool {
    match options.tty {
        Tty::Always => true,
        Tty::Never => false,
        Tty::Auto => terminal::is_interactive(),
    }
}

fn streams(options: &BoxOptions) -> Result<(Option<OwnedFd>, Streams), EngineError> {
    if !wants_terminal(options) {
        let inherits = options.interactive || options.root.image().is_none();
        return Ok((None, if inherits { Streams::Inherit } else { without_input()? }));
    }
    if prepare::terminal_is_inside(options) {
        return Ok((None, Streams::TerminalInside));
    }
    let failed = |errno| EngineError::system("open a pseudo-terminal", errno);
    let (master, user_side) = terminal::open_pair().map_err(failed)?;
    // Before the command's first instruction: it must not see a terminal without a size.
    terminal::copy_size(master.as_fd()).map_err(failed)?;
    Ok((Some(master), Streams::Terminal(user_side)))
}

/// As docker without `-i`: a loop that reads its lines from stdin can start containers.
fn without_input() -> Result<Streams, EngineError> {
    use rustix::fs::{Mode, OFlags};
    use rustix::io::fcntl_dupfd_cloexec;
    use rustix::stdio::{stderr, stdout};
    let failed = |errno| EngineError::system("make the box's standard descriptors", errno);
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let own = |fd| fcntl_dupfd_cloexec(fd, 3).map_err(failed);
    Ok(Streams::Descriptors(null.map_err(failed)?, own(stdout())?, own(stderr())?))
}

fn take_terminal(mut running: Running, master: Option<OwnedFd>) -> (Running, Option<OwnedFd>) {
    let inside = running.terminal.take();
    (running, master.or(inside))
}

/// The state as far as it is known before there is a process. What is done here,
/// boxr does before the clone, so that the first process never has to wait for it.
fn draft_state(store: &Store, id: &str, name: &str, request: &RunRequest) -> Result<State, EngineError> {
    let mut state = new_state(store, id, name, &request.options)?;
    state.supervisor = Some(ProcessRef::current()?);
    Ok(state)
}

/// Whether its record is written while its first process makes mounts, which takes longer; else before the clone, as
/// the state is.
fn is_recorded_meanwhile(options: &BoxOptions) -> bool {
    options.sandbox.as_ref().is_some_and(|_| options.mounts.len() > 1)
}

fn write_record(dir: &BoxDir, request: &RunRequest) -> Result<(), EngineError> {
    let record = Record { format: FORMAT, id: dir.id().to_string(), options: &request.options };
    Ok(dir.write_record(&record)?)
}

/// Writes down what runs, before it does.
fn note_start(
    dir: &BoxDir,
    request: &RunRequest,
    spawned: &Spawned,
    state: &mut State,
) -> Result<(), EngineError> {
    if let Some(master) = &spawned.terminal {
        terminal::copy_size(master.as_fd())
            .map_err(|errno| EngineError::system("set the size of the terminal", errno))?;
    }
    if is_recorded_meanwhile(&request.options) {
        write_record(dir, request)?;
    }
    state.status = Status::Running;
    state.started = Some(now());
    state.health = health_of(&request.options).map(|_| Default::default());
    state.process = ProcessRef::of(spawned.pid.as_raw_nonzero().get())?;
    write_files_for_caller(&request.options, request.cidfile.as_deref(), state)?;
    Ok(dir.write_state(state)?)
}

fn remove_files(request: &RunRequest) {
    remove_files_for_caller(request.options.pidfile.as_deref(), request.cidfile.as_deref());
}

/// A state of a box that has just been made.
///
/// # Errors
/// The clock or this process cannot be read.
pub fn new_state(store: &Store, id: &str, name: &str, options: &BoxOptions) -> Result<State, EngineError> {
    let here = store.here();
    Ok(State {
        format: FORMAT,
        id: id.to_owned(),
        name: name.to_owned(),
        command: options.args.join(" "),
        image: match &options.root {
            crate::options::Root::Host => "host".to_owned(),
            crate::options::Root::Directory(path) => path.display().to_string(),
            crate::options::Root::Image(image) => image.name.clone(),
        },
        retention: options.retention,
        labels: options.labels.clone(),
        created: now(),
        started: None,
        finished: None,
        status: Status::Created,
        process: None,
        supervisor: None,
        monitored: false,
        ending_signal: None,
        exit: None,
        oom_killed: false,
        error: None,
        boot_id: here.boot_id.clone(),
        pid_namespace: here.pid_namespace,
        cgroup: None,
        pod: options.pod.as_ref().map(|pod| pod.id.clone()),
        networked: false,
        journaled: crate::events::is_journaled(options, false),
        tty: wants_terminal(options),
        health: None,
        again: Default::default(),
    })
}

/// Nanoseconds since 1970.
pub fn now() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Writes `--cidfile`, which must not exist yet (docker's rule), and `--pidfile`.
///
/// # Errors
/// [`EngineError::File`]; neither is left behind.
pub fn write_files_for_caller(
    options: &BoxOptions,
    cidfile: Option<&Path>,
    state: &State,
) -> Result<(), EngineError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| EngineError::File {
            path,
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        }
    };
    if let Some(path) = cidfile {
        let new = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
        new.and_then(|mut file| file.write_all(state.id.as_bytes())).map_err(failed(path))?;
    }
    if let (Some(path), Some(process)) = (&options.pidfile, &state.process) {
        let written = std::fs::write(path, format!("{}\n", process.pid)).map_err(failed(path));
        written.inspect_err(|_| remove_files_for_caller(None, cidfile))?;
    }
    Ok(())
}

/// Removes both files of a start that failed.
pub fn remove_files_for_caller(pidfile: Option<&Path>, cidfile: Option<&Path>) {
    for path in [pidfile, cidfile].into_iter().flatten() {
        // The failure of the start is what is reported.
        std::fs::remove_file(path).unwrap_or_default();
    }
}

/// How the runtime's word for an end is remembered, where `ending` asked for it.
pub fn exit_of(ended: boxr_sys::pidfd::Ended, ending: Option<u8>) -> Exit {
    use boxr_sys::pidfd::Ended;
    match (ended, ending) {
        (Ended::Signal(9), Some(asked)) => Exit::Signal(asked),
        (Ended::Signal(signal), _) => Exit::Signal(signal),
        (Ended::Code(code), _) => Exit::Code(code),
    }
}
