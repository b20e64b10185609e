//! Who shares which namespaces: the view behind `boxr ns`, and finding one by its number.

mod find;
mod mounts;

pub use find::{FindError, find_namespace};
pub use mounts::{NamespaceMount, namespace_mounts};
