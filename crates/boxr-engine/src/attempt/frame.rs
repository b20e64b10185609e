//! Directories that lead to mounts, for who is not root.
//!
//! Those that the user may not write to are made in memory ([`Part::Frame`]). One that he may write to has an overlay,
//! which lies upon a copy of the directory alone, `N/frame`: small files of his own are copied, of everything else there is
//! a place, upon which it is mounted. Directories in it that lead to mounts are part of that copy.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use super::AttemptError;
use super::layout::{Layout, because, is_kernels, is_text, kept_as_is};
use super::parts::{Part, Place};
use super::places::{self, is_own, make_dir};
use crate::nsview::mounts::errno_of;

/// The largest file that is copied, in bytes.
const LARGEST_COPY: u64 = 1 << 20;

/// What holds the places of a directory.
#[derive(Clone, Debug)]
enum Holder {
    /// The filesystem in memory.
    Memory,
    /// A copy on the disk, of this part: where the directory is in it, and where the part begins.
    Copy { number: u32, dir: PathBuf, top: PathBuf },
}

struct Frames<'l, 'a> {
    layout: &'l mut Layout<'a>,
    /// Directories that lead to mounts.
    on_way: BTreeSet<PathBuf>,
}

/// Divides the host's tree by its directories.
///
/// # Errors
/// One of them cannot be read or copied.
pub(super) fn by_directories(layout: &mut Layout<'_>) -> Result<(), AttemptError> {
    let mut on_way = BTreeSet::new();
    for mount in &layout.mounts {
        let above = mount.path.ancestors().skip(1).filter(|path| !is_kernels(path));
        on_way.extend(above.map(Path::to_owned));
    }
    Frames { layout, on_way }.frame(Path::new("/"), &Holder::Memory)
}

fn may(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}

impl Frames<'_, '_> {
    /// A directory that leads to mounts, and all in it.
    fn frame(&mut self, path: &Path, holder: &Holder) -> Result<(), AttemptError> {
        let failed = |errno| AttemptError::file("look at", path)(errno);
        let found = std::fs::symlink_metadata(path).map_err(|error| failed(errno_of(&error)))?;
        let inner = match holder {
            Holder::Memory if may(path, Access::WRITE_OK) && path != Path::new("/") => {
                self.begin_copy(path)?
            }
            Holder::Memory => {
                let place = path != Path::new("/");
                self.layout.push(path.to_owned(), Part::Frame { mode: found.mode() & 0o7777 }, place, None);
                Holder::Memory
            }
            Holder::Copy { number, dir, top } => {
                let dir = dir.join(path.file_name().unwrap_or_default());
                self.copy_directory(*number, path, top, &dir, &found)?;
                Holder::Copy { number: *number, dir, top: top.clone() }
            }
        };
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            // Nobody sees what is in it.
            Err(error) if errno_of(&error) == Errno::ACCESS => return Ok(()),
            Err(error) => return Err(failed(errno_of(&error))),
        };
        let mut names: Vec<OsString> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        names.sort_unstable();
        names.iter().try_for_each(|name| match self.entry(&path.join(name), &inner) {
            // It has gone meanwhile.
            Err(AttemptError::File { errno: Errno::NOENT, .. }) => Ok(()),
            done => done,
        })
    }

    /// A frame that its user may write to.
    fn begin_copy(&mut self, path: &Path) -> Result<Holder, AttemptError> {
        let part = self.layout.overlay(path, true)?;
        let Part::Overlay { number, .. } = part else { return Ok(Holder::Memory) };
        self.layout.push(path.to_owned(), part, true, None);
        let dir = self.layout.attempt.data.join(number.to_string());
        make_dir(&dir, 0o700)?;
        let dir = dir.join("frame");
        make_dir(&dir, 0o755)?;
        Ok(Holder::Copy { number, dir, top: path.to_owned() })
    }

    fn copy_directory(
        &mut self,
        number: u32,
        path: &Path,
        top: &Path,
        copy: &Path,
        found: &Metadata,
    ) -> Result<(), AttemptError> {
        make_dir(copy, 0o700)?;
        let relative = path.strip_prefix(top).unwrap_or(path);
        if is_text(relative) {
            self.layout.attempt.places.push(Place::new(number, relative, places::mode_for(path, found)));
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, holder: &Holder) -> Result<(), AttemptError> {
        if !is_text(path) {
            // Which no record can hold: it is not shown.
            return Ok(());
        }
        // It may have gone meanwhile.
        let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
        let leads_on = self.on_way.contains(path);
        if let Some(mount) = self.layout.mounts.iter().find(|mount| mount.path == *path).cloned() {
            return match kept_as_is(&mount) {
                // What is mounted beneath is locked to it.
                Some(Part::Bind { read_only, directory, .. }) => {
                    let part = Part::Bind { recursive: directory, read_only, directory };
                    self.put(path, part, holder, because(&mount))
                }
                _ if leads_on => self.frame(path, holder),
                _ => self.directory(path, &found, holder),
            };
        }
        if found.is_symlink() {
            return self.link(path, holder);
        }
        match (found.is_dir(), leads_on) {
            (true, true) => self.frame(path, holder),
            (true, false) => self.directory(path, &found, holder),
            (false, _) => self.file(path, &found, holder),
        }
    }

    /// A directory beneath which nothing is mounted.
    fn directory(&mut self, path: &Path, found: &Metadata, holder: &Holder) -> Result<(), AttemptError> {
        let at_top = path.parent() == Some(Path::new("/"));
        let likely = self.layout.likely.iter().any(|likely| likely.starts_with(path));
        let is_open = may(path, Access::EXEC_OK) && may(path, Access::READ_OK);
        if is_open && (at_top || likely || is_own(found) || may(path, Access::WRITE_OK)) {
            let part = self.layout.overlay(path, false)?;
            return self.put(path, part, holder, None);
        }
        // Others' directories in a directory of others.
        self.put(path, Part::Bind { recursive: false, read_only: true, directory: true }, holder, None)
    }

    fn file(&mut self, path: &Path, found: &Metadata, holder: &Holder) -> Result<(), AttemptError> {
        if let Holder::Copy { dir, .. } = holder
            && found.is_file()
            && found.len() <= LARGEST_COPY
            && is_own(found)
            && may(path, Access::READ_OK)
        {
            let copy = dir.join(path.file_name().unwrap_or_default());
            return copy_file(path, found, &copy);
        }
        let why = found.is_file() && may(path, Access::WRITE_OK);
        let why = why.then(|| "something is mounted beside it".to_owned());
        self.put(
            path,
            Part::Bind { recursive: false, read_only: found.is_file(), directory: false },
            holder,
            why,
        )
    }

    fn link(&mut self, path: &Path, holder: &Holder) -> Result<(), AttemptError> {
        let Ok(target) = std::fs::read_link(path) else { return Ok(()) };
        match holder {
            Holder::Memory if is_text(&target) => {
                self.layout.push(path.to_owned(), Part::Link { target }, true, None);
                Ok(())
            }
            Holder::Memory => Ok(()),
            Holder::Copy { dir, .. } => {
                let link = dir.join(path.file_name().unwrap_or_default());
                std::os::unix::fs::symlink(target, &link)
                    .map_err(|error| AttemptError::file("make", link)(errno_of(&error)))
            }
        }
    }

    /// What is mounted, and a place for it.
    fn put(
        &mut self,
        path: &Path,
        part: Part,
        holder: &Holder,
        because: Option<String>,
    ) -> Result<(), AttemptError> {
        if let Holder::Copy { dir, .. } = holder {
            let place = dir.join(path.file_name().unwrap_or_default());
            match part {
                Part::Bind { directory: false, .. } => {
                    let made = std::fs::File::create_new(&place).map(drop);
                    made.map_err(|error| AttemptError::file("make", place)(errno_of(&error)))?;
                }
                _ => make_dir(&place, 0o755)?,
            }
        }
        self.layout.push(path.to_owned(), part, matches!(holder, Holder::Memory), because);
        Ok(())
    }
}

/// A copy with mode and time, so that one which is not changed does not differ.
fn copy_file(path: &Path, found: &Metadata, copy: &Path) -> Result<(), AttemptError> {
    let failed = |error: std::io::Error| AttemptError::file("copy", path)(errno_of(&error));
    std::fs::copy(path, copy).map_err(failed)?;
    let file = std::fs::File::open(copy).map_err(failed)?;
    let times = std::fs::FileTimes::new().set_modified(found.modified().map_err(failed)?);
    file.set_times(times).map_err(failed)?;
    std::fs::set_permissions(copy, std::fs::Permissions::from_mode(found.mode() & 0o7777)).map_err(failed)
}
