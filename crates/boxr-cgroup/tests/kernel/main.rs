//! Tests against the kernel this runs on, of whatever layout: as root here (hybrid), and in the
//! machine that `.ci/uml/run` boots (version 2 alone).
//!
//! They make groups named `boxr-test-…` and remove them. Without root they are shown as ignored,
//! except for what a user may try too; so are those of version 1 where there is none.

mod delegated;
mod life;
mod limits;
mod places;
mod support;

use libtest_mimic::{Arguments, Trial};

fn main() -> std::process::ExitCode {
    if std::env::var_os(delegated::ROLE).is_some() {
        return delegated::play();
    }
    let mut arguments = Arguments::from_args();
    // One thread: a test that clones must have no other.
    arguments.test_threads = Some(1);
    let root = rustix::process::geteuid().is_root();
    let mut trials: Vec<Trial> = Vec::new();
    for (name, test) in limits::TESTS.iter().chain(life::TESTS).chain(places::TESTS).chain(delegated::TESTS) {
        trials.push(Trial::test(*name, move || test().map_err(Into::into)).with_ignored_flag(!root));
    }
    let legacy = boxr_cgroup::Host::detect().is_ok_and(|host| !host.legacy.is_empty());
    for (name, test) in life::LEGACY {
        trials
            .push(Trial::test(*name, move || test().map_err(Into::into)).with_ignored_flag(!root || !legacy));
    }
    for (name, test) in places::ANYONE {
        trials.push(Trial::test(*name, move || test().map_err(Into::into)));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    support::remove_shared_directory();
    conclusion.exit_code()
}
