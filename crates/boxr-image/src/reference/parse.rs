//! The grammar of names.

use std::net::Ipv6Addr;

use super::{DEFAULT_TAG, DOCKER_HUB, LIBRARY, Reference};
use crate::digest::{Digest, DigestError};

/// The longest registry and repository together, in bytes.
const LONGEST_NAME: usize = 255;
/// The longest tag, in bytes.
const LONGEST_TAG: usize = 128;

/// Not a name of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing at all.
    #[error("an image needs a name")]
    Empty,
    /// The registry and the repository are too long together.
    #[error("{0:?} is no name of an image: it is longer than {LONGEST_NAME} bytes without tag and digest")]
    TooLong(String),
    /// Docker's users write names in lower case.
    #[error("{text:?} is no name of an image: it must be in lower case (try: {lower})")]
    UpperCase {
        /// What was given.
        text: String,
        /// The same in lower case.
        lower: String,
    },
    /// The host of the registry.
    #[error("{text:?} is no name of an image: {registry:?} is no host, or HOST:PORT")]
    Registry {
        /// What was given.
        text: String,
        /// What is wrong in it.
        registry: String,
    },
    /// A part of the path.
    #[error(
        "{text:?} is no name of an image: {part:?} may hold a-z and 0-9, and between them \
         \".\", \"_\", \"__\" or dashes"
    )]
    Part {
        /// What was given.
        text: String,
        /// What is wrong in it.
        part: String,
    },
    /// The tag.
    #[error(
        "{text:?} is no name of an image: its tag {tag:?} may hold up to {LONGEST_TAG} of \
         A-Z, a-z, 0-9, \"_\", \".\" and \"-\", and begins with none of the last two"
    )]
    Tag {
        /// What was given.
        text: String,
        /// What is wrong in it.
        tag: String,
    },
    /// The digest.
    #[error("{text:?} is no name of an image: {source}")]
    Digest {
        /// What was given.
        text: String,
        /// What is wrong with the digest.
        source: DigestError,
    },
    /// 64 hexadecimal digits are an id.
    #[error("{0:?} cannot be the name of an image: 64 hexadecimal digits are an id")]
    LikeAnId(String),
}

pub(super) fn parse(text: &str, default_registry: &str) -> Result<Reference, ReferenceError> {
    if text.is_empty() {
        return Err(ReferenceError::Empty);
    }
    let (rest, digest) = split_digest(text)?;
    let (name, tag) = split_tag(rest);
    let (registry, path) = split_registry(name, default_registry);
    if registry.is_empty() || !is_host(registry) {
        return Err(ReferenceError::Registry { text: text.into(), registry: registry.into() });
    }
    check_path(text, path)?;
    if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
        return Err(ReferenceError::Tag { text: text.into(), tag: tag.into() });
    }
    let (registry, repository) = full(registry, path);
    if registry.len() + 1 + repository.len() > LONGEST_NAME {
        return Err(ReferenceError::TooLong(text.into()));
    }
    let tag = match (tag, &digest) {
        (Some(tag), _) => Some(tag.to_owned()),
        (None, Some(_)) => None,
        (None, None) => Some(DEFAULT_TAG.to_owned()),
    };
    Ok(Reference { registry, repository, tag, digest })
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), ReferenceError> {
    let Some((rest, digest)) = text.split_once('@') else { return Ok((text, None)) };
    match digest.parse() {
        Ok(digest) => Ok((rest, Some(digest))),
        Err(source) => Err(ReferenceError::Digest { text: text.into(), source }),
    }
}

/// A colon in the last part begins a tag; one before a slash begins a port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// The first part is a registry if it looks like a host: with a dot, a port, upper case, or `localhost`.
fn split_registry<'t>(name: &'t str, default: &'t str) -> (&'t str, &'t str) {
    match name.split_once('/') {
        Some((first, path)) if looks_like_a_host(first) => (first, path),
        _ => (default, name),
    }
}

/// Whether `name` names its registry.
pub(super) fn begins_with_a_host(name: &str) -> bool {
    name.split_once('/').is_some_and(|(first, _)| looks_like_a_host(first))
}

fn looks_like_a_host(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':']) || part.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn check_path(text: &str, path: &str) -> Result<(), ReferenceError> {
    if let Some(part) = path.split('/').find(|part| !is_part(part)) {
        if path.split('/').all(|part| is_part(&part.to_ascii_lowercase())) {
            let lower = text.replacen(path, &path.to_ascii_lowercase(), 1);
            return Err(ReferenceError::UpperCase { text: text.into(), lower });
        }
        return Err(ReferenceError::Part { text: text.into(), part: part.into() });
    }
    if path.len() == 64 && path.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ReferenceError::LikeAnId(text.into()));
    }
    Ok(())
}

fn full(registry: &str, path: &str) -> (String, String) {
    match registry {
        DOCKER_HUB | "index.docker.io" | "registry-1.docker.io" if !path.contains('/') => {
            (DOCKER_HUB.to_owned(), format!("{LIBRARY}{path}"))
        }
        "index.docker.io" | "registry-1.docker.io" => (DOCKER_HUB.to_owned(), path.to_owned()),
        registry => (registry.to_owned(), path.to_owned()),
    }
}

/// `[a-z0-9]+` groups with one separator between any two: `.`, `_`, `__` or dashes.
fn is_part(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !is_word(*first) || !is_word(*last) {
        return false;
    }
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

/// Whether `text` can be a tag.
pub fn is_tag(text: &str) -> bool {
    let mut bytes = text.bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    bytes.next().is_some_and(is_word)
        && text.len() <= LONGEST_TAG
        && bytes.all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// `HOST`, `HOST:PORT`, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port_is_fine = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().is_ok() && port_is_fine;
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_label(label: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty() && label.bytes().all(inside) && !label.starts_with('-') && !label.ends_with('-')
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}
