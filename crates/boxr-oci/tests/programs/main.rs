//! The real programs that run containers, with boxr-oci as their runtime: each script is run once with it
//! and once with runc, and must tell the same story.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod buildah;
mod compare;
mod daemons;
mod podman;

fn main() -> std::process::ExitCode {
    let tests = [podman::TESTS, buildah::TESTS, daemons::TESTS, compare::TESTS];
    boxr_testing::main(env!("CARGO_BIN_EXE_boxr-oci"), tests.concat())
}
