//! Boxes and containers as people know them: names, records, the monitor, logs.
//!
//! [`options::BoxOptions`] is what a person asked for, with every default applied. It is what
//! [`record::Record`] keeps, and what an OCI specification is made from at every start.

pub mod boot;
pub mod config;
pub mod id;
pub mod lifecycle;
pub mod logs;
pub mod names;
pub mod nsview;
pub mod options;
pub mod paths;
pub mod process;
pub mod record;
pub mod store;
