//! One layer.

use std::os::fd::AsFd;
use std::sync::atomic::AtomicBool;

use super::compare::{Difference, Scope};
use super::stream::{Failure, Stream};
use super::{Event, Pull, PullError};
use crate::digest::Digest;
use crate::registry::Fetched;
use crate::store::{BlobWriter, ImageLayer, Ingest, LayerWriter, Store, StoreError, Unpack, Wait};
use crate::unpack::{How, LeftOut, Limits, UnpackError, diff_id, unpack};

/// What is to become of what an earlier attempt has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leftover {
    Continue,
    Discard,
}

/// Has the layer here, blob and files.
pub(super) fn fetch(
    pull: &Pull<'_>,
    fetched: &Fetched,
    layer: &ImageLayer,
    given_up: &AtomicBool,
) -> Result<LeftOut, PullError> {
    let work = Work { pull, fetched, layer, given_up };
    let writer = match work.wait_for_layer()? {
        Unpack::Write(writer) => writer,
        Unpack::Present(_) | Unpack::Busy => {
            work.blob_alone()?;
            work.tell(Event::Present);
            return Ok(LeftOut::default());
        }
    };
    let left_out = match work.unpack(writer, Leftover::Continue)? {
        Attempt::Done(left_out) => left_out,
        // What was left was not a beginning of this blob. Now from its beginning.
        Attempt::LeftoverWasWrong => match work.wait_for_layer()? {
            Unpack::Write(writer) => match work.unpack(writer, Leftover::Discard)? {
                Attempt::Done(left_out) => left_out,
                Attempt::LeftoverWasWrong => return Err(PullError::GivenUp),
            },
            Unpack::Present(_) | Unpack::Busy => LeftOut::default(),
        },
    };
    work.tell(Event::Done);
    Ok(left_out)
}

/// Makes the files of a layer whose blob is here.
pub(crate) fn unpack_blob(
    store: &Store,
    writer: LayerWriter<'_>,
    layer: &ImageLayer,
    how: &How,
) -> Result<LeftOut, PullError> {
    let (file, _) = store.open_blob(&layer.blob)?;
    let unpacked = unpack(file, writer.dir(), how)
        .map_err(|source| PullError::Unpack { digest: layer.blob.clone(), source })?;
    check(layer, &unpacked.diff_id)?;
    writer.commit(unpacked.info)?;
    Ok(unpacked.left_out)
}

/// Unpacks a layer once more, and gives the first file that is another here, and in what; `None` where there is none, or the layer has
/// gone meanwhile.
pub(crate) fn compare(store: &Store, layer: &ImageLayer, how: &How) -> Result<Option<Difference>, PullError> {
    let (Ok(known), Ok((file, _))) = (store.open_layer(&layer.diff_id), store.open_blob(&layer.blob)) else {
        return Ok(None);
    };
    let Some(beside) = store.unpack_beside(&layer.diff_id)? else { return Ok(None) };
    let unpacked = unpack(file, beside.dir(), how)
        .map_err(|source| PullError::Unpack { digest: layer.blob.clone(), source })?;
    let was_whole = store.layer(&layer.diff_id)?.is_some_and(|known| known.info.is_exact);
    let scope = match was_whole && unpacked.info.is_exact {
        true => Scope::Whole { opaque: how.form.opaque() },
        false => Scope::Part,
    };
    let path = store.path("layers").join(layer.diff_id.file_name());
    super::compare::first_difference(known.as_fd(), beside.dir(), scope)
        .map_err(|errno| PullError::Store(StoreError::System { action: "read the files of", path, errno }))
}

/// Whether a blob that is here holds the layer whose files are here, too. They may have come from another.
pub(crate) fn verify_blob(store: &Store, layer: &ImageLayer) -> Result<(), PullError> {
    let same = |known: &ImageLayer| known.blob == layer.blob && known.diff_id == layer.diff_id;
    if store.images()?.iter().flat_map(|image| &image.layers).any(same) {
        return Ok(());
    }
    let (file, _) = store.open_blob(&layer.blob)?;
    let found = diff_id(file, Limits::default().stream)
        .map_err(|error| PullError::Unpack { digest: layer.blob.clone(), source: error.into() })?;
    check(layer, &found)
}

/// Whether the tar stream is what the image says.
fn check(layer: &ImageLayer, found: &Digest) -> Result<(), PullError> {
    if *found == layer.diff_id {
        return Ok(());
    }
    Err(PullError::WrongContents {
        digest: layer.blob.clone(),
        expected: layer.diff_id.clone(),
        found: found.clone(),
    })
}

enum Attempt {
    Done(LeftOut),
    LeftoverWasWrong,
}

#[derive(Clone, Copy)]
struct Work<'a> {
    pull: &'a Pull<'a>,
    fetched: &'a Fetched,
    layer: &'a ImageLayer,
    given_up: &'a AtomicBool,
}

impl<'a> Work<'a> {
    fn tell(&self, event: Event) {
        self.pull.progress.layer(&self.layer.blob, event);
    }

    fn wait_for_layer(&self) -> Result<Unpack<'a>, PullError> {
        let store = self.pull.store;
        match store.unpack(&self.layer.diff_id, Wait::No)? {
            Unpack::Busy => {
                self.tell(Event::Waiting);
                Ok(store.unpack(&self.layer.diff_id, Wait::Yes)?)
            }
            known => Ok(known),
        }
    }

    fn wait_for_blob(&self) -> Result<Ingest<'a>, PullError> {
        let (store, layer) = (self.pull.store, self.layer);
        match store.ingest(&layer.blob, layer.size, Wait::No)? {
            Ingest::Busy => {
                self.tell(Event::Waiting);
                Ok(store.ingest(&layer.blob, layer.size, Wait::Yes)?)
            }
            known => Ok(known),
        }
    }

    fn unpack(&self, writer: LayerWriter<'a>, leftover: Leftover) -> Result<Attempt, PullError> {
        match self.wait_for_blob()? {
            Ingest::Write(blob) => self.unpack_fetched(writer, blob, leftover),
            Ingest::Present | Ingest::Busy => {
                self.tell(Event::Unpacking);
                Ok(Attempt::Done(unpack_blob(self.pull.store, writer, self.layer, &self.pull.how)?))
            }
        }
    }

    fn unpack_fetched(
        &self,
        writer: LayerWriter<'a>,
        mut blob: BlobWriter<'a>,
        leftover: Leftover,
    ) -> Result<Attempt, PullError> {
        if leftover == Leftover::Discard {
            blob.restart()?;
        }
        let continues = blob.left() > 0;
        let mut stream = self.stream(blob);
        let unpacked = unpack(&mut stream, writer.dir(), &self.pull.how);
        let (mut blob, failure) = stream.end();
        let done = match (failure, unpacked) {
            // A reader's error comes back in another's clothes; this is what happened.
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(self.failed(error)),
            (None, Ok(unpacked)) => blob.verify().map(|()| unpacked).map_err(PullError::from),
        };
        let unpacked = match done.and_then(|unpacked| check(self.layer, &unpacked.diff_id).map(|()| unpacked))
        {
            Ok(unpacked) => unpacked,
            Err(error) if continues && is_about_contents(&error) => {
                blob.restart()?;
                return Ok(Attempt::LeftoverWasWrong);
            }
            Err(error) => {
                // What cannot be used is not to be continued.
                if is_about_contents(&error) {
                    blob.restart()?;
                }
                return Err(error);
            }
        };
        writer.commit_with(blob, unpacked.info)?;
        Ok(Attempt::Done(unpacked.left_out))
    }

    /// The files are here; the blob may be another than the one they came from.
    fn blob_alone(&self) -> Result<(), PullError> {
        let Ingest::Write(blob) = self.wait_for_blob()? else {
            return verify_blob(self.pull.store, self.layer);
        };
        let mut stream = self.stream(blob);
        let read = diff_id(&mut stream, self.pull.how.limits.stream);
        let (mut blob, failure) = stream.end();
        let done = match (failure, read) {
            (Some(failure), _) => return Err(failure),
            (None, Err(error)) => Err(self.failed(error.into())),
            // That the files are here says nothing of this blob, which others may be given one day.
            (None, Ok(found)) => {
                blob.verify().map_err(PullError::from).and_then(|()| check(self.layer, &found))
            }
        };
        if let Err(error) = done {
            // The next attempt begins anew.
            blob.restart()?;
            return Err(error);
        }
        Ok(blob.commit()?)
    }

    fn stream(&self, blob: BlobWriter<'a>) -> Stream<'a> {
        let Self { pull, fetched, given_up, .. } = *self;
        Stream::new(pull.client, &fetched.endpoint, blob, given_up, pull.progress)
    }

    fn failed(&self, source: UnpackError) -> PullError {
        PullError::Unpack { digest: self.layer.blob.clone(), source }
    }
}

/// Whether the bytes themselves are wrong, not the way to them or the disk.
fn is_about_contents(error: &Failure) -> bool {
    match error {
        PullError::WrongContents { .. } | PullError::Store(StoreError::WrongDigest { .. }) => true,
        PullError::Unpack { source, .. } => {
            !matches!(source, UnpackError::System { .. } | UnpackError::Owner { .. })
        }
        _ => false,
    }
}
