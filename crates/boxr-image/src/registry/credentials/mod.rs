//! Passwords of registries, where docker and podman keep them.
//!
//! Looked for in this order: the file in `REGISTRY_AUTH_FILE`; podman's
//! `$XDG_RUNTIME_DIR/containers/auth.json` and `~/.config/containers/auth.json`; docker's
//! `$DOCKER_CONFIG/config.json` or `~/.docker/config.json` (containers-auth.json(5), docker login
//! reference). A file may name a program instead that keeps them (`credHelpers`, `credsStore`).

mod file;
mod helper;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

pub use helper::HelperError;

use file::AuthFile;

/// What docker calls Docker Hub in its files.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// What lets one in.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// What a registry gave for a password, to get tokens with (OAuth 2 refresh token).
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(to, "Password({user:?}, …)"),
            Self::IdentityToken(_) => to.write_str("IdentityToken(…)"),
        }
    }
}

/// A password cannot be found out, or not be kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file cannot be read or written.
    #[error("cannot {action} the credential file {path:?}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file cannot be understood.
    #[error("the credential file {path:?} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A program that keeps passwords.
    #[error(transparent)]
    Helper(#[from] HelperError),
    /// Nowhere to write to.
    #[error(
        "there is no place for a credential file: neither HOME, DOCKER_CONFIG nor REGISTRY_AUTH_FILE is set"
    )]
    NoFile,
}

/// The files to look in, and the one to write when none has the registry yet.
#[derive(Clone, Debug, Default)]
pub struct Store {
    files: Vec<PathBuf>,
    new: Option<PathBuf>,
}

impl Store {
    /// The files of whoever runs this; `authfile` (`--authfile`) is the only one if given.
    pub fn of_user(authfile: Option<&Path>) -> Self {
        Self::from_environment(authfile, |name| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        })
    }

    fn from_environment(authfile: Option<&Path>, variable: impl Fn(&str) -> Option<PathBuf>) -> Self {
        if let Some(only) = authfile.map(Path::to_owned).or_else(|| variable("REGISTRY_AUTH_FILE")) {
            return Self { files: vec![only.clone()], new: Some(only) };
        }
        let home = variable("HOME");
        let configuration =
            variable("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let docker = variable("DOCKER_CONFIG")
            .or_else(|| home.map(|home| home.join(".docker")))
            .map(|dir| dir.join("config.json"));
        let podmans = [variable("XDG_RUNTIME_DIR"), configuration];
        let podmans = podmans.into_iter().flatten().map(|dir| dir.join("containers/auth.json"));
        Self { files: podmans.chain(docker.clone()).collect(), new: docker }
    }

    /// What lets one into `registry` for `repository`; `None` when nobody knows.
    ///
    /// # Errors
    /// A file is damaged or unreadable, or a helper failed.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>, CredentialError> {
        for path in &self.files {
            let Some(file) = AuthFile::read(path)? else { continue };
            if let Some(helper) = file.helper_for(registry) {
                if let Some(found) = helper.get(&helper_key(registry))? {
                    return Ok(Some(found));
                }
                continue;
            }
            if let Some(found) = file.find(registry, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Keeps a password for `registry`: in the file that has one already, otherwise in docker's, which
    /// podman reads too. Gives where it is now.
    ///
    /// # Errors
    /// The file cannot be read or written, or a helper failed.
    pub fn keep(&self, registry: &str, credential: &Credential) -> Result<String, CredentialError> {
        let path = self.place_of(registry)?.or_else(|| self.new.clone()).ok_or(CredentialError::NoFile)?;
        let mut file = AuthFile::read(&path)?.unwrap_or_else(|| AuthFile::new(&path));
        if let Some(helper) = file.helper_for(registry) {
            helper.store(&helper_key(registry), credential)?;
            return Ok(helper.program());
        }
        file.put(registry, credential);
        file.write()?;
        Ok(path.display().to_string())
    }

    /// Forgets the passwords for `registry`; gives where there were any.
    ///
    /// # Errors
    /// A file cannot be read or written, or a helper failed.
    pub fn forget(&self, registry: &str) -> Result<Vec<String>, CredentialError> {
        let mut places = Vec::new();
        for path in &self.files {
            let Some(mut file) = AuthFile::read(path)? else { continue };
            if let Some(helper) = file.helper_for(registry)
                && helper.get(&helper_key(registry))?.is_some()
            {
                helper.erase(&helper_key(registry))?;
                places.push(helper.program());
            }
            if file.remove(registry) {
                file.write()?;
                places.push(path.display().to_string());
            }
        }
        Ok(places)
    }

    /// Forgets all passwords that the files have, and those that the programs named in them keep for registries that a
    /// file names; gives where there were any.
    ///
    /// # Errors
    /// As [`Store::forget`].
    pub fn forget_all(&self) -> Result<Vec<String>, CredentialError> {
        let mut places = Vec::new();
        for path in &self.files {
            let Some(mut file) = AuthFile::read(path)? else { continue };
            for (registry, helper) in file.helpers() {
                let server = helper_key(&registry);
                if helper.get(&server)?.is_some() {
                    helper.erase(&server)?;
                    places.push(helper.program());
                }
            }
            if file.remove_all() {
                file.write()?;
                places.push(path.display().to_string());
            }
        }
        Ok(places)
    }

    fn place_of(&self, registry: &str) -> Result<Option<PathBuf>, CredentialError> {
        for path in &self.files {
            if AuthFile::read(path)?.is_some_and(|file| file.knows(registry)) {
                return Ok(Some(path.clone()));
            }
        }
        Ok(None)
    }
}

/// What helpers know a registry by.
fn helper_key(registry: &str) -> String {
    if registry == crate::reference::DOCKER_HUB { DOCKER_HUB_KEY.to_owned() } else { registry.to_owned() }
}
