//! How results are written: tables, templates, sizes and times.

pub mod listing;
pub mod size;
pub mod table;
pub mod template;
pub mod time;
