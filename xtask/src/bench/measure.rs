//! Running a command and taking its time.
//!
//! The driver costs little and the same for everyone: posix_spawn(3), which std uses where nothing
//! forbids it, one waitid(2), and CLOCK_MONOTONIC around both.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// From before its process was made to its end.
    pub wall: Duration,
    /// Page faults that needed no disk, of the process and of all children that it waited for.
    pub faults: u64,
}

/// Runs `command` once, with nothing on stdin and its output thrown away.
pub fn once(command: &mut Command) -> Result<Sample, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let pid = Pid::from_child(&child);
    // It stays a zombie, whose counters can still be read.
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        .map_err(|error| format!("waitid: {error}"))?;
    let wall = begin.elapsed();
    let faults = faults(pid);
    let status = child.wait().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(Sample { wall, faults }) } else { Err(format!("{command:?}: {status}")) }
}

/// Fields 10 and 11 of proc_pid_stat(5).
fn faults(pid: Pid) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let numbers = fields.split_whitespace().skip(7).take(2);
    numbers.filter_map(|number| number.parse::<u64>().ok()).sum()
}

/// Measures all `commands` in turns: each round begins with another one, so none is always the
/// one that runs after the slowest.
pub fn in_turns(commands: &mut [Command], rounds: usize) -> Result<Vec<Vec<Sample>>, String> {
    let count = commands.len();
    let mut samples = vec![Vec::with_capacity(rounds); count];
    for round in 0..rounds + WARM_UP {
        for turn in 0..count {
            let index = (round + turn) % count;
            let sample = once(&mut commands[index])?;
            if round >= WARM_UP {
                samples[index].push(sample);
            }
        }
    }
    Ok(samples)
}

/// Rounds that are not counted, in which files come into memory.
const WARM_UP: usize = 5;

/// The middle one.
pub fn median<T: Ord + Copy>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// The middle time of samples; zero of none.
pub fn median_wall(samples: &[Sample]) -> Duration {
    median(samples.iter().map(|sample| sample.wall)).unwrap_or_default()
}

/// System calls of one run: those of the process that was started, and of all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// Of the first process.
    pub own: usize,
    /// Of it and everything it started.
    pub all: usize,
}

/// Counts system calls by strace(1), which must be installed. `None` where it is not, or the command fails under it.
pub fn calls(command: &Command) -> Option<Calls> {
    let trace = tempfile::NamedTempFile::new().ok()?;
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o"])
        .arg(trace.path())
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args());
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !strace.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let text = std::fs::read_to_string(trace.path()).ok()?;
    Some(count(&text))
}

/// Counts the lines `PID NAME(…`; the second half of an interrupted line is not one.
fn count(trace: &str) -> Calls {
    let lines = trace.lines().filter_map(|line| line.split_once(' '));
    let begun = lines.filter(|(_, call)| call.trim_start().starts_with(|c: char| c.is_ascii_lowercase()));
    let pids: Vec<_> = begun.map(|(pid, _)| pid).collect();
    let own = pids.iter().filter(|pid| Some(*pid) == pids.first()).count();
    Calls { own, all: pids.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_trace_are_counted_once() {
        let trace = "7 execve(\"x\", ...) = 0\n7 clone3({...} <unfinished ...>\n8 mount(...) = 0\n\
                     7 <... clone3 resumed>) = 8\n7 --- SIGCHLD ---\n8 exit_group(0) = ?\n7 +++ exited +++\n";
        assert_eq!(count(trace), Calls { own: 2, all: 4 });
    }

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median([5, 1, 9]), Some(5));
        assert_eq!(median::<u32>([]), None);
    }
}
