//! A state root that is new, as after a reboot: the kept boxes are put back into it.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FlockOperation};
use rustix::io::Errno;

use super::dir::{decode, errno_of, id_of};
use super::files::{self, Write};
use super::{Inner, StoreError, current, in_names};
use crate::id::Id;
use crate::names;
use crate::options::Retention;
use crate::record::{Exit, FORMAT, Record, State, Status};

use super::Observed;

/// Where boxes are put back before `containers` appears with all of them in it.
const UNFINISHED: &str = "containers.restoring";

/// Makes a directory and its parents, for the owner only.
///
/// # Errors
/// mkdir(2).
pub(crate) fn make_directories(path: &Path) -> Result<(), Errno> {
    super::steps::before_change()?;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| errno_of(&error))
}

/// Makes `names` and `containers` where `containers` is missing. It appears last and whole, by a
/// rename, so a restore that was cut short is done again. One that finds another at it waits.
pub(super) fn prepare(store: &Arc<Inner>) -> Result<(), StoreError> {
    let failed = |errno| store.error("prepare", "", errno);
    if store.is_missing {
        return Err(StoreError::system("make", &store.paths.state, Errno::ROFS));
    }
    let root = files::open_dir(&store.root, ".").map_err(failed)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&root, FlockOperation::LockExclusive)).map_err(failed)?;
    if files::open_dir(&root, "containers").is_ok() {
        return Ok(());
    }
    // Names without containers are all stale.
    files::remove_tree(root.as_fd(), c"names").map_err(failed)?;
    files::remove_tree(root.as_fd(), c"containers.restoring").map_err(failed)?;
    files::make_dir(&root, "names").map_err(failed)?;
    files::make_dir(&root, UNFINISHED).map_err(failed)?;
    restore_all(store, &root)?;
    super::pods::restore_pods(store, &root)?;
    files::rename(root.as_fd(), UNFINISHED, "containers").map_err(failed)
}

fn restore_all(store: &Inner, root: &OwnedFd) -> Result<(), StoreError> {
    let kept = store.paths.data.join("containers");
    let failed = |errno| StoreError::system("list", &kept, errno);
    let dir = match rustix::fs::openat(
        CWD,
        &kept,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    ) {
        Err(Errno::NOENT) => return Ok(()),
        dir => dir.map_err(failed)?,
    };
    let mut ids = Vec::new();
    files::each_entry(dir.as_fd(), |name| {
        ids.extend(id_of(name));
        true
    })
    .map_err(failed)?;
    for id in ids {
        // The data directory may serve several state roots (`--state`).
        let home = kept.join(id.as_str()).join("home");
        if std::fs::read_link(home).is_ok_and(|home| home == store.paths.state) {
            restore(store, root, &dir, &id)?;
        }
    }
    Ok(())
}

/// Puts one box back, or removes what is no kept box: the log of an ephemeral one.
fn restore(store: &Inner, root: &OwnedFd, kept: &OwnedFd, id: &Id) -> Result<(), StoreError> {
    let data = store.paths.data.join("containers").join(id.as_str());
    let mut buffer = Vec::new();
    let mut read =
        |file: &str| files::read_whole(kept.as_fd(), format!("{id}/{file}"), &mut buffer).map(<[u8]>::to_vec);
    let record = match read("record.json") {
        Ok(bytes) => decode::<Record>(&bytes, || data.join("record.json")).ok(),
        Err(Errno::NOENT) => {
            return remove_data(store, kept, id, &data);
        }
        Err(errno) => return Err(StoreError::system("read", data.join("record.json"), errno)),
    };
    if record.as_ref().is_some_and(|record| record.options.retention == Retention::Ephemeral) {
        return remove_data(store, kept, id, &data);
    }
    let state = read("state.json").ok().and_then(|bytes| decode::<State>(&bytes, || data.clone()).ok());
    let state = after_reboot(state.unwrap_or_else(|| unknown(id, record.as_ref())), store);

    let path = format!("{UNFINISHED}/{id}");
    let failed = |errno| store.error("restore", &path, errno);
    files::make_dir(root, &path).map_err(failed)?;
    files::link(&data, root, &format!("{path}/data")).map_err(failed)?;
    if names::check(&state.name).is_ok() {
        match files::link(id.as_str(), root, &in_names(&state.name)) {
            // Two can only have had it if a rename was cut short by the reboot.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    let encode = |reason| StoreError::Encode { path: store.path(&path), reason };
    let bytes = serde_json::to_vec(&state).map_err(encode)?;
    files::write_whole(root.as_fd(), &format!("{path}/state.json"), &bytes, Write::New).map_err(failed)
}

fn remove_data(store: &Inner, kept: &OwnedFd, id: &Id, data: &Path) -> Result<(), StoreError> {
    crate::volume::let_go(&store.paths, id, data).map_err(|error| StoreError::Volume(Box::new(error)))?;
    let name = std::ffi::CString::new(id.as_str()).unwrap_or_default();
    files::remove_tree_of_user(kept.as_fd(), &name).map_err(|errno| StoreError::system("remove", data, errno))
}

/// A box that ran when the host went down has ended, nobody knows how. Where only the state
/// root has gone, as when the user logged out, it may run still.
fn after_reboot(mut state: State, store: &Inner) -> State {
    let ended = matches!(current(&state, store.here()), Observed::Exited(_));
    if ended && state.status != Status::Exited {
        state.status = Status::Exited;
        state.exit = Some(Exit::Unknown);
        state.error = Some("the host was rebooted while it ran".to_owned());
        state.process = None;
        state.supervisor = None;
    }
    if state.again.at.take().is_some() {
        state.supervisor = None;
    }
    state
}

/// The state of a kept box whose state did not reach the disk.
fn unknown(id: &Id, record: Option<&Record>) -> State {
    let options = record.map(|record| &record.options);
    State {
        format: FORMAT,
        id: id.to_string(),
        name: id.short().to_owned(),
        command: options.map(|options| options.args.join(" ")).unwrap_or_default(),
        image: String::new(),
        retention: Retention::Kept,
        labels: options.map(|options| options.labels.clone()).unwrap_or_default(),
        created: 0,
        started: None,
        finished: None,
        status: Status::Exited,
        process: None,
        supervisor: None,
        monitored: false,
        ending_signal: None,
        exit: Some(Exit::Unknown),
        oom_killed: false,
        error: Some("its state was lost when the host went down".to_owned()),
        boot_id: String::new(),
        pid_namespace: 0,
        cgroup: None,
        pod: options.and_then(|options| options.pod.as_ref()).map(|pod| pod.id.clone()),
        networked: false,
        journaled: false,
        tty: false,
        health: None,
        again: Default::default(),
    }
}
