//! A bundle: a directory with a config.json (runtime specification, "Filesystem Bundle").

use std::path::{Path, PathBuf};

use boxr_runtime::config::{self, Read};
use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::error::Error;

/// A bundle that was read.
#[derive(Debug)]
pub struct Bundle {
    /// Its directory, absolute.
    pub path: PathBuf,
    /// config.json as it was read.
    pub text: Vec<u8>,
    /// config.json.
    pub spec: Spec,
    /// What of it is left out.
    pub warnings: Vec<String>,
}

/// A bundle's config.json, not looked into yet.
#[derive(Debug)]
pub struct Text {
    path: PathBuf,
    text: Vec<u8>,
}

impl Text {
    /// Whether `uidMappings` occurs, without which no new user namespace can be asked for.
    pub fn mentions_id_maps(&self) -> bool {
        memchr::memmem::find(&self.text, b"\"uidMappings\"").is_some()
    }

    /// Looks into it.
    ///
    /// # Errors
    /// It is not understood.
    pub fn parse(self) -> Result<Bundle, Error> {
        let Read { value: spec, warnings } = parse(&self.path.join(CONFIG), &self.text)?;
        Ok(Bundle { path: self.path, text: self.text, spec, warnings })
    }
}

const CONFIG: &str = "config.json";

impl Bundle {
    /// Reads the config.json of the bundle in `path`; of the caller's own directory if not given.
    ///
    /// # Errors
    /// There is none.
    pub fn text(path: Option<&Path>) -> Result<Text, Error> {
        let given = path.unwrap_or(Path::new("."));
        let path = given.canonicalize().map_err(|error| Error::io("open the bundle", given, error))?;
        let config = path.join(CONFIG);
        let text = read_whole(&config)?;
        Ok(Text { path, text })
    }

    /// Where the specification's root is on the host.
    pub fn rootfs(&self) -> PathBuf {
        self.spec.root().as_ref().map_or_else(|| self.path.clone(), |root| self.path.join(root.path()))
    }
}

/// Reads a regular file whole: a short read is its end.
///
/// # Errors
/// open(2), read(2).
pub fn read_whole(path: &Path) -> Result<Vec<u8>, Error> {
    let read = || -> Result<Vec<u8>, Errno> {
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = Vec::new();
        let mut length = 0;
        loop {
            text.resize(length + (length.max(16 << 10)), 0);
            let count = retry_on_intr(|| rustix::io::read(&file, &mut text[length..]))?;
            length += count;
            if length < text.len() {
                text.truncate(length);
                return Ok(text);
            }
        }
    };
    read().map_err(|errno| Error::at("read", path, errno))
}

/// A specification in JSON, with paths as they are written.
///
/// # Errors
/// [`Error::Config`] with the field, or with line and column.
pub fn parse(path: &Path, text: &[u8]) -> Result<Read<Spec>, Error> {
    config::read_spec(text).map_err(|error| Error::Config { path: path.to_owned(), why: error.to_string() })
}
