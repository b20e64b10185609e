//! Manifests and indexes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::media_type::{Kind, MediaType};
use super::platform::Platform;
use crate::digest::Digest;

/// Content elsewhere (OCI image specification, `descriptor.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: MediaType,
    /// Which.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What it runs on, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What its maker notes about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Of content of this type and length.
    pub fn new(media_type: &str, digest: &Digest, size: u64) -> Self {
        Self {
            media_type: MediaType(media_type.to_owned()),
            digest: digest.clone(),
            size,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// An image of one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Missing in some of OCI's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// What its maker notes about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Images of several platforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Missing in some of OCI's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The images, and things that are none, such as attestations.
    pub manifests: Vec<Descriptor>,
    /// What its maker notes about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What a registry gives for a name.
#[derive(Clone, Debug)]
pub enum Document {
    /// An image.
    Manifest(Manifest),
    /// Images.
    Index(Index),
}

/// Not a document that can be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or not of the right form.
    #[error("the manifest cannot be understood: {0}")]
    Json(#[from] serde_json::Error),
    /// Too old.
    #[error(
        "the image has a manifest of docker's schema 1, which nobody makes since 2017: push it again with a present tool"
    )]
    Schema1,
    /// Neither an image nor an index.
    #[error(
        "{0:?} is no type of an image: this name stands for something else (a chart, a signature, an artifact)"
    )]
    Other(String),
    /// Says that it is both an image and an index, which is a way to attack those who verify images.
    #[error("the manifest says that it is both an image and an index")]
    Ambiguous,
    /// More layers than anybody can use, which takes long to find out.
    #[error("the image has {0} layers, which is more than can lie upon each other")]
    Layers(usize),
    /// For none of the platforms that it has.
    #[error("there is no image for {wanted}; there are: {}", available.join(", "))]
    Platform {
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        available: Vec<String>,
    },
}

/// What tells a manifest from an index.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    #[serde(default)]
    schema_version: u32,
    media_type: Option<MediaType>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a document that was given as `media_type`, if that is known.
    ///
    /// # Errors
    /// It is not one, or it contradicts itself (CVE-2021-41190).
    pub fn parse(bytes: &[u8], media_type: Option<&MediaType>) -> Result<Self, DocumentError> {
        let outline: Outline = serde_json::from_slice(bytes)?;
        if outline.schema_version == 1 {
            return Err(DocumentError::Schema1);
        }
        let is_image = outline.config.is_some() || outline.layers.is_some();
        if is_image && outline.manifests.is_some() {
            return Err(DocumentError::Ambiguous);
        }
        let shape = if outline.manifests.is_some() { Kind::Index } else { Kind::Manifest };
        let said = outline.media_type.as_ref().or(media_type.filter(|given| given.kind() != Kind::Other));
        match said.map_or(shape, MediaType::kind) {
            Kind::Manifest if shape == Kind::Manifest => {
                let manifest: Manifest = serde_json::from_slice(bytes)?;
                match manifest.layers.len() {
                    many if many > super::MOST_LAYERS => Err(DocumentError::Layers(many)),
                    _ => Ok(Self::Manifest(manifest)),
                }
            }
            Kind::Index if shape == Kind::Index => Ok(Self::Index(serde_json::from_slice(bytes)?)),
            Kind::Manifest | Kind::Index => Err(DocumentError::Ambiguous),
            Kind::Schema1 => Err(DocumentError::Schema1),
            _ => Err(DocumentError::Other(said.map(|said| said.0.clone()).unwrap_or_default())),
        }
    }
}

impl Index {
    /// The image that serves `wanted` best.
    ///
    /// # Errors
    /// [`DocumentError::Platform`] when there is none.
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor, DocumentError> {
        let images = || {
            self.manifests
                .iter()
                .filter(|image| matches!(image.media_type.kind(), Kind::Manifest | Kind::Index))
        };
        let fitting = images().filter_map(|image| {
            let fitness = image.platform.as_ref().map_or(Some(0), |platform| platform.fitness(wanted))?;
            Some((fitness, image))
        });
        // The first of the best, as the specification has it.
        let best = fitting.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map(|(_, image)| image).ok_or_else(|| {
            let platforms = images().filter_map(|image| image.platform.as_ref()).map(Platform::to_string);
            let available = platforms.filter(|name| !name.starts_with("unknown/")).collect();
            DocumentError::Platform { wanted: wanted.clone(), available }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor(media_type: &str, platform: Option<&str>) -> Descriptor {
        Descriptor {
            media_type: MediaType(media_type.into()),
            digest: DIGEST.parse().unwrap(),
            size: 2,
            platform: platform.map(|platform| platform.parse().unwrap()),
            annotations: BTreeMap::new(),
        }
    }

    fn manifest() -> serde_json::Value {
        let config = descriptor(super::super::media_type::OCI_CONFIG, None);
        serde_json::json!({"schemaVersion": 2, "config": config, "layers": []})
    }

    fn parse(value: &serde_json::Value, media_type: Option<&str>) -> Result<Document, DocumentError> {
        let media_type = media_type.map(|text| MediaType(text.into()));
        Document::parse(value.to_string().as_bytes(), media_type.as_ref())
    }

    #[test]
    fn documents_are_told_apart() {
        let index = serde_json::json!({"schemaVersion": 2, "manifests": []});
        assert!(matches!(parse(&manifest(), None), Ok(Document::Manifest(_))));
        assert!(matches!(parse(&manifest(), Some("text/plain")), Ok(Document::Manifest(_))));
        assert!(matches!(parse(&index, None), Ok(Document::Index(_))));
        assert!(matches!(
            parse(&index, Some("application/vnd.oci.image.index.v1+json; charset=utf-8")),
            Ok(Document::Index(_))
        ));
        assert!(matches!(parse(&serde_json::json!({"schemaVersion": 1}), None), Err(DocumentError::Schema1)));
        assert!(matches!(parse(&serde_json::json!([]), None), Err(DocumentError::Json(_))));
    }

    #[test]
    fn cve_2021_41190_a_document_is_one_thing_only() {
        let mut both = manifest();
        both["manifests"] = serde_json::json!([]);
        assert!(matches!(parse(&both, None), Err(DocumentError::Ambiguous)));
        assert!(matches!(
            parse(&manifest(), Some(super::super::media_type::OCI_INDEX)),
            Err(DocumentError::Ambiguous)
        ));
        let mut other = manifest();
        other["mediaType"] = "application/vnd.example+json".into();
        assert!(matches!(parse(&other, None), Err(DocumentError::Other(_))));
    }

    #[test]
    fn more_layers_than_can_be_used_are_refused() {
        let mut many = manifest();
        let layer = descriptor("application/vnd.oci.image.layer.v1.tar", None);
        many["layers"] = serde_json::json!(vec![layer.clone(); super::super::MOST_LAYERS]);
        assert!(parse(&many, None).is_ok());
        many["layers"] = serde_json::json!(vec![layer; super::super::MOST_LAYERS + 1]);
        assert!(matches!(parse(&many, None), Err(DocumentError::Layers(1001))));
    }

    #[test]
    fn the_platform_is_chosen_and_attestations_are_not() {
        let image = super::super::media_type::OCI_MANIFEST;
        let mut index =
            Index { schema_version: 2, media_type: None, manifests: vec![], annotations: BTreeMap::new() };
        for platform in ["unknown/unknown", "linux/arm/v6", "linux/arm/v7", "linux/amd64"] {
            index.manifests.push(descriptor(image, Some(platform)));
        }
        let chosen = |wanted: &str| {
            index.choose(&wanted.parse().unwrap()).map(|found| found.platform.clone().unwrap().to_string())
        };
        assert_eq!(chosen("linux/amd64").unwrap(), "linux/amd64");
        assert_eq!(chosen("linux/arm").unwrap(), "linux/arm/v7");
        match chosen("linux/s390x") {
            Err(DocumentError::Platform { available, .. }) => {
                assert_eq!(available, ["linux/arm/v6", "linux/arm/v7", "linux/amd64"]);
            }
            other => panic!("{other:?}"),
        }
    }
}
