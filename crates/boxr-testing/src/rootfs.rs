//! A small root filesystem: busybox and the names it answers to.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::need::Tool;

/// The applets that tests use.
const APPLETS: [&str; 41] = [
    "[", "awk", "basename", "cat", "chmod", "chown", "cut", "dd", "df", "echo", "env", "expr", "false",
    "find", "grep", "head", "hostname", "id", "kill", "ln", "ls", "mkdir", "mknod", "mount", "printf", "ps",
    "pwd", "readlink", "rm", "sed", "sh", "sleep", "sort", "stat", "stty", "tail", "test", "touch", "true",
    "tty", "wc",
];

/// Makes the directory `root` with a working `/bin/sh`.
#[track_caller]
pub fn build(root: &Path) {
    for dir in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    std::fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    let busybox = Tool::Busybox.path().expect("a test with a root filesystem needs Tool::Busybox");
    std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    std::fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n",
    )
    .unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\n").unwrap();
}
