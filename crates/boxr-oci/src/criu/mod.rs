//! Speaking with criu, which freezes a tree of processes into files and thaws it again (criu(8)).
//!
//! criu is started as a worker (`criu swrk FD`) and told what to do over a socket, in protocol buffers
//! ([`wire`], [`rpc`]). While it works it notifies boxr of steps that boxr has a part in
//! ([`service::Event`]). What the images of a container need of the host, they name: [`mounts`],
//! [`namespaces`] and [`descriptors`] say which names those are.

pub mod descriptors;
pub mod error;
pub mod flags;
pub mod images;
pub mod mounts;
pub mod namespaces;
pub mod options;
pub mod private_mounts;
pub mod rpc;
pub mod service;
pub mod wire;

pub use error::Error;
pub use options::Options;
pub use service::{Event, Service};
