//! One file per command. Each has a `run`, which the table in `cli::table` names.

pub mod attach;
pub mod completion;
pub mod config;
pub mod create;
pub mod doctor;
pub mod exec;
mod explain;
pub mod help;
pub mod image;
pub mod inspect;
pub mod kill;
pub mod logs;
pub mod ns;
pub mod pause;
pub mod prune;
pub mod ps;
pub mod rename;
pub mod restart;
pub mod rm;
pub mod run;
pub mod start;
pub mod stats;
pub mod stop;
pub mod top;
pub mod unpause;
pub mod version;
pub mod wait;
