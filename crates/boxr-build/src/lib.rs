//! What the build scripts of both programs tell the linker: which C library to link, and which functions
//! to put side by side. For build scripts only; no program links it.

mod musl;
mod order;

use std::path::Path;

use musl::Musl;

/// The one target that any of this was tried on.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Prints cargo's instructions for the programs of the package that is being built.
///
/// `order` is a linker script in the package's directory: the functions that run at a start.
pub fn link_programs(order: &str) {
    println!("cargo::rerun-if-changed={order}");
    println!("cargo::rerun-if-env-changed={}", musl::VARIABLE);
    if variable("TARGET") != TARGET {
        return;
    }
    let crt_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    match Musl::find(&variable(musl::VARIABLE), Path::new("/")) {
        Ok(Some(musl)) if crt_static => musl.link(),
        Ok(_) => {}
        Err(missing) => println!("cargo::error={missing}"),
    }
    if variable("PROFILE") == "release" && order::links_with_lld(&variable("RUSTC")) {
        let script = Path::new(&variable("CARGO_MANIFEST_DIR")).join(order);
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
