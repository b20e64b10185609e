//! What running operations use.

use std::os::fd::OwnedFd;

use rustix::fs::FlockOperation;
use rustix::rand::{GetRandomFlags, getrandom};

use super::files::write_all;
use super::lock::{Wait, lock_file};
use super::{Store, StoreError};
use crate::digest::Digest;

/// Content that this process uses or is about to make: no sweep removes it while the lease is there.
/// It ends when it is dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct Lease<'s> {
    store: &'s Store,
    path: String,
    file: OwnedFd,
}

impl Store {
    /// Begins a lease of nothing.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn lease(&self) -> Result<Lease<'_>, StoreError> {
        let path = format!("leases/{}", self.random_name("leases")?);
        let _lock = self.lock(FlockOperation::LockShared)?;
        match lock_file(&self.root, &path, Wait::No)? {
            Some(file) => Ok(Lease { store: self, path, file }),
            // The one in 2^64: somebody has just this name.
            None => Err(self.root.error("make a lease", &path, rustix::io::Errno::EXIST)),
        }
    }

    /// A name for something in `dir` that nobody else has, but for the one case in 2^64.
    pub(super) fn random_name(&self, dir: &str) -> Result<String, StoreError> {
        let mut random = [0u8; 8];
        rustix::io::retry_on_intr(|| getrandom(&mut random[..], GetRandomFlags::empty()))
            .map_err(|errno| self.root.error("find a name in", dir, errno))?;
        Ok(format!("{:016x}", u64::from_ne_bytes(random)))
    }

    /// What living processes have leases of. Leases of dead ones are removed. Under the exclusive lock.
    pub(super) fn leased(&self) -> Result<Vec<Digest>, StoreError> {
        use std::io::Read;
        let mut all = Vec::new();
        for name in self.root.names("leases")? {
            let path = format!("leases/{name}");
            if lock_file(&self.root, &path, Wait::No)?.is_some() {
                self.root.remove_file(&path)?;
                continue;
            }
            let Some((mut file, _)) = self.root.open_file(&path)? else { continue };
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(|error| {
                let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
                self.root.error("read", &path, errno)
            })?;
            all.extend(text.lines().filter_map(|line| line.parse().ok()));
        }
        Ok(all)
    }
}

impl Lease<'_> {
    /// Adds content, which need not be here yet. If it is here after this call, it stays.
    ///
    /// # Errors
    /// The lease cannot be written.
    pub fn add<'d>(&self, digests: impl IntoIterator<Item = &'d Digest>) -> Result<(), StoreError> {
        let lines: String = digests.into_iter().map(|digest| format!("{digest}\n")).collect();
        let _lock = self.store.lock(FlockOperation::LockShared)?;
        write_all(&self.file, lines.as_bytes())
            .map_err(|errno| self.store.root.error("write", &self.path, errno))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // One that stays is that of a dead process, which a sweep removes.
        self.store.root.remove_file(&self.path).ok();
    }
}
