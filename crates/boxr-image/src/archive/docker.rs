//! Docker's archives: `manifest.json` says which files are the configuration and the layers of which image (docker's image
//! specification 1.2, "Combined Image JSON + Filesystem Changeset Format").

use serde::{Deserialize, Serialize};

use super::contents::Contents;
use super::load::Plan;
use super::{ArchiveError, refused};
use crate::digest::Digest;
use crate::oci::MOST_LAYERS;
use crate::oci::media_type::{OCI_CONFIG, layer_of};
use crate::oci::{
    Compression, Descriptor, ImageConfig, LONGEST_CONFIG, LONGEST_MANIFEST, Manifest, ManifestForm, MediaType,
};
use crate::reference::Reference;
use crate::store::{ImageLayer, Store};

/// The file that says what is in the archive.
pub(super) const MANIFEST: &str = "manifest.json";

/// One image of an archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Image {
    pub(super) config: String,
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) layers: Option<Vec<String>>,
}

/// What is to be taken from an archive.
pub(super) fn plan(contents: &mut Contents<'_>, store: &Store) -> Result<Vec<Plan>, ArchiveError> {
    let bytes = contents.read(MANIFEST, LONGEST_MANIFEST)?;
    let images: Vec<Image> =
        serde_json::from_slice(&bytes).map_err(|error| refused(MANIFEST, error.to_string()))?;
    if images.is_empty() {
        return Err(ArchiveError::NoImages);
    }
    images.iter().map(|image| plan_image(contents, store, image)).collect()
}

fn plan_image(contents: &mut Contents<'_>, store: &Store, image: &Image) -> Result<Plan, ArchiveError> {
    let names = image.repo_tags.iter().flatten().map(|name| Reference::parse(name));
    let names: Vec<Reference> = names.collect::<Result<_, _>>()?;
    if names.iter().any(|name| name.digest().is_some()) {
        return Err(refused(MANIFEST, "gives an image a name with a digest"));
    }
    let bytes = contents.read(&image.config, LONGEST_CONFIG)?;
    let config = contents.get(&image.config)?.digest;
    check_name(&image.config, &config)?;
    let parsed: ImageConfig =
        serde_json::from_slice(&bytes).map_err(|error| refused(&image.config, error.to_string()))?;
    let files = image.layers.clone().unwrap_or_default();
    if files.len() > MOST_LAYERS {
        return Err(refused(MANIFEST, format!("has an image of more than {MOST_LAYERS} layers")));
    }
    if files.len() != parsed.rootfs.diff_ids.len() {
        let reason = format!("has {} layers, and {MANIFEST} {}", parsed.rootfs.diff_ids.len(), files.len());
        return Err(refused(&image.config, reason));
    }
    // What came from a registry and was saved here is not made again in another form.
    if let Some(known) = store.images()?.into_iter().find(|record| record.config == config) {
        return Ok(Plan::known(known, names));
    }
    let mut layers = Vec::with_capacity(files.len());
    for (file, diff_id) in files.iter().zip(&parsed.rootfs.diff_ids) {
        layers.push(layer(contents, store, file, diff_id)?);
    }
    let described = Descriptor::new(OCI_CONFIG, &config, bytes.len() as u64);
    let manifest = manifest(&layers, described, ManifestForm::Oci);
    let manifest = serde_json::to_vec(&manifest).map_err(|error| refused(MANIFEST, error.to_string()))?;
    Ok(Plan::new(manifest, config, layers, names))
}

/// A layer of the archive, or the same from elsewhere: docker's archives have no layer compressed.
fn layer(
    contents: &mut Contents<'_>,
    store: &Store,
    file: &str,
    diff_id: &Digest,
) -> Result<ImageLayer, ArchiveError> {
    let spooled = contents.get(file)?;
    check_name(file, &spooled.digest)?;
    let compression = contents.compression(file)?;
    if compression == Compression::None {
        if spooled.digest != *diff_id {
            return Err(ArchiveError::WrongDigest { name: file.to_owned(), found: spooled.digest });
        }
        let known = store.images()?.into_iter().flat_map(|image| image.layers);
        if let Some(known) = known.into_iter().find(|layer| layer.diff_id == *diff_id) {
            return Ok(known);
        }
    }
    Ok(ImageLayer {
        blob: spooled.digest,
        size: spooled.size,
        media_type: layer_of(compression).to_owned(),
        diff_id: diff_id.clone(),
    })
}

/// A file whose name holds a digest has that digest.
fn check_name(file: &str, found: &Digest) -> Result<(), ArchiveError> {
    let last = file.rsplit('/').next().unwrap_or_default();
    let said = last.trim_end_matches(".json");
    let is_digest = said.len() == 64 && said.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest && said != found.hex() {
        return Err(ArchiveError::WrongDigest { name: file.to_owned(), found: found.clone() });
    }
    Ok(())
}

/// The manifest of what came without one.
pub(super) fn manifest(layers: &[ImageLayer], config: Descriptor, form: ManifestForm) -> Manifest {
    let describe =
        |layer: &ImageLayer| Descriptor::new(&form.layer(&layer.media_type), &layer.blob, layer.size);
    Manifest {
        schema_version: 2,
        media_type: Some(MediaType(form.manifest().to_owned())),
        config,
        layers: layers.iter().map(describe).collect(),
        annotations: Default::default(),
    }
}
