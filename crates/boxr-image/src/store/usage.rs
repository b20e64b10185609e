//! What lies in the store, and what for.

use std::path::PathBuf;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::layers::layer_lock_path;
use super::lock::{Wait, lock};
use super::{Store, StoreError};
use crate::digest::Digest;

/// Something on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where.
    pub path: PathBuf,
    /// What it is.
    pub is: PieceKind,
}

/// What something on disk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// A blob or an unpacked layer that an image needs, or a running operation.
    Content(Digest),
    /// What a running operation works on.
    InWork,
    /// Nothing refers to it. This is why.
    Orphan(&'static str),
}

impl Store {
    /// All content, whole or not; the records of it are not named. Operations may run meanwhile.
    ///
    /// # Errors
    /// A record or a directory cannot be read.
    pub fn pieces(&self) -> Result<Vec<Piece>, StoreError> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        let live = self.live()?;
        let mut pieces = Vec::new();
        let mut add = |path: String, is| pieces.push(Piece { path: self.path(&path), is });
        for algorithm in ["sha256", "sha512"] {
            for hex in self.root.names(&format!("blobs/{algorithm}"))? {
                let digest = format!("{algorithm}:{hex}").parse::<Digest>().ok();
                let is = content(digest.filter(|digest| live.contains(digest)), "no image needs this blob");
                add(format!("blobs/{algorithm}/{hex}"), is);
            }
        }
        for name in self.root.names("layers")? {
            let digest = Digest::from_file_name(&name).filter(|digest| live.contains(digest));
            add(format!("layers/{name}"), content(digest, "no image needs these files of a layer"));
        }
        for name in self.root.names("shifted")? {
            let digest = super::shifted::layer_of(&name).filter(|digest| live.contains(digest));
            add(format!("shifted/{name}"), content(digest, "no image needs these files of a layer"));
        }
        for name in self.root.names("ingest")? {
            let path = format!("ingest/{name}");
            let is = match self.is_locked(&path)? {
                true => PieceKind::InWork,
                false if name.starts_with("layer.") => {
                    PieceKind::Orphan("a lock that was left by a killed boxr")
                }
                false => PieceKind::Orphan("a pull was cut short, which the next one continues"),
            };
            add(path, is);
        }
        for name in self.root.names("staging")? {
            let is = match self.is_locked(&layer_lock_path(&name))? {
                true => PieceKind::InWork,
                false => PieceKind::Orphan("boxr was killed while it unpacked or removed this"),
            };
            add(format!("staging/{name}"), is);
        }
        Ok(pieces)
    }

    /// Whether somebody works with the file's lock. It is not made.
    fn is_locked(&self, path: &str) -> Result<bool, StoreError> {
        let Some((file, _)) = self.root.open_file(path)? else { return Ok(false) };
        let free = lock(&file.into(), FlockOperation::LockShared, Wait::No);
        free.map(|free| !free).map_err(|errno: Errno| self.root.error("lock", path, errno))
    }
}

fn content(live: Option<Digest>, why: &'static str) -> PieceKind {
    live.map_or(PieceKind::Orphan(why), PieceKind::Content)
}
