//! Telling somebody how it goes.

use crate::digest::Digest;

/// What happens to a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is here, or there, already.
    Present,
    /// Somebody else is fetching it.
    Waiting,
    /// It is being fetched: so many bytes of so many are here.
    Fetching {
        /// Bytes that are here.
        done: u64,
        /// Bytes there are.
        total: u64,
    },
    /// The connection broke, and is being made again.
    Again {
        /// What happened.
        reason: String,
    },
    /// It is being unpacked from a blob that is here.
    Unpacking,
    /// It is being packed, before it is sent.
    Packing,
    /// It is being sent: so many bytes of so many are gone.
    Sending {
        /// Bytes that are gone.
        done: u64,
        /// Bytes there are.
        total: u64,
    },
    /// The registry has it from another repository of its.
    Mounted,
    /// It is here now, or there.
    Done,
}

/// Hears how layers come and go, from several threads.
pub trait Progress: Sync {
    /// Something happens to the layer with this blob.
    fn layer(&self, blob: &Digest, event: Event);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn layer(&self, _: &Digest, _: Event) {}
}
