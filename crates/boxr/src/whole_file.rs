//! A file that is there whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use rustix::io::Errno;

/// Only the owner's, as docker has it: an image may hold secrets.
const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// A file being written. Dropped before [`WholeFile::commit`], it never was; a file that was there stays.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    path: PathBuf,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Without a name yet (open(2), `O_TMPFILE`): nothing is left of it, however the process ends.
    Nameless,
    /// With another name, on filesystems that have no other way.
    Aside(PathBuf),
    /// A pipe or a device, which nothing is put in the place of.
    Itself,
}

impl WholeFile {
    /// Begins the file `path`.
    ///
    /// # Errors
    /// It cannot be made there.
    pub fn create(path: &Path) -> io::Result<Self> {
        let is_special = std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
        if is_special {
            let file = std::fs::OpenOptions::new().write(true).open(path)?;
            return Ok(Self { file, path: path.to_owned(), form: Form::Itself });
        }
        if path.is_dir() {
            return Err(Errno::ISDIR.into());
        }
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        match openat(CWD, dir, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, PRIVATE) {
            Ok(fd) => Ok(Self { file: fd.into(), path: path.to_owned(), form: Form::Nameless }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let aside = aside(path);
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = openat(CWD, &aside, flags, PRIVATE)?;
                Ok(Self { file: fd.into(), path: path.to_owned(), form: Form::Aside(aside) })
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// It cannot be written or named.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.flush()?;
        match std::mem::replace(&mut self.form, Form::Itself) {
            Form::Itself => Ok(()),
            Form::Aside(aside) => std::fs::rename(aside, &self.path),
            Form::Nameless => {
                let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                match linkat(CWD, from.as_str(), CWD, &self.path, AtFlags::SYMLINK_FOLLOW) {
                    Err(Errno::EXIST) => {}
                    linked => return Ok(linked?),
                }
                // A link replaces nothing, a rename does.
                let aside = aside(&self.path);
                linkat(CWD, from.as_str(), CWD, &aside, AtFlags::SYMLINK_FOLLOW)?;
                std::fs::rename(aside, &self.path)
            }
        }
    }
}

fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", rustix::process::getpid().as_raw_nonzero()))
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Form::Aside(aside) = &self.form {
            // The error that counts has been told.
            std::fs::remove_file(aside).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        for text in ["one", "other"] {
            let mut file = WholeFile::create(&path).unwrap();
            file.write_all(b"half").unwrap();
            drop(file);
            let mut file = WholeFile::create(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert_eq!(path.exists(), text == "other");
            file.commit().unwrap();
            assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), names()), (text, 1));
        }
        assert!(WholeFile::create(dir.path()).is_err());
        assert!(WholeFile::create(&dir.path().join("none/file")).is_err());
        let mut null = WholeFile::create(Path::new("/dev/null")).unwrap();
        null.write_all(b"x").unwrap();
        null.commit().unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }
}
