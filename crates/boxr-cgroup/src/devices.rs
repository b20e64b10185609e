//! Loading the device rules of a box into the kernel, version 2.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::io::Errno;

use crate::device_program::{Rule, compile};
use crate::error::Result;
use crate::file;

/// Puts `rules` in force for a cgroup, open and by its path, in place of those that it had; one that is
/// `fresh` has none.
///
/// A caller without the privilege for it is left without rules where it is not root of the
/// machine: whoever lives in a user namespace cannot make device nodes, and for those that exist
/// the file permissions decide (user_namespaces(7)).
pub(crate) fn enforce(rules: &[Rule], cgroup: (BorrowedFd<'_>, &Path), fresh: bool) -> Result<()> {
    let (cgroup, directory) = cgroup;
    let fail = |action| move |errno| file::system(action, directory, errno);
    let program = match boxr_sys::bpf::load_device_program(&compile(rules)) {
        Ok(program) => program,
        Err(Errno::PERM) if !is_root_of_the_machine() => return Ok(()),
        Err(errno) => return Err(fail("load the device rules of")(errno)),
    };
    let before = if fresh {
        Vec::new()
    } else {
        boxr_sys::bpf::device_programs(cgroup).map_err(fail("read the device rules of"))?
    };
    boxr_sys::bpf::attach_device_program(cgroup, program.as_fd())
        .map_err(fail("attach the device rules of"))?;
    // Old rules go after the new ones are there: at no time is everything allowed.
    for old in before {
        boxr_sys::bpf::detach_device_program(cgroup, old.as_fd())
            .map_err(fail("detach the old device rules of"))?;
    }
    Ok(())
}

/// Root, and not of a user namespace: the first line of uid_map is then the whole range.
pub(crate) fn is_root_of_the_machine() -> bool {
    let whole = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    rustix::process::geteuid().is_root() && file::read(Path::new("/proc/self/uid_map")).is_ok_and(whole)
}
