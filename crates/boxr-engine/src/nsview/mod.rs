//! Who shares which namespaces: the view behind `boxr ns`, and finding one by its number.

mod engines;
mod find;
pub(crate) mod mounts;
mod process;
mod render;
mod view;

pub use engines::{Container, container_of};
pub use find::{FindError, find_namespace};
pub use mounts::{NamespaceMount, namespace_mounts};
pub use process::{Process, Users};
pub use render::{Filter, dot, json, rows, target_rows, tree};
pub use view::{BoxOwner, Key, Namespace, View};
