//! The processes of a start and what they say to each other.
//!
//! ```text
//!  boxr (parent)                          first process (init)
//!    clone3 ─────────────────────────────────▶ waits for Prepared, where the plan needs it
//!    id maps, systemd's scope  ── Prepared ──▶ namespaces, terminal, mounts, credentials
//!    writes the box's state    ── Go ────────▶ execve
//!                              ◀── Failed ──── at any step: the step, its object, the errno
//!                              ◀── EOF ─────── the command runs (the socket is close-on-exec)
//! ```
//!
//! Hooks of the specification that the parent runs come before the root is entered: the first process says
//! `AwaitsHooks` and waits for `HooksDone`.
//!
//! A container that is created and started by two boxrs (`create`, `start`) says `Ready` where the
//! picture has Go; its parent writes the state, says `Detach` and ends. The first process then accepts
//! connections at a socket in the state directory, and the first that says Go is its new parent side.
//!
//! A seccomp filter with a listener: after Go the first process sends `Listener`, the parent hands that
//! to the agent and says `Delivered`, and only then comes execve.
//!
//! Where namespaces are joined, an intermediate process stands between: it joins them, makes the
//! first process as its sibling (`CLONE_PARENT`), sends its pidfd and ends. Until `Go` has come
//! nothing has run that anybody could know of, so a boxr that is killed at any point before leaves
//! no process: the end of the socket ends the first process.

mod command;
mod credentials;
pub mod holder;
mod home;
pub mod init;
mod keyring;
mod landlock;
mod namespaces;
pub mod parent;
mod pause;
mod procfs;
pub(crate) mod protocol;
mod reaper;
mod seccomp;
pub mod start;
mod terminal;
mod tuning;
