//! The image of a container that is to be made: one that is here, or is fetched now.

use std::io::Write;
use std::process::{Command, Stdio};

use boxr_engine::image::mounted::{self, MountedImage};
use boxr_engine::image::{Image, ImageRoot};
use boxr_engine::options::MountOption;
use boxr_image::oci::{ImageConfig, LONGEST_CONFIG, Platform};
use boxr_image::store::{ImageRecord, Store};

use crate::cli::Invocation;
use crate::images::{self, Meant};
use crate::protect;
use crate::report::{Report, tell};

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Missing,
    Always,
    /// As `Always`, but one that is here does where none can be fetched (podman-run(1)).
    Newer,
    Never,
}

impl Policy {
    fn of(invocation: &Invocation) -> Result<Self, Report> {
        match invocation.value("pull") {
            None | Some("missing") => Ok(Self::Missing),
            Some("always") => Ok(Self::Always),
            Some("newer") => Ok(Self::Newer),
            Some("never") => Ok(Self::Never),
            Some(text) => Err(invocation.bad_value("pull", text, "missing, always, newer or never")),
        }
    }
}

/// The image that `word` stands for, fetched if it has to be.
///
/// # Errors
/// There is none; it cannot be fetched; it is for another kind of machine than the one that was asked for.
pub fn find(invocation: &Invocation, word: &str) -> Result<Image, Report> {
    let policy = Policy::of(invocation)?;
    let platform = images::said_platform(invocation)?;
    let store = images::open_store(&invocation.globals)?;
    if policy == Policy::Newer {
        return newer(&store, invocation, word, platform.as_ref());
    }
    if policy != Policy::Always {
        match here(&store, invocation, word) {
            Ok((image, config)) if fits(&config, platform.as_ref()) => {
                if platform.is_none() && !invocation.switch("quiet") {
                    warn(word, &config);
                }
                return Ok(image);
            }
            Ok((_, found)) if policy == Policy::Missing && can_be_pulled(&store, invocation, word)? => {
                say_other(invocation, word, &found, platform.as_ref());
            }
            Ok((_, found)) if policy == Policy::Missing => {
                return Err(other_platform(word, &found, platform.as_ref()));
            }
            Ok((_, found)) => {
                let report = other_platform(word, &found, platform.as_ref());
                return Err(report.detail("--pull never: it is not fetched"));
            }
            Err(report) if policy == Policy::Never => {
                return Err(report.status(125).detail("--pull never: it is not fetched"));
            }
            Err(_) => {
                images::reference(invocation, word)?;
                if !invocation.switch("quiet") {
                    drop(writeln!(std::io::stderr().lock(), "Unable to find image {word:?} here"));
                }
            }
        }
    }
    pull(invocation, word)?;
    here(&store, invocation, word).map(|(image, _)| image).map_err(|report| report.status(125))
}

/// The image as the registry has it, or as it is here.
fn newer(
    store: &Store,
    invocation: &Invocation,
    word: &str,
    platform: Option<&Platform>,
) -> Result<Image, Report> {
    let old = here(store, invocation, word).ok();
    if let Some((_, found)) = old.as_ref().filter(|(_, config)| !fits(config, platform)) {
        say_other(invocation, word, found, platform);
    }
    let old = old.filter(|(_, config)| fits(config, platform));
    match (pull(invocation, word), old) {
        (Err(_), Some((image, _))) => {
            if !invocation.switch("quiet") {
                tell(&format!("warning: image {word} is used as it is here"));
            }
            Ok(image)
        }
        (pulled, _) => {
            pulled?;
            here(store, invocation, word).map(|(image, _)| image).map_err(|report| report.status(125))
        }
    }
}

/// Of an image for another kind of machine, which nobody asked for.
fn warn(word: &str, config: &ImageConfig) {
    let host = Platform::host();
    if config.platform.fitness(&host).is_none() {
        tell(&format!("warning: image {word} is for {}, and this machine is {host}", config.platform));
    }
}

/// The images that are mounted by `mounts`, fetched if they have to be.
///
/// # Errors
/// As [`find`], about the mount.
pub fn find_mounted<'m>(
    invocation: &Invocation,
    mounts: impl Iterator<Item = &'m MountOption>,
) -> Result<Vec<MountedImage>, Report> {
    let mut found: Vec<MountedImage> = Vec::new();
    for mount in mounts.filter(|mount| mount.kind == mounted::KIND) {
        let Some(word) = &mount.source else { continue };
        let known = found.iter().find(|one| one.image.name == *word).map(|one| one.image.clone());
        // By the word it is found again among the mounts.
        let image = match known {
            Some(image) => image,
            None => ImageRoot { name: word.clone(), ..find(invocation, word)?.root },
        };
        let one = MountedImage { destination: mount.destination.clone(), image };
        if !found.contains(&one) {
            found.push(one);
        }
    }
    Ok(found)
}

fn fits(config: &ImageConfig, wanted: Option<&Platform>) -> bool {
    wanted.is_none_or(|wanted| config.platform.fitness(wanted).is_some())
}

/// Whether a registry can be asked for what is here: an id is no name.
fn can_be_pulled(store: &Store, invocation: &Invocation, word: &str) -> Result<bool, Report> {
    let (_, meant) = images::find(store, invocation, word)?;
    Ok(meant != Meant::Itself || word.contains('@'))
}

/// That the name will stand for another image, and for which it stood.
fn say_other(invocation: &Invocation, word: &str, found: &ImageConfig, wanted: Option<&Platform>) {
    if let (Some(wanted), false) = (wanted, invocation.switch("quiet")) {
        tell(&format!("image {word} is here for {}, not for {wanted}: it is pulled", found.platform));
    }
}

fn other_platform(word: &str, found: &ImageConfig, wanted: Option<&Platform>) -> Report {
    let wanted = wanted.map(ToString::to_string).unwrap_or_default();
    Report::new(format!("image {word} is here for {}, not for {wanted}", found.platform))
        .suggest(format!("boxr pull --platform {wanted} {word}"))
}

/// An image of the store, and its configuration.
fn here(store: &Store, invocation: &Invocation, word: &str) -> Result<(Image, ImageConfig), Report> {
    let (record, name) = match by_name(store, invocation, word)? {
        Some(found) => found,
        None => {
            let (image, _) = images::find(store, invocation, word)?;
            (image.record, word.to_owned())
        }
    };
    let bytes = store.read_blob(&record.config, LONGEST_CONFIG)?;
    let config: ImageConfig = serde_json::from_slice(&bytes).map_err(|error| {
        Report::new(format!("the configuration of image {} is damaged: {error}", record.config.short()))
            .suggest("boxr store verify --repair")
    })?;
    let layers = record.layers.into_iter().map(|layer| layer.diff_id).collect();
    let root = ImageRoot { name, manifest: record.manifest, id: record.config, layers };
    Ok((Image { root, config: config.config.clone() }, config))
}

/// The usual case, in which no other image is looked at.
fn by_name(
    store: &Store,
    invocation: &Invocation,
    word: &str,
) -> Result<Option<(ImageRecord, String)>, Report> {
    let Ok(reference) = images::reference(invocation, word) else { return Ok(None) };
    if reference.digest().is_some() {
        return Ok(None);
    }
    Ok(store.named(&reference)?.map(|record| (record, word.to_owned())))
}

/// Has `boxr pull` do it: it works with other ids than a container is started with, and with threads.
fn pull(invocation: &Invocation, word: &str) -> Result<(), Report> {
    if invocation.command.name == "run" {
        // What starts boxr once more does so before, or it would be fetched twice.
        protect::now()?;
    }
    let failed = |error: std::io::Error| Report::new(format!("cannot start boxr pull: {error}"));
    let mut command = Command::new("/proc/self/exe");
    for (flag, path) in [("--root", &invocation.globals.root), ("--state", &invocation.globals.state)] {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    command.arg("pull");
    for flag in ["platform", "os", "arch", "variant", "registry", "cert-dir", "authfile", "creds"] {
        if let Some(value) = invocation.value(flag) {
            command.arg(format!("--{flag}={value}"));
        }
    }
    for switch in ["tls-verify", "quiet"] {
        if let Some(on) = invocation.switch_said(switch) {
            command.arg(format!("--{switch}={on}"));
        }
    }
    let status = command.args(["--", word]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    if status.map_err(failed)?.success() {
        return Ok(());
    }
    // It has said why.
    if std::path::Path::new("/usr/bin").join(word).is_file() && !word.contains('/') {
        let hint =
            format!("  a command of this host comes after --: boxr {} -- {word}", invocation.command.name);
        drop(writeln!(std::io::stderr().lock(), "{hint}"));
    }
    Err(Report::silent(125))
}
