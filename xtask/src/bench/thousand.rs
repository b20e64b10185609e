//! Many detached boxes at once: does the cost of a start grow, and how long does `ps` take?

use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, wait};

use super::Bench;
use super::measure::{self, Sample, median_wall};
use super::report::{Report, heading};
use super::start::{milliseconds, ratio};
use crate::Outcome;

/// Starts the boxes, lists them, and removes them whatever happened.
pub fn run(bench: &Bench, report: &mut Report) -> Outcome {
    let measured = measure_all(bench, report);
    let begin = Instant::now();
    let removed = bench.ask(&["rm", "-f", "--all"]);
    println!("rm -f --all: {}", milliseconds(begin.elapsed()));
    reap();
    measured.and(removed.map(drop))
}

fn measure_all(bench: &Bench, report: &mut Report) -> Outcome {
    let boxes = bench.scale.boxes;
    heading(&format!("{boxes} detached boxes of sleep"));
    let mut samples = Vec::with_capacity(boxes);
    for index in 0..boxes {
        let name = format!("n{index}");
        samples
            .push(measure::once(&mut bench.boxr(&["run", "-d", "--name", &name, "--", "sleep", "100000"]))?);
    }
    let tenth = (boxes / 10).max(1);
    let (first, last) = (median_wall(&samples[..tenth]), median_wall(&samples[boxes - tenth..]));
    println!(
        "start, median of the first {tenth}: {}, of the last: {}",
        milliseconds(first),
        milliseconds(last)
    );
    println!("all started in {:.2} s", total(&samples).as_secs_f64());
    report.at_most(
        format!("cost of a start: beside {boxes} boxes / beside none of the store's"),
        beside(bench, tenth)?,
        1.2,
        "x",
    );

    let listed = bench.ask(&["ps", "-q"])?.lines().count();
    if listed != boxes {
        return Err(format!("ps lists {listed} of {boxes} boxes"));
    }
    let samples = (0..15).map(|_| measure::once(&mut bench.boxr(&["ps"]))).collect::<Result<Vec<_>, _>>()?;
    let ps = median_wall(&samples);
    println!("ps: {}", milliseconds(ps));
    report.at_most(format!("ps with {boxes} boxes"), ps.as_secs_f64() * 1e3, 60.0, " ms");
    Ok(())
}

/// What the boxes of its store cost a start. The two stores take turns, on the same host with the same processes: minutes
/// lie between the first box and the last, and a shared machine is another one then.
fn beside(bench: &Bench, rounds: usize) -> Result<f64, String> {
    let (state, root) = (bench.state.path().join("empty"), bench.dir.path().join("empty"));
    let start = ["run", "-d", "--rm", "--", "true"];
    let elsewhere = bench.boxr_in(&state, &root, &start);
    let samples = measure::in_turns(&mut [bench.boxr(&start), elsewhere], rounds)?;
    let [full, none] = [0, 1].map(|index| median_wall(&samples[index]));
    println!("start beside them: {}, in an empty store: {}", milliseconds(full), milliseconds(none));
    Ok(ratio(full, none))
}

fn total(samples: &[Sample]) -> Duration {
    samples.iter().map(|sample| sample.wall).sum()
}

/// Takes leave of monitors that have ended: they became children of this process.
pub fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}
