//! What is done to boxes that exist, one operation a file.

pub mod usage;
