//! Tests that misbehave on purpose: the harness is tested by what it says of them. They are
//! never in a list of tests.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::registry::{Test, short};
use crate::sandbox::Sandbox;

/// All of them.
pub const TESTS: &[Test] = &[LEAVES_A_PROCESS, LEAVES_A_FILE, NEVER_ENDS, FAILS];

/// Leaves a process behind that has left its session and its parent.
pub const LEAVES_A_PROCESS: Test = bad(short("crate::bad::leaves_a_process"), leaves_a_process);
/// Leaves a file in boxr's state directory.
pub const LEAVES_A_FILE: Test = bad(short("crate::bad::leaves_a_file"), leaves_a_file);
/// Runs until it is killed.
pub const NEVER_ENDS: Test = bad(short("crate::bad::never_ends"), never_ends);
/// Fails with a message.
pub const FAILS: Test = bad(short("crate::bad::fails"), fails);

const fn bad(name: &'static str, run: fn(&Sandbox)) -> Test {
    Test { name, needs: &[], deadline: Duration::from_secs(2), defect: None, run }
}

fn sleep() -> Command {
    let mut command = Command::new("setsid");
    command.args(["sleep", "1000"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[allow(clippy::zombie_processes, reason = "that is its fault")]
fn leaves_a_process(_: &Sandbox) {
    sleep().spawn().unwrap();
}

fn leaves_a_file(t: &Sandbox) {
    std::fs::create_dir_all(&t.layout().state).unwrap();
    std::fs::write(t.layout().state.join("record.json"), "{}").unwrap();
}

fn never_ends(_: &Sandbox) {
    sleep().status().unwrap();
}

fn fails(_: &Sandbox) {
    panic!("what it says");
}
