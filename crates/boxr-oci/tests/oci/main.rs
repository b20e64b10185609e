//! boxr-oci from the outside, as the programs that drive an OCI runtime use it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod agent;
mod bundle;
mod checkpoint;
mod crash;
mod criu;
mod exec;
mod fake_criu;
mod hooks;
mod life;
mod limits;
mod mistakes;
mod peers;
mod seccomp;
mod service;
mod soak;
mod streams;
mod systemd;

fn main() -> std::process::ExitCode {
    #[expect(clippy::disallowed_methods, reason = "std's own beginning told it")]
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(fake_criu::ROLE) {
        return fake_criu::main(words);
    }
    let tests = [
        life::TESTS,
        exec::TESTS,
        hooks::TESTS,
        mistakes::TESTS,
        limits::TESTS,
        systemd::TESTS,
        seccomp::TESTS,
        crash::TESTS,
        checkpoint::TESTS,
        streams::TESTS,
        service::TESTS,
        peers::TESTS,
        soak::TESTS,
        criu::TESTS,
    ];
    boxr_testing::main(env!("CARGO_BIN_EXE_boxr-oci"), tests.concat())
}
