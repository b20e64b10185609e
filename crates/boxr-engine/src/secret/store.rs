//! All secrets of one user.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_image::nothing;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::{LARGEST, Secret, SecretError, check_name};
use crate::id::Id;
use crate::paths::Paths;
use crate::store::files::{self, Write};

/// So many digits has an id: podman's.
const DIGITS: usize = 25;

/// The directory of all secrets.
#[derive(Debug)]
pub struct Secrets {
    path: PathBuf,
    dir: OwnedFd,
    /// Whether it is missing where nothing can be made: it looks empty.
    is_missing: bool,
}

impl Secrets {
    /// Opens it, making it if it is missing; where nothing can be written there are none.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub fn open(paths: &Paths) -> Result<Self, SecretError> {
        let path = paths.data.join("secrets");
        let failed = |errno| SecretError::System { action: "open", path: path.clone(), errno };
        let (dir, is_missing) = match files::open_dir(CWD, &path) {
            Err(Errno::NOENT) => match crate::store::make_directories(&path) {
                Err(Errno::ROFS) => (nothing::directory(), true),
                made => {
                    made.and_then(|()| rustix::fs::chmod(&path, rustix::fs::Mode::RWXU)).map_err(failed)?;
                    (files::open_dir(CWD, &path), false)
                }
            },
            dir => (dir, false),
        };
        Ok(Self { dir: dir.map_err(failed)?, path, is_missing })
    }

    /// Makes one; with `replace`, in place of the one of this name.
    ///
    /// # Errors
    /// The name is in use or none; too much or no data; what the system refuses.
    pub fn create(
        &self,
        name: &str,
        data: &[u8],
        labels: BTreeMap<String, String>,
        replace: bool,
    ) -> Result<Secret, SecretError> {
        check_name(name)?;
        let size = data.len() as u64;
        if size == 0 || size >= LARGEST {
            return Err(SecretError::Size(size));
        }
        if self.is_missing {
            let path = self.path.clone();
            return Err(SecretError::System { action: "make", path, errno: Errno::ROFS });
        }
        self.sweep()?;
        let old = self.read(name).ok();
        if old.is_some() && !replace {
            return Err(SecretError::Exists(name.to_owned()));
        }
        let failed = |errno| self.error("make", name, errno);
        let random = Id::random().map_err(failed)?.0;
        let now = files::nanoseconds();
        let secret = Secret {
            id: random.as_str()[..DIGITS].to_owned(),
            name: name.to_owned(),
            created: now,
            updated: now,
            labels,
        };
        let draft = format!(".new-{}", random.short());
        let made = self.fill(&draft, &secret, data).and_then(|()| self.publish(&draft, name, replace));
        match made {
            Ok(()) => {}
            Err(errno) => {
                self.remove_tree(&draft).map_err(failed)?;
                return match errno {
                    Errno::EXIST => Err(SecretError::Exists(name.to_owned())),
                    errno => Err(failed(errno)),
                };
            }
        }
        Ok(secret)
    }

    fn fill(&self, draft: &str, secret: &Secret, data: &[u8]) -> Result<(), Errno> {
        files::make_dir(&self.dir, draft)?;
        let dir = files::open_dir(&self.dir, Path::new(draft))?;
        files::write_whole(dir.as_fd(), "data", data, Write::Durable)?;
        rustix::fs::chmodat(
            &dir,
            "data",
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            rustix::fs::AtFlags::empty(),
        )?;
        let text = serde_json::to_vec(secret).map_err(|_| Errno::INVAL)?;
        files::write_whole(dir.as_fd(), "secret.json", &text, Write::Durable)
    }

    fn publish(&self, draft: &str, name: &str, replace: bool) -> Result<(), Errno> {
        let rename = |flags| rustix::fs::renameat_with(&self.dir, draft, &self.dir, name, flags);
        match rename(RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) if replace => {
                rename(RenameFlags::EXCHANGE)?;
                self.remove_tree(draft)?;
            }
            done => done?,
        }
        rustix::fs::fsync(&self.dir)
    }

    /// What is half made or half removed: those who made or removed it were killed, as all else is done at once.
    fn sweep(&self) -> Result<(), SecretError> {
        const OLD: i64 = 60 * 1_000_000_000;
        for name in self.entries()?.into_iter().filter(|name| name.starts_with('.')) {
            let Ok(stat) =
                rustix::fs::statat(&self.dir, name.as_str(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            else {
                continue;
            };
            // Another may be making it now.
            if files::nanoseconds() - stat.st_mtime * 1_000_000_000 > OLD {
                self.remove_tree(&name).map_err(|errno| self.error("remove", &name, errno))?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> Result<Vec<String>, SecretError> {
        let failed = |errno| self.error("list", "", errno);
        let dir = files::open_dir(&self.dir, Path::new(".")).map_err(failed)?;
        let mut names = Vec::new();
        files::each_entry(dir.as_fd(), |name| {
            names.extend(name.to_str().ok().map(str::to_owned));
            true
        })
        .map_err(failed)?;
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Secret, SecretError> {
        let file = format!("{name}/secret.json");
        let mut buffer = Vec::new();
        let bytes = match files::read_whole(self.dir.as_fd(), file.as_str(), &mut buffer) {
            Err(Errno::NOENT) => return Err(SecretError::Missing(name.to_owned())),
            bytes => bytes.map_err(|errno| self.error("read", &file, errno))?,
        };
        serde_json::from_slice(bytes)
            .map_err(|error| SecretError::Damaged { path: self.path.join(&file), reason: error.to_string() })
    }

    /// All that can be read, by name.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn all(&self) -> Result<Vec<Secret>, SecretError> {
        let names = self.entries()?.into_iter().filter(|name| check_name(name).is_ok());
        let mut all = Vec::new();
        for name in names {
            match self.read(&name) {
                // Removed just now.
                Err(SecretError::Missing(_)) => {}
                secret => all.push(secret?),
            }
        }
        Ok(all)
    }

    /// The one with this name, this id, or an id that begins so.
    ///
    /// # Errors
    /// None, or several.
    pub fn find(&self, word: &str) -> Result<Secret, SecretError> {
        if check_name(word).is_ok()
            && let Ok(secret) = self.read(word)
        {
            return Ok(secret);
        }
        let mut found =
            self.all()?.into_iter().filter(|secret| !word.is_empty() && secret.id.starts_with(word));
        match (found.next(), found.next()) {
            (Some(secret), None) => Ok(secret),
            (Some(_), Some(_)) => Err(SecretError::Ambiguous(word.to_owned())),
            (None, _) => Err(SecretError::Missing(word.to_owned())),
        }
    }

    /// Where its data is.
    pub fn data(&self, secret: &Secret) -> PathBuf {
        self.path.join(&secret.name).join("data")
    }

    /// What is secret.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn reveal(&self, secret: &Secret) -> Result<Vec<u8>, SecretError> {
        let path = self.data(secret);
        std::fs::read(&path).map_err(|error| {
            self.error(
                "read",
                &format!("{}/data", secret.name),
                Errno::from_io_error(&error).unwrap_or(Errno::IO),
            )
        })
    }

    /// Removes one; containers keep what they have.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(&self, secret: &Secret) -> Result<(), SecretError> {
        let failed = |errno| self.error("remove", &secret.name, errno);
        let gone = format!(".gone-{}", Id::random().map_err(failed)?.0.short());
        files::rename(self.dir.as_fd(), &secret.name, &gone).map_err(failed)?;
        self.remove_tree(&gone).map_err(failed)
    }

    fn remove_tree(&self, name: &str) -> Result<(), Errno> {
        let name = std::ffi::CString::new(name).map_err(|_| Errno::INVAL)?;
        boxr_image::store::remove_tree(self.dir.as_fd(), &name)
    }

    fn error(&self, action: &'static str, path: &str, errno: Errno) -> SecretError {
        SecretError::System { action, path: self.path.join(path), errno }
    }
}
