//! Packing layers that are plain tar streams.

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;

use super::PushError;
use crate::digest::Algorithm;
use crate::oci::{Compression, Descriptor, Kind};
use crate::store::{Spool, SpoolWriter, Spooled};

/// A layer that was packed.
pub(super) struct Packed {
    /// As it was.
    plain: Descriptor,
    /// As it is.
    pub(super) spooled: Spooled,
}

/// Whether it is a layer that is not packed.
pub(super) fn is_plain(blob: &Descriptor) -> bool {
    blob.media_type.kind() == Kind::Layer(Compression::None)
}

/// Packs the layer `blob`, which is in `from`. The same layer always becomes the same bytes.
pub(super) fn pack(spool: &Spool<'_>, blob: &Descriptor, mut from: impl Read) -> Result<Packed, PushError> {
    let failed = |source| PushError::Pack { digest: blob.digest.clone(), source };
    let to = Counted(spool.begin(Algorithm::Sha256)?);
    let mut encoder = GzEncoder::new(to, flate2::Compression::default());
    io::copy(&mut from, &mut encoder).map_err(failed)?;
    let spooled = encoder.finish().map_err(failed)?.0.finish();
    Ok(Packed { plain: blob.clone(), spooled })
}

/// What is written to a spool.
struct Counted<'s>(SpoolWriter<'s>);

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The manifest with the packed layers in the place of the plain ones.
pub(super) fn replace(manifest: Vec<u8>, packed: &[Packed]) -> Result<Vec<u8>, serde_json::Error> {
    if packed.is_empty() {
        return Ok(manifest);
    }
    let mut document: serde_json::Value = serde_json::from_slice(&manifest)?;
    for layer in document["layers"].as_array_mut().into_iter().flatten() {
        let digest = layer["digest"].as_str().unwrap_or_default();
        let Some(known) = packed.iter().find(|known| known.plain.digest.to_string() == digest) else {
            continue;
        };
        layer["mediaType"] = packed_type(&known.plain.media_type.0).into();
        layer["digest"] = known.spooled.digest.to_string().into();
        layer["size"] = known.spooled.size.into();
    }
    serde_json::to_vec(&document)
}

/// The OCI puts a plus before the word, docker a dot.
fn packed_type(plain: &str) -> String {
    let separator = if plain.starts_with("application/vnd.docker.") { '.' } else { '+' };
    format!("{plain}{separator}gzip")
}
