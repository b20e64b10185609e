//! The images of an index for other platforms: fetched and verified, not unpacked.

use std::sync::atomic::AtomicBool;

use super::stream::fetch_into;
use super::{Event, Pull, PullError};
use crate::oci::Descriptor;
use crate::oci::media_type::OCI_INDEX;
use crate::oci::whole::{Excess, Read, Whole};
use crate::registry::{Fetched, RegistryError};
use crate::side_by_side::side_by_side;
use crate::store::{ImageIndex, Ingest, Lease, StoreError, Wait};

impl From<Excess> for PullError {
    fn from(error: Excess) -> Self {
        RegistryError::Answer { url: "an index".to_owned(), reason: error.to_string() }.into()
    }
}

/// Has everything here that the index `fetched` was chosen from stands for.
pub(super) fn fetch(pull: &Pull<'_>, fetched: &Fetched, lease: &Lease<'_>) -> Result<ImageIndex, PullError> {
    let root = Descriptor::new(OCI_INDEX, &fetched.source, 0);
    let read = &mut |one: &Descriptor| -> Result<Read, PullError> {
        let (bytes, read) = pull.client.any_document(&fetched.endpoint, &one.digest)?;
        lease.add([&one.digest])?;
        pull.store.put_blob_as(&one.digest, &bytes)?;
        Ok(read)
    };
    let whole = Whole::of(root, read)?;
    lease.add(whole.blobs.iter().map(|blob| &blob.digest))?;
    let given_up = AtomicBool::new(false);
    side_by_side(&whole.blobs, &given_up, |blob| fetch_blob(pull, fetched, blob, &given_up))?;
    Ok(ImageIndex::new(fetched.source.clone(), pull.reference.given(), whole))
}

fn fetch_blob(
    pull: &Pull<'_>,
    fetched: &Fetched,
    blob: &Descriptor,
    given_up: &AtomicBool,
) -> Result<(), PullError> {
    let tell = |event| pull.progress.layer(&blob.digest, event);
    // What an earlier pull has left may be no beginning of it. It is gone then.
    for attempt in 0.. {
        let ingest = match pull.store.ingest(&blob.digest, blob.size, Wait::No)? {
            Ingest::Busy => {
                tell(Event::Waiting);
                pull.store.ingest(&blob.digest, blob.size, Wait::Yes)?
            }
            known => known,
        };
        let Ingest::Write(writer) = ingest else {
            tell(Event::Present);
            break;
        };
        let continues = attempt == 0 && writer.left() > 0;
        match fetch_into((pull.client, &fetched.endpoint), writer, given_up, pull.progress) {
            Ok(()) => {
                tell(Event::Done);
                break;
            }
            Err(PullError::Store(StoreError::WrongDigest { .. })) if continues => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
