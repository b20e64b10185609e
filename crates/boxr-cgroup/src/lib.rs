//! Control groups, version 1 and 2: limits, freezing, killing, figures.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where the cgroups of one container are; kept in its state, so that a later command finds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Directory in the cgroup v2 tree, if it has one there.
    pub unified: Option<PathBuf>,
    /// Directories in cgroup v1 hierarchies, by controller.
    pub legacy: std::collections::BTreeMap<String, PathBuf>,
}
