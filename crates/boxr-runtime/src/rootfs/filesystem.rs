//! New instances of filesystems: by descriptors (fsopen(2)), or by mount(2) where the kernel's newer
//! calls do not take what is asked for.

use std::os::fd::AsFd;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::scratch::Scratch;
use crate::plan::superblock_flag;

/// `MS_I_VERSION`, which rustix and fsconfig(2) lack.
const INODE_VERSIONS: MountFlags = MountFlags::from_bits_retain(1 << 23);

/// The longest value that fsconfig(2) takes.
const LONGEST_VALUE: usize = 255;

pub(super) type Parameter = (String, Option<String>);

/// What is to be mounted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub kind: &'a str,
    pub source: &'a str,
    pub parameters: &'a [Parameter],
    pub inode_versions: bool,
    /// A read-only filesystem may refuse a writable instance.
    pub read_only: bool,
    /// `MOUNT_ATTR_*` that it may have from the beginning (fsmount(2)).
    pub attributes: u32,
}

/// The kernel's reason, and what it did not take.
#[derive(Debug)]
pub(super) struct Refusal {
    pub errno: Errno,
    pub what: String,
    /// Whether mount(2) may take it.
    may_be_older: bool,
}

/// An instance.
#[derive(Debug)]
pub(super) struct Made {
    pub fd: Scratch,
    /// The attributes that it has already.
    pub attributes: u32,
}

/// An instance that is mounted nowhere; or, from mount(2), on top of this namespace's root, from
/// where it can be moved.
pub(super) fn create(wanted: &Wanted<'_>) -> Result<Made, Refusal> {
    if wanted.inode_versions || wanted.parameters.iter().any(is_too_long) {
        return by_mount(wanted).map_err(|errno| wanted.refused(errno));
    }
    match by_descriptor(wanted, false) {
        // A device or image that can only be read.
        Err(Refusal { errno: Errno::ROFS | Errno::ACCESS, .. }) if wanted.read_only => {
            by_descriptor(wanted, true)
        }
        Err(refusal) if refusal.may_be_older => by_mount(wanted).map_err(|_| refusal),
        other => other,
    }
}

fn is_too_long(parameter: &Parameter) -> bool {
    parameter.1.as_ref().is_some_and(|value| value.len() > LONGEST_VALUE)
}

impl Wanted<'_> {
    fn refused(&self, errno: Errno) -> Refusal {
        Refusal { errno, what: self.kind.to_owned(), may_be_older: errno == Errno::NOSYS }
    }
}

fn by_descriptor(wanted: &Wanted<'_>, read_only: bool) -> Result<Made, Refusal> {
    let whole = |errno| wanted.refused(errno);
    let context = Scratch::from(fsopen(wanted.kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(whole)?);
    let context = context.as_fd();
    fsconfig_set_string(context, "source", wanted.source).map_err(whole)?;
    if read_only {
        fsconfig_set_flag(context, "ro").map_err(whole)?;
    }
    for (key, value) in wanted.parameters {
        let set = match value {
            Some(value) => fsconfig_set_string(context, key.as_str(), value.as_str()),
            None => fsconfig_set_flag(context, key.as_str()),
        };
        set.map_err(|errno| {
            let text = value.as_ref().map_or_else(|| key.clone(), |value| format!("{key}={value}"));
            Refusal {
                errno,
                what: format!("{} with {text}", wanted.kind),
                may_be_older: errno == Errno::INVAL,
            }
        })?;
    }
    fsconfig_create(context).map_err(whole)?;
    let attributes = MountAttrFlags::from_bits_retain(wanted.attributes);
    let fd = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(whole)?;
    Ok(Made { fd: fd.into(), attributes: wanted.attributes })
}

/// mount(2) needs a place; the root of this mount namespace is one that no container's path leads to.
/// `/..` is what is on top of it.
fn by_mount(wanted: &Wanted<'_>) -> Result<Made, Errno> {
    let mut flags = if wanted.inode_versions { INODE_VERSIONS } else { MountFlags::empty() };
    if wanted.read_only {
        flags |= MountFlags::RDONLY;
    }
    let mut data = Vec::new();
    for (key, value) in wanted.parameters {
        match (superblock_flag(key), value) {
            (Some(flag), None) => flags |= flag,
            (_, Some(value)) => data.push(format!("{key}={value}")),
            (None, None) => data.push(key.clone()),
        }
    }
    let data = std::ffi::CString::new(data.join(",")).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount(wanted.source, c"/", wanted.kind, flags, data.as_c_str())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, c"/..", flags, Mode::empty()).inspect_err(|_| {
        // The error of the open is the one to report.
        rustix::mount::unmount(c"/..", UnmountFlags::DETACH).unwrap_or_default();
    })?;
    Ok(Made { fd: fd.into(), attributes: 0 })
}
