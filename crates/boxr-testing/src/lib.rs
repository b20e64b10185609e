//! The harness of boxr's integration tests: they drive the built programs as a person does.
//!
//! A test is a function that takes a [`Sandbox`] and says what it needs of the machine
//! ([`need::Need`]). Each one runs in a process of its own beneath a supervisor that is the reaper of
//! everything started below it ([`supervise`]), so a process, a mount or a file that outlives
//! its test is found without fail and named. A test whose need is missing is skipped by name,
//! with the reason; a need that nobody knows does not compile.
//!
//! The test program is also the small programs that tests run inside boxes ([`probe`]): it is
//! static, so it works on any root filesystem.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

pub mod bad;
pub mod command;
pub mod guard;
pub mod images;
pub mod lab;
pub mod leaks;
pub mod metadata;
pub mod need;
pub mod overwrite;
pub mod probe;
pub mod processes;
pub mod registry;
pub mod rootfs;
pub mod sandbox;
pub mod stream;
pub mod supervise;
pub mod terminal;
pub mod wait;

pub use command::{Cmd, Output, Running};
pub use lab::Lab;
pub use need::{Controller, Need, Tool, block_device};
pub use registry::{Test, main};
pub use sandbox::Sandbox;
pub use terminal::Terminal;
pub use wait::{PATIENCE, wait_until};
