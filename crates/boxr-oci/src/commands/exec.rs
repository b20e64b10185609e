//! `exec`: a further process in a container.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use boxr_runtime::Plan;
use boxr_runtime::config;
use boxr_runtime::identity::ProcessRef;
use boxr_runtime::idmap::Writer;
use boxr_runtime::namespaces;
use boxr_runtime::plan::{CgroupPlan, Extras, Home, OciExtras, StartedBy};
use boxr_runtime::process::parent::{Spawned, spawn};
use boxr_runtime::stdio::Stdio;
use boxr_runtime::told;
use boxr_sys::signal;
use oci_spec::runtime::{Capability, ContainerState, LinuxCapabilities, Process, Spec};

use crate::cli::Globals;
use crate::cli::words::{Words, text};
use crate::console;
use crate::container::{Container, State, Status, write_pid_file};
use crate::creation::{annotation, protect};
use crate::error::Error;
use crate::foreground::Foreground;
use crate::inherited::{Descriptors, give_streams_to};
use crate::store;

/// Runs the command.
///
/// # Errors
/// The step that failed.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    exec(globals, words).map_err(Error::failed("exec"))
}

fn exec(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let (id, args) = words
        .rest
        .split_first()
        .ok_or_else(|| Error::Usage("\"exec\" requires a container ID and a command".into()))?;
    let descriptors = Descriptors::of_exec(words)?;
    let container = Container::open(&globals.root, text(id)?)?;
    let state = container.state()?;
    if !state.user_namespace {
        protect()?;
    }
    match container.status(&state)? {
        Status::Stopped | Status::Creating => {
            return Err(Error::WrongState("cannot exec in a stopped container".into()));
        }
        Status::Paused if !words.on("ignore-paused") => {
            let why = "cannot exec in a paused container (use --ignore-paused to override)";
            return Err(Error::WrongState(why.into()));
        }
        _ => {}
    }
    let spec = container.spec()?;
    let args = args.iter().map(|word| text(word).map(str::to_owned)).collect::<Result<Vec<_>, _>>()?;
    let process = process(&spec, words, args)?;
    let first = state.process.ok_or_else(|| Error::WrongState("container not running".into()))?;
    let console_socket = words.path("console-socket");
    let leaves = words.on("detach");
    check_terminal(&process, console_socket.as_deref(), leaves)?;
    let plan = plan(globals, &state, &spec, &process, first, words, descriptors)?;
    if !state.user_namespace {
        give_streams_to(&process)?;
    }
    let (signals, mask) = signal::take_all().map_err(Error::system("receive signals"))?;
    let spawned = spawn(plan, &mask)?;
    let spawned = hand_out(spawned, &process, console_socket.as_deref(), words)?;
    if leaves {
        spawned.go()?;
        return Ok(0);
    }
    Foreground::new(spawned.release()?, signals)?.run()
}

/// Gives the terminal, the pid and the pidfd to those who wait for them.
fn hand_out(
    spawned: Spawned,
    process: &Process,
    console_socket: Option<&Path>,
    words: &Words,
) -> Result<Spawned, Error> {
    let given = (|| {
        if let Some(master) = &spawned.terminal {
            console::hand_out(master.as_fd(), Some(process), console_socket)?;
        }
        if let Some(file) = words.path("pid-file") {
            write_pid_file(&file, spawned.pid.as_raw_nonzero().get())?;
        }
        if let Some(socket) = words.path("pidfd-socket") {
            console::send_descriptor(&socket, b"pidfd", spawned.pidfd.as_fd())
                .map_err(|errno| Error::at("send the pidfd to", socket, errno))?;
        }
        Ok(())
    })();
    match given {
        Ok(()) => Ok(spawned),
        Err(error) => {
            spawned.abandon();
            Err(error)
        }
    }
}

fn plan(
    globals: &Globals,
    state: &State,
    spec: &Spec,
    process: &Process,
    first: ProcessRef,
    words: &Words,
    descriptors: Descriptors,
) -> Result<Plan, Error> {
    let joined = namespaces::of_process(first.pid).map_err(|(kind, errno)| {
        let path = PathBuf::from(format!("/proc/{}/ns/{}", first.pid, kind.proc_name()));
        Error::at("open the namespace", path, errno)
    })?;
    if !first.is_alive() {
        return Err(Error::WrongState("container not running".into()));
    }
    let extras = Extras {
        joined,
        map_writer: Writer::FirstProcess,
        above: None,
        root_source: None,
        trees: Vec::new(),
        cgroup: cgroup(state, words)?,
        stdio: if process.terminal().unwrap_or(false) { Stdio::TerminalInside } else { Stdio::Inherit },
        preserve_fds: descriptors.count(),
        hooks: None,
        started_by: StartedBy::Maker,
        init: false,
        pause: false,
        die_with_parent: false,
        new_session: true,
        keep_groups: annotation(spec, "run.oci.keep_original_groups").is_some_and(|value| value == "1"),
        keep_user: false,
        trace: false,
        confinement: Default::default(),
        oci: OciExtras {
            session_keyring: state.session_keyring.clone(),
            home: Home::FromPasswd,
            filter_cache: Some(store::filter_cache(&globals.root)),
            told: told(spec, state),
            ..OciExtras::default()
        },
    };
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    Ok(Plan::for_exec(process, seccomp, extras)?)
}

fn told(spec: &Spec, state: &State) -> oci_spec::runtime::State {
    let mut told = told::state(spec, &state.id, state.bundle.clone());
    told.set_status(ContainerState::Running);
    told
}

fn cgroup(state: &State, words: &Words) -> Result<CgroupPlan, Error> {
    let Some(location) = &state.cgroup else { return Ok(CgroupPlan::Inherit) };
    let mut location = location.clone();
    for said in words.values("cgroup") {
        add_sub_cgroup(&mut location, text(said)?)?;
    }
    Ok(CgroupPlan::Existing(location))
}

/// `[CONTROLLER:]PATH`, below the container's own cgroup.
fn add_sub_cgroup(location: &mut boxr_cgroup::Location, said: &str) -> Result<(), Error> {
    let (controllers, path) = match said.split_once(':') {
        Some((controllers, path)) => (Some(controllers), path),
        None => (None, said),
    };
    let below = Path::new(path.trim_start_matches('/'));
    if below.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(Error::Usage(format!("--cgroup {said}: not below the container's cgroup")));
    }
    match controllers {
        None => {
            let all = location.unified.iter_mut().chain(location.legacy.values_mut());
            all.for_each(|directory| *directory = directory.join(below));
        }
        Some(list) => {
            for name in list.split(',') {
                let directory = location.legacy.get_mut(name).ok_or_else(|| {
                    Error::Usage(format!("--cgroup {said}: the container has no cgroup of controller {name}"))
                })?;
                *directory = directory.join(below);
            }
        }
    }
    Ok(())
}

/// The process of a file, or that of the container with another command.
fn process(spec: &Spec, words: &Words, args: Vec<String>) -> Result<Process, Error> {
    if let Some(file) = words.path("process") {
        let text = std::fs::read(&file).map_err(|error| Error::io("read", &file, error))?;
        return config::read_process(&text)
            .map(|read| read.value)
            .map_err(|error| Error::Config { path: file, why: error.to_string() });
    }
    if args.is_empty() {
        return Err(Error::Usage("process args cannot be empty".into()));
    }
    let mut process = spec.process().clone().unwrap_or_default();
    process.set_args(Some(args)).set_terminal(Some(words.on("tty")));
    // A size was the first process's.
    process.set_console_size(None);
    if let Some(directory) = words.path("cwd") {
        process.set_cwd(directory);
    }
    let mut env = process.env().clone().unwrap_or_default();
    for entry in words.values("env") {
        env.push(text(entry)?.to_owned());
    }
    process.set_env(Some(env));
    if words.on("no-new-privs") {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(profile) = words.text("apparmor")? {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if let Some(label) = words.text("process-label")? {
        process.set_selinux_label(Some(label.to_owned()));
    }
    set_user(&mut process, words)?;
    add_capabilities(&mut process, words)?;
    Ok(process)
}

fn set_user(process: &mut Process, words: &Words) -> Result<(), Error> {
    let wrong = |text: &str| Error::Usage(format!("{text:?}: not a number, as UID[:GID] are here"));
    let number = |text: &str| text.parse::<u32>().map_err(|_| wrong(text));
    let mut user = process.user().clone();
    if let Some(said) = words.text("user")? {
        let (uid, gid) = said.split_once(':').map_or((said, None), |(uid, gid)| (uid, Some(gid)));
        user.set_uid(number(uid)?);
        if let Some(gid) = gid {
            user.set_gid(number(gid)?);
        }
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    for group in words.values("additional-gids") {
        groups.push(number(text(group)?)?);
    }
    user.set_additional_gids(Some(groups));
    process.set_user(user);
    Ok(())
}

/// Each goes into all five sets, as runc does it.
fn add_capabilities(process: &mut Process, words: &Words) -> Result<(), Error> {
    let mut names = Vec::new();
    for name in words.values("cap") {
        let name = text(name)?;
        let unknown = |_| Error::Usage(format!("unknown capability {name:?}"));
        let bare = name.strip_prefix("CAP_").unwrap_or(name);
        names.push(bare.parse::<Capability>().map_err(unknown)?);
    }
    if names.is_empty() {
        return Ok(());
    }
    let mut sets = process.capabilities().clone().unwrap_or_else(empty_capabilities);
    let with = |set: &Option<oci_spec::runtime::Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend(names.iter().copied());
        Some(set)
    };
    let [bounding, effective, inheritable, permitted, ambient] =
        [sets.bounding(), sets.effective(), sets.inheritable(), sets.permitted(), sets.ambient()].map(with);
    sets.set_bounding(bounding).set_effective(effective).set_inheritable(inheritable);
    sets.set_permitted(permitted).set_ambient(ambient);
    process.set_capabilities(Some(sets));
    Ok(())
}

fn empty_capabilities() -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(None).set_effective(None).set_inheritable(None).set_permitted(None).set_ambient(None);
    sets
}

fn check_terminal(process: &Process, console_socket: Option<&Path>, leaves: bool) -> Result<(), Error> {
    let mistake = match (process.terminal().unwrap_or(false), console_socket) {
        (true, None) if leaves => {
            "cannot allocate tty if boxr-oci will detach without setting console socket"
        }
        (_, Some(_)) if !leaves => "cannot use console socket if boxr-oci will not detach or allocate tty",
        _ => return Ok(()),
    };
    Err(Error::Usage(mistake.to_owned()))
}
