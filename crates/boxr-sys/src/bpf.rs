//! bpf(2), as far as device rules of a cgroup need it: load, attach, find, detach.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::clone::last_errno;

const BPF_PROG_LOAD: i64 = 5;
const BPF_PROG_ATTACH: i64 = 8;
const BPF_PROG_DETACH: i64 = 9;
const BPF_PROG_GET_FD_BY_ID: i64 = 13;
const BPF_PROG_QUERY: i64 = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
/// Others may attach further programs below and beside; each has to agree.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The kernel allows no more on one cgroup (`BPF_CGROUP_MAX_PROGS`).
const MOST_PROGRAMS: usize = 64;

/// `union bpf_attr` of `<linux/bpf.h>` for `BPF_PROG_LOAD`, up to `prog_name`.
#[repr(C, align(8))]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

const _: () = assert!(size_of::<LoadAttr>() == 64);

/// The same for `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C, align(8))]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// The same for `BPF_PROG_QUERY`, up to `revision`: newer kernels store into that without asking
/// how long the structure is. No byte is padding, which might not be zero as the kernel demands.
#[repr(C, align(8))]
#[derive(Default)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    unused: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

const _: () = assert!(size_of::<QueryAttr>() == 64 && std::mem::offset_of!(QueryAttr, revision) == 56);

/// The same for `BPF_PROG_GET_FD_BY_ID`.
#[repr(C, align(8))]
#[derive(Default)]
struct IdAttr {
    id: u32,
    next_id: u32,
    open_flags: u32,
    unused: u32,
}

const _: () = assert!(size_of::<IdAttr>() == 16 && size_of::<AttachAttr>() == 16);

/// Calls bpf(2) with one of the structures above.
fn bpf<T>(command: i64, attr: &mut T) -> Result<i64, Errno> {
    // SAFETY: `attr` is writable, as long as is said and as the kernel stores into; each caller keeps what it points to alive
    // until this returns, and gives its true length in it.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(last_errno()) } else { Ok(result) }
}

/// The descriptor that a call of bpf(2) returned.
fn descriptor(number: i64) -> Result<OwnedFd, Errno> {
    let number = i32::try_from(number).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel made this descriptor for the caller just now; nobody else owns it.
    // bpf(2) sets close-on-exec itself.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`: `struct bpf_insn` as numbers of the
/// machine's byte order.
///
/// # Errors
/// bpf(2): `EPERM` without `CAP_BPF` or `CAP_SYS_ADMIN` over the initial user namespace; `EINVAL`
/// and `EACCES` when the verifier refuses.
pub fn load_device_program(instructions: &[u64]) -> Result<OwnedFd, Errno> {
    let mut attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        insns: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        prog_name: *b"boxr_devices\0\0\0\0",
        ..LoadAttr::default()
    };
    descriptor(bpf(BPF_PROG_LOAD, &mut attr)?)
}

/// Attaches a device program to a cgroup of version 2, beside those that are there.
///
/// # Errors
/// bpf(2).
pub fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut attr = AttachAttr {
        target_fd: raw(cgroup),
        attach_bpf_fd: raw(program),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
    };
    bpf(BPF_PROG_ATTACH, &mut attr).map(drop)
}

/// Takes a device program off a cgroup.
///
/// # Errors
/// bpf(2).
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut attr = AttachAttr {
        target_fd: raw(cgroup),
        attach_bpf_fd: raw(program),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: 0,
    };
    bpf(BPF_PROG_DETACH, &mut attr).map(drop)
}

/// The device programs on this cgroup itself, not those that it has from above.
///
/// # Errors
/// bpf(2).
pub fn device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, Errno> {
    let mut ids = [0u32; MOST_PROGRAMS];
    let mut attr = QueryAttr {
        target_fd: raw(cgroup),
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: MOST_PROGRAMS as u32,
        ..QueryAttr::default()
    };
    bpf(BPF_PROG_QUERY, &mut attr)?;
    let count = (attr.prog_cnt as usize).min(MOST_PROGRAMS);
    ids[..count]
        .iter()
        .map(|id| descriptor(bpf(BPF_PROG_GET_FD_BY_ID, &mut IdAttr { id: *id, ..IdAttr::default() })?))
        .collect()
}
