//! boxr-oci beside crun and runc: the same bundles, in turns, in one view of cgroups.
//!
//! The view is a cgroup v2 tree of its own at /sys/fs/cgroup in a mount namespace of its own: on a machine
//! with both versions the runtimes would otherwise do different work.

mod bundle;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use boxr_testing::processes::status_field;
use rustix::process::{Pid, WaitOptions, waitpid};

pub use self::bundle::Bundle;
use super::Bench;
use super::measure::{self, Sample, median, median_wall};
use super::report::{Report, heading};
use super::start::{milliseconds, ratio};
use crate::{Outcome, build};

/// Set in the process that has the view.
const IN_VIEW: &str = "BOXR_BENCH_CGROUP2_VIEW";

/// A runtime, as it is called here.
struct Runtime {
    name: &'static str,
    /// Words of the command, up to the global flags.
    words: Vec<String>,
    /// Where it keeps its state, in memory for all.
    state: PathBuf,
}

impl Runtime {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).arg("--root").arg(&self.state).args(args);
        command
    }
}

/// Measures all, in a process of its own that has the view.
pub fn run(bench: &Bench, report: &mut Report) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        println!("\nOCI runtimes are not compared: that needs root");
        return Ok(());
    }
    if std::env::var_os(IN_VIEW).is_none() {
        let script = r#"mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@""#;
        let apart = ["--mount", "--propagation", "private"];
        return apart_from_host(bench, "oci", &apart, script, IN_VIEW);
    }
    let runtimes = runtimes(bench)?;
    let plain = Bundle::make(bench, "plain", "/true", None)?;
    starts(bench, &runtimes, &plain, report)?;
    lives(bench, &runtimes, &plain, report)?;
    execs(bench, &runtimes, report)?;
    memory(bench, &runtimes, report)?;
    seccomp(bench, &runtimes[0], &plain, report)
}

/// Measures the part in a process that is apart from the host as unshare(1) is told, and where `variable` is set.
pub fn apart_from_host(bench: &Bench, part: &str, how: &[&str], script: &str, variable: &str) -> Outcome {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = Command::new("unshare")
        .args(how)
        .args(["--", "sh", "-c", script, "sh"])
        .arg(program)
        .args(["bench", "--rounds", &bench.scale.rounds.to_string(), part])
        .env(variable, "1")
        .env("BOXR_BENCH_BIN", &bench.boxr)
        .status()
        .map_err(|error| format!("unshare: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{part}: {status}")) }
}

/// The program that is measured.
pub fn own_oci() -> Result<PathBuf, String> {
    match std::env::var_os("BOXR_BENCH_OCI_BIN") {
        Some(path) => Ok(path.into()),
        None => build::release("boxr-oci"),
    }
}

/// boxr-oci first, then its peers as far as they are installed and work here.
fn runtimes(bench: &Bench) -> Result<Vec<Runtime>, String> {
    let own = own_oci()?;
    let preload = format!("LD_PRELOAD={}", bench.program("setrlimit").display());
    let make = |name: &'static str, words: &[&str]| Runtime {
        name,
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        state: bench.state.path().join(name),
    };
    let own = own.display().to_string();
    let mut all = vec![make("boxr-oci", &[&own])];
    let trial = Bundle::make(bench, "trial", "/true", None)?;
    for candidates in [
        vec![make("crun", &["crun"]), make("crun", &["env", &preload, "crun"])],
        vec![make("runc", &["runc"])],
    ] {
        let works = |runtime: &Runtime| {
            let mut command = runtime.command(&["run", "--bundle", &trial.path, "trial"]);
            command.stdin(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let name = candidates[0].name;
        match candidates.into_iter().find(works) {
            Some(runtime) => all.push(runtime),
            None => println!("not compared with {name}: it does not run a container here"),
        }
    }
    Ok(all)
}

/// `run` of a static `true`.
fn starts(bench: &Bench, runtimes: &[Runtime], bundle: &Bundle, report: &mut Report) -> Outcome {
    let command = |runtime: &Runtime| runtime.command(&["run", "--bundle", &bundle.path, "bench"]);
    let mut commands: Vec<Command> = runtimes.iter().map(command).collect();
    let samples = measure::in_turns(&mut commands, bench.scale.rounds)?;
    let walls: Vec<Duration> = samples.iter().map(|samples| median_wall(samples)).collect();
    heading(&format!("OCI: run of a static `true`; median of {} in turns", bench.scale.rounds));
    println!("{:<16} {:>9} {:>7} {:>9} {:>8}", "", "median", "ratio", "faults", "calls");
    for (index, runtime) in runtimes.iter().enumerate() {
        let faults = median(samples[index].iter().map(|sample| sample.faults)).unwrap_or_default();
        let calls = measure::calls(&commands[index]).map(|calls| calls.all);
        let shown = calls.map_or("-".to_owned(), |calls| calls.to_string());
        let ratio = ratio(walls[0], walls[index]);
        println!(
            "{:<16} {:>9} {ratio:>7.2} {faults:>9} {shown:>8}",
            runtime.name,
            milliseconds(walls[index])
        );
        if let (0, Some(calls)) = (index, calls) {
            report.at_most("OCI run: system calls of all processes", calls as f64, 300.0, "");
        }
    }
    against(runtimes, &walls, "OCI run", &[("crun", 0.5), ("runc", 0.15)], report);
    Ok(())
}

/// `create`, `start` and, when the command has ended, `delete`.
fn lives(bench: &Bench, runtimes: &[Runtime], bundle: &Bundle, report: &mut Report) -> Outcome {
    let mut samples = vec![Vec::new(); runtimes.len()];
    for round in 0..bench.scale.rounds {
        for turn in 0..runtimes.len() {
            let index = (round + turn) % runtimes.len();
            samples[index].push(life(bench, &runtimes[index], bundle)?);
        }
    }
    let walls: Vec<Duration> =
        samples.iter().map(|samples| median(samples.iter().copied()).unwrap_or_default()).collect();
    heading("OCI: create + start + delete");
    table(runtimes, &walls);
    against(runtimes, &walls, "OCI create+start+delete", &[("crun", 0.5)], report);
    Ok(())
}

fn life(bench: &Bench, runtime: &Runtime, bundle: &Bundle) -> Result<Duration, String> {
    let file = bench.dir.path().join("pid");
    let file = file.to_str().ok_or("not UTF-8")?;
    let mut wall = Duration::ZERO;
    let create = ["create", "--bundle", &bundle.path, "--pid-file", file, "bench"];
    wall += measure::once(&mut runtime.command(&create))?.wall;
    let pid = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    wall += measure::once(&mut runtime.command(&["start", "bench"]))?.wall;
    // Its parent has ended, and this process is the next reaper.
    let pid = pid.trim().parse().ok().and_then(Pid::from_raw).ok_or(format!("{pid}: not a pid"))?;
    waitpid(Some(pid), WaitOptions::empty()).map_err(|errno| format!("waitpid: {errno}"))?;
    wall += measure::once(&mut runtime.command(&["delete", "bench"]))?.wall;
    Ok(wall)
}

/// `exec` of a static `true` in a container that runs.
fn execs(bench: &Bench, runtimes: &[Runtime], report: &mut Report) -> Outcome {
    let bundle = Bundle::make(bench, "held", "/sleep", None)?;
    let mut held = Vec::new();
    for runtime in runtimes {
        let flags = ["run", "--detach", "--bundle", &bundle.path, "held"];
        let id = format!("held-{}", runtime.name);
        let mut command = runtime.command(&flags[..4]);
        measure::once(command.arg(&id))?;
        held.push(id);
    }
    let mut commands: Vec<Command> =
        runtimes.iter().zip(&held).map(|(runtime, id)| runtime.command(&["exec", id, "/true"])).collect();
    let samples = measure::in_turns(&mut commands, bench.scale.rounds);
    for (runtime, id) in runtimes.iter().zip(&held) {
        measure::once(&mut runtime.command(&["delete", "--force", id]))?;
    }
    super::thousand::reap();
    let walls: Vec<Duration> = samples?.iter().map(|samples: &Vec<Sample>| median_wall(samples)).collect();
    heading("OCI: exec of a static `true` in a running container");
    table(runtimes, &walls);
    against(runtimes, &walls, "OCI exec", &[("crun", 0.5)], report);
    Ok(())
}

/// What the runtime had resident at most, read while its container runs.
fn memory(bench: &Bench, runtimes: &[Runtime], report: &mut Report) -> Outcome {
    let bundle = Bundle::make(bench, "holding", "/hold", None)?;
    heading("OCI: memory of `run` at its peak (VmHWM of its first process)");
    for (index, runtime) in runtimes.iter().enumerate() {
        let peak = peak(runtime, &bundle)?;
        println!("{:<16} {peak:>6} KiB", runtime.name);
        if index == 0 {
            report.at_most("OCI run: peak memory", peak as f64 / 1024.0, 2.5, " MiB");
        }
    }
    Ok(())
}

fn peak(runtime: &Runtime, bundle: &Bundle) -> Result<u64, String> {
    let mut command = runtime.command(&["run", "--bundle", &bundle.path, "bench"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", runtime.name))?;
    let mut byte = [0];
    let said = child.stdout.as_mut().map(|stdout| stdout.read_exact(&mut byte));
    let peak = status_field(Pid::from_child(&child), "VmHWM");
    child.stdin = None;
    let status = child.wait().map_err(|error| error.to_string())?;
    let kibibytes = peak.as_deref().and_then(|peak| peak.split_whitespace().next()?.parse().ok());
    match (said, kibibytes) {
        (Some(Ok(())), Some(kibibytes)) => Ok(kibibytes),
        _ => Err(format!("{} run: {status}", runtime.name)),
    }
}

/// What a large seccomp profile adds to a start.
fn seccomp(bench: &Bench, own: &Runtime, plain: &Bundle, report: &mut Report) -> Outcome {
    let filtered = Bundle::make(bench, "filtered", "/true", Some(bundle::default_profile()?))?;
    let command = |bundle: &Bundle| own.command(&["run", "--bundle", &bundle.path, "bench"]);
    let mut commands = [command(plain), command(&filtered)];
    let samples = measure::in_turns(&mut commands, bench.scale.rounds)?;
    let (without, with) = (median_wall(&samples[0]), median_wall(&samples[1]));
    heading("OCI: docker's default seccomp profile");
    println!("run without {}, with {}", milliseconds(without), milliseconds(with));
    let added = with.saturating_sub(without).as_secs_f64() * 1e3;
    report.at_most("OCI run: added by docker's seccomp profile", added, 0.3, " ms");
    Ok(())
}

fn table(runtimes: &[Runtime], walls: &[Duration]) {
    for (runtime, wall) in runtimes.iter().zip(walls) {
        println!("{:<16} {:>9} {:>7.2}", runtime.name, milliseconds(*wall), ratio(walls[0], *wall));
    }
}

fn against(
    runtimes: &[Runtime],
    walls: &[Duration],
    what: &str,
    targets: &[(&str, f64)],
    report: &mut Report,
) {
    for (peer, target) in targets {
        if let Some(index) = runtimes.iter().position(|runtime| runtime.name == *peer) {
            report.at_most(format!("{what}: boxr-oci / {peer}"), ratio(walls[0], walls[index]), *target, "x");
        }
    }
}
