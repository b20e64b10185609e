//! A lowest layer with the places in it that every container's mounts want.
//!
//! An image that lacks /proc or /etc/hosts would otherwise have each of its containers make them among its changes, and
//! remove them in the end: seven inodes and four blocks of the disk. What an image has itself lies upon it. It is a
//! convenience: places that are not here are made by whoever mounts something there.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, chmodat};
use rustix::io::Errno;

use super::{Store, StoreError};

/// Where it is, relative to the store's root.
const PLACES: &str = "places";
const DIRECTORIES: [&str; 4] = ["proc", "dev", "sys", "etc"];
const FILES: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];

impl Store {
    /// Opens the directory.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub fn places_dir(&self) -> Result<OwnedFd, StoreError> {
        match self.root.open_dir(PLACES) {
            Err(StoreError::System { errno: Errno::NOENT, .. }) => {
                self.make_places()?;
                self.root.open_dir(PLACES)
            }
            opened => opened,
        }
    }

    /// It appears whole; what a killed process has begun goes with the next sweep.
    fn make_places(&self) -> Result<(), StoreError> {
        let staging = format!("staging/gone.places.{}", self.random_name("staging")?);
        self.root.ensure_dir(&staging)?;
        let mode = |path: &str, mode: u32| {
            chmodat(self.root.fd(), path, Mode::from_raw_mode(mode), AtFlags::empty())
                .map_err(|errno| self.root.error("set the mode of", path, errno))
        };
        mode(&staging, 0o755)?;
        for name in DIRECTORIES {
            let path = format!("{staging}/{name}");
            self.root.ensure_dir(&path)?;
            mode(&path, 0o755)?;
        }
        for name in FILES {
            let path = format!("{staging}/{name}");
            self.root.write_new(&path, b"")?;
            mode(&path, 0o644)?;
        }
        match self.root.rename(&staging, PLACES) {
            // Somebody else was faster.
            Err(StoreError::System { errno: Errno::NOTEMPTY | Errno::EXIST, .. }) => {
                self.root.remove_tree(&staging)
            }
            done => done,
        }
    }
}
