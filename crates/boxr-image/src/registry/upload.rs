//! Giving content to registries (OCI distribution specification 1.1, "Push").

use std::io::{self, Read};

use super::http::{answer, header};
use super::retry::Failed;
use super::session::{Ask, Payload};
use super::{Client, Endpoint, RegistryError};
use crate::digest::Digest;

/// Bytes that are sent at once to a registry that does not take a blob whole.
const CHUNK: u64 = 8 << 20;

/// Content that is to be sent.
#[derive(Clone, Copy)]
pub struct Content<'a> {
    /// What it is.
    pub digest: &'a Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Opens it at this byte. It is opened anew for each attempt.
    pub open: &'a dyn Fn(u64) -> io::Result<Box<dyn Read + 'a>>,
}

impl std::fmt::Debug for Content<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{} of {} bytes", self.digest, self.size)
    }
}

/// What came of sending content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The registry has it from another of its repositories.
    Mounted,
    /// It was sent.
    Sent,
}

/// Where an upload goes on.
enum Begun {
    Mounted,
    At(String),
}

impl Client {
    /// Whether the registry has the content.
    ///
    /// # Errors
    /// It does not say.
    pub fn has_blob(&self, endpoint: &Endpoint, digest: &Digest) -> Result<bool, RegistryError> {
        let path = format!("/v2/{}/blobs/{digest}", endpoint.repository);
        let ask = ask(endpoint, "HEAD", &path, &[], None);
        match self.session(endpoint).ask(self.options(), ask, |_, _| Ok(())) {
            Ok(()) => Ok(true),
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends content, from its beginning again when that fails; `mount_from` is a repository of the same
    /// registry that may have it already.
    ///
    /// # Errors
    /// The registry did not take it.
    pub fn send_blob(
        &self,
        endpoint: &Endpoint,
        content: Content<'_>,
        mount_from: Option<&str>,
    ) -> Result<Sent, RegistryError> {
        let whole =
            self.options().patience.ask(|| match self.begin(endpoint, content.digest, mount_from)? {
                Begun::Mounted => Ok(Sent::Mounted),
                Begun::At(url) => self.send_whole(endpoint, content, &url),
            });
        match whole {
            Err(RegistryError::TooLarge { length, .. }) if length > CHUNK => {
                self.options().patience.ask(|| self.send_in_chunks(endpoint, content))
            }
            done => done,
        }
    }

    fn begin(&self, endpoint: &Endpoint, digest: &Digest, mount_from: Option<&str>) -> Result<Begun, Failed> {
        let query = mount_from.map(|from| format!("?mount={digest}&from={from}")).unwrap_or_default();
        let path = format!("/v2/{}/blobs/uploads/{query}", endpoint.repository);
        let ask = ask(endpoint, "POST", &path, &[], Some(Payload::empty()));
        let (url, response) = self.session(endpoint).ask_once(self.options(), ask)?;
        if response.status().as_u16() == 201 {
            return Ok(Begun::Mounted);
        }
        Ok(Begun::At(location(&url, &response)?))
    }

    fn send_whole(&self, endpoint: &Endpoint, content: Content<'_>, url: &str) -> Result<Sent, Failed> {
        let url = with_digest(url, content.digest);
        let open = || (content.open)(0);
        let payload = Payload { length: content.size, open: &open };
        let headers = [("content-type", "application/octet-stream")];
        let ask = ask(endpoint, "PUT", &url, &headers, Some(payload));
        self.session(endpoint).ask_once(self.options(), ask).map(|_| Sent::Sent)
    }

    fn send_in_chunks(&self, endpoint: &Endpoint, content: Content<'_>) -> Result<Sent, Failed> {
        let mut url = match self.begin(endpoint, content.digest, None)? {
            Begun::Mounted => return Ok(Sent::Mounted),
            Begun::At(url) => url,
        };
        let session = self.session(endpoint);
        let mut at = 0;
        while at < content.size {
            let length = CHUNK.min(content.size - at);
            let open = || Ok(Box::new((content.open)(at)?.take(length)) as Box<dyn Read>);
            let range = format!("{at}-{}", at + length - 1);
            let headers = [("content-type", "application/octet-stream"), ("content-range", range.as_str())];
            let ask = ask(endpoint, "PATCH", &url, &headers, Some(Payload { length, open: &open }));
            let (asked, response) = session.ask_once(self.options(), ask)?;
            url = location(&asked, &response)?;
            at += length;
        }
        let url = with_digest(&url, content.digest);
        session
            .ask_once(self.options(), ask(endpoint, "PUT", &url, &[], Some(Payload::empty())))
            .map(|_| Sent::Sent)
    }

    /// Gives the manifest `bytes` the name `version`, a tag or its digest.
    ///
    /// # Errors
    /// The registry did not take it, or took it for another.
    pub fn send_manifest(
        &self,
        endpoint: &Endpoint,
        version: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(), RegistryError> {
        let path = format!("/v2/{}/manifests/{version}", endpoint.repository);
        let open = || Ok(Box::new(bytes) as Box<dyn Read>);
        let payload = Payload { length: bytes.len() as u64, open: &open };
        let headers = [("content-type", media_type)];
        let ask = ask(endpoint, "PUT", &path, &headers, Some(payload));
        self.session(endpoint).ask(self.options(), ask, |url, response| {
            let said = header(&response, "docker-content-digest").and_then(|text| text.parse().ok());
            let (found, expected) = (said, Digest::of(bytes));
            match found {
                Some(found) if found != expected => {
                    Err(RegistryError::WrongDigest { url: url.to_owned(), expected, found })
                }
                _ => Ok(()),
            }
        })
    }
}

fn ask<'a>(
    endpoint: &'a Endpoint,
    method: &'static str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    payload: Option<Payload<'a>>,
) -> Ask<'a> {
    let repository = endpoint.repository.as_str();
    Ask { method, path, repository, what: repository, headers, payload }
}

/// Where an upload goes on: a path or an address.
fn location(url: &str, response: &super::http::Response) -> Result<String, RegistryError> {
    let found = header(response, "location").filter(|found| {
        found.starts_with('/') || found.starts_with("https://") || found.starts_with("http://")
    });
    found.map(str::to_owned).ok_or_else(|| answer(url, "it does not say where the upload goes on"))
}

fn with_digest(url: &str, digest: &Digest) -> String {
    format!("{url}{}digest={digest}", if url.contains('?') { '&' } else { '?' })
}
