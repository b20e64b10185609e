//! From a bundle to a first process that waits: what `create`, `run` and `restore` have in common.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_runtime::Plan;
use boxr_runtime::capabilities;
use boxr_runtime::hooks::{HookKind, Hooks};
use boxr_runtime::identity::ProcessRef;
use boxr_runtime::idmap::Writer;
use boxr_runtime::intel_rdt::Leftovers;
use boxr_runtime::own_binary;
use boxr_runtime::plan::{CgroupPlan, Extras, Home, OciExtras, RootEntry, StartedBy};
use boxr_runtime::process::parent::{Spawned, spawn};
use boxr_runtime::process::start;
use boxr_runtime::stdio::Stdio;
use boxr_runtime::timestamp;
use boxr_runtime::told;
use boxr_sys::signal::{self, Mask};
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::bundle::Bundle;
use crate::cgroup::cgroup;
use crate::cli::Globals;
use crate::cli::words::Words;
use crate::console;
use crate::container::{Container, FORMAT, State, write_pid_file};
use crate::error::Error;
use crate::inherited::{Descriptors, give_streams_to};
use crate::log::Log;
use crate::notify;
use crate::store;

/// What is made of a bundle.
#[derive(Debug)]
pub struct Creation {
    /// Its id.
    pub id: String,
    /// From what.
    pub bundle: Bundle,
    /// Who gets the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// A file that gets the pid.
    pub pid_file: Option<PathBuf>,
    /// Descriptors that are inherited.
    pub descriptors: Descriptors,
    /// Who lets the command run.
    pub starter: Starter,
    /// Whose session keyring it has.
    pub keyring: Keyring,
    /// How its root is entered.
    pub root_entry: RootEntry,
}

/// Whose session keyring a container has (session-keyring(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyring {
    /// One of its own.
    New,
    /// The caller's.
    Callers,
}

impl Keyring {
    /// The name that runc's have.
    fn name(self, id: &str) -> Option<String> {
        (self == Self::New).then(|| format!("_ses.{id}"))
    }
}

/// Who lets the command run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    /// This boxr (`run`).
    This,
    /// A later one (`create`).
    Later,
}

/// A container whose first process waits.
#[derive(Debug)]
pub struct Made {
    /// Its directory; locked.
    pub container: Container,
    /// Its state, as written.
    pub state: State,
    /// Its first process.
    pub spawned: Spawned,
    /// Its hooks.
    pub hooks: Option<Hooks>,
    /// Signals to this process, as a descriptor.
    pub signals: OwnedFd,
}

impl Creation {
    /// Reads what `create` and `run` are told alike.
    ///
    /// # Errors
    /// The command line, or the bundle.
    pub fn read(words: &Words, command: &str, starter: Starter) -> Result<Self, Error> {
        let id = words.only_id(command)?.to_owned();
        store::check_id(&id)?;
        let absolute =
            |path: PathBuf| std::path::absolute(&path).map_err(|error| Error::io("use", path, error));
        let console_socket = words.path("console-socket").map(absolute).transpose()?;
        let pid_file = words.path("pid-file").map(absolute).transpose()?;
        let descriptors = Descriptors::read(words)?;
        let mut bundle = read_protected(words.path("bundle").as_deref())?;
        if let Some(process) = bundle.spec.process_mut() {
            descriptors.announce(process);
        }
        let keyring = if words.on("no-new-keyring") { Keyring::Callers } else { Keyring::New };
        let root_entry = if words.on("no-pivot") { RootEntry::MoveAndChroot } else { RootEntry::Pivot };
        Ok(Self { id, bundle, console_socket, pid_file, descriptors, starter, keyring, root_entry })
    }

    /// Makes the container, up to its command. On an error nothing is left behind.
    ///
    /// # Errors
    /// Every step has its own.
    pub fn make(mut self, globals: &Globals) -> Result<Made, Error> {
        self.bundle.warnings.iter().for_each(|warning| globals.log.warn(warning));
        self.check_terminal()?;
        // Relative paths of the specification are the bundle's.
        std::env::set_current_dir(&self.bundle.path)
            .map_err(|error| Error::io("enter the bundle", &self.bundle.path, error))?;
        let hooks = Hooks::new(&self.bundle.spec, &self.id, self.bundle.path.clone())?;
        let container = store::claim(&globals.root, &self.id)?;
        let made = notify::prepare(&container, &mut self.bundle.spec)
            .and_then(|()| self.make_in(globals, &container, hooks.clone()));
        match made {
            Ok((state, spawned, signals)) => Ok(Made { container, state, spawned, hooks, signals }),
            Err(error) => {
                clean_up(&container, hooks.as_ref(), self.pid_file.as_deref(), &globals.log);
                Err(error)
            }
        }
    }

    fn make_in(
        &self,
        globals: &Globals,
        container: &Container,
        hooks: Option<Hooks>,
    ) -> Result<(State, Spawned, OwnedFd), Error> {
        let started_by = match self.starter {
            Starter::This => StartedBy::Maker,
            Starter::Later => StartedBy::Another { listener: start::listen_in(container.dir())? },
        };
        let plan = self.plan(globals, hooks, started_by)?;
        let session_keyring = self.keyring.name(&self.id);
        let mut state = State { session_keyring, ..first_state(&self.id, &self.bundle) };
        if let Some(rdt) = &plan.intel_rdt {
            state.intel_rdt = rdt.leftovers();
        }
        if let CgroupPlan::New(cgroup) = &plan.cgroup {
            state.cgroup = Some(cgroup.location().clone());
        }
        container.write_config(&self.bundle.text)?;
        // Before anything is made: who is killed from here on leaves a container that can be deleted.
        container.write_first_state(&state)?;
        let (signals, mask) = signal::take_all().map_err(Error::system("receive signals"))?;
        if let Some(process) = self.bundle.spec.process()
            && !state.user_namespace
        {
            give_streams_to(process)?;
        }
        let spawned = self.spawn(plan, &mask)?;
        match self.note(container, &mut state, &spawned) {
            Ok(()) => Ok((state, spawned, signals)),
            Err(error) => {
                spawned.abandon();
                Err(error)
            }
        }
    }

    fn spawn(&self, plan: Plan, mask: &Mask) -> Result<Spawned, Error> {
        let spawned = spawn(plan, mask)?;
        let Some(master) = &spawned.terminal else { return Ok(spawned) };
        let process = self.bundle.spec.process().as_ref();
        let given = console::hand_out(master.as_fd(), process, self.console_socket.as_deref());
        match given {
            Ok(()) => Ok(spawned),
            Err(error) => {
                spawned.abandon();
                Err(error)
            }
        }
    }

    /// Writes down what waits, before it may run.
    fn note(&self, container: &Container, state: &mut State, spawned: &Spawned) -> Result<(), Error> {
        let pid = spawned.pid.as_raw_nonzero().get();
        state.process = ProcessRef::of(pid)?;
        if let Some(cgroup) = &spawned.cgroup {
            // Where a scope of systemd's is turns out when it is made.
            state.cgroup = Some(cgroup.location().clone());
        }
        container.write_state(state)?;
        if let Some(socket) = annotation(&self.bundle.spec, "run.oci.pidfd_receiver") {
            console::send_descriptor(Path::new(socket), b"pidfd", spawned.pidfd.as_fd())
                .map_err(|errno| Error::at("send the pidfd to", socket, errno))?;
        }
        match &self.pid_file {
            Some(file) => write_pid_file(file, pid),
            None => Ok(()),
        }
    }

    fn plan(&self, globals: &Globals, hooks: Option<Hooks>, started_by: StartedBy) -> Result<Plan, Error> {
        let spec = &self.bundle.spec;
        let extras = Extras {
            joined: Vec::new(),
            map_writer: map_writer(spec)?,
            above: None,
            root_source: None,
            trees: Vec::new(),
            cgroup: cgroup(globals, &self.id, spec)?,
            stdio: if wants_terminal(spec) { Stdio::TerminalInside } else { Stdio::Inherit },
            preserve_fds: self.descriptors.count(),
            hooks,
            started_by,
            init: false,
            pause: false,
            die_with_parent: false,
            new_session: true,
            keep_groups: annotation(spec, "run.oci.keep_original_groups").is_some_and(|value| value == "1"),
            keep_user: false,
            trace: false,
            confinement: Default::default(),
            oci: OciExtras {
                id: Some(self.id.clone()),
                session_keyring: self.keyring.name(&self.id),
                root_entry: self.root_entry,
                home: Home::FromPasswd,
                filter_cache: Some(store::filter_cache(&globals.root)),
                told: told::state(spec, &self.id, self.bundle.path.clone()),
                ..OciExtras::default()
            },
        };
        Ok(Plan::new(spec, extras)?)
    }

    fn check_terminal(&self) -> Result<(), Error> {
        let terminal = wants_terminal(&self.bundle.spec);
        let mistake = match (self.starter, terminal, &self.console_socket) {
            (Starter::Later, true, None) => {
                "cannot allocate tty if boxr-oci will detach without setting console socket"
            }
            (Starter::Later, false, Some(_)) => {
                "cannot use console socket if boxr-oci will not detach or allocate tty"
            }
            _ => return Ok(()),
        };
        Err(Error::Usage(mistake.to_owned()))
    }
}

/// What is known of a container before anything of it is made.
pub fn first_state(id: &str, bundle: &Bundle) -> State {
    let created = timestamp::format(timestamp::now());
    State {
        format: FORMAT,
        oci_version: bundle.spec.version().clone(),
        id: id.to_owned(),
        bundle: bundle.path.clone(),
        rootfs: bundle.rootfs(),
        created: String::from_utf8_lossy(&created).into_owned(),
        owner: rustix::process::geteuid().as_raw(),
        process: None,
        user_namespace: has_namespace(&bundle.spec, LinuxNamespaceType::User),
        cgroup: None,
        session_keyring: None,
        intel_rdt: Leftovers::default(),
    }
}

/// Reads a bundle in a process whose program its container cannot write, where that is in question. As
/// it starts anew for that it is done before the specification is read, if that is clear beforehand.
fn read_protected(path: Option<&Path>) -> Result<Bundle, Error> {
    let text = Bundle::text(path)?;
    let may_have_user_namespace = text.mentions_id_maps();
    if !may_have_user_namespace {
        protect()?;
    }
    let bundle = text.parse()?;
    if may_have_user_namespace && !has_namespace(&bundle.spec, LinuxNamespaceType::User) {
        protect()?;
    }
    Ok(bundle)
}

/// For a container whose root is the caller's: root.
///
/// # Errors
/// No protected copy of the program can be made.
pub fn protect() -> Result<(), Error> {
    if capabilities::is_privileged().map_err(Error::system("read my capabilities"))? {
        own_binary::protect()?;
    }
    Ok(())
}

impl Made {
    /// Takes back what was made, for an error after it.
    pub fn undo(self, pid_file: Option<&Path>, log: &Log) {
        self.spawned.abandon();
        clean_up(&self.container, self.hooks.as_ref(), pid_file, log);
    }
}

/// What is left when there is no first process any more: the specification has the hooks of the
/// end run here too.
pub fn clean_up(container: &Container, hooks: Option<&Hooks>, pid_file: Option<&Path>, log: &Log) {
    if let Some(file) = pid_file {
        // Perhaps never written.
        std::fs::remove_file(file).unwrap_or_default();
    }
    if let Err(error) = container.remove() {
        log.warn(&error.to_string());
    }
    run_regardless(hooks, HookKind::Poststop, None, log);
}

/// Runs hooks whose failure changes nothing.
pub fn run_regardless(hooks: Option<&Hooks>, kind: HookKind, pid: Option<i32>, log: &Log) {
    for error in hooks.iter().flat_map(|hooks| hooks.run_regardless(kind, pid)) {
        log.warn(&error.to_string());
    }
}

/// Whether the specification asks for a terminal.
pub fn wants_terminal(spec: &Spec) -> bool {
    spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false))
}

/// Whether it has a namespace of this type, new or joined, beside the caller's.
pub fn has_namespace(spec: &Spec, typ: LinuxNamespaceType) -> bool {
    let mut namespaces = spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    namespaces.any(|namespace| namespace.typ() == typ)
}

/// An annotation of the container.
pub fn annotation<'s>(spec: &'s Spec, key: &str) -> Option<&'s str> {
    spec.annotations().as_ref()?.get(key).map(String::as_str)
}

/// Who can write the id maps of `spec`: boxr where it may, otherwise the setuid helpers, or for one id
/// of the caller's own the first process itself.
fn map_writer(spec: &Spec) -> Result<Writer, Error> {
    let Some(linux) = spec.linux() else { return Ok(Writer::Boxr) };
    let new_user = linux
        .namespaces()
        .iter()
        .flatten()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::User && namespace.path().is_none());
    if !new_user || capabilities::is_privileged().map_err(Error::system("read my capabilities"))? {
        return Ok(Writer::Boxr);
    }
    let own = |maps: &Option<Vec<oci_spec::runtime::LinuxIdMapping>>, id: u32| matches!(maps.as_deref(), Some([map]) if map.size() == 1 && map.host_id() == id);
    let alone = own(linux.uid_mappings(), rustix::process::geteuid().as_raw())
        && own(linux.gid_mappings(), rustix::process::getegid().as_raw());
    Ok(if alone { Writer::FirstProcess } else { Writer::Helpers })
}
