//! Tests against the kernel this runs on, of whatever layout: as root here (hybrid), and in the
//! machine that `.ci/uml/run` boots (version 2 alone).
//!
//! They make groups named `boxr-test-…` and remove them. Without root they are shown as ignored,
//! except for what a user may try too; so are those of version 1 where there is none.

mod container;
mod delegated;
mod life;
mod limits;
mod places;
mod support;
mod systemd;

use libtest_mimic::{Arguments, Completion, Trial};

fn main() -> std::process::ExitCode {
    match std::env::var(delegated::ROLE).as_deref() {
        Ok(systemd::ROLE) => return systemd::play(),
        Ok(_) => return delegated::play(),
        Err(_) => {}
    }
    let mut arguments = Arguments::from_args();
    // One thread: a test that clones must have no other.
    arguments.test_threads = Some(1);
    let root = (!rustix::process::geteuid().is_root()).then_some("needs root");
    let legacy = boxr_cgroup::Host::detect().is_ok_and(|host| !host.legacy.is_empty());
    let legacy = root.or((!legacy).then_some("needs cgroup v1"));
    let systemd = std::path::Path::new("/run/systemd/system").exists();
    let systemd = root.or((!systemd).then_some("needs a machine that systemd runs: --world systemd"));
    let groups = [
        (limits::TESTS, root),
        (life::TESTS, root),
        (places::TESTS, root),
        (container::TESTS, root),
        (delegated::TESTS, root),
        (life::LEGACY, legacy),
        (systemd::TESTS, systemd),
        (places::ANYONE, None),
    ];
    let tests = groups.into_iter().flat_map(|(tests, missing)| tests.iter().map(move |test| (test, missing)));
    let trials = tests.map(|((name, test), missing)| trial(name, *test, missing)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    support::remove_shared_directory();
    conclusion.exit_code()
}

/// A test that is shown as ignored, with the reason, where something is missing.
fn trial(name: &str, test: fn() -> support::Outcome, missing: Option<&'static str>) -> Trial {
    Trial::ignorable_test(name, move || match missing {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => test().map(|()| Completion::Completed).map_err(Into::into),
    })
}
