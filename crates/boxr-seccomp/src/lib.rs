//! OCI seccomp profiles (`linux.seccomp`) to classic BPF programs, in Rust alone.
//!
//! [`compile`] takes the section of a specification to a [`Filter`]: the bytes that seccomp(2) loads
//! and the flags to load them with. On the way, a profile is checked (`profile`), its names become
//! numbers of each architecture (`syscalls`, `multiplex`), the numbers become ranges with equal
//! treatment (`section`), the ranges a balanced tree (`tree`) and comparisons of arguments a decision
//! diagram (`decide`), both of which are written backwards into one program (`assemble`).
//!
//! The meaning of a profile is runc's with libseccomp, and is tested against libseccomp's own output:
//!
//! - Names that the table does not know are ignored; names that exist on one architecture only count there.
//! - Comparisons of one entry must all hold; when two of them are on the same argument, any one may.
//! - Of several entries that fit a call, the first decides, but one without comparisons beats those with.
//! - Where the default is a refusal, calls newer than all that the profile names fail with `ENOSYS`, so
//!   that programs fall back as on an older kernel: `EPERM` would look like a decision.
//! - A call by an architecture that is not listed kills the thread.
//! - Where socketcall(2) and ipc(2) exist (x86, s390, ppc, mips o32…), entries for what goes through them
//!   hold there as well. The operation takes the place of the first argument, which is then not compared.
//! - On 32-bit architectures, only the low 32 bits of arguments and values count.
//!
//! [`cache::compile`] keeps compiled programs in a directory.

mod arch;
mod assemble;
pub mod cache;
mod decide;
mod error;
mod filter;
mod hash;
mod multiplex;
mod profile;
mod section;
mod syscalls;
#[cfg(test)]
mod tests;
mod tree;

pub use arch::native;
pub use error::Error;
pub use filter::{Filter, FilterFlags, Instruction};

use oci_spec::runtime::{Arch, LinuxSeccomp};

/// A number for the source text of what makes a profile, as part of its name for [`cache::compile_named`].
pub const fn hash_of(source: &[u8]) -> u64 {
    hash::fnv1a(source)
}

/// Compiles a profile for this machine.
///
/// # Errors
/// The field that cannot be honoured, and why.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter, Error> {
    compile_for(native().ok_or(Error::Host)?, profile)
}

/// Compiles a profile for a machine of architecture `host`: that one always counts as listed, and
/// the others must have its byte order.
///
/// # Errors
/// The field that cannot be honoured, and why.
pub fn compile_for(host: Arch, profile: &LinuxSeccomp) -> Result<Filter, Error> {
    let profile = profile::Profile::check(host, profile)?;
    let program = assemble::program(&section::sections(&profile)?)?;
    Ok(Filter { program, flags: profile.flags, notifies: profile.notifies })
}

/// The number of the system call `name` on `arch`, as the kernel and a filter see it; x32 has its bit.
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    arch::abi(arch)?.number(syscalls::row(name)?)
}

/// All names of system calls that profiles may use.
pub fn names() -> impl Iterator<Item = &'static str> {
    syscalls::names()
}

/// All system calls of `arch`: what the kernel reports as their number, and their names. With [`audit`] that is what a
/// listener hears of a call.
pub fn numbers(arch: Arch) -> Vec<(u32, &'static str)> {
    let Some(abi) = arch::abi(arch) else { return Vec::new() };
    let number = |name| Some((abi.number(syscalls::row(name)?)?, name));
    syscalls::names().filter_map(number).collect()
}

/// What the kernel calls `arch` (`AUDIT_ARCH_*` of `<linux/audit.h>`).
pub fn audit(arch: Arch) -> Option<u32> {
    arch::abi(arch).map(arch::Abi::audit)
}
