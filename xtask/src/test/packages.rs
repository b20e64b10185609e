//! Debian packages that the tests use.

use std::process::{Command, Stdio};

use boxr_testing::Tool;

/// As root on a machine with apt-get, installs what is missing. Elsewhere, and when that fails, the
/// tests that need it are skipped by name, so nothing is lost quietly.
pub fn install_missing() {
    let missing: Vec<_> = Tool::ALL.into_iter().filter(|tool| tool.path().is_none()).collect();
    let packages: Vec<_> = missing.iter().map(|tool| tool.package()).collect();
    if packages.is_empty() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("not installed (apt-get install {}): tests that need it are skipped", packages.join(" "));
        return;
    }
    println!("installing {}", packages.join(" "));
    if !apt_get(&["update"])
        || !apt_get(&[&["install", "--no-install-recommends"], packages.as_slice()].concat())
    {
        println!("apt-get failed: tests that need these packages are skipped");
    }
}

fn apt_get(words: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.args(["--yes", "--quiet=2"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
    command.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}
