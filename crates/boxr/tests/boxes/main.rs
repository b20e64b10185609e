//! boxr from the outside, as a person uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod cli;
mod harness;

fn main() -> std::process::ExitCode {
    let tests = [cli::TESTS, harness::TESTS];
    boxr_testing::main(env!("CARGO_BIN_EXE_boxr"), tests.concat())
}
