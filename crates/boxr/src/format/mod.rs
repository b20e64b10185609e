//! How results are written: tables, templates, sizes and times.

pub mod condition;
pub mod listing;
pub mod size;
pub mod table;
pub mod template;
#[cfg(test)]
pub(crate) mod tests;
pub mod time;
