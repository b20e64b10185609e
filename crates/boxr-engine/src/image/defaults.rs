//! What an image says where a person has said nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxr_image::oci::Config;

use super::{ContainerOptions, Image, SaidHealth, Seccomp};
use crate::config::{CLEAN_PATH, ConfigError, Id, RawRun, UserSpec};
use crate::options::{NamespaceMode, Namespaces};

/// What a container of an image has of its own (docker's defaults).
pub(crate) fn namespaces() -> Namespaces {
    let new = || NamespaceMode::New;
    Namespaces {
        pid: new(),
        network: network(),
        mount: new(),
        uts: new(),
        ipc: new(),
        user: None,
        cgroup: new(),
        time: NamespaceMode::Host,
    }
}

/// The network of a container that nothing was said about.
fn network() -> NamespaceMode {
    // Unless `config::networks` puts it on the default network.
    NamespaceMode::Host
}

/// The command: the entrypoint, and what follows it. Arguments take the place of the image's, and so does an
/// entrypoint of that of the image together with its arguments.
///
/// # Errors
/// [`ConfigError::NoCommand`]
pub(crate) fn command(
    config: &Config,
    entrypoint: Option<&[String]>,
    args: Option<Vec<String>>,
) -> Result<(Vec<String>, Vec<String>), ConfigError> {
    let head = entrypoint.unwrap_or(&config.entrypoint).to_vec();
    let tail = match (args, entrypoint) {
        (Some(args), _) => args,
        (None, Some(_)) => Vec::new(),
        (None, None) => config.cmd.clone(),
    };
    let command: Vec<String> = head.iter().cloned().chain(tail).collect();
    if command.is_empty() { Err(ConfigError::NoCommand) } else { Ok((command, head)) }
}

/// The environment that a container begins with.
pub(crate) fn environment(config: &Config) -> Vec<String> {
    let mut env: Vec<String> = config.env.iter().filter(|entry| entry.contains('=')).cloned().collect();
    if !env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.insert(0, CLEAN_PATH.to_owned());
    }
    env
}

/// Where the command starts.
pub(crate) fn workdir(config: &Config) -> PathBuf {
    // A relative one, which builders do not write, is below the root.
    Path::new("/").join(&config.working_dir)
}

/// The image's labels, and those that were said.
pub(crate) fn labels(config: &Config, said: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = config.labels.clone();
    labels.extend(said);
    labels
}

/// The label in which builders put a profile of system calls (podman's `--seccomp-policy image`).
const SECCOMP_LABEL: &str = "io.containers.seccomp.profile";

/// The filter of system calls that the image brings along.
///
/// # Errors
/// It is none.
pub(crate) fn seccomp(image: &Image) -> Result<Option<Seccomp>, ConfigError> {
    let Some(text) = image.config.labels.get(SECCOMP_LABEL) else { return Ok(None) };
    super::check_profile(text).map_err(|why| wrong(image, SECCOMP_LABEL, why))?;
    Ok(Some(Seccomp::Profile(text.clone())))
}

/// The signal that ends it, by name without SIG.
///
/// # Errors
/// The image names one that there is not.
pub(crate) fn stop_signal(image: &Image, said: Option<String>) -> Result<Option<String>, ConfigError> {
    let Some(text) = image.config.stop_signal.as_deref().filter(|text| said.is_none() && !text.is_empty())
    else {
        return Ok(said);
    };
    let number =
        crate::config::grammar::signal(text).map_err(|error| wrong(image, "StopSignal", error.why))?;
    Ok(Some(crate::config::grammar::signal_name(number)))
}

fn wrong(image: &Image, key: &'static str, why: String) -> ConfigError {
    ConfigError::Image { name: image.root.name.clone(), key, why }
}

/// What only a container of an image has.
///
/// # Errors
/// The image names no user that could be.
pub(crate) fn container(
    image: &Image,
    raw: &RawRun,
    entrypoint: Vec<String>,
    health: SaidHealth,
) -> Result<ContainerOptions, ConfigError> {
    let user = match &raw.user {
        Some(spec) => spelled(spec),
        None => image.config.user.clone(),
    };
    super::users::check(&user).map_err(|error| wrong(image, "User", error.to_string()))?;
    Ok(ContainerOptions {
        user,
        groups: raw.group_add.iter().map(word).collect(),
        entrypoint,
        volumes: image.config.volumes.keys().cloned().collect(),
        ports: image.config.exposed_ports.keys().cloned().collect(),
        health: super::healthcheck::resolve(image.config.healthcheck.as_ref(), health)
            .map_err(|why| wrong(image, "Healthcheck", why))?,
        ..ContainerOptions::default()
    })
}

fn word(id: &Id) -> String {
    match id {
        Id::Number(number) => number.to_string(),
        Id::Name(name) => name.clone(),
    }
}

/// As it was said.
pub(crate) fn spelled(spec: &UserSpec) -> String {
    match &spec.group {
        Some(group) => format!("{}:{}", word(&spec.user), word(group)),
        None => word(&spec.user),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn commands_are_put_together_as_docker_does() {
        let config = Config { entrypoint: words(&["e"]), cmd: words(&["c", "d"]), ..Config::default() };
        let made = |entrypoint: Option<&[&str]>, args: Option<&[&str]>| {
            let entrypoint = entrypoint.map(words);
            command(&config, entrypoint.as_deref(), args.map(words)).map(|(command, _)| command)
        };
        assert_eq!(made(None, None).unwrap(), ["e", "c", "d"]);
        assert_eq!(made(None, Some(&["x"])).unwrap(), ["e", "x"]);
        assert_eq!(made(Some(&["f"]), None).unwrap(), ["f"], "the image's arguments are of its entrypoint");
        assert_eq!(made(Some(&["f"]), Some(&["x"])).unwrap(), ["f", "x"]);
        assert_eq!(made(Some(&[]), Some(&["x"])).unwrap(), ["x"]);
        assert!(matches!(made(Some(&[]), None), Err(ConfigError::NoCommand)));
    }

    #[test]
    fn an_environment_has_a_path() {
        let config = Config { env: words(&["A=b", "nonsense"]), ..Config::default() };
        assert_eq!(environment(&config), [CLEAN_PATH, "A=b"]);
        let config = Config { env: words(&["A=b", "PATH=/x"]), ..Config::default() };
        assert_eq!(environment(&config), ["A=b", "PATH=/x"]);
    }

    #[test]
    fn commands_start_where_the_image_says() {
        let config = Config { working_dir: "srv".to_owned(), ..Config::default() };
        assert_eq!(workdir(&config), Path::new("/srv"));
        assert_eq!(workdir(&Config::default()), Path::new("/"));
    }
}
