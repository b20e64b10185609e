//! Declaring tests, and the main function of a test program.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Trial};

use crate::need::Need;
use crate::sandbox::Sandbox;
use crate::{bad, leaks, probe, supervise};

/// One test: what it is called, what it needs, what it does.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// `module::function`
    pub name: &'static str,
    /// What must be there, or else it is skipped.
    pub needs: &'static [Need],
    /// How long it may take in all.
    pub deadline: Duration,
    /// What is known to be wrong with boxr, so that the test fails. It is counted as skipped with
    /// this reason while it does, and fails when boxr was mended: then the mark must go.
    pub defect: Option<&'static str>,
    /// Panics when boxr does not do what it should.
    pub run: fn(&Sandbox),
}

/// Declares a test by its function, with what it needs: `test!(name)`, `test!(name, Need::Root, …)`,
/// and after that `; deadline 300` (seconds) or `; defect "what boxr does wrong"`.
#[macro_export]
macro_rules! test {
    ($function:ident $(, $need:expr)* $(; deadline $seconds:literal)? $(; defect $defect:literal)?) => {
        $crate::Test {
            name: $crate::registry::short(concat!(module_path!(), "::", stringify!($function))),
            needs: &[$($need),*],
            deadline: $crate::registry::deadline(&[$($seconds)?]),
            defect: $crate::registry::defect(&[$($defect)?]),
            run: $function,
        }
    };
}

/// `crate::module::function` without the crate.
pub const fn short(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at] == b':' && bytes[at + 1] == b':' {
            return path.split_at(at + 2).1;
        }
        at += 1;
    }
    path
}

/// The seconds that a test asked for, or a minute.
pub const fn deadline(seconds: &[u64]) -> Duration {
    Duration::from_secs(if seconds.is_empty() { 60 } else { seconds[0] })
}

/// The defect that a test is marked with, if any.
pub const fn defect(defects: &[&'static str]) -> Option<&'static str> {
    if defects.is_empty() { None } else { Some(defects[0]) }
}

/// What a run of the test program works with.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The built `boxr`; `BOXR_TEST_BIN` in the environment names another.
    pub boxr: PathBuf,
}

/// Runs the tests that the arguments ask for, or one of the roles that a test program has
/// besides (supervisor of a test, the test itself, a program in a box).
pub fn main(boxr: &str, tests: Vec<Test>) -> ExitCode {
    let boxr = std::env::var_os("BOXR_TEST_BIN").map_or_else(|| PathBuf::from(boxr), PathBuf::from);
    #[expect(clippy::disallowed_methods, reason = "std's own beginning told it")]
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("--as=supervisor") => supervise::supervise(find(&tests, words.next())),
        Some("--as=test") => run_one(find(&tests, words.next()), &Programs { boxr }),
        Some(role) if role.starts_with("--as=") => probe::main(&role["--as=".len()..], words),
        _ => run_all(tests),
    }
}

fn find(tests: &[Test], name: Option<String>) -> Test {
    let name = name.expect("the name of a test");
    *tests.iter().chain(bad::TESTS).find(|test| test.name == name).expect("a test of this name")
}

fn run_one(test: Test, programs: &Programs) -> ExitCode {
    // Containers of images have networks: those of root's tests on a host of the test's own, with a loopback
    // device and nothing else.
    let has_networks = programs.boxr.file_name().is_some_and(|name| name == "boxr");
    if has_networks && rustix::process::geteuid().is_root() {
        boxr_sys::namespace::unshare(boxr_sys::namespace::NamespaceKind::Network).unwrap();
        boxr_sys::loopback::bring_up().unwrap();
    }
    (test.run)(&Sandbox::from_environment(programs));
    ExitCode::SUCCESS
}

fn run_all(tests: Vec<Test>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let names: BTreeSet<_> = tests.iter().map(|test| test.name).collect();
    assert_eq!(names.len(), tests.len(), "two tests have the same name");

    let before = leaks::cgroups();
    let trials = tests.into_iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let left = leaks::abandoned_cgroups(&before);
    if !left.is_empty() {
        println!("test leaks::cgroups ... FAILED\nleft behind by one of the tests: {left:#?}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trial(test: Test) -> Trial {
    Trial::ignorable_test(test.name, move || {
        if let Some(reason) = test.needs.iter().find_map(|need| need.missing()) {
            return Ok(Completion::ignored_with(reason));
        }
        match (supervise::run(test), test.defect) {
            (Ok(()), None) => Ok(Completion::Completed),
            (Ok(()), Some(defect)) => {
                Err(format!("boxr does it right now; remove the mark: defect {defect:?}").into())
            }
            (Err(_), Some(defect)) => Ok(Completion::ignored_with(format!("known defect: {defect}"))),
            (Err(failed), None) => Err(failed),
        }
    })
}
