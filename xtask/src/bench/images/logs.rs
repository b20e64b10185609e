//! What a container writes, on its way to the log: boxr's monitor beside podman's conmon.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use boxr_testing::processes::{Process, descendants};
use boxr_testing::wait_until;
use rustix::process::{Pid, WaitOptions, getpid, waitpid};

use super::Podman;
use crate::Outcome;
use crate::bench::Bench;
use crate::bench::measure::{self, median};
use crate::bench::report::{Report, heading};
use crate::bench::start::ratio;

/// What one container writes, in MiB.
const MIB: u32 = 256;
const ROUNDS: usize = 5;

/// Seconds from start to end, and of the processor for the process that keeps the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

/// Measures both in turns.
pub fn measure(bench: &Bench, podman: Option<&Podman>, image: &str, report: &mut Report) -> Outcome {
    let size = MIB.to_string();
    let words = ["run", "-d", "--name", "lines", "--log-opt", "max-size=10m"];
    let boxr = || {
        let mut start = bench.boxr(&words);
        start.args(["--log-opt", "max-file=3", image, "/lines", &size]);
        let (wait, remove) = (bench.boxr(&["wait", "lines"]), bench.boxr(&["rm", "-f", "lines"]));
        once("boxr-monitor", [start, wait, remove])
    };
    let podmans = |podman: &Podman| {
        let mut start = podman.command(&words);
        start.args(["--log-driver", "k8s-file", "--network", "none"]);
        start.args(["--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1024:2048", image, "/lines", &size]);
        let (wait, remove) = (podman.command(&["wait", "lines"]), podman.command(&["rm", "-f", "lines"]));
        once("conmon", [start, wait, remove])
    };
    let (mut own, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own.push(boxr()?);
        if let Some(podman) = podman {
            peers.push(podmans(podman)?);
        }
    }
    heading(&format!("{MIB} MiB of lines into a log that is rotated; median of {ROUNDS} in turns"));
    let walls = |costs: &[Cost]| median(costs.iter().map(|cost| cost.wall)).unwrap_or_default();
    let cpus = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu)).unwrap_or_default();
    for (name, costs) in [("boxr-monitor", &own), ("conmon", &peers)] {
        if costs.is_empty() {
            continue;
        }
        let rate = f64::from(MIB) / walls(costs).as_secs_f64();
        println!("{name:<16} {rate:>8.0} MiB/s {:>8.2} ms of processor per MiB", per_mib(cpus(costs)));
    }
    if !peers.is_empty() {
        report.at_most("log: time of boxr / conmon", ratio(walls(&own), walls(&peers)), 1.0 / 3.0, "x");
        report.at_most("log: processor of boxr / conmon", ratio(cpus(&own), cpus(&peers)), 1.0 / 3.0, "x");
    }
    Ok(())
}

fn per_mib(cpu: Duration) -> f64 {
    cpu.as_secs_f64() * 1e3 / f64::from(MIB)
}

/// Starts, waits for the end, and removes; the process named `keeper` has become ours when it lost its parent.
fn once(keeper: &str, [start, wait, mut remove]: [Command; 3]) -> Result<Cost, String> {
    let begin = Instant::now();
    for mut command in [start, wait] {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    let wall = begin.elapsed();
    let ended = |process: &Process| process.comm.starts_with(keeper) && process.state == 'Z';
    wait_until("the log is closed", || descendants(getpid()).iter().any(ended));
    let all = descendants(getpid());
    let cpu = all.iter().filter(|process| ended(process)).map(|process| processor(process.pid)).sum();
    for process in all.iter().filter(|process| process.state == 'Z') {
        waitpid(Some(process.pid), WaitOptions::NOHANG).map_err(|errno| format!("waitpid: {errno}"))?;
    }
    measure::once(&mut remove)?;
    Ok(Cost { wall, cpu })
}

/// Fields 14 and 15 of proc_pid_stat(5), which are in hundredths of a second (sysconf(3), `_SC_CLK_TCK`).
fn processor(pid: Pid) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
