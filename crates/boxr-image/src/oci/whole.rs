//! An index with everything that it names, of all platforms.

use std::collections::HashSet;

use super::{Descriptor, Document, DocumentError, MediaType};
use crate::digest::Digest;

/// Indexes in indexes that are followed.
const DEEPEST: usize = 4;
/// Manifests, configurations and layers of one index, at most.
const MOST: usize = 10_000;

/// Which images of an index an operation is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Platforms {
    /// The one for a platform.
    #[default]
    One,
    /// All of them, with the index.
    All,
}

/// What an index stands for.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    /// Manifests and indexes, each after those that it names: the index itself is the last.
    pub documents: Vec<Descriptor>,
    /// Configurations and layers.
    pub blobs: Vec<Descriptor>,
}

/// A document as it was read.
pub(crate) struct Read {
    /// Its length in bytes.
    pub size: u64,
    /// What they mean; `None` for what is no image's, of which nothing is known but that it is there.
    pub document: Option<Document>,
}

/// What no index has that is for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Excess {
    #[error("there are indexes in indexes without end")]
    Depth,
    #[error("an index names more than {MOST} manifests and layers")]
    Number,
}

impl Read {
    /// Of these bytes, whose type was said to be `media_type`.
    ///
    /// # Errors
    /// They contradict themselves.
    pub(crate) fn of(bytes: &[u8], media_type: Option<&MediaType>) -> Result<Self, DocumentError> {
        let document = match Document::parse(bytes, media_type) {
            Err(DocumentError::Other(_) | DocumentError::Schema1) => None,
            document => Some(document?),
        };
        Ok(Self { size: bytes.len() as u64, document })
    }
}

impl Whole {
    /// Of the index `root`, whose documents `read` reads.
    ///
    /// # Errors
    /// What `read` returned; [`Excess`].
    pub(crate) fn of<E: From<Excess>>(
        root: Descriptor,
        read: &mut dyn FnMut(&Descriptor) -> Result<Read, E>,
    ) -> Result<Self, E> {
        let (mut whole, mut known) = (Self::default(), HashSet::new());
        whole.add(root, read, &mut known, 0)?;
        Ok(whole)
    }

    fn add<E: From<Excess>>(
        &mut self,
        mut descriptor: Descriptor,
        read: &mut dyn FnMut(&Descriptor) -> Result<Read, E>,
        known: &mut HashSet<Digest>,
        depth: usize,
    ) -> Result<(), E> {
        if !known.insert(descriptor.digest.clone()) {
            return Ok(());
        }
        if depth > DEEPEST {
            return Err(Excess::Depth.into());
        }
        let Read { size, document } = read(&descriptor)?;
        descriptor.size = size;
        match document {
            Some(Document::Index(index)) => {
                says(&mut descriptor, index.media_type);
                for image in index.manifests {
                    self.add(image, read, known, depth + 1)?;
                }
            }
            Some(Document::Manifest(manifest)) => {
                says(&mut descriptor, manifest.media_type);
                let blobs = manifest.layers.into_iter().chain([manifest.config]);
                // Layers that nobody may pass on are not in registries either.
                let blobs = blobs.filter(|blob| !blob.media_type.is_kept_elsewhere());
                self.blobs.extend(blobs.filter(|blob| known.insert(blob.digest.clone())));
            }
            None => {}
        }
        self.documents.push(descriptor);
        if known.len() > MOST { Err(Excess::Number.into()) } else { Ok(()) }
    }
}

/// A document's own word for what it is counts, as registries compare it with what is said of it.
fn says(descriptor: &mut Descriptor, media_type: Option<MediaType>) {
    if let Some(media_type) = media_type {
        descriptor.media_type = media_type;
    }
}

#[cfg(test)]
mod tests {
    use super::super::media_type::{OCI_CONFIG, OCI_INDEX};
    use super::*;

    fn digest(number: usize) -> Digest {
        Digest::of(number.to_string().as_bytes())
    }

    /// Reads indexes of which number N names those that `names` gives.
    fn walk(names: impl Fn(usize) -> Vec<usize>) -> Result<Whole, Excess> {
        let mut at = 0;
        Whole::of(Descriptor::new(OCI_INDEX, &digest(0), 1), &mut |_: &Descriptor| {
            let manifests: Vec<_> =
                names(at).iter().map(|number| Descriptor::new(OCI_INDEX, &digest(*number), 1)).collect();
            at += 1;
            let text = serde_json::json!({"schemaVersion": 2, "manifests": manifests}).to_string();
            Ok(Read::of(text.as_bytes(), None).unwrap())
        })
    }

    #[test]
    fn what_is_named_comes_before_what_names_it_and_once() {
        let whole = walk(|at| if at == 0 { vec![1, 2, 1] } else { vec![] }).unwrap();
        let digests: Vec<_> = whole.documents.iter().map(|document| document.digest.clone()).collect();
        assert_eq!(digests, [digest(1), digest(2), digest(0)]);
    }

    #[test]
    fn an_index_without_end_is_refused() {
        assert!(matches!(walk(|at| vec![at + 1]), Err(Excess::Depth)));
        assert!(matches!(
            walk(|at| if at == 0 { (1..=MOST).collect() } else { vec![] }),
            Err(Excess::Number)
        ));
    }

    #[test]
    fn layers_that_nobody_may_pass_on_are_left_out() {
        let layers = [
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.v1.tar",
        ]
        .map(|media_type| Descriptor::new(media_type, &digest(media_type.len()), 1));
        let config = Descriptor::new(OCI_CONFIG, &digest(1), 1);
        let text = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string();
        let whole = Whole::of(Descriptor::new("", &digest(0), 1), &mut |_: &Descriptor| {
            Ok::<_, Excess>(Read::of(text.as_bytes(), None).unwrap())
        });
        let blobs: Vec<_> = whole.unwrap().blobs.into_iter().map(|blob| blob.digest).collect();
        assert_eq!(blobs, [layers[1].digest.clone(), config.digest]);
    }
}
