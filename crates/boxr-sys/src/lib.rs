//! Safe wrappers of the kernel calls that no well-kept crate has.
//!
//! The only crate of boxr that may hold `unsafe`; each block says why it is sound.
//! What `rustix` wraps is called through `rustix` and is not repeated here.

pub mod bpf;
#[cfg(target_arch = "x86_64")]
mod bytes;
pub mod clone;
pub mod copy;
pub mod entry;
pub mod exec;
pub mod fd;
pub mod file;
pub mod foreign_memory;
pub mod heap;
pub mod ioprio;
pub mod keyring;
pub mod landlock;
pub mod loopback;
pub mod memory;
pub mod mempolicy;
pub mod mount;
pub mod musl;
pub mod namespace;
pub mod netlink;
pub mod nsfs;
pub mod passing;
pub mod personality;
pub mod pidfd;
pub mod quota;
pub mod rights;
pub mod scheduler;
pub mod seccomp;
pub mod seccomp_listener;
pub mod signal;
pub mod title;
