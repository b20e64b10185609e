//! Memory of boxr while its box runs, and of the monitor of a detached box.

use std::io::Read;
use std::process::{Command, Stdio};

use boxr_testing::processes::{descendants, status_field};
use boxr_testing::wait_until;
use rustix::process::{Pid, getpid};

use super::report::{Report, heading};
use super::{Bench, measure::median};
use crate::Outcome;

/// Times that each figure is taken.
const ROUNDS: usize = 9;

/// Measures and prints both.
pub fn run(bench: &Bench, report: &mut Report) -> Outcome {
    let peaks = (0..ROUNDS).map(|_| peak_of_run(bench)).collect::<Result<Vec<_>, _>>()?;
    let peak = median(peaks).unwrap_or_default();
    heading(&format!("memory, median of {ROUNDS}"));
    println!("boxr run, at its peak: {peak} KiB (VmHWM of boxr itself, read while its box runs)");
    report.at_most("memory: peak of boxr run", peak as f64 / 1024.0, 2.5, " MiB");

    let privates = (0..ROUNDS).map(|_| private_of_monitor(bench)).collect::<Result<Vec<_>, _>>()?;
    let dirty = median(privates.iter().map(|(_, dirty)| *dirty)).unwrap_or_default();
    let private = median(privates.iter().map(|(private, _)| *private)).unwrap_or_default();
    println!(
        "monitor of a detached box: {private} KiB private, {dirty} KiB of them written to (smaps_rollup)"
    );
    println!("  the rest are pages of the program's file that no other process happens to use");
    report.at_most("memory: private of a monitor", private as f64, 400.0, " KiB");
    Ok(())
}

/// Kibibytes that boxr had resident at most, until its box had come to run the command.
fn peak_of_run(bench: &Bench) -> Result<u64, String> {
    let mut command: Command = bench.boxr(&["run", "--"]);
    command.arg(bench.program("hold")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("boxr: {error}"))?;
    let mut byte = [0];
    let said = child.stdout.as_mut().map(|stdout| stdout.read_exact(&mut byte));
    let peak = status_field(Pid::from_child(&child), "VmHWM");
    child.stdin = None;
    let status = child.wait().map_err(|error| format!("boxr: {error}"))?;
    match (said, peak) {
        (Some(Ok(())), Some(peak)) => kibibytes(&peak).ok_or(format!("VmHWM: {peak}")),
        _ => Err(format!("boxr run -- hold: {status}")),
    }
}

/// `123 kB` of proc(5).
fn kibibytes(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Kibibytes that only the monitor of one detached box has: all, and those that it has written to.
fn private_of_monitor(bench: &Bench) -> Result<(u64, u64), String> {
    bench.ask(&["run", "-d", "--name", "one", "--", "sleep", "100000"])?;
    let all = descendants(getpid());
    let monitor = all.iter().find(|process| process.comm.starts_with("boxr-monitor"));
    let private = monitor.ok_or("no boxr-monitor is to be found".to_owned()).and_then(|monitor| {
        wait_until_at_rest(monitor.pid);
        private(monitor.pid)
    });
    bench.ask(&["rm", "-f", "one"])?;
    super::thousand::reap();
    private
}

/// A monitor lets go of what the start took when the start has been told; then it waits in poll(2).
fn wait_until_at_rest(monitor: Pid) {
    let standby_waits = || {
        descendants(monitor)
            .iter()
            .any(|process| process.comm.starts_with("boxr-standby") && process.state == 'S')
    };
    wait_until("the monitor is at rest", || {
        standby_waits() && status_field(monitor, "State").is_some_and(|state| state.starts_with('S'))
    });
}

/// Kibibytes that only this process has: all, and those that it has written to.
pub fn private(pid: Pid) -> Result<(u64, u64), String> {
    let path = format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero());
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let sum = |prefix: &str| {
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        lines.filter_map(|line| kibibytes(line.split_once(':')?.1)).sum()
    };
    Ok((sum("Private_"), sum("Private_Dirty")))
}
