//! What images are called: `alpine`, `quay.io/org/app:1.2`, `localhost:5000/app@sha256:…`.
//!
//! The grammar and docker's short forms are those of the `distribution/reference` project:
//! what has no registry is of Docker Hub, and what has no organisation either is of `library`.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use parse::{ReferenceError, is_tag};

use crate::digest::Digest;

/// The registry of names that name none.
pub const DOCKER_HUB: &str = "docker.io";
/// The tag of names that have neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";
/// The organisation of names on Docker Hub that name none.
const LIBRARY: &str = "library/";

/// The full name of an image: registry, repository, and a tag or a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Takes what a person types; names without a registry are of Docker Hub.
    ///
    /// # Errors
    /// [`ReferenceError`] says what is wrong with the name.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        Self::parse_in(text, DOCKER_HUB)
    }

    /// The same; names without a registry are of `registry` (`--registry`).
    ///
    /// # Errors
    /// [`ReferenceError`] says what is wrong with the name.
    pub fn parse_in(text: &str, registry: &str) -> Result<Self, ReferenceError> {
        parse::parse(text, registry)
    }

    /// The registry's host, and its port after a colon where one was given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path of the image in its registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if it has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if it has one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a registry is asked for: the digest, which cannot change, before the tag.
    pub fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The same image by this digest alone.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The name that an image has which was fetched by this; `None` for one that was fetched by its digest, as nobody has
    /// asked what the tag beside that stands for.
    pub fn given(&self) -> Option<Self> {
        (self.digest.is_none() && self.tag.is_some()).then(|| self.clone())
    }

    /// The same image by its tag alone; `None` when it has no tag.
    pub fn without_digest(&self) -> Option<Self> {
        self.tag.as_ref().map(|_| Self { digest: None, ..self.clone() })
    }

    /// Registry and repository in the short form that people type.
    pub fn familiar_name(&self) -> String {
        let rest = self.repository.strip_prefix(LIBRARY).filter(|rest| !rest.contains('/'));
        let short = rest.unwrap_or(&self.repository);
        // Without its registry `docker.io/my.org/app` would be of a registry `my.org`.
        if self.registry != DOCKER_HUB || parse::begins_with_a_host(short) {
            return format!("{}/{}", self.registry, self.repository);
        }
        short.to_owned()
    }

    /// The whole in the short form that people type; parses to the same reference.
    pub fn familiar(&self) -> String {
        self.with_version(self.familiar_name())
    }

    fn with_version(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(&digest.to_string());
        }
        name
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.with_version(format!("{}/{}", self.registry, self.repository)))
    }
}

impl std::str::FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}
