//! Layers with other owners, for who cannot have them shown by a mount.
//!
//! The kernel shifts the ids of a filesystem for whoever owns its superblock (mount_setattr(2), `MOUNT_ATTR_IDMAP`), which
//! an ordinary user does not. What he can have is a second tree of the same names, whose files have other owners and
//! no data: overlayfs finds the data in the layer itself, through the attributes `metacopy` and `redirect` and a layer
//! of data alone (`datadir+`), which a user namespace may mount since Linux 6.16. It costs an inode for each file, once.
//! Before that, and only where somebody has asked for it, the data is copied too.

mod tree;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Hasher};

pub(crate) use tree::{Why, shift};

/// A run of ids: `size` ids from `from` on, as the layer has them on disk, become those from `to` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// First id before.
    pub from: u32,
    /// First id after.
    pub to: u32,
    /// How many.
    pub size: u32,
}

/// Where the data of the files is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contents {
    /// In the layer.
    Shared,
    /// In copies of its files.
    Copied,
}

/// Which owners take the place of which. All ids are those of the process that makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// Users.
    pub users: Vec<Extent>,
    /// Groups.
    pub groups: Vec<Extent>,
    /// Where the data is.
    pub contents: Contents,
}

impl Shift {
    /// What distinguishes it from all others, as part of a file name.
    pub fn name(&self) -> String {
        let mut text = String::new();
        for (kind, extents) in [("u", &self.users), ("g", &self.groups)] {
            for one in extents {
                // A string takes whatever is written to it.
                write!(text, "{kind}{}:{}:{} ", one.from, one.to, one.size).unwrap_or_default();
            }
        }
        text.push_str(match self.contents {
            Contents::Shared => "shared",
            Contents::Copied => "copied",
        });
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(text.as_bytes());
        hasher.finish().hex()[..16].to_owned()
    }

    /// What becomes of a user and a group; `None` where nothing was said of one.
    pub fn of(&self, user: u32, group: u32) -> Option<(u32, u32)> {
        shifted(&self.users, user).zip(shifted(&self.groups, group))
    }

    /// Whether it changes nothing.
    pub fn is_identity(&self) -> bool {
        self.users.iter().chain(&self.groups).all(|one| one.from == one.to)
    }
}

/// What becomes of one id; `None` where nothing was said of it.
pub(crate) fn shifted(extents: &[Extent], id: u32) -> Option<u32> {
    extents.iter().find_map(|one| {
        let offset = id.checked_sub(one.from).filter(|offset| *offset < one.size)?;
        one.to.checked_add(offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shifted_by_runs() {
        let extents = [Extent { from: 0, to: 1, size: 1000 }, Extent { from: 1000, to: 0, size: 1 }];
        assert_eq!(shifted(&extents, 0), Some(1));
        assert_eq!(shifted(&extents, 999), Some(1000));
        assert_eq!(shifted(&extents, 1000), Some(0));
        assert_eq!(shifted(&extents, 1001), None);
    }

    #[test]
    fn every_shift_has_a_name_of_its_own() {
        let shift = |to, contents| Shift {
            users: vec![Extent { from: 0, to, size: 1 }],
            groups: Vec::new(),
            contents,
        };
        let names = [shift(0, Contents::Shared), shift(1, Contents::Shared), shift(0, Contents::Copied)]
            .map(|one| one.name());
        assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2], "{names:?}");
        assert!(shift(0, Contents::Shared).is_identity() && !shift(1, Contents::Shared).is_identity());
    }
}
