//! Bundles as the runtime specification describes them, through the library.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod attacks;
mod bundle;
mod devices;
mod documentation;
mod mounts;
mod namespaces;
mod network;
mod process;
mod root;
mod runner;
mod seccomp;
mod tuning;

use boxr_testing::{Need, Tool};

/// What every bundle here needs: its root filesystem's programs, and the right to make nodes.
const BUNDLE: Need = Need::Tool(Tool::Busybox);

fn main() -> std::process::ExitCode {
    #[expect(clippy::disallowed_methods, reason = "std's own beginning told it")]
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "--as=oci-run") {
        return runner::main(&words);
    }
    boxr_testing::main("there is no boxr in these tests", tests())
}

/// All tests.
fn tests() -> Vec<boxr_testing::Test> {
    [
        namespaces::TESTS,
        mounts::TESTS,
        root::TESTS,
        attacks::TESTS,
        devices::TESTS,
        process::TESTS,
        network::TESTS,
        tuning::TESTS,
        seccomp::TESTS,
        documentation::TESTS,
    ]
    .concat()
}
