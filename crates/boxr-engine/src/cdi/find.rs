//! Where specification files are, and what they describe.

use std::path::{Path, PathBuf};

use super::CdiError;
use super::spec::{self, Device, File};

/// So much of a file is read, in bytes.
const LONGEST: u64 = 4 << 20;

/// Everything that is described, and what could not be read.
#[derive(Debug, Default)]
pub struct Found {
    pub(super) files: Vec<(PathBuf, usize, File)>,
    pub(super) searched: Vec<PathBuf>,
    broken: Vec<String>,
}

/// The directories, later ones before earlier ones: `CDI_SPEC_DIRS`, or the standard's two, and before them the
/// user's own.
pub fn directories() -> Vec<PathBuf> {
    if let Some(said) = std::env::var_os("CDI_SPEC_DIRS") {
        return std::env::split_paths(&said).filter(|dir| dir.is_absolute()).collect();
    }
    let mut dirs = vec![PathBuf::from("/etc/cdi"), PathBuf::from("/var/run/cdi")];
    if rustix::process::geteuid().is_root() {
        return dirs;
    }
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    dirs.extend(config.map(|dir| dir.join("cdi")));
    dirs.extend(set("XDG_RUNTIME_DIR").map(|dir| dir.join("cdi")));
    dirs
}

/// Reads all files. One that cannot be used is noted, and does no harm to others.
pub fn find_all(directories: &[PathBuf]) -> Found {
    let mut found = Found { searched: directories.to_vec(), ..Found::default() };
    for (rank, dir) in directories.iter().enumerate() {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                found.broken.push(format!("{}: {error}", dir.display()));
                continue;
            }
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort_unstable();
        for path in paths {
            let is_json = match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => true,
                Some("yaml" | "yml") => false,
                _ => continue,
            };
            match read(&path).and_then(|text| spec::read(&text, is_json)) {
                Ok(file) => found.files.push((path, rank, file)),
                Err(why) => found.broken.push(format!("{}: {why}", path.display())),
            }
        }
    }
    found
}

fn read(path: &Path) -> Result<String, String> {
    crate::foreign::read_text(path, LONGEST).map_err(|error| error.to_string())
}

impl Found {
    /// The full names of all devices, in order.
    pub fn names(&self) -> Vec<String> {
        let of = |file: &File| -> Vec<String> {
            file.devices.iter().map(|device| format!("{}={}", file.kind, device.name)).collect()
        };
        let mut names: Vec<String> = self.files.iter().flat_map(|(_, _, file)| of(file)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What cannot be used, and why.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// The description of `name`: of the last directory that has one.
    pub(super) fn device(&self, name: &str) -> Result<(&Path, &File, &Device), CdiError> {
        let mut best: Option<(&Path, usize, &File, &Device)> = None;
        for (path, rank, file) in &self.files {
            let Some(short) = name.strip_prefix(&file.kind).and_then(|rest| rest.strip_prefix('=')) else {
                continue;
            };
            let Some(device) = file.devices.iter().find(|device| device.name == short) else { continue };
            match best {
                Some((other, known, _, _)) if known == *rank => {
                    return Err(CdiError::Twice {
                        name: name.to_owned(),
                        one: other.to_owned(),
                        other: path.clone(),
                    });
                }
                _ => best = Some((path, *rank, file, device)),
            }
        }
        best.map(|(path, _, file, device)| (path, file, device)).ok_or_else(|| CdiError::Unknown {
            name: name.to_owned(),
            searched: self.searched.clone(),
            known: self.names(),
            broken: self.broken.clone(),
        })
    }
}
