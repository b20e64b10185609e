//! Through the directories that lie upon each other, name by name.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::entry::{self, Data};
use super::{Contents, Dir, PackError, Removals, Tree};
use crate::store::each_entry;
use crate::tar::{Entry, Kind, Writer};

/// Beneath a directory, on its filesystem, through no link.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

pub(super) struct Walk<'a, W> {
    tree: &'a Tree,
    removals: Removals,
    writer: &'a mut Writer<W>,
    contents: Contents,
    /// The first names of files that have several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// A directory to go through: its path, and in which of the tree's directories it is, the topmost first.
struct Place {
    path: Vec<u8>,
    dirs: Vec<usize>,
}

/// What a name stands for.
struct Found {
    stat: Stat,
    /// In which of the tree's directories it is, and what is below it.
    dirs: Vec<usize>,
}

impl<'a, W: Write> Walk<'a, W> {
    pub(super) fn new(tree: &'a Tree, removals: Removals, writer: &'a mut Writer<W>) -> Self {
        Self { tree, removals, writer, contents: Contents::default(), links: HashMap::new() }
    }

    pub(super) fn run(mut self) -> Result<Contents, PackError> {
        let dirs = match self.removals {
            Removals::Applied => (0..self.tree.dirs.len()).collect(),
            Removals::Written => vec![0],
        };
        self.root()?;
        // The last is next.
        let mut waiting = vec![Place { path: Vec::new(), dirs }];
        while let Some(place) = waiting.pop() {
            let below = self.directory(&place)?;
            waiting.extend(below.into_iter().rev());
        }
        Ok(self.contents)
    }

    /// The root has an entry only if it is not as everybody makes it.
    fn root(&mut self) -> Result<(), PackError> {
        let Some(top) = self.tree.dirs.first() else { return Ok(()) };
        let stat = fs::fstat(&top.fd).map_err(|errno| failed("look at", b"/", errno))?;
        let owner = top.ids.of(stat.st_uid, stat.st_gid);
        if (stat.st_mode & 0o7777, owner) == (0o755, (0, 0)) {
            return Ok(());
        }
        let mut entry = entry::of(&stat, Kind::Directory, b"./", &top.ids);
        entry.xattrs =
            entry::xattrs(top.fd.as_fd()).map_err(|errno| failed("read attributes of", b"/", errno))?;
        self.put(&entry, io::empty())
    }

    /// All that is in one directory; the directories in it, in order.
    fn directory(&mut self, place: &Place) -> Result<Vec<Place>, PackError> {
        let mut opened = Vec::with_capacity(place.dirs.len());
        for &at in &place.dirs {
            opened.push((at, self.open(&self.tree.dirs[at], &place.path)?));
        }
        let mut below = Vec::new();
        for (name, found) in self.names(place, &opened)? {
            let path = joined(&place.path, &name);
            let at = found.dirs[0];
            let Some(parent) = opened.iter().find(|(known, _)| *known == at) else { continue };
            match FileType::from_raw_mode(found.stat.st_mode) {
                FileType::Directory => below.push(Place { path, dirs: found.dirs }),
                _ => self.file(parent.1.as_fd(), &name, &path, &found)?,
            }
        }
        drop(opened);
        for place in &below {
            self.directory_entry(place)?;
        }
        Ok(below)
    }

    /// Every name that is seen in a directory, sorted.
    fn names(
        &self,
        place: &Place,
        opened: &[(usize, OwnedFd)],
    ) -> Result<BTreeMap<Vec<u8>, Found>, PackError> {
        let mut seen: BTreeMap<Vec<u8>, Found> = BTreeMap::new();
        // Names under which what lies below is hidden.
        let mut closed: std::collections::HashSet<Vec<u8>> = Default::default();
        for (at, dir) in opened {
            let mut names = Vec::new();
            each_entry(dir.as_fd(), |name| names.push(name.to_bytes().to_vec()))
                .map_err(|errno| failed("read the directory", &place.path, errno))?;
            for name in names.into_iter().filter(|name| !closed.contains(name)).collect::<Vec<_>>() {
                let path = joined(&place.path, &name);
                let stat = match fs::statat(dir, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                    // Removed meanwhile.
                    Err(Errno::NOENT) => continue,
                    stat => stat.map_err(|errno| failed("look at", &path, errno))?,
                };
                let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                let known = seen.get_mut(&name);
                match known {
                    // A file under a directory is not seen.
                    Some(_) if !is_dir => drop(closed.insert(name)),
                    Some(known) => {
                        known.dirs.push(*at);
                        if self.is_opaque(*at, &path)? {
                            closed.insert(name);
                        }
                    }
                    None => {
                        let ends = !is_dir || self.is_opaque(*at, &path)?;
                        if self.removals == Removals::Written || !entry::is_whiteout(&stat) {
                            seen.insert(name.clone(), Found { stat, dirs: vec![*at] });
                        }
                        if ends {
                            closed.insert(name);
                        }
                    }
                }
            }
        }
        Ok(seen)
    }

    fn open(&self, dir: &Dir, path: &[u8]) -> Result<OwnedFd, PackError> {
        let path = if path.is_empty() { b".".as_slice() } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat2(&dir.fd, path, flags, Mode::empty(), BENEATH)
            .map_err(|errno| failed("open the directory", path, errno))
    }

    /// Whether what the layers below have in a directory is gone.
    fn is_opaque(&self, at: usize, path: &[u8]) -> Result<bool, PackError> {
        let dir = match self.open(&self.tree.dirs[at], path) {
            // Something is mounted on it: it is empty to us.
            Err(PackError::System { errno: Errno::XDEV, .. }) => return Ok(true),
            dir => dir?,
        };
        let has = |name: &str| {
            let mut value = [0; 8];
            match fs::fgetxattr(&dir, name, &mut value) {
                Ok(length) => Ok(value.get(..length).unwrap_or_default().to_vec()),
                Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(Vec::new()),
                // Longer than what means something here.
                Err(Errno::RANGE) => Ok(b"?".to_vec()),
                Err(errno) => Err(failed("read attributes of", path, errno)),
            }
        };
        let form = self.tree.form;
        if !has(form.redirect())?.is_empty() {
            return Err(PackError::Redirected { name: String::from_utf8_lossy(path).into_owned() });
        }
        Ok(has(form.opaque())? == b"y")
    }

    fn directory_entry(&mut self, place: &Place) -> Result<(), PackError> {
        let at = place.dirs[0];
        let dir = &self.tree.dirs[at];
        let (stat, xattrs, opaque) = match self.open(dir, &place.path) {
            Err(PackError::System { errno: Errno::XDEV, .. }) => {
                let stat = fs::statat(&dir.fd, place.path.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
                (stat.map_err(|errno| failed("look at", &place.path, errno))?, Vec::new(), false)
            }
            opened => {
                let opened = opened?;
                let stat = fs::fstat(&opened).map_err(|errno| failed("look at", &place.path, errno))?;
                let xattrs = entry::xattrs(opened.as_fd())
                    .map_err(|errno| failed("read attributes of", &place.path, errno))?;
                (stat, xattrs, self.is_opaque(at, &place.path)?)
            }
        };
        let entry = Entry { xattrs, ..entry::of(&stat, Kind::Directory, &place.path, &dir.ids) };
        self.put(&entry, io::empty())?;
        if self.removals == Removals::Written && opaque {
            let name = joined(&place.path, b".wh..wh..opq");
            self.put(&Entry::new(Kind::File, name, 0o644), io::empty())?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        found: &Found,
    ) -> Result<(), PackError> {
        let dir = &self.tree.dirs[found.dirs[0]];
        if entry::is_whiteout(&found.stat) {
            let (dir, name) = match path.iter().rposition(|byte| *byte == b'/') {
                Some(at) => (&path[..=at], &path[at + 1..]),
                None => (&path[..0], path),
            };
            return self.put(&Entry::new(Kind::File, [dir, b".wh.", name].concat(), 0o644), io::empty());
        }
        let key = (found.stat.st_dev, found.stat.st_ino);
        if found.stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&key) {
                let link = first.clone();
                let entry = Entry { link, ..entry::of(&found.stat, Kind::HardLink, path, &dir.ids) };
                return self.put(&entry, io::empty());
            }
            self.links.insert(key, path.to_vec());
        }
        let opened = entry::open(parent, name, &found.stat, path, &dir.ids, self.tree.holes);
        match opened.map_err(|errno| failed("read", path, errno))? {
            Data::File(entry, data) => self.put(&entry, data),
            Data::None(entry) => self.put(&entry, io::empty()),
            Data::Socket => {
                self.contents.sockets += 1;
                Ok(())
            }
            Data::Gone => Ok(()),
        }
    }

    fn put(&mut self, entry: &Entry, data: impl io::Read) -> Result<(), PackError> {
        self.contents.entries += 1;
        self.writer.append(entry, data).map_err(PackError::Write)
    }
}

fn joined(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

fn failed(action: &'static str, path: &[u8], errno: Errno) -> PackError {
    PackError::System { action, name: String::from_utf8_lossy(path).into_owned(), errno }
}
