//! The compiler against libseccomp, and against the meaning of profiles spelt out: every system call
//! number of each architecture, and values around those that a profile compares arguments with.
//!
//! libseccomp is asked through a small C program, for which Debian's `libseccomp-dev` must be installed.
//! What differs, and is accounted for here by name:
//! - libseccomp 2.5 does not know the newest names: profiles are compared without them, and then again
//!   with them against their meaning alone.
//! - Refusing calls newer than the profile with ENOSYS is runc's work, not libseccomp's.
//! - Where libseccomp 2.5 does something else than its own manual says, the place says so.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod calls;
mod docker;
mod generated;
mod interpreter;
mod libseccomp;
mod machine;
mod meaning;
mod tables;

use libtest_mimic::{Arguments, Completion, Trial};

/// A test that panics when it fails.
type Test = (&'static str, fn());

/// With libseccomp at hand only.
const COMPARED: &[Test] = &[
    ("tables_are_those_of_libseccomp", tables::match_libseccomp),
    ("docker_profile_means_the_same_to_libseccomp", docker::matches_libseccomp),
    ("docker_profile_costs_no_more_than_with_libseccomp", docker::costs_no_more),
    ("generated_profiles_mean_the_same_to_libseccomp", generated::match_libseccomp),
];

/// Where podman's profile is installed, too.
const INSTALLED: &[Test] =
    &[("installed_profile_means_the_same_to_libseccomp", docker::installed_matches_libseccomp)];

/// Everywhere.
const ALONE: &[Test] = &[
    ("docker_profile_does_what_it_says", docker::does_what_it_says),
    ("generated_profiles_do_what_they_say", generated::do_what_they_say),
];

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let compared = COMPARED.iter().map(|test| trial(test, libseccomp::missing));
    let missing = || libseccomp::missing().or_else(docker::missing_installed);
    let installed = INSTALLED.iter().map(|test| trial(test, missing));
    let alone = ALONE.iter().map(|test| trial(test, || None));
    let conclusion = libtest_mimic::run(&arguments, compared.chain(installed).chain(alone).collect());
    libseccomp::clean_up();
    conclusion.exit_code()
}

/// A test that is shown as ignored, with the reason, where something is missing.
fn trial((name, test): &Test, missing: fn() -> Option<String>) -> Trial {
    let test = *test;
    Trial::ignorable_test(*name, move || match missing() {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => {
            test();
            Ok(Completion::Completed)
        }
    })
}
