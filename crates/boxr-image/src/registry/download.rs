//! Files from the web, which have nothing to do with registries but the way to them.

use std::io::{self, Read};

use super::http::{Security, agent, failure, message};
use super::{Patience, RegistryError};

/// A file on its way.
pub struct Download(ureq::BodyReader<'static>);

impl std::fmt::Debug for Download {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Download")
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// Begins to fetch `url`, of `http` or `https`.
///
/// # Errors
/// It cannot be reached, or is not there.
pub fn download(url: &str) -> Result<Download, RegistryError> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let patience = Patience::default();
    let agent = agent(host, scheme, Security::AsGiven, None, &patience)?;
    let response = agent.get(url).call().map_err(|error| failure(url, host, error, &patience))?;
    let status = response.status();
    if !status.is_success() {
        let (url, status) = (url.to_owned(), status.as_u16());
        return Err(RegistryError::Status { url, status, message: message(response) });
    }
    Ok(Download(response.into_body().into_reader()))
}
