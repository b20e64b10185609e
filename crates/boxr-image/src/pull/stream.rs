//! A blob on its way from the registry, written down as it goes through.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{Event, Progress, PullError};
use crate::registry::{Blob, Client, Endpoint, RegistryError};
use crate::store::BlobWriter;

/// Why it ended before its end.
pub(super) type Failure = PullError;

/// Reads what an earlier attempt has left, then from the registry, and again where that broke off.
pub(super) struct Stream<'a> {
    client: &'a Client,
    endpoint: &'a Endpoint,
    blob: BlobWriter<'a>,
    from: Option<Blob>,
    /// Bytes of `from` to pass over: they are here already.
    skip: u64,
    /// Attempts since the last byte came.
    vain: u32,
    given_up: &'a AtomicBool,
    progress: &'a dyn Progress,
    failure: Option<Failure>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        client: &'a Client,
        endpoint: &'a Endpoint,
        blob: BlobWriter<'a>,
        given_up: &'a AtomicBool,
        progress: &'a dyn Progress,
    ) -> Self {
        Self { client, endpoint, blob, from: None, skip: 0, vain: 0, given_up, progress, failure: None }
    }

    /// The writer, and what went wrong.
    pub(super) fn end(self) -> (BlobWriter<'a>, Option<Failure>) {
        (self.blob, self.failure)
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        if self.given_up.load(Relaxed) {
            return Err(PullError::GivenUp);
        }
        if self.blob.left() > 0 {
            let read = self.blob.read_back(buffer)?;
            if read > 0 {
                return Ok(read);
            }
        }
        loop {
            if self.blob.position() == self.blob.size() {
                return Ok(0);
            }
            match self.read_some(buffer) {
                Ok(0) => self.broke_off("it ended too early")?,
                Ok(read) if self.skip >= read as u64 => self.skip -= read as u64,
                Ok(read) => {
                    let skipped = usize::try_from(self.skip).unwrap_or(0);
                    self.skip = 0;
                    self.blob.write(&buffer[skipped..read])?;
                    buffer.copy_within(skipped..read, 0);
                    self.vain = 0;
                    self.tell();
                    return Ok(read - skipped);
                }
                Err(error) => self.broke_off(&error.to_string())?,
            }
        }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let from = match &mut self.from {
            Some(from) => from,
            None => {
                let position = self.blob.position();
                let from = self.client.blob(self.endpoint, self.blob.digest(), position)?;
                self.skip = position - from.start.min(position);
                self.from.insert(from)
            }
        };
        from.read(buffer).map_err(|error| {
            let url = format!("{} at {}", self.blob.digest(), self.endpoint.host);
            RegistryError::Connection { url, reason: error.to_string() }.into()
        })
    }

    /// Begins again where it broke off, unless that was in vain too often.
    fn broke_off(&mut self, reason: &str) -> Result<(), Failure> {
        let was_open = self.from.take().is_some();
        let patience = &self.client.options().patience;
        self.vain += 1;
        // Where there was no connection at all, the client has been patient already.
        if !was_open || self.vain >= patience.attempts {
            let url = format!("{} at {}", self.blob.digest(), self.endpoint.host);
            return Err(RegistryError::Connection { url, reason: reason.to_owned() }.into());
        }
        self.progress.layer(self.blob.digest(), Event::Again { reason: reason.to_owned() });
        patience.pause(self.vain);
        Ok(())
    }

    fn tell(&self) {
        let event = Event::Fetching { done: self.blob.position(), total: self.blob.size() };
        self.progress.layer(self.blob.digest(), event);
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.read_on(buffer).map_err(|failure| {
            let error = io::Error::other(failure.to_string());
            self.failure = Some(failure);
            error
        })
    }
}

/// A blob that is written for its own sake.
pub(super) fn fetch_into(
    (client, endpoint): (&Client, &Endpoint),
    blob: BlobWriter<'_>,
    given_up: &AtomicBool,
    progress: &dyn Progress,
) -> Result<(), PullError> {
    let mut stream = Stream::new(client, endpoint, blob, given_up, progress);
    let read = io::copy(&mut stream, &mut io::sink());
    let (blob, failure) = stream.end();
    match (failure, read) {
        (Some(failure), _) => Err(failure),
        // Only the stream itself fails, and says how.
        (None, Err(_)) => Err(PullError::GivenUp),
        (None, Ok(_)) => Ok(blob.commit()?),
    }
}
