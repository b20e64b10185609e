//! Running a command in a box that runs.

use std::process::Command;

use super::Bench;
use super::measure::{self, median, median_wall};
use super::report::{Report, heading};
use super::start::{milliseconds, ratio};
use crate::Outcome;

/// Measures `boxr exec` beside nsenter(1), which joins the same namespaces.
pub fn run(bench: &Bench, _: &mut Report) -> Outcome {
    bench.ask(&["run", "-d", "--name", "entered", "--", "sleep", "100000"])?;
    let measured = compare(bench);
    bench.ask(&["rm", "-f", "entered"])?;
    super::thousand::reap();
    measured
}

fn compare(bench: &Bench) -> Outcome {
    let pid = bench.ask(&["inspect", "-f", "{{.State.Pid}}", "entered"])?;
    let mut exec = bench.boxr(&["exec", "entered"]);
    exec.arg(bench.program("true"));
    let mut nsenter = Command::new("nsenter");
    nsenter.args(["-t", pid.trim(), "-p", "-m", "-u"]).arg(bench.program("true"));
    let mut commands = [exec, nsenter];
    let samples = measure::in_turns(&mut commands, bench.scale.rounds)?;
    heading(&format!("a static `true` in a running box; median of {} in turns", bench.scale.rounds));
    let own = median_wall(&samples[0]);
    for (index, name) in ["boxr exec", "nsenter -pmu"].into_iter().enumerate() {
        let wall = median_wall(&samples[index]);
        let faults = median(samples[index].iter().map(|sample| sample.faults)).unwrap_or_default();
        let calls = measure::calls(&commands[index]).map_or("-".to_owned(), |calls| calls.all.to_string());
        println!(
            "{name:<16} {:>9} {:>7.2} {faults:>9} faults {calls:>6} calls",
            milliseconds(wall),
            ratio(own, wall)
        );
    }
    Ok(())
}
