//! Debian packages that the tests use.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use boxr_testing::Tool;

use crate::{Outcome, top};

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
    let quiet = NoServices::begin();
    if let Err(error) = &quiet {
        println!("{POLICY}: {error}: tests that need these packages are skipped");
        return;
    }
    if !apt_get(&["update"])
        || !apt_get(&[&["install", "--no-install-recommends"], packages.as_slice()].concat())
    {
        println!("apt-get failed: tests that need these packages are skipped");
    }
}

/// As root on a machine with apt-get, installs the C library that the programs are meant to be linked with
/// (crates/boxr-build). Without it they are linked with glibc, which is said.
pub fn install_musl() -> Outcome {
    let is_there = || Path::new("/usr/lib/x86_64-linux-musl/libc.a").exists();
    if is_there() || std::env::var_os("BOXR_MUSL").is_some() || !cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    if rustix::process::geteuid().is_root() && apt_get(&["update"]) {
        apt_get(&["install", "--no-install-recommends", "musl-dev"]);
    }
    if !is_there() {
        println!("musl-dev is not installed: the programs are linked with glibc, and start slower");
        return Ok(());
    }
    // What was decided without it is decided again.
    let script = top().join("crates/boxr-build/src/musl.rs");
    let file = std::fs::File::options().append(true).open(&script);
    file.and_then(|file| file.set_modified(std::time::SystemTime::now()))
        .map_err(|error| format!("{}: {error}", script.display()))
}

fn apt_get(words: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.args(["--yes", "--quiet=2"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
    command.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Asked by Debian's packages before they start a service, as those of containerd and docker do (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// As long as it lives no package starts a service. A policy that is there already is left as it is.
struct NoServices {
    made: bool,
}

impl NoServices {
    fn begin() -> std::io::Result<Self> {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY);
        match file {
            Ok(mut file) => {
                let made = Self { made: true };
                file.write_all(b"#!/bin/sh\nexit 101\n").map(|()| made)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self { made: false }),
            Err(error) => Err(error),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made
            && let Err(error) = std::fs::remove_file(POLICY)
        {
            println!("{POLICY} is left behind, and keeps services from being started: {error}");
        }
    }
}
