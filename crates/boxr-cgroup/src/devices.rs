//! Loading the device rules of a box into the kernel, version 2.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;

use crate::device_program::{Rule, compile};
use crate::error::{Error, Result};
use crate::file;

/// Puts `rules` in force for the cgroup `directory`, in place of those that it had.
///
/// A caller without the privilege for it is left without rules where it is not root of the
/// machine: whoever lives in a user namespace cannot make device nodes, and for those that exist
/// the file permissions decide (user_namespaces(7)).
pub(crate) fn enforce(rules: &[Rule], directory: &Path) -> Result<()> {
    let fail = |action| move |errno| file::system(action, directory, errno);
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let cgroup = rustix::fs::open(directory, flags, rustix::fs::Mode::empty()).map_err(fail("open"))?;
    let program = match boxr_sys::bpf::load_device_program(&compile(rules)) {
        Ok(program) => program,
        Err(Errno::PERM) if !is_root_of_the_machine() => return Ok(()),
        Err(errno) => return Err(fail("load the device rules of")(errno)),
    };
    let before = boxr_sys::bpf::device_programs(cgroup.as_fd()).map_err(fail("read the device rules of"))?;
    boxr_sys::bpf::attach_device_program(cgroup.as_fd(), program.as_fd())
        .map_err(fail("attach the device rules of"))?;
    // Old rules go after the new ones are there: at no time is everything allowed.
    for old in before {
        boxr_sys::bpf::detach_device_program(cgroup.as_fd(), old.as_fd())
            .map_err(fail("detach the old device rules of"))?;
    }
    Ok(())
}

/// Root, and not of a user namespace: the first line of uid_map is then the whole range.
fn is_root_of_the_machine() -> bool {
    let whole = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    rustix::process::geteuid().is_root() && file::read(Path::new("/proc/self/uid_map")).is_ok_and(whole)
}

/// [`enforce`] for a box that may have no v2 directory.
pub(crate) fn enforce_at(rules: Option<&[Rule]>, directory: Option<&Path>) -> Result<()> {
    match (rules, directory) {
        (None, _) => Ok(()),
        (Some(rules), Some(directory)) => enforce(rules, directory),
        (Some(_), None) => Err(Error::NoCgroup { goal: "kept from devices" }),
    }
}
