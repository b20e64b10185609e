//! Registries: the OCI distribution specification 1.1 and docker's registry protocol version 2.
//!
//! *Why `ureq`.* Measured on this workspace's release profile: a program with `ureq`, rustls on `ring`
//! and the system's roots has 27 crates and 1.7 MB more than an empty one; `oci-client` on tokio and
//! reqwest 181 crates and 4.4 MB, and it brings `aws-lc-sys`, which wants cmake. A pull is a few long
//! streams, one per layer, each of which is hashed, decompressed and unpacked on its way: that is a
//! thread each, and an executor would only move the same work around. Nothing here runs before a
//! command asks for a registry, so the start path pays with nothing but the file's length.

mod challenge;
mod client;
pub mod credentials;
mod download;
mod endpoint;
mod error;
mod http;
mod resolve;
mod retry;
mod session;
mod tags;
#[cfg(test)]
mod tests;
mod upload;

pub use client::{Blob, Client, Fetched};
pub use download::{Download, download};
pub use endpoint::{Endpoint, Registries, RegistriesError, TlsVerify, Told as RegistryEntry};
pub use error::RegistryError;
pub use resolve::Resolver;
pub use retry::Patience;
pub use upload::{Content, Sent};

use credentials::{Credential, Store};

/// How registries are spoken to.
#[derive(Debug, Default)]
pub struct Options {
    /// Whether certificates are verified (`--tls-verify`).
    pub tls_verify: TlsVerify,
    /// Mirrors, and registries that are treated differently.
    pub registries: Registries,
    /// Where passwords are.
    pub credentials: Store,
    /// The password to use, whatever files say (`--creds`).
    pub credential: Option<Credential>,
    /// A directory of certificates for all registries (`--cert-dir`).
    pub certificates: Option<std::path::PathBuf>,
    /// How failures that may pass are met.
    pub patience: Patience,
}
