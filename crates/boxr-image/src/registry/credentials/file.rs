//! One file of passwords. What is in it besides passwords stays as it is.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::helper::Helper;
use super::{Credential, CredentialError, DOCKER_HUB_KEY};
use crate::reference::DOCKER_HUB;

pub(super) struct AuthFile {
    path: PathBuf,
    contents: Map<String, Value>,
}

impl AuthFile {
    /// An empty one, not written yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), contents: Map::new() }
    }

    /// `None` when there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, CredentialError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CredentialError::File { action: "read", path: path.into(), source }),
        };
        if text.trim_ascii().is_empty() {
            return Ok(Some(Self::new(path)));
        }
        let contents = serde_json::from_slice(&text)
            .map_err(|reason| CredentialError::Damaged { path: path.into(), reason: reason.to_string() })?;
        Ok(Some(Self { path: path.to_owned(), contents }))
    }

    /// The program that keeps the password of `registry`, if one does.
    pub(super) fn helper_for(&self, registry: &str) -> Option<Helper> {
        let of_registry = self
            .contents
            .get("credHelpers")
            .and_then(Value::as_object)
            .and_then(|helpers| keys(registry).iter().find_map(|key| helpers.get(key)?.as_str()));
        let name = of_registry.or_else(|| self.contents.get("credsStore")?.as_str());
        name.filter(|name| !name.is_empty()).map(Helper::new)
    }

    /// The programs that keep passwords of registries which are named here, each with its registry.
    pub(super) fn helpers(&self) -> Vec<(String, Helper)> {
        let of_registries = self.contents.get("credHelpers").and_then(Value::as_object).into_iter().flatten();
        let named = of_registries.map(|(registry, _)| registry).chain(self.auths().map(|(key, _)| key));
        let mut registries: Vec<&String> = named.collect();
        registries.sort_unstable();
        registries.dedup();
        let helper = |registry: &String| Some((registry.clone(), self.helper_for(registry)?));
        registries.into_iter().filter_map(helper).collect()
    }

    fn auths(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.contents.get("auths").and_then(Value::as_object).into_iter().flatten()
    }

    /// The password for the longest path that `repository` is below (podman), or for the registry.
    pub(super) fn find(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        let mut path = format!("{registry}/{repository}");
        loop {
            if let Some((_, entry)) = self.auths().find(|(key, _)| **key == path) {
                return self.read_entry(&path, entry);
            }
            match path.rsplit_once('/') {
                Some((above, _)) => path.truncate(above.len()),
                None => break,
            }
        }
        let found = self.auths().find(|(key, _)| is_registry(key, registry));
        found.map_or(Ok(None), |(key, entry)| self.read_entry(key, entry))
    }

    fn read_entry(&self, key: &str, entry: &Value) -> Result<Option<Credential>, CredentialError> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credential::IdentityToken(token.to_owned())));
        }
        if let (Some(user), Some(password)) = (text("username"), text("password")) {
            return Ok(Some(Credential::Password { user: user.into(), password: password.into() }));
        }
        let Some(packed) = text("auth") else { return Ok(None) };
        let damaged = || CredentialError::Damaged {
            path: self.path.clone(),
            reason: format!("\"auth\" of {key:?} is not NAME:PASSWORD in base64"),
        };
        let bytes = BASE64.decode(packed).map_err(|_| damaged())?;
        let pair = String::from_utf8(bytes).map_err(|_| damaged())?;
        // docker pads with NUL.
        let (user, password) = pair.trim_end_matches('\0').split_once(':').ok_or_else(damaged)?;
        Ok(Some(Credential::Password { user: user.into(), password: password.into() }))
    }

    /// Whether there is a password for `registry` in it, or a program that keeps it.
    pub(super) fn knows(&self, registry: &str) -> bool {
        self.helper_for(registry).is_some() || self.auths().any(|(key, _)| is_registry(key, registry))
    }

    pub(super) fn put(&mut self, registry: &str, credential: &Credential) {
        self.remove(registry);
        let entry = match credential {
            Credential::Password { user, password } => {
                serde_json::json!({"auth": BASE64.encode(format!("{user}:{password}"))})
            }
            Credential::IdentityToken(token) => serde_json::json!({"identitytoken": token}),
        };
        let auths = self.contents.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        let key = if registry == DOCKER_HUB { DOCKER_HUB_KEY } else { registry };
        auths[key] = entry;
    }

    /// False when there was none.
    pub(super) fn remove(&mut self, registry: &str) -> bool {
        let Some(auths) = self.contents.get_mut("auths").and_then(Value::as_object_mut) else { return false };
        let before = auths.len();
        auths.retain(|key, _| !is_registry(key, registry));
        auths.len() != before
    }

    /// False when there was none.
    pub(super) fn remove_all(&mut self) -> bool {
        let Some(auths) = self.contents.get_mut("auths").and_then(Value::as_object_mut) else { return false };
        let had_some = !auths.is_empty();
        auths.clear();
        had_some
    }

    /// Writes the file whole, for its owner alone.
    pub(super) fn write(&self) -> Result<(), CredentialError> {
        // Many link it to where their dotfiles are.
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let write = || {
            if let Some(dir) = path.parent() {
                std::fs::create_dir_all(dir)?;
            }
            let temporary = path.with_extension(format!("new.{}", std::process::id()));
            let mut text = serde_json::to_vec_pretty(&self.contents)?;
            text.push(b'\n');
            let written = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)
                .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_data()))
                .and_then(|()| std::fs::rename(&temporary, &path));
            if written.is_err() {
                std::fs::remove_file(&temporary).ok();
            }
            written
        };
        write().map_err(|source| CredentialError::File { action: "write", path: path.clone(), source })
    }
}

/// The keys under which a registry's helper may stand.
fn keys(registry: &str) -> Vec<String> {
    let mut keys = vec![registry.to_owned()];
    if registry == DOCKER_HUB {
        keys.extend(["index.docker.io".to_owned(), DOCKER_HUB_KEY.to_owned()]);
    }
    keys
}

/// Whether `key` stands for `registry`: docker writes hosts, addresses, and addresses with a version.
fn is_registry(key: &str, registry: &str) -> bool {
    let host = key.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
    let hub = ["docker.io", "index.docker.io", "registry-1.docker.io"];
    host == registry || registry == DOCKER_HUB && hub.contains(&host)
}
