//! The process that looks after a detached box (ARCHITECTURE.md, "The monitor").
//!
//! ```text
//!  boxr run -d ── clone ──▶ monitor ── clone3 ──▶ first process of the box
//!                             │  ▲
//!                             ▼  │ each restarts the other
//!                           standby
//! ```
//!
//! The monitor moves the box's output from FIFOs to the log and to attached clients, and writes
//! the exit status. It may be killed at any moment. Then the *standby*, which holds the same
//! descriptors and does nothing but wait for that, becomes the monitor; FIFOs keep their bytes because
//! somebody always has them open, and the exit status of a process that is not a child any more is
//! read from its pidfd. When both are killed at once, the next boxr command that meets the box
//! starts a new monitor from what is in the box's directory.

mod adopt;
pub mod attach;
mod checks;
mod clients;
mod serve;
mod standby;
mod start;
mod streams;

pub use adopt::{ensure, ensure_if_free, has_lost_its_monitor, take_over};
pub(crate) use attach::hold_ports_anew;
pub(crate) use checks::Checks;
pub(crate) use serve::{health_of, slim_down};
pub(crate) use start::leave_caller;
pub use start::{StartRequest, Started, start};
