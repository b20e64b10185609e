//! Mending a store: only what is damaged is fetched again.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use super::stream::fetch_into;
use super::{PullError, Silent, layer};
use crate::digest::Digest;
use crate::reference::Reference;
use crate::registry::{Client, Endpoint};
use crate::store::{Finding, ImageLayer, ImageRecord, Item, Problem, Store, StoreError, Unpack, Wait};
use crate::unpack::How;

/// What came of mending one thing.
#[derive(Debug)]
pub struct Repaired {
    /// Which thing.
    pub item: Item,
    /// Why it is still broken, if it is.
    pub outcome: Result<(), PullError>,
}

/// Unpacks the layers of all images once more, from blobs that are well, and names those whose files are others, with
/// the first file. `damaged` is what is known to be: of that nothing is asked.
///
/// # Errors
/// The store cannot be read or written.
pub fn compare_layers(store: &Store, how: &How, damaged: &[Finding]) -> Result<Vec<Finding>, PullError> {
    let is_known = |layer: &ImageLayer| {
        let of_it = |item: &Item| match item {
            Item::Blob(digest) => *digest == layer.blob,
            Item::Layer(diff_id) => *diff_id == layer.diff_id,
            Item::Image(_) | Item::Name(_) => false,
        };
        damaged.iter().any(|finding| of_it(&finding.item))
    };
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for layer in readable_images(store)?.into_iter().flat_map(|image| image.layers) {
        if is_known(&layer) || !seen.insert(layer.diff_id.clone()) {
            continue;
        }
        if let Some((path, aspect)) = layer::compare(store, &layer, how)? {
            let (item, problem) = (Item::Layer(layer.diff_id), Problem::Changed(path, aspect));
            found.push(Finding { item, problem });
        }
    }
    Ok(found)
}

/// Mends what [`Store::verify`] has found: blobs are fetched again from where their images came from,
/// layers unpacked again, and records that nobody can read taken away.
pub fn repair(store: &Store, client: &Client, how: &How, mut findings: Vec<Finding>) -> Vec<Repaired> {
    // Layers are unpacked from blobs, so those come first.
    findings.sort_by_key(|finding| !matches!(finding.item, Item::Blob(_)));
    let mend = |finding: &Finding| match &finding.item {
        Item::Blob(digest) => mend_blob(store, client, digest),
        Item::Layer(diff_id) => mend_layer(store, how, diff_id, &finding.item),
        Item::Name(name) if matches!(finding.problem, Problem::Dangling(_)) => {
            // The name as people write it.
            let reference = Reference::parse(name).ok();
            reference.map_or(Ok(()), |reference| store.untag(&reference).map(drop)).map_err(PullError::from)
        }
        Item::Image(_) | Item::Name(_) => store.discard_damaged(&finding.item).map_err(PullError::from),
    };
    findings.iter().map(|finding| Repaired { item: finding.item.clone(), outcome: mend(finding) }).collect()
}

fn mend_blob(store: &Store, client: &Client, digest: &Digest) -> Result<(), PullError> {
    let mut last = PullError::Store(StoreError::Missing(digest.clone()));
    for image in readable_images(store)? {
        let Some(size) = size_in(store, &image, digest)? else { continue };
        for source in &image.sources {
            for endpoint in places(client, source)? {
                let is_document = image.manifest == *digest || document_of(&image, digest);
                let outcome = if is_document {
                    mend_manifest(store, client, &endpoint, digest)
                } else {
                    let mut blob = store.replace_blob(digest, size)?;
                    blob.restart()?;
                    fetch_into((client, &endpoint), blob, &AtomicBool::new(false), &Silent)
                };
                match outcome {
                    Ok(()) => return Ok(()),
                    Err(error) => last = error,
                }
            }
        }
    }
    Err(last)
}

fn mend_manifest(
    store: &Store,
    client: &Client,
    endpoint: &Endpoint,
    digest: &Digest,
) -> Result<(), PullError> {
    let bytes = client.any_document(endpoint, digest)?.0;
    let mut blob = store.replace_blob(digest, bytes.len() as u64)?;
    blob.restart()?;
    blob.write(&bytes)?;
    Ok(blob.commit()?)
}

fn places(client: &Client, source: &Reference) -> Result<Vec<Endpoint>, PullError> {
    let options = client.options();
    Ok(options.registries.endpoints(source, options.tls_verify)?)
}

fn readable_images(store: &Store) -> Result<Vec<ImageRecord>, PullError> {
    match store.images() {
        Ok(images) => Ok(images),
        // Those are mended, too, but later.
        Err(StoreError::Damaged { .. }) => Ok(store.readable_images()?),
        Err(error) => Err(error.into()),
    }
}

/// Whether it is a manifest of an index that the image is one of, or that index.
fn document_of(image: &ImageRecord, digest: &Digest) -> bool {
    image.indexes.iter().flat_map(|index| &index.documents).any(|document| document.digest == *digest)
}

/// How long the blob should be, if the image has it.
fn size_in(store: &Store, image: &ImageRecord, digest: &Digest) -> Result<Option<u64>, PullError> {
    if let Some(layer) = image.layers.iter().find(|layer| layer.blob == *digest) {
        return Ok(Some(layer.size));
    }
    if image.manifest == *digest {
        return Ok(Some(0));
    }
    let mut others = image.indexes.iter().flat_map(|index| index.documents.iter().chain(&index.blobs));
    if let Some(other) = others.find(|other| other.digest == *digest) {
        return Ok(Some(other.size));
    }
    if image.config != *digest {
        return Ok(None);
    }
    let manifest = store.read_blob(&image.manifest, crate::oci::LONGEST_MANIFEST)?;
    let manifest: Result<crate::oci::Manifest, _> = serde_json::from_slice(&manifest);
    Ok(manifest.ok().map(|manifest| manifest.config.size))
}

fn mend_layer(store: &Store, how: &How, diff_id: &Digest, item: &Item) -> Result<(), PullError> {
    store.discard_damaged(item)?;
    let images = readable_images(store)?;
    let layers = images.iter().flat_map(|image| &image.layers);
    let Some(layer) = layers.into_iter().find(|layer| layer.diff_id == *diff_id) else { return Ok(()) };
    let Unpack::Write(writer) = store.unpack(diff_id, Wait::Yes)? else { return Ok(()) };
    layer::unpack_blob(store, writer, layer, how).map(drop)
}
