//! The life of one OCI container: from a specification to a running process.
//!
//! [`plan::Plan`] is made whole and checked before anything is changed; [`process::parent::spawn`]
//! carries it out up to the last step before execve(2), and [`process::parent::Spawned::go`]
//! lets the command run. ARCHITECTURE.md, "Hot path", walks through it step by step.

pub mod agent;
pub mod capabilities;
pub mod config;
pub mod deadline;
pub mod error;
pub mod hooks;
pub mod identity;
pub mod idmap;
pub mod intel_rdt;
pub mod namespaces;
mod net_devices;
pub mod own_binary;
pub mod paths;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod rootfs;
pub mod signal_names;
pub mod stdio;
pub mod terminal;
pub mod timestamp;
pub mod told;
pub mod units;

pub use error::{Error, Step, StepError};
pub use plan::Plan;
