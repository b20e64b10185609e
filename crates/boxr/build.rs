//! Asks the linker to put what runs at a start side by side (order.ld), where it is one that can.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=order.ld");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let release = variable("PROFILE") == "release";
    if release && variable("TARGET") == "x86_64-unknown-linux-gnu" && links_with_lld(&variable("RUSTC")) {
        let script = Path::new(&variable("CARGO_MANIFEST_DIR")).join("order.ld");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    }
}

/// Rust's own toolchain for this target brings lld and uses it, since 1.90. GNU ld would take the script for a
/// whole one.
fn links_with_lld(rustc: &str) -> bool {
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output();
    let chosen = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let another = ["linker=", "fuse-ld", "link-self-contained", "linker-flavor"];
    sysroot.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Path::new(&sysroot).join("lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld/ld.lld").is_file()
    }) && !another.iter().any(|flag| chosen.contains(flag))
}
