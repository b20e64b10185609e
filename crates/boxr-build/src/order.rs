//! Which linkers understand a script that only adds a section.

use std::path::Path;
use std::process::Command;

/// Rust's own toolchain for this target brings lld and uses it, since 1.90. GNU ld would take the script for a
/// whole one.
pub fn links_with_lld(rustc: &str) -> bool {
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output();
    let chosen = crate::variable("CARGO_ENCODED_RUSTFLAGS");
    let another = ["linker=", "fuse-ld", "link-self-contained", "linker-flavor"];
    sysroot.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Path::new(&sysroot).join("lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld/ld.lld").is_file()
    }) && !another.iter().any(|flag| chosen.contains(flag))
}
