//! The secrets of one container.

use std::path::{Path, PathBuf};

use boxr_runtime::plan::PrivateFile;
use rustix::io::Errno;

use super::{SecretError, SecretOption, SecretUse, Secrets};
use crate::image::ContainerOptions;
use crate::options::BoxOptions;
use crate::outcome::EngineError;
use crate::prepare::PrepareError;
use crate::store::BoxDir;

/// Where those are whose place is not said.
const DIRECTORY: &str = "/run/secrets";

/// Gives a new container its secrets, as they are now.
///
/// # Errors
/// One is not there; what the system refuses.
pub(crate) fn attach(dir: &BoxDir, options: &mut BoxOptions) -> Result<(), EngineError> {
    let Some(container) = options.container.as_mut().filter(|container| !container.secrets.is_empty()) else {
        return Ok(());
    };
    let data = dir.make_data()?.join("secrets");
    attach_to(&data, dir, container).map_err(|error| PrepareError::from(error).into())
}

fn attach_to(data: &Path, dir: &BoxDir, container: &mut ContainerOptions) -> Result<(), SecretError> {
    let store = Secrets::open(dir.paths())?;
    let failed = |action, path: &Path, error: &std::io::Error| SecretError::System {
        action,
        path: path.to_owned(),
        errno: Errno::from_io_error(error).unwrap_or(Errno::IO),
    };
    let made = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(data);
    made.map_err(|error| failed("make", data, &error))?;
    for option in &mut container.secrets {
        let secret = store.find(&option.secret)?;
        option.id.clone_from(&secret.id);
        let place = data.join(&secret.id);
        match std::fs::hard_link(store.data(&secret), &place) {
            // The same one twice.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            linked => linked.map_err(|error| failed("keep", &place, &error))?,
        }
    }
    Ok(())
}

fn reveal(data: &Path, option: &SecretOption) -> Result<Vec<u8>, SecretError> {
    let path = data.join("secrets").join(&option.id);
    std::fs::read(&path).map_err(|error| SecretError::System {
        action: "read",
        path,
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    })
}

/// Files that the container is to have, from its data directory.
///
/// # Errors
/// One cannot be read.
pub fn files(data: &Path, container: &ContainerOptions) -> Result<Vec<PrivateFile>, SecretError> {
    let mut files = Vec::new();
    for option in &container.secrets {
        if let SecretUse::Mount { target, uid, gid, mode } = &option.how {
            let path: PathBuf = crate::config::clean_path(&Path::new(DIRECTORY).join(target));
            let contents = reveal(data, option)?;
            files.push(PrivateFile { path, contents, uid: *uid, gid: *gid, mode: *mode });
        }
    }
    Ok(files)
}

/// Variables that it is to have, as `KEY=VALUE`.
///
/// # Errors
/// One cannot be read, or cannot be a variable.
pub fn environment(data: &Path, container: &ContainerOptions) -> Result<Vec<std::ffi::CString>, SecretError> {
    let mut env = Vec::new();
    for option in &container.secrets {
        if let SecretUse::Environment(name) = &option.how {
            let entry = [name.as_bytes(), b"=", &reveal(data, option)?].concat();
            env.push(std::ffi::CString::new(entry).map_err(|_| SecretError::Zero(option.secret.clone()))?);
        }
    }
    Ok(env)
}
