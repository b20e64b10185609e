//! `checkpoint`: a running container is kept in files by criu, and ends.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_cgroup::Location;
use boxr_runtime::capabilities;
use oci_spec::runtime::Spec;
use rustix::fs::OFlags;

use super::delete;
use crate::cli::Globals;
use crate::cli::words::Words;
use crate::container::{Container, State, Status};
use crate::criu::images::{self, Directories, Images};
use crate::criu::options::Options;
use crate::criu::rpc::{Feature, Kind, Request, Version};
use crate::criu::service::Streams;
use crate::criu::{self, Event, Service, descriptors, flags, mounts, namespaces};
use crate::error::Error;

const LOG: &str = "dump.log";

/// From this criu on a notification tells that lazy pages can be fetched.
const TELLS_READY: Version = Version(31500);

/// From this criu on the freezer of cgroup v2 is used.
const FREEZES_UNIFIED: Version = Version(31400);

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Everything; the container ends.
    All,
    /// Everything; the container goes on.
    AllOfRunning,
    /// Memory; the container goes on.
    Memory,
}

/// Runs the command.
///
/// # Errors
/// The container does not run; criu's reason. The container is as it was before.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    checkpoint(globals, words).map_err(Error::failed("boxr-oci checkpoint"))
}

fn checkpoint(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let id = words.only_id("checkpoint")?;
    let kept = match (words.on("pre-dump"), words.on("leave-running")) {
        (true, _) => Kept::Memory,
        (false, true) => Kept::AllOfRunning,
        (false, false) => Kept::All,
    };
    let container = Container::open(&globals.root, id)?;
    container.lock()?;
    let state = container.state()?;
    let status = container.status(&state)?;
    let first = match (status, state.process) {
        (Status::Running | Status::Paused, Some(process)) => process,
        (status, _) => {
            let why = format!("container {id} cannot be checkpointed in {} state", status.word());
            return Err(Error::WrongState(why));
        }
    };
    warn_without_privileges(globals)?;
    let spec = container.spec()?;
    let directories = Directories::open(words, Images::Write)?;
    let dump =
        Dump { words, state: &state, spec: &spec, directories: &directories, pid: first.pid, kept, status };
    dump.run(&globals.criu).map_err(|error| images::explain(error, directories.log(LOG), &globals.log))?;
    if kept == Kept::All {
        delete::end(&state)?;
        delete::delete(globals, &container, &state)?;
    }
    Ok(0)
}

/// criu itself says what it lacks; that it will is told beforehand, as runc does.
pub(super) fn warn_without_privileges(globals: &Globals) -> Result<(), Error> {
    if !capabilities::is_privileged().map_err(Error::system("read my capabilities"))? {
        globals.log.warn("criu needs root: without it only the simplest containers are kept, if any");
    }
    Ok(())
}

#[derive(Debug)]
struct Dump<'a> {
    words: &'a Words,
    state: &'a State,
    spec: &'a Spec,
    directories: &'a Directories,
    pid: i32,
    kept: Kept,
    status: Status,
}

impl Dump<'_> {
    fn run(&self, criu: &Path) -> Result<(), Error> {
        let mut ready = self.status_fd()?;
        let mut options = self.options()?;
        let mut service = Service::start(criu, Streams::None, Vec::new())?;
        let version = service.version()?;
        self.check_features(&mut service)?;
        options.external = namespaces::for_dump(self.spec, version)?;
        options.freeze_cgroup = self.freezer(version);
        if version < TELLS_READY {
            options.status_fd = ready.as_ref().map(AsRawFd::as_raw_fd);
        }
        let kind = if self.kept == Kept::Memory {
            Kind::PreDump
        } else {
            options.external.extend(mounts::of_process(self.pid, self.spec)?);
            options.external.extend(descriptors::save(&self.directories.path, self.pid)?);
            Kind::Dump
        };
        service.work(&Request::Work(kind, &options), |event| match event {
            Event::StatusReady => tell_ready(ready.take()),
            _ => Ok(()),
        })?;
        let status = service.end()?;
        // After a pre-dump criu waits for the dump, and takes it ill that none comes.
        if kind == Kind::PreDump || status.success() {
            return Ok(());
        }
        Err(criu::Error::Ended { how: status.to_string() }.into())
    }

    fn options(&self) -> Result<Options, Error> {
        let (words, shared) = (self.words, flags::read(self.words, self.spec, self.directories)?);
        let parent_img = parent(words, &self.directories.path)?;
        Ok(Options {
            pid: Some(self.pid),
            log_file: LOG,
            root: self.state.rootfs.clone(),
            leave_running: words.on("leave-running"),
            tcp_skip_in_flight: words.on("tcp-skip-in-flight"),
            link_remap: words.on("link-remap"),
            page_server: page_server(words)?,
            // Without it the next dump could not tell what has changed since.
            track_mem: parent_img.is_some() || self.kept == Kept::Memory,
            parent_img,
            ..shared
        })
    }

    fn check_features(&self, service: &mut Service) -> Result<(), Error> {
        let lacks = |flag, feature| Error::from(criu::Error::Lacks { flag, feature });
        if self.kept == Kept::Memory && !service.has(Feature::MemoryTracking)? {
            return Err(lacks("--pre-dump", "memory tracking (CONFIG_MEM_SOFT_DIRTY)"));
        }
        if self.words.on("lazy-pages") && !service.has(Feature::LazyPages)? {
            return Err(lacks("--lazy-pages", "userfaultfd(2) (CONFIG_USERFAULTFD)"));
        }
        Ok(())
    }

    /// Rather than by ptrace(2), all at once. What is paused was frozen by version 2's where there is one,
    /// and criu must know: it would wait for ever for a process that another freezer holds.
    fn freezer(&self, criu: Version) -> Option<PathBuf> {
        let Location { legacy, unified, .. } = self.state.cgroup.as_ref()?;
        let unified = unified.as_ref().filter(|_| criu >= FREEZES_UNIFIED);
        let legacy = legacy.get("freezer");
        match self.status {
            Status::Paused => unified.or(legacy).cloned(),
            _ => legacy.or(unified).cloned(),
        }
    }

    /// The caller's descriptor that is told when lazy pages can be fetched.
    fn status_fd(&self) -> Result<Option<OwnedFd>, Error> {
        let Some(number) = self.words.number::<i32>("status-fd")?.filter(|number| *number != -1) else {
            return Ok(None);
        };
        let wrong = |why: &str| Error::Usage(format!("invalid --status-fd argument {number}: {why}"));
        // The copy is boxr's own; the caller's is closed with boxr, as it is by every command.
        let copy = boxr_sys::fd::duplicate(number, 3)
            .map_err(|errno| wrong(&boxr_runtime::error::describe(errno)))?;
        let mode = rustix::fs::fcntl_getfl(&copy).map_err(Error::system("look at the status descriptor"))?;
        if (mode & OFlags::RWMODE) == OFlags::RDONLY {
            return Err(wrong("not writable"));
        }
        Ok(Some(copy))
    }
}

fn tell_ready(status: Option<OwnedFd>) -> Result<(), Error> {
    let Some(status) = status else { return Ok(()) };
    rustix::io::retry_on_intr(|| rustix::io::write(&status, b"\0"))
        .map(|_| ())
        .map_err(Error::system("write to the status descriptor"))
}

/// `--parent-path`, which criu takes as relative to the images.
fn parent(words: &Words, images: &Path) -> Result<Option<PathBuf>, Error> {
    let Some(parent) = words.path("parent-path") else { return Ok(None) };
    if parent.is_absolute() {
        return Err(Error::Usage("--parent-path must be relative".into()));
    }
    let path = images.join(&parent);
    let found = std::fs::metadata(&path).map_err(|error| Error::io("use --parent-path", &path, error))?;
    if !found.is_dir() {
        return Err(Error::at("use --parent-path", path, rustix::io::Errno::NOTDIR));
    }
    Ok(Some(parent))
}

fn page_server(words: &Words) -> Result<Option<(String, u16)>, Error> {
    let Some(given) = words.text("page-server")?.filter(|given| !given.is_empty()) else { return Ok(None) };
    let wrong = || Error::Usage(format!("use --page-server ADDRESS:PORT to specify page server: {given:?}"));
    let (address, port) = given.rsplit_once(':').ok_or_else(wrong)?;
    Ok(Some((address.trim_matches(['[', ']']).to_owned(), port.parse().map_err(|_| wrong())?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flag::Flag;
    use crate::cli::words::Order;

    fn words(words: &[&str]) -> Words {
        let flags = [Flag::value("page-server", ""), Flag::value("parent-path", "")];
        Words::read(&flags, Order::Anywhere, words.iter().map(std::ffi::OsString::from)).unwrap()
    }

    #[test]
    fn a_page_server_has_an_address_and_a_port() {
        let server = |given| page_server(&words(&["--page-server", given]));
        assert_eq!(server("127.0.0.1:27").unwrap(), Some(("127.0.0.1".into(), 27)));
        assert_eq!(server("[::1]:27").unwrap(), Some(("::1".into(), 27)));
        assert_eq!(server("").unwrap(), None);
        for wrong in ["host", "host:", "host:http", ":70000"] {
            assert!(server(wrong).unwrap_err().to_string().contains("ADDRESS:PORT"), "{wrong}");
        }
    }

    #[test]
    fn a_parent_is_a_directory_beside_the_images() {
        let images = tempfile::tempdir().unwrap();
        std::fs::create_dir(images.path().join("before")).unwrap();
        std::fs::write(images.path().join("file"), "").unwrap();
        let parent = |given| parent(&words(&["--parent-path", given]), images.path());
        assert_eq!(parent("before").unwrap(), Some("before".into()));
        for wrong in ["/tmp", "file", "none"] {
            assert!(parent(wrong).unwrap_err().to_string().contains("--parent-path"), "{wrong}");
        }
    }
}
