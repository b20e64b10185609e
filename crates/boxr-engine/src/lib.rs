//! Boxes and containers as people know them: names, records, the monitor, logs.
//!
//! [`options::BoxOptions`] is what a person asked for, with every default applied. It is what
//! [`record::Record`] keeps, and what an OCI specification is made from at every start.

pub mod attempt;
pub mod boot;
pub mod cdi;
pub mod config;
pub mod deliver;
pub mod disk;
pub mod doctor;
pub mod events;
pub mod exposure;
pub mod foreground;
mod foreign;
pub mod health;
pub mod host;
pub mod id;
pub mod image;
pub mod join;
pub mod lifecycle;
pub mod logs;
pub mod monitor;
pub mod names;
pub mod network;
pub mod notify;
pub mod nsview;
pub mod options;
pub mod outcome;
pub mod own_ids;
mod place;
pub mod pod;
pub mod prepare;
pub mod record;
mod resources;
pub mod sandbox;
pub mod secret;
pub mod spec;
pub mod status;
pub mod store;
pub mod supervise;
pub mod timing;
pub mod volume;
pub mod watch;

pub use boxr_runtime::{deadline, identity as process, paths, proxy, terminal};
