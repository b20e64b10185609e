//! What content is called by its type.

use serde::{Deserialize, Serialize};

/// A media type as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(pub String);

/// What a media type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image of one platform.
    Manifest,
    /// Images of several platforms.
    Index,
    /// The configuration of an image.
    Config,
    /// A layer.
    Layer(Compression),
    /// Docker's manifest of before 2016, which is not read.
    Schema1,
    /// Anything else.
    Other,
}

/// How a layer's tar stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Whose words a manifest is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManifestForm {
    /// The OCI's.
    #[default]
    Oci,
    /// Docker's ("Image Manifest Version 2, Schema 2").
    Docker,
}

impl ManifestForm {
    /// The manifest itself.
    pub(crate) fn manifest(self) -> &'static str {
        match self {
            Self::Oci => OCI_MANIFEST,
            Self::Docker => DOCKER_MANIFEST,
        }
    }

    /// The configuration.
    pub(crate) fn config(self) -> &'static str {
        match self {
            Self::Oci => OCI_CONFIG,
            Self::Docker => DOCKER_CONFIG,
        }
    }

    /// A layer that had the type `known`. One that registries need not have keeps it.
    pub(crate) fn layer(self, known: &str) -> String {
        let media_type = MediaType(known.to_owned());
        match (media_type.kind(), self) {
            (Kind::Layer(_), _) if media_type.is_kept_elsewhere() => media_type.0,
            (Kind::Layer(compression), Self::Oci) => layer_of(compression).to_owned(),
            (Kind::Layer(Compression::None), Self::Docker) => DOCKER_LAYER.to_owned(),
            (Kind::Layer(Compression::Gzip), Self::Docker) => format!("{DOCKER_LAYER}.gzip"),
            (Kind::Layer(Compression::Zstd), Self::Docker) => format!("{DOCKER_LAYER}.zstd"),
            _ => media_type.0,
        }
    }
}

/// The OCI's type of a layer that is packed like this.
pub(crate) fn layer_of(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

impl MediaType {
    /// Whether it is of a layer that registries need not have: its manifest says where else it is to be had.
    pub(crate) fn is_kept_elsewhere(&self) -> bool {
        self.0.contains(".nondistributable.") || self.0.contains(".foreign.")
    }

    /// What it stands for. Parameters after a semicolon do not matter.
    pub fn kind(&self) -> Kind {
        match self.0.split(';').next().unwrap_or_default().trim() {
            OCI_MANIFEST | DOCKER_MANIFEST => Kind::Manifest,
            OCI_INDEX | DOCKER_LIST => Kind::Index,
            OCI_CONFIG | DOCKER_CONFIG => Kind::Config,
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Kind::Layer(Compression::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Kind::Layer(Compression::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Kind::Layer(Compression::Zstd),
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Kind::Schema1,
            _ => Kind::Other,
        }
    }
}
