//! What only a container of an image has.

use boxr_image::digest::Digest;
use serde::{Deserialize, Serialize};

/// The image that a container is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRoot {
    /// What it was called, in short.
    pub name: String,
    /// The digest of its manifest: what the store knows it by.
    pub manifest: Digest,
    /// The digest of its configuration: what people know it by.
    pub id: Digest,
    /// The digests of its layers' tar streams, the lowest first.
    pub layers: Vec<Digest>,
}

/// Options that mean something for containers of images alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerOptions {
    /// Who the command runs as, to be looked up in the container's own files: `USER[:GROUP]`, each a name or a
    /// number; empty is root.
    pub user: String,
    /// Supplementary groups, by name or number, besides those that the user is a member of.
    pub groups: Vec<String>,
    /// What of the command was the entrypoint, for those who ask.
    pub entrypoint: Vec<String>,
    /// Directories that the image wants to outlive the container's changes.
    pub volumes: Vec<String>,
    /// Ports that the image says it listens on: `8080/tcp`.
    pub ports: Vec<String>,
}
