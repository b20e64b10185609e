//! Images: what they are called, how they are fetched, where they are kept.
//!
//! A [`reference::Reference`] names an image; a [`store::Store`] keeps its parts by their digest and
//! trusts nothing that was not verified; a [`registry::Client`] fetches what it lacks.

pub mod archive;
pub mod copy;
pub mod digest;
pub mod link;
pub mod nothing;
pub mod oci;
pub mod pack;
pub mod pull;
pub mod push;
pub mod reference;
pub mod registry;
pub mod rootfs;
pub mod shift;
mod side_by_side;
pub mod store;
pub mod tar;
pub mod unpack;
