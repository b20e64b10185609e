//! `restore`: a container that was checkpointed goes on.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_cgroup::Cgroup;
use boxr_runtime::hooks::{HookKind, Hooks};
use boxr_runtime::identity::ProcessRef;
use boxr_runtime::plan::CgroupPlan;
use boxr_runtime::process::parent::Running;
use boxr_runtime::timestamp;
use boxr_sys::signal;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use super::checkpoint::warn_without_privileges;
use super::delete;
use super::run::{Then, check_terminal, finish, wait};
use crate::bundle::Bundle;
use crate::cgroup::cgroup;
use crate::cli::Globals;
use crate::cli::words::Words;
use crate::console;
use crate::container::{Container, State, write_pid_file};
use crate::creation::{clean_up, first_state};
use crate::criu::images::{self, Directories, Images};
use crate::criu::options::Options;
use crate::criu::rpc::{Kind, Request, Version};
use crate::criu::service::Streams;
use crate::criu::{self, Event, Service, descriptors, flags, mounts, namespaces, private_mounts};
use crate::error::Error;
use crate::store;

const LOG: &str = "restore.log";

/// From this criu on another security profile than that of the images can be had.
const OTHER_PROFILES: Version = Version(31600);

/// Runs the command.
///
/// # Errors
/// criu's reason; nothing is left behind.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    restore(globals, words).map_err(Error::failed("boxr-oci restore"))
}

fn restore(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let then = if words.on("detach") { Then::Leave } else { Then::WaitAndDelete };
    let restoration = Restoration::read(words)?;
    restoration.check_terminal(then)?;
    warn_without_privileges(globals)?;
    if then != Then::Leave && !words.on("no-subreaper") {
        rustix::process::set_child_subreaper(Some(getpid())).map_err(Error::system("become a subreaper"))?;
    }
    let container = store::claim(&globals.root, &restoration.id)?;
    let pid_file = restoration.pid_file.clone();
    let (state, running, signals) = match restoration.make(globals, words, &container) {
        Ok(made) => made,
        Err(error) => {
            clean_up(&container, restoration.hooks.as_ref(), pid_file.as_deref(), &globals.log);
            return Err(images::explain(error, restoration.directories.log(LOG), &globals.log));
        }
    };
    container.unlock()?;
    let hooks = restoration.hooks.as_ref();
    let result = finish(globals, &container, &state, hooks, wait(running, signals, then), then);
    if then == Then::WaitAndDelete
        && let Some(file) = pid_file
    {
        // Of a container that is no more; perhaps its reader has removed it.
        std::fs::remove_file(file).unwrap_or_default();
    }
    result
}

/// What is restored, and from what.
#[derive(Debug)]
struct Restoration {
    id: String,
    bundle: Bundle,
    rootfs: PathBuf,
    hooks: Option<Hooks>,
    directories: Directories,
    console_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

impl Restoration {
    /// Reads everything that can be wrong before anything is made.
    fn read(words: &Words) -> Result<Self, Error> {
        let id = words.only_id("restore")?.to_owned();
        store::check_id(&id)?;
        let absolute =
            |path: PathBuf| std::path::absolute(&path).map_err(|error| Error::io("use", path, error));
        let console_socket = words.path("console-socket").map(absolute).transpose()?;
        let pid_file = words.path("pid-file").map(absolute).transpose()?;
        let directories = Directories::open(words, Images::Read)?;
        let bundle = Bundle::text(words.path("bundle").as_deref())?.parse()?;
        let hooks = Hooks::new(&bundle.spec, &id, bundle.path.clone())?;
        // Relative paths of the specification are the bundle's.
        std::env::set_current_dir(&bundle.path)
            .map_err(|error| Error::io("enter the bundle", &bundle.path, error))?;
        let rootfs = bundle.rootfs();
        let rootfs = rootfs.canonicalize().map_err(|error| Error::io("use the root", rootfs, error))?;
        Ok(Self { id, bundle, rootfs, hooks, directories, console_socket, pid_file })
    }

    fn check_terminal(&self, then: Then) -> Result<(), Error> {
        check_terminal(&self.bundle.spec, self.console_socket.as_deref(), then)
    }

    /// Makes the container, up to its running processes. On an error its cgroup is removed.
    fn make(
        &self,
        globals: &Globals,
        words: &Words,
        container: &Container,
    ) -> Result<(State, Running, OwnedFd), Error> {
        let plan = cgroup(globals, &self.id, &self.bundle.spec)?;
        let mut state = State { rootfs: self.rootfs.clone(), ..first_state(&self.id, &self.bundle) };
        if let CgroupPlan::New(plan) = &plan {
            state.cgroup = Some(plan.location().clone());
        }
        container.write_config(&self.bundle.text)?;
        // Before anything is made: who is killed from here on leaves a container that can be deleted.
        container.write_state(&state)?;
        let mut made = match plan {
            CgroupPlan::New(plan) => Some(plan.create()?),
            _ => None,
        };
        match self.restore(globals, words, container, &mut state, made.as_mut()) {
            Ok((running, signals)) => Ok((state, running, signals)),
            Err(error) => match state.cgroup.as_ref().map_or(Ok(()), delete::remove_cgroup) {
                Ok(()) => Err(error),
                Err(second) => Err(Error::Several(vec![error, second])),
            },
        }
    }

    fn restore(
        &self,
        globals: &Globals,
        words: &Words,
        container: &Container,
        state: &mut State,
        cgroup: Option<&mut Cgroup>,
    ) -> Result<(Running, OwnedFd), Error> {
        let streams = descriptors::load(&self.directories.path)?;
        let namespaces = namespaces::for_restore(&self.bundle.spec)?;
        private_mounts::within(|| mounts::make_places(&self.rootfs, &self.bundle.spec))?;
        let (mut service, directories) = private_mounts::within(|| {
            make_mount_point(&self.rootfs)?;
            let directories = self.directories.reopen()?;
            let inherited = streams.open.into_iter().chain(namespaces.open).collect();
            Ok((Service::start(&globals.criu, Streams::Callers, inherited)?, directories))
        })?;
        // criu is not to inherit that signals are blocked.
        let (signals, _) = signal::take_all().map_err(Error::system("receive signals"))?;
        let version = service.version()?;
        namespaces::check_version(&self.bundle.spec, version)?;
        if let Some(cgroup) = cgroup {
            enter_cgroup(cgroup, service.pid())?;
            state.cgroup = Some(cgroup.location().clone());
            container.write_state(state)?;
        }
        let mut options = self.options(words, &directories, version, state)?;
        options.cg_root = cgroups_of(service.pid())?;
        options.inherit_fd = [streams.inherited, namespaces.inherited].concat();
        options.join_ns = namespaces.joined;
        let events = Events { of: self, container, state: RefCell::new(state), terminal: RefCell::default() };
        let request = Request::Work(Kind::Restore, &options);
        let response = service.work(&request, |event| events.heed(event))?;
        let terminal = events.terminal.into_inner();
        let running = running(response.restored, terminal)?;
        let status = service.end()?;
        if status.success() {
            return Ok((running, signals));
        }
        signal::send(running.pidfd.as_fd(), rustix::process::Signal::KILL.as_raw())
            .map_err(Error::system("end the restored process"))?;
        Err(criu::Error::Ended { how: status.to_string() }.into())
    }

    fn options(
        &self,
        words: &Words,
        directories: &Directories,
        criu: Version,
        state: &State,
    ) -> Result<Options, Error> {
        let spec = &self.bundle.spec;
        let shared = flags::read(words, spec, directories)?;
        let profile = |flag: &'static str| -> Result<Option<String>, Error> {
            match words.text(flag)?.filter(|value| !value.is_empty()) {
                Some(_) if criu < OTHER_PROFILES => {
                    Err(criu::Error::TooOld { what: flag, needed: OTHER_PROFILES, found: criu }.into())
                }
                value => Ok(value.map(str::to_owned)),
            }
        };
        Ok(Options {
            log_file: LOG,
            root: self.rootfs.clone(),
            rst_sibling: true,
            evasive_devices: true,
            external: mounts::for_restore(spec, state.cgroup.as_ref())?,
            lsm_profile: profile("lsm-profile")?,
            lsm_mount_context: profile("lsm-mount-context")?,
            ..shared
        })
    }
}

/// criu's root must be a mount point, whose own mount nothing covers.
fn make_mount_point(rootfs: &Path) -> Result<(), Error> {
    let failed = |errno| Error::at("bind the root to itself", rootfs, errno);
    if is_mount_point(rootfs).map_err(failed)? {
        return Ok(());
    }
    rustix::mount::mount_bind_recursive(rootfs, rootfs).map_err(failed)
}

fn is_mount_point(path: &Path) -> Result<bool, rustix::io::Errno> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::empty())?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// What criu starts is born where criu is.
fn enter_cgroup(cgroup: &mut Cgroup, criu: u32) -> Result<(), Error> {
    let pid = criu.cast_signed();
    if cgroup.waits_for_process() {
        cgroup.adopt(pid)?;
        return Ok(cgroup.add_legacy(pid)?);
    }
    Ok(cgroup.add(pid)?)
}

/// The cgroups of criu, each controller on its own: those in the images are put below them.
fn cgroups_of(criu: u32) -> Result<Vec<(String, String)>, Error> {
    let path = format!("/proc/{criu}/cgroup");
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", path, error))?;
    Ok(parse_cgroups(&text))
}

fn parse_cgroups(text: &str) -> Vec<(String, String)> {
    let mut roots = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        roots.extend(controllers.split(',').map(|controller| (controller.to_owned(), path.to_owned())));
    }
    roots
}

fn running(pid: Option<i32>, terminal: Option<OwnedFd>) -> Result<Running, Error> {
    let lost = || criu::Error::Malformed { request: Kind::Restore.word() };
    let pid = pid.and_then(Pid::from_raw).ok_or_else(lost)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(Error::system("open the restored process"))?;
    Ok(Running::of_child(pid, pidfd, terminal))
}

/// What boxr does when criu tells of a step.
#[derive(Debug)]
struct Events<'a> {
    of: &'a Restoration,
    container: &'a Container,
    state: RefCell<&'a mut State>,
    /// The terminal's master, where nobody else gets it.
    terminal: RefCell<Option<OwnedFd>>,
}

impl Events<'_> {
    fn heed(&self, event: Event) -> Result<(), Error> {
        match event {
            Event::SetupNamespaces { pid } => self.run_hooks(pid),
            Event::PostRestore { pid } => self.note(pid),
            Event::Terminal(master) => match &self.of.console_socket {
                Some(socket) => console::send(socket, master.as_fd()),
                None => {
                    self.terminal.replace(Some(master));
                    Ok(())
                }
            },
            Event::StatusReady | Event::Other(_) => Ok(()),
        }
    }

    fn run_hooks(&self, pid: i32) -> Result<(), Error> {
        let Some(hooks) = &self.of.hooks else { return Ok(()) };
        for kind in [HookKind::Prestart, HookKind::CreateRuntime] {
            hooks.run(kind, Some(pid))?;
        }
        Ok(())
    }

    /// Writes down what is restored, before it runs.
    fn note(&self, pid: i32) -> Result<(), Error> {
        let mut state = self.state.borrow_mut();
        state.process = ProcessRef::of(pid)?;
        state.created = String::from_utf8_lossy(&timestamp::format(timestamp::now())).into_owned();
        self.container.write_state(&state)?;
        match &self.of.pid_file {
            Some(file) => write_pid_file(file, pid),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_controller_has_its_root() {
        let text = "5:cpu,cpuacct:/a:b\n2:name=systemd:/c\n0::/d\n";
        let roots = parse_cgroups(text);
        let pair = |controller: &str, path: &str| (controller.to_owned(), path.to_owned());
        assert_eq!(
            roots,
            [pair("cpu", "/a:b"), pair("cpuacct", "/a:b"), pair("name=systemd", "/c"), pair("", "/d")]
        );
    }

    #[test]
    fn only_a_mount_is_a_mount_point() {
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert!(!is_mount_point(Path::new("/proc/self")).unwrap());
    }
}
