//! OCI layouts: `index.json` names images by annotations, and `blobs/ALGORITHM/HEX` is everything else.

use std::collections::BTreeMap;

use super::contents::Contents;
use super::load::Plan;
use super::{ArchiveError, refused};
use crate::digest::Digest;
use crate::oci::ImageConfig;
use crate::oci::media_type::{OCI_CONFIG, OCI_MANIFEST};
use crate::oci::whole::{Excess, Read, Whole};
use crate::oci::{
    Descriptor, Document, Index, Kind, LONGEST_CONFIG, LONGEST_MANIFEST, Manifest, MediaType, Platform,
    Platforms,
};
use crate::reference::Reference;
use crate::store::{ImageIndex, ImageLayer};

/// What makes a directory a layout.
pub(super) const MARK: &str = "oci-layout";
/// And what is in that file.
pub(super) const VERSION: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// What is in the layout.
pub(super) const INDEX: &str = "index.json";
/// The name of an image, to containerd and docker.
const FULL_NAME: &str = "io.containerd.image.name";
/// The tag of an image, or what somebody takes for one.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Indexes in indexes that are followed.
const DEEPEST: u32 = 3;

/// Where content is.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// What is to be taken from a layout.
pub(super) fn plan(
    contents: &mut Contents<'_>,
    platform: &Platform,
    platforms: Platforms,
) -> Result<Vec<Plan>, ArchiveError> {
    let mark = contents.read(MARK, 4096)?;
    let version: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&mark).map_err(|error| refused(MARK, error.to_string()))?;
    match version.get("imageLayoutVersion").and_then(serde_json::Value::as_str) {
        Some(version) if version.starts_with("1.") => {}
        version => {
            return Err(refused(MARK, format!("has the unknown version {:?}", version.unwrap_or_default())));
        }
    }
    let bytes = contents.read(INDEX, LONGEST_MANIFEST)?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| refused(INDEX, error.to_string()))?;
    let images = index.manifests.iter().filter(|image| is_image(image));
    let mut plans: Vec<Plan> = Vec::new();
    for descriptor in images {
        let mut plan = plan_image(contents, descriptor, platform)?;
        if platforms == Platforms::All && plan.manifest != descriptor.digest {
            plan.indexes.push(whole(contents, descriptor, plan.names.first().cloned())?);
        }
        match plans.iter_mut().find(|known| known.manifest == plan.manifest) {
            Some(known) => {
                known.names.extend(plan.names);
                known.indexes.extend(plan.indexes);
            }
            None => plans.push(plan),
        }
    }
    if plans.is_empty() { Err(ArchiveError::NoImages) } else { Ok(plans) }
}

/// Attestations and the like are for no platform.
fn is_image(descriptor: &Descriptor) -> bool {
    matches!(descriptor.media_type.kind(), Kind::Manifest | Kind::Index)
        && descriptor.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
}

fn plan_image(
    contents: &mut Contents<'_>,
    descriptor: &Descriptor,
    platform: &Platform,
) -> Result<Plan, ArchiveError> {
    let names: Vec<Reference> = name(descriptor)?.into_iter().collect();
    let mut descriptor = descriptor.clone();
    for _ in 0..DEEPEST {
        let file = blob_name(&descriptor.digest);
        let bytes = blob(contents, &descriptor, LONGEST_MANIFEST)?;
        let failed = |source| ArchiveError::Document { name: file.clone(), source };
        match Document::parse(&bytes, Some(&descriptor.media_type)).map_err(failed)? {
            Document::Manifest(manifest) => return of_manifest(contents, bytes, &manifest, names),
            Document::Index(index) => descriptor = index.choose(platform).map_err(failed)?.clone(),
        }
    }
    Err(refused(blob_name(&descriptor.digest), "is in indexes in indexes without end"))
}

/// The index with all that it names, which is to be in the layout.
fn whole(
    contents: &mut Contents<'_>,
    root: &Descriptor,
    name: Option<Reference>,
) -> Result<ImageIndex, ArchiveError> {
    let root = Descriptor { platform: None, annotations: BTreeMap::new(), ..root.clone() };
    let digest = root.digest.clone();
    let found = Whole::of(root, &mut |one: &Descriptor| {
        let bytes = blob(contents, one, LONGEST_MANIFEST)?;
        let failed = |source| ArchiveError::Document { name: blob_name(&one.digest), source };
        Read::of(&bytes, Some(&one.media_type)).map_err(failed)
    })?;
    found.blobs.iter().try_for_each(|blob| check_blob(contents, blob))?;
    Ok(ImageIndex::new(digest, name, found))
}

impl From<Excess> for ArchiveError {
    fn from(error: Excess) -> Self {
        refused(INDEX, error.to_string())
    }
}

fn of_manifest(
    contents: &mut Contents<'_>,
    bytes: Vec<u8>,
    manifest: &Manifest,
    names: Vec<Reference>,
) -> Result<Plan, ArchiveError> {
    let file = blob_name(&manifest.config.digest);
    if manifest.config.media_type.kind() != Kind::Config {
        let what = &manifest.config.media_type.0;
        return Err(refused(file, format!("is no image's configuration but {what:?}")));
    }
    let config = blob(contents, &manifest.config, LONGEST_CONFIG)?;
    let config: ImageConfig =
        serde_json::from_slice(&config).map_err(|error| refused(&file, error.to_string()))?;
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        let reason = format!("has {} layers, and the manifest {}", diff_ids.len(), manifest.layers.len());
        return Err(refused(file, reason));
    }
    let mut layers = Vec::with_capacity(diff_ids.len());
    for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
        check_blob(contents, layer)?;
        layers.push(ImageLayer {
            blob: layer.digest.clone(),
            size: layer.size,
            media_type: layer.media_type.0.clone(),
            diff_id: diff_id.clone(),
        });
    }
    Ok(Plan::new(bytes, manifest.config.digest.clone(), layers, names))
}

/// Whether the content that a descriptor means is there as the descriptor says.
fn check_blob(contents: &mut Contents<'_>, descriptor: &Descriptor) -> Result<(), ArchiveError> {
    let name = blob_name(&descriptor.digest);
    let found = contents.get(&name)?;
    if found.digest != descriptor.digest {
        return Err(ArchiveError::WrongDigest { name, found: found.digest });
    }
    if found.size != descriptor.size {
        let reason = format!("has {} bytes, not {} as was said", found.size, descriptor.size);
        return Err(refused(name, reason));
    }
    Ok(())
}

fn blob(contents: &mut Contents<'_>, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, ArchiveError> {
    check_blob(contents, descriptor)?;
    contents.read(&blob_name(&descriptor.digest), limit)
}

/// What an image is called. Podman and docker write whole names; a tag alone, as skopeo writes what
/// it is told, names nothing.
fn name(descriptor: &Descriptor) -> Result<Option<Reference>, ArchiveError> {
    let said = |key: &str| descriptor.annotations.get(key);
    let whole = said(FULL_NAME).or_else(|| said(REF_NAME).filter(|name| name.contains(['/', ':'])));
    let Some(text) = whole else { return Ok(None) };
    Ok(Reference::parse(text)?.without_digest())
}

/// The descriptor of an image in an index, by one of its names or without.
pub(super) fn describe(manifest: &[u8], name: Option<&Reference>) -> Descriptor {
    let descriptor = Descriptor::new(OCI_MANIFEST, &Digest::of(manifest), manifest.len() as u64);
    Descriptor { annotations: named(name), ..descriptor }
}

/// The same of an index.
pub(super) fn describe_index(index: &ImageIndex, name: Option<&Reference>) -> Option<Descriptor> {
    let root = index.documents.last()?;
    Some(Descriptor { platform: None, annotations: named(name), ..root.clone() })
}

/// A name as the other tools look for it.
fn named(name: Option<&Reference>) -> BTreeMap<String, String> {
    let keys = [FULL_NAME, REF_NAME].into_iter();
    name.into_iter()
        .flat_map(|name| keys.clone().map(move |key| (key.to_owned(), name.to_string())))
        .collect()
}

fn is_oci(manifest: &Manifest) -> bool {
    let is_oci = |media_type: &MediaType| media_type.0.starts_with("application/vnd.oci.");
    let mut parts = manifest.layers.iter().chain([&manifest.config]).map(|part| &part.media_type);
    parts.all(is_oci) && manifest.media_type.as_ref().is_none_or(is_oci)
}

/// The same manifest in the words of the OCI: the other tools want no others in a layout.
pub(super) fn of_oci(bytes: Vec<u8>, mut manifest: Manifest) -> Result<Vec<u8>, ArchiveError> {
    if is_oci(&manifest) {
        return Ok(bytes);
    }
    manifest.media_type = Some(MediaType(OCI_MANIFEST.to_owned()));
    manifest.config.media_type = MediaType(OCI_CONFIG.to_owned());
    for layer in &mut manifest.layers {
        let Kind::Layer(compression) = layer.media_type.kind() else {
            let (digest, media_type) = (layer.digest.clone(), layer.media_type.clone());
            return Err(ArchiveError::MediaType { digest, media_type });
        };
        layer.media_type = MediaType(crate::oci::media_type::layer_of(compression).to_owned());
    }
    serde_json::to_vec(&manifest).map_err(|error| refused(INDEX, error.to_string()))
}
