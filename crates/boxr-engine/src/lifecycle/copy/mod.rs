//! Files into a box and out of it.
//!
//! What is in a box belongs to whoever is in there, who may change it while boxr looks. A worker, a process of boxr's own,
//! therefore enters the box as its root and resolves all paths within; between it and boxr on the host there are two pipes:
//!
//! ```text
//! boxr, on the host                      worker, in the box's user and mount namespaces
//!   ◀── what it is, and an archive ───  from the box
//!   ─── an archive ──────────────────▶  to the box
//!   ◀── how it went ──────────────────
//! ```
//!
//! Nothing is loaded or executed in the box, and nobody in it may trace the worker (CVE-2019-14271). The root of a box that does not
//! run is mounted anew, for the worker alone, with the box's volumes and binds at their places in it; the box is locked meanwhile.

mod mounts;
mod place;
mod worker;

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::fd::AsFd;

use boxr_image::copy::{Clash, Laid, Owners, Source, Target, lay, send};
use boxr_image::pack::Holes;
use boxr_image::unpack::Decompressor;
use boxr_sys::signal;

pub(crate) use place::{become_root_of, hide};

use crate::outcome::EngineError;
use crate::store::{BoxDir, Lock};
use place::Place;
use worker::Worker;

/// The files of a box, with all that is mounted in it while it runs.
#[derive(Debug)]
pub struct Files<'d> {
    name: String,
    place: Place,
    /// A box that does not run stays so.
    _lock: Option<Lock<'d>>,
}

/// What is to be copied out of a box.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its path in the box.
    pub path: Vec<u8>,
    /// Whether a link at its end is followed.
    pub follow: bool,
    /// What becomes of files with holes.
    pub holes: Holes,
}

/// What comes into a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A directory, as one archive with everything below it.
    Directory,
    /// Anything else, as the only entry.
    File,
    /// An archive of the caller's, compressed or not.
    Archive,
}

/// Files on their way out of a box.
#[derive(Debug)]
pub struct Outgoing {
    /// Whether it is a directory.
    pub is_directory: bool,
    /// The archive, up to its end.
    pub archive: File,
    worker: Worker,
}

/// Files on their way into a box.
#[derive(Debug)]
pub struct Ingoing {
    /// Where the archive is to be written; closed at its end.
    pub archive: File,
    worker: Worker,
}

impl<'d> Files<'d> {
    /// Of the box in `dir`; `None` when it has none of its own, but the host's. This process must have one thread.
    ///
    /// # Errors
    /// Its state or its namespaces cannot be had.
    pub fn open(dir: &'d BoxDir) -> Result<Option<Self>, EngineError> {
        let opened = Place::find(dir)?;
        Ok(opened.map(|(name, place, lock)| Self { name, place, _lock: lock }))
    }

    /// Why nothing at `path` can be copied, if that is so: something is mounted there, but only while the box runs.
    pub fn hidden(&self, path: &[u8]) -> Option<String> {
        self.place.hidden(path)
    }

    /// Begins to copy out of the box.
    ///
    /// # Errors
    /// There is nothing at that path, or the box cannot be entered.
    pub fn leave(self, request: &Request) -> Result<Outgoing, EngineError> {
        let (mut archive, worker) = Worker::that_writes("from", &self.name, |to| {
            let base = self.place.enter()?;
            let source = Source::find(&base, &request.path, request.follow).map_err(|e| e.to_string())?;
            let directory = source.directory().map_err(|e| e.to_string())?;
            self.place.check_source(&base, directory.as_fd())?;
            let kind = if source.is_directory() { b"d" } else { b"f" };
            worker::write_all(&to, kind)?;
            let to = std::io::BufWriter::with_capacity(worker::BUFFER, to);
            let (to, contents) = send(&source, request.holes, to).map_err(|e| e.to_string())?;
            to.into_inner().map_err(|error| error.to_string())?;
            Ok(worker::Told { sockets: contents.sockets, ..worker::Told::default() })
        })?;
        let mut kind = [0];
        match archive.read_exact(&mut kind) {
            Ok(()) => Ok(Outgoing { is_directory: kind == *b"d", archive, worker }),
            Err(error) => Err(match worker.finish() {
                Err(reason) => reason,
                Ok(_) => EngineError::Copy { way: "from", name: self.name, reason: error.to_string() },
            }),
        }
    }

    /// Begins to copy into the box, to `path` in it.
    ///
    /// # Errors
    /// The worker cannot be started. What is wrong with the path comes at the end.
    pub fn enter(
        self,
        path: &[u8],
        what: Incoming,
        owners: Owners,
        clash: Clash,
    ) -> Result<Ingoing, EngineError> {
        let (archive, worker) = Worker::that_reads("to", &self.name, |from| {
            // Ctrl-C ends who writes, and that ends the archive: what is half there is removed then.
            let _signals = signal::take_all().map_err(|errno| format!("cannot receive signals: {errno}"))?;
            let base = self.place.enter()?;
            let target = Target::find(&base, path).map_err(|e| e.to_string())?;
            let into = match what {
                Incoming::Directory => target.takes(true, path),
                Incoming::File => target.takes(false, path),
                Incoming::Archive => target.takes_any(path),
            };
            let into = into.map_err(|e| e.to_string())?;
            self.place.check_target(&base, into.as_fd())?;
            let from = BufReader::with_capacity(worker::BUFFER, from);
            let laid = if what == Incoming::Archive {
                let from = Decompressor::new(beginning(from)?).map_err(|e| e.to_string())?;
                let mut from = BufReader::with_capacity(worker::BUFFER, from);
                let laid = lay(&mut from, &into, owners, clash);
                drain(from);
                laid
            } else {
                lay(from, &into, owners, clash)
            };
            let Laid { devices, owners } = laid.map_err(|e| e.to_string())?;
            Ok(worker::Told { sockets: 0, devices, owners })
        })?;
        Ok(Ingoing { archive, worker })
    }
}

/// The same stream, which shows at once what its first bytes are, however it was written.
fn beginning(mut from: impl Read) -> Result<impl std::io::BufRead, String> {
    let mut first = Vec::new();
    from.by_ref().take(4).read_to_end(&mut first).map_err(|error| error.to_string())?;
    Ok(BufReader::with_capacity(worker::BUFFER, std::io::Cursor::new(first).chain(from)))
}

/// What follows an archive means nothing, and whoever writes it is not to be stopped by that.
fn drain(mut from: impl Read) {
    std::io::copy(&mut from, &mut std::io::sink()).unwrap_or_default();
}

impl Outgoing {
    /// Waits for the end; says what was left out.
    ///
    /// # Errors
    /// Not everything came; then this says more than the archive.
    pub fn finish(self) -> Result<Vec<String>, EngineError> {
        drop(self.archive);
        Ok(self.worker.finish()?.notes())
    }
}

impl Ingoing {
    /// Ends the archive and waits until everything is there; says what was left out.
    ///
    /// # Errors
    /// Not everything is there.
    pub fn finish(self) -> Result<Vec<String>, EngineError> {
        drop(self.archive);
        Ok(self.worker.finish()?.notes())
    }
}

/// What was left out, for a person; each line names a number.
pub fn left_out(laid: Laid) -> Vec<String> {
    worker::Told { sockets: 0, devices: laid.devices, owners: laid.owners }.notes()
}
