//! Where an image is fetched from: its registry, or mirrors of it (containers-registries.conf(5), version 2).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::RegistryError;
use crate::reference::{DOCKER_HUB, Reference};

/// Whether certificates are verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVerify {
    /// Except on the loopback interface, and where registries.conf says otherwise.
    #[default]
    ByRegistry,
    /// Always.
    Always,
    /// Never; plain http is good enough too.
    Never,
}

/// A place that may have an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Host, and port after a colon.
    pub host: String,
    /// The path of the repository there.
    pub repository: String,
    /// Whether an unverified certificate or plain http will do.
    pub insecure: bool,
}

impl Endpoint {
    /// The registry itself, without a repository.
    pub fn of_registry(host: &str, verify: TlsVerify) -> Self {
        let mut found = endpoint(host, false);
        found.insecure = is_insecure(&found, verify);
        found
    }
}

/// What registries.conf says.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    entries: Vec<Entry>,
}

/// An entry of registries.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Names that begin so are meant.
    pub prefix: String,
    /// Where they are fetched from.
    pub location: String,
    /// Whether an unverified certificate or plain http will do there.
    pub insecure: bool,
    /// Whether nothing is fetched.
    pub blocked: bool,
    /// Where is asked first.
    pub mirrors: Vec<String>,
}

/// registries.conf cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path:?}: {reason}")]
pub struct RegistriesError {
    path: PathBuf,
    reason: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    registry: Vec<Entry>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Entry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
    #[serde(skip)]
    file: PathBuf,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

impl Registries {
    /// The files of whoever runs this, as podman finds them; `only` names another.
    ///
    /// # Errors
    /// A file cannot be read or understood.
    pub fn of_user(only: Option<&Path>) -> Result<Self, RegistriesError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = only.map(Path::to_owned).or_else(|| variable("CONTAINERS_REGISTRIES_CONF")) {
            let mut found = Self::default();
            found.add(&path)?;
            return Ok(found);
        }
        let home = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
        let of_user =
            home.map(|dir| dir.join("containers")).filter(|dir| dir.join("registries.conf").exists());
        Self::in_dir(&of_user.unwrap_or_else(|| "/etc/containers".into()))
    }

    fn in_dir(dir: &Path) -> Result<Self, RegistriesError> {
        let mut found = Self::default();
        let main = dir.join("registries.conf");
        if main.exists() {
            found.add(&main)?;
        }
        let entries = std::fs::read_dir(dir.join("registries.conf.d")).into_iter().flatten().flatten();
        let mut more: Vec<_> = entries.map(|entry| entry.path()).collect();
        more.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        more.sort();
        more.iter().try_for_each(|path| found.add(path))?;
        Ok(found)
    }

    fn add(&mut self, path: &Path) -> Result<(), RegistriesError> {
        let failed = |reason: String| RegistriesError { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let file: File = toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
        for mut entry in file.registry {
            if entry.prefix.is_empty() {
                entry.prefix.clone_from(&entry.location);
            }
            if entry.location.is_empty() {
                entry.location.clone_from(&entry.prefix);
            }
            entry.file = path.to_owned();
            // A later file's word counts.
            self.entries.retain(|known| known.prefix != entry.prefix);
            self.entries.push(entry);
        }
        Ok(())
    }

    /// What the files say, for people.
    pub fn told(&self) -> Vec<Told> {
        let told = |entry: &Entry| Told {
            prefix: entry.prefix.clone(),
            location: entry.location.clone(),
            insecure: entry.insecure,
            blocked: entry.blocked,
            mirrors: entry.mirror.iter().map(|mirror| mirror.location.clone()).collect(),
        };
        self.entries.iter().map(told).collect()
    }

    /// Where to ask for `reference`, in this order.
    ///
    /// # Errors
    /// [`RegistryError::Blocked`].
    pub fn endpoints(
        &self,
        reference: &Reference,
        verify: TlsVerify,
    ) -> Result<Vec<Endpoint>, RegistryError> {
        let name = format!("{}/{}", reference.registry(), reference.repository());
        let fitting = self.entries.iter().filter_map(|entry| Some((rest(&name, &entry.prefix)?, entry)));
        let best = fitting.max_by_key(|(_, entry)| entry.prefix.len());
        let mut all = Vec::new();
        match best {
            Some((_, entry)) if entry.blocked => {
                return Err(RegistryError::Blocked { name, file: entry.file.clone() });
            }
            Some((rest, entry)) => {
                let mirrors = entry.mirror.iter().filter(|mirror| mirror.serves(reference, entry));
                all.extend(
                    mirrors.map(|mirror| endpoint(&format!("{}{rest}", mirror.location), mirror.insecure)),
                );
                // A prefix with a star has no location of its own.
                let at =
                    if entry.location.starts_with("*.") { name } else { format!("{}{rest}", entry.location) };
                all.push(endpoint(&at, entry.insecure));
            }
            None => all.push(endpoint(&name, false)),
        }
        for endpoint in &mut all {
            endpoint.insecure = is_insecure(endpoint, verify);
        }
        Ok(all)
    }
}

impl Mirror {
    fn serves(&self, reference: &Reference, entry: &Entry) -> bool {
        let by_digest = reference.digest().is_some();
        match self.pull_from_mirror.as_str() {
            "digest-only" => by_digest,
            "tag-only" => !by_digest,
            _ => by_digest || !entry.mirror_by_digest_only,
        }
    }
}

/// What of `name` comes after `prefix`; `None` when it does not begin with it. `*.` stands for any host below.
fn rest<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let (host, _) = name.split_once('/')?;
        return host.ends_with(domain).then(|| &name[host.len()..]);
    }
    name.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn endpoint(location: &str, insecure: bool) -> Endpoint {
    let (host, repository) = location.split_once('/').unwrap_or((location, ""));
    // Docker Hub's name is not its host's.
    let host = if host == DOCKER_HUB { "registry-1.docker.io" } else { host };
    Endpoint { host: host.to_owned(), repository: repository.to_owned(), insecure }
}

fn is_insecure(endpoint: &Endpoint, verify: TlsVerify) -> bool {
    match verify {
        TlsVerify::Always => false,
        TlsVerify::Never => true,
        TlsVerify::ByRegistry => endpoint.insecure || is_loopback(&endpoint.host),
    }
}

/// Whether the registry is on this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Registries, RegistriesError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("registries.conf.d")).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Registries::in_dir(dir.path())
    }

    fn places(registries: &Registries, name: &str) -> Vec<String> {
        let endpoints =
            registries.endpoints(&Reference::parse(name).unwrap(), TlsVerify::ByRegistry).unwrap();
        let show = |place: Endpoint| {
            format!("{}/{}{}", place.host, place.repository, if place.insecure { " (insecure)" } else { "" })
        };
        endpoints.into_iter().map(show).collect()
    }

    #[test]
    fn without_a_file_the_registry_is_asked() {
        let none = Registries::default();
        assert_eq!(places(&none, "alpine"), ["registry-1.docker.io/library/alpine"]);
        assert_eq!(places(&none, "localhost:5000/a"), ["localhost:5000/a (insecure)"]);
        assert_eq!(places(&none, "[::1]:5000/a"), ["[::1]:5000/a (insecure)"]);
        assert_eq!(places(&none, "127.0.0.9/a"), ["127.0.0.9/a (insecure)"]);
        let strict = none.endpoints(&Reference::parse("localhost/a").unwrap(), TlsVerify::Always).unwrap();
        assert!(!strict[0].insecure);
    }

    #[test]
    fn mirrors_come_first_and_the_longest_prefix_counts() {
        let text = r#"
            unqualified-search-registries = ["docker.io"]
            [[registry]]
            prefix = "docker.io"
            [[registry.mirror]]
            location = "mirror.example/hub"
            [[registry.mirror]]
            location = "by-digest.example"
            pull-from-mirror = "digest-only"
            insecure = true
            [[registry]]
            prefix = "docker.io/org"
            location = "quay.io/moved"
            [[registry]]
            prefix = "*.bad.example"
            blocked = true
        "#;
        let found = read(&[
            ("registries.conf", text),
            ("registries.conf.d/a.conf", "[[registry]]\nlocation = \"r.example\"\ninsecure = true\n"),
        ])
        .unwrap();
        assert_eq!(
            places(&found, "alpine"),
            ["mirror.example/hub/library/alpine", "registry-1.docker.io/library/alpine"]
        );
        assert_eq!(
            places(&found, &format!("alpine@sha256:{}", "0".repeat(64)))[1],
            "by-digest.example/library/alpine (insecure)"
        );
        assert_eq!(places(&found, "org/app"), ["quay.io/moved/app"]);
        assert_eq!(places(&found, "organ/app").len(), 2);
        assert_eq!(places(&found, "r.example/app"), ["r.example/app (insecure)"]);
        let blocked =
            found.endpoints(&Reference::parse("very.bad.example/x").unwrap(), TlsVerify::ByRegistry);
        assert!(matches!(blocked, Err(RegistryError::Blocked { .. })));
    }

    #[test]
    fn a_later_file_counts_and_damage_is_said() {
        let (one, two) = (
            "[[registry]]\nprefix = \"a.example\"\nblocked = true\n",
            "[[registry]]\nprefix = \"a.example\"\n",
        );
        let found = read(&[("registries.conf", one), ("registries.conf.d/b.conf", two)]).unwrap();
        assert_eq!(places(&found, "a.example/x"), ["a.example/x"]);
        assert!(read(&[("registries.conf", "[[registry]")]).is_err());
    }
}
