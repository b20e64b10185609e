//! What can go wrong with a registry.

use crate::digest::Digest;
use crate::oci::DocumentError;
use crate::registry::credentials::CredentialError;

/// A registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The name of the host is not known.
    #[error("cannot find the host {host:?}: {reason}")]
    Host {
        /// The host.
        host: String,
        /// What the name service said.
        reason: String,
    },
    /// There was no connection, or it broke.
    #[error("cannot reach {url}: {reason}")]
    Connection {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The registry's certificate is not one to trust.
    #[error(
        "cannot trust {host}: {reason}\n  put its authority's certificate in \
         /etc/containers/certs.d/{host}/ca.crt, or use --tls-verify=false"
    )]
    Certificate {
        /// The registry.
        host: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// This machine has no certificates to trust.
    #[error(
        "there are no root certificates to verify {host} with\n  \
         install the package ca-certificates, or name a file of them in SSL_CERT_FILE"
    )]
    NoRoots {
        /// The registry.
        host: String,
    },
    /// A file of certificates cannot be used.
    #[error("cannot use the certificate file {path:?}: {reason}")]
    CertificateFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// A proxy's address in the environment.
    #[error("{variable}={value:?} is no address of a proxy")]
    Proxy {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// The registry wants a password, or another.
    #[error("{host} refuses access to {repository}: {message}\n  {}", remedy(host, *had_password))]
    Denied {
        /// The registry.
        host: String,
        /// The repository.
        repository: String,
        /// What it said.
        message: String,
        /// Whether a password was given.
        had_password: bool,
    },
    /// There is no such name, or one must not know.
    #[error("{host} has no {what}: {message}")]
    NotFound {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What it said.
        message: String,
    },
    /// The registry asks to be left alone for a while.
    #[error("{host} has had too many requests from here: {message}")]
    TooManyRequests {
        /// The registry.
        host: String,
        /// What it said.
        message: String,
    },
    /// What is to be sent is too much at once.
    #[error(
        "{host} takes no requests of {length} bytes: {message}\n  whoever runs it can allow more (in nginx: client_max_body_size)"
    )]
    TooLarge {
        /// The registry.
        host: String,
        /// Bytes of the request.
        length: u64,
        /// What it said.
        message: String,
    },
    /// What is to be sent cannot be read.
    #[error("cannot read what is to be sent: {0}")]
    Content(std::io::Error),
    /// Any other answer that is none.
    #[error("{url} answered with status {status}: {message}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// An answer that makes no sense.
    #[error("{url} gave an answer that cannot be used: {reason}")]
    Answer {
        /// What was asked for.
        url: String,
        /// Why not.
        reason: String,
    },
    /// More than is read.
    #[error("{url} gave more than {limit} bytes, which is too long for what it is")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The most, in bytes.
        limit: u64,
    },
    /// Not what was asked for.
    #[error("{url} gave something else than was asked for: its digest is {found}, not {expected}")]
    WrongDigest {
        /// What was asked for.
        url: String,
        /// What its digest should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The document cannot be used.
    #[error("{what}: {source}")]
    Document {
        /// Which image.
        what: String,
        /// Why.
        source: DocumentError,
    },
    /// registries.conf says so.
    #[error("{name} is blocked by {file:?}")]
    Blocked {
        /// The image.
        name: String,
        /// The file.
        file: std::path::PathBuf,
    },
    /// A password cannot be found out.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

fn remedy(host: &str, had_password: bool) -> String {
    match had_password {
        true => format!("the password in use may be wrong or too weak (boxr login {host})"),
        false => format!("it may want a password (boxr login {host}), or there is no such image"),
    }
}

impl RegistryError {
    /// Whether the same question may be answered a little later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::TooManyRequests { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}
