//! Asking registries for images.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use super::http::{Response, answer, header, read_all};
use super::session::{Ask, Session, start_of};
use super::{Endpoint, Options, RegistryError};
use crate::digest::{Digest, Hasher};
use crate::oci::{Document, LONGEST_MANIFEST, Manifest, MediaType, Platform, whole};
use crate::reference::Reference;

/// What is asked for when an image is.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Indexes in indexes that are followed.
const DEEPEST: u32 = 3;

/// All registries that one command speaks to.
#[derive(Debug, Default)]
pub struct Client {
    options: Options,
    sessions: Mutex<HashMap<Endpoint, Arc<Session>>>,
}

/// The manifest of an image, verified.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Who gave it.
    pub endpoint: Endpoint,
    /// What the name stands for: the digest of the index, or of the manifest where there is none.
    pub source: Digest,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The manifest as it came.
    pub bytes: Vec<u8>,
    /// The same, read.
    pub manifest: Manifest,
}

/// Content on its way. Nothing of it is verified yet.
pub struct Blob {
    /// Where in the content it begins, in bytes: 0 if the registry knows no ranges.
    pub start: u64,
    reader: ureq::BodyReader<'static>,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Blob from {}", self.start)
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// A document as it came, and its digest.
struct Raw {
    bytes: Vec<u8>,
    digest: Digest,
    document: Document,
}

impl Client {
    /// Speaks to nobody yet.
    pub fn new(options: Options) -> Self {
        Self { options, sessions: Mutex::default() }
    }

    /// How registries are spoken to.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The manifest of the image `reference` for `platform`.
    ///
    /// # Errors
    /// Nobody has it, or what they have cannot be used. Of several mirrors the last one's error is given.
    pub fn fetch(&self, reference: &Reference, platform: &Platform) -> Result<Fetched, RegistryError> {
        let endpoints = self.options.registries.endpoints(reference, self.options.tls_verify)?;
        let mut last = None;
        for endpoint in endpoints {
            match self.fetch_from(&endpoint, reference, platform) {
                Ok(fetched) => return Ok(fetched),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| answer(&reference.to_string(), "no registry is named for it")))
    }

    fn fetch_from(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Fetched, RegistryError> {
        let mut raw = self.document(endpoint, &reference.version(), reference.digest())?;
        let source = raw.digest.clone();
        let failed = |source| RegistryError::Document { what: reference.familiar(), source };
        for _ in 0..DEEPEST {
            let index = match raw.document {
                Document::Manifest(manifest) => {
                    let endpoint = endpoint.clone();
                    return Ok(Fetched { endpoint, source, digest: raw.digest, bytes: raw.bytes, manifest });
                }
                Document::Index(index) => index,
            };
            let chosen = index.choose(platform).map_err(failed)?;
            raw = self.document(endpoint, &chosen.digest.to_string(), Some(&chosen.digest))?;
        }
        Err(answer(&reference.familiar(), "there are indexes in indexes without end"))
    }

    fn document(
        &self,
        endpoint: &Endpoint,
        version: &str,
        expected: Option<&Digest>,
    ) -> Result<Raw, RegistryError> {
        let (url, bytes, media_type, said) = self.document_bytes(endpoint, version, expected.is_some())?;
        if let Some(expected) = expected.or(said.as_ref()) {
            verify(&url, &bytes, expected)?;
        }
        let document = Document::parse(&bytes, media_type.as_ref()).map_err(|source| {
            RegistryError::Document { what: what(endpoint, version, expected.is_some()), source }
        })?;
        let digest = expected.cloned().unwrap_or_else(|| Digest::of(&bytes));
        Ok(Raw { bytes, digest, document })
    }

    /// Where it was, its bytes, what they are and which digest they have, as far as that is said.
    fn document_bytes(
        &self,
        endpoint: &Endpoint,
        version: &str,
        is_digest: bool,
    ) -> Result<Told, RegistryError> {
        let path = format!("/v2/{}/manifests/{version}", endpoint.repository);
        let what = what(endpoint, version, is_digest);
        let headers = [("accept", ACCEPT)];
        let ask = Ask {
            method: "GET",
            path: &path,
            repository: &endpoint.repository,
            what: &what,
            headers: &headers,
            payload: None,
        };
        let read = |url: &str, response| {
            let media_type = header(&response, "content-type").map(|text| MediaType(text.to_owned()));
            let said: Option<Digest> =
                header(&response, "docker-content-digest").and_then(|text| text.parse().ok());
            let bytes = read_all(url, response, LONGEST_MANIFEST)?;
            Ok((url.to_owned(), bytes, media_type, said))
        };
        self.session(endpoint).ask(&self.options, ask, read)
    }

    /// The manifest, index or whatever else that an index names with this digest, verified.
    ///
    /// # Errors
    /// It is not there, or contradicts itself.
    pub(crate) fn any_document(
        &self,
        endpoint: &Endpoint,
        digest: &Digest,
    ) -> Result<(Vec<u8>, whole::Read), RegistryError> {
        let version = digest.to_string();
        let (url, bytes, media_type, _) = self.document_bytes(endpoint, &version, true)?;
        verify(&url, &bytes, digest)?;
        match whole::Read::of(&bytes, media_type.as_ref()) {
            Ok(read) => Ok((bytes, read)),
            Err(source) => Err(RegistryError::Document { what: what(endpoint, &version, true), source }),
        }
    }

    /// Content of at most `limit` bytes, verified.
    ///
    /// # Errors
    /// It is not there, is too long, or has another digest.
    pub fn small_blob(
        &self,
        endpoint: &Endpoint,
        digest: &Digest,
        limit: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        self.ask_blob(endpoint, digest, &[], |url, response| {
            let bytes = read_all(url, response, limit)?;
            verify(url, &bytes, digest)?;
            Ok(bytes)
        })
    }

    /// Content from its byte `from` on, or from an earlier one if the registry does not know ranges.
    ///
    /// # Errors
    /// It is not there.
    pub fn blob(&self, endpoint: &Endpoint, digest: &Digest, from: u64) -> Result<Blob, RegistryError> {
        let range = format!("bytes={from}-");
        let ranged = [("range", range.as_str())];
        self.ask_blob(endpoint, digest, if from > 0 { &ranged } else { &[] }, |url, response| {
            let start = start_of(url, &response, from)?;
            Ok(Blob { start, reader: response.into_body().into_reader() })
        })
    }

    fn ask_blob<T>(
        &self,
        endpoint: &Endpoint,
        digest: &Digest,
        headers: &[(&str, &str)],
        then: impl FnMut(&str, Response) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let path = format!("/v2/{}/blobs/{digest}", endpoint.repository);
        let what = format!("{digest} of {}", endpoint.repository);
        let ask = Ask {
            method: "GET",
            path: &path,
            repository: &endpoint.repository,
            what: &what,
            headers,
            payload: None,
        };
        self.session(endpoint).ask(&self.options, ask, then)
    }

    /// Whether the registry `host`, a name as files of passwords have it, lets one in with this password.
    ///
    /// # Errors
    /// It does not, or cannot be reached.
    pub fn knock_at(&self, host: &str) -> Result<(), RegistryError> {
        self.knock(&Endpoint::of_registry(host, self.options.tls_verify))
    }

    /// Whether the registry of `endpoint` lets one in with this password.
    ///
    /// # Errors
    /// It does not, or cannot be reached.
    pub fn knock(&self, endpoint: &Endpoint) -> Result<(), RegistryError> {
        let ask = Ask {
            method: "GET",
            path: "/v2/",
            repository: &endpoint.repository,
            what: "way in",
            headers: &[],
            payload: None,
        };
        self.session(endpoint).ask(&self.options, ask, |_, _| Ok(()))
    }

    pub(super) fn session(&self, endpoint: &Endpoint) -> Arc<Session> {
        // One per registry: repositories share connections.
        let key = Endpoint { repository: String::new(), ..endpoint.clone() };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.entry(key).or_insert_with_key(|key| Arc::new(Session::new(key))).clone()
    }
}

type Told = (String, Vec<u8>, Option<MediaType>, Option<Digest>);

/// What a document is called to people.
fn what(endpoint: &Endpoint, version: &str, is_digest: bool) -> String {
    let separator = if is_digest { '@' } else { ':' };
    format!("{}{separator}{version}", endpoint.repository)
}

fn verify(url: &str, bytes: &[u8], expected: &Digest) -> Result<(), RegistryError> {
    let mut hasher = Hasher::new(expected.algorithm());
    hasher.update(bytes);
    let found = hasher.finish();
    if found == *expected {
        return Ok(());
    }
    Err(RegistryError::WrongDigest { url: url.to_owned(), expected: expected.clone(), found })
}
