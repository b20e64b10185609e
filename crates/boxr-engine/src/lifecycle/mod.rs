//! What is done to boxes that exist, one operation a file.

pub mod members;
pub mod prune;
pub mod remove;
#[cfg(test)]
mod tests;
pub mod usage;
pub mod wait;
pub(crate) mod waiting;
