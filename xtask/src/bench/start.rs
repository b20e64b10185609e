//! Starting a box around a command that does nothing.

use std::time::Duration;

use super::Bench;
use super::measure::{self, Calls, median, median_wall};
use super::peers::starters;
use super::report::{Report, heading};
use crate::Outcome;

/// Targets of issue 3, as ratios of wall time.
const TARGETS: [(&str, f64); 2] = [("bwrap", 0.5), ("unshare", 1.0)];

/// Measures starts and prints a line for each contender.
pub fn run(bench: &Bench, report: &mut Report) -> Outcome {
    let (names, mut commands): (Vec<_>, Vec<_>) =
        starters(bench).into_iter().map(|contender| (contender.name, contender.command)).unzip();
    let samples = measure::in_turns(&mut commands, bench.scale.rounds)?;
    heading(&format!(
        "start of a static `true`: pid, uts, mount, /proc; median of {} in turns",
        bench.scale.rounds
    ));
    println!(
        "{:<16} {:>9} {:>9} {:>7} {:>9} {:>10} {:>10}",
        "", "median", "fastest", "ratio", "faults", "calls", "of parent"
    );
    let own = median_wall(&samples[0]);
    for (index, name) in names.iter().enumerate() {
        let wall = median_wall(&samples[index]);
        let fastest = samples[index].iter().map(|sample| sample.wall).min().unwrap_or_default();
        let faults = median(samples[index].iter().map(|sample| sample.faults)).unwrap_or_default();
        let (all, of_parent) = match measure::calls(&commands[index]) {
            Some(Calls { own, all }) => (all.to_string(), own.to_string()),
            None => ("-".into(), "-".into()),
        };
        let ratio = ratio(own, wall);
        println!(
            "{name:<16} {:>9} {:>9} {ratio:>7.2} {faults:>9} {all:>10} {of_parent:>10}",
            milliseconds(wall),
            milliseconds(fastest)
        );
        if let Some((_, target)) = TARGETS.iter().find(|(peer, _)| peer == name) {
            report.at_most(format!("start: boxr run / {name}"), ratio, *target, "x");
        }
    }
    println!("ratio: boxr's median over that line's");
    Ok(())
}

/// `a` as a multiple of `b`.
pub fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// A duration in milliseconds, for people.
pub fn milliseconds(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}
