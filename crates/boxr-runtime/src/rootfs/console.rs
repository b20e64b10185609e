//! /dev/console of a container with a terminal.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::mount::{OpenTreeFlags, open_tree};

use super::beneath::{self, Shape};
use super::mounts::move_onto;
use crate::error::{Step, StepError};

/// Shows `terminal` as `/dev/console` beneath `root`, by descriptor on both sides: a path of the
/// container's could lead elsewhere (CVE-2025-52565).
pub(crate) fn bind(root: BorrowedFd<'_>, terminal: BorrowedFd<'_>) -> Result<(), StepError> {
    let step = |errno| StepError::new(Step::Device, "/dev/console", errno);
    let target = beneath::open_or_create(root, Path::new("/dev/console"), Shape::File).map_err(step)?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let source = open_tree(terminal, c"", flags).map_err(step)?;
    move_onto(source.as_fd(), target.as_fd()).map_err(step)
}
