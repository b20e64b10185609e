//! A pod with its first member beside podman's, and what the processes that keep a pod up take of memory.

use std::process::Command;
use std::time::Duration;

use boxr_testing::processes::descendants;
use rustix::process::getpid;

use crate::Outcome;
use crate::bench::Bench;
use crate::bench::images::Podman;
use crate::bench::measure::{self, median};
use crate::bench::memory::private;
use crate::bench::report::{Report, heading};
use crate::bench::start::{milliseconds, ratio};

const ROUNDS: usize = 11;
const POD: &str = "benched";

/// How an engine makes a pod, and how it removes it.
struct Engine<'a> {
    name: &'static str,
    command: &'a dyn Fn(&[&str]) -> Command,
}

impl Engine<'_> {
    /// A pod on a bridge, and a first member that ends at once.
    fn start(&self, image: &str) -> Result<Duration, String> {
        let words = ["run", "--pod", &format!("new:{POD}"), image, "/true"];
        measure::once(&mut (self.command)(&words)).map(|sample| sample.wall)
    }

    fn remove(&self) -> Outcome {
        measure::once(&mut (self.command)(&["pod", "rm", "--force", POD])).map(|_| ())
    }
}

/// Measures and prints.
pub fn measure(bench: &Bench, image: &str, report: &mut Report) -> Outcome {
    let podman = Podman::find(bench, image);
    let own = |words: &[&str]| bench.boxr(words);
    let other =
        |words: &[&str]| podman.as_ref().map_or_else(|| own(words), |podman| podman.for_pods(bench, words));
    let mut engines = vec![Engine { name: "boxr", command: &own }];
    if podman.is_some() {
        engines.push(Engine { name: "podman", command: &other });
    }
    engines.retain(|engine| match engine.start(image).and_then(|_| engine.remove()) {
        Ok(()) => true,
        Err(error) => {
            println!("not compared with a pod of {}: {error}", engine.name);
            false
        }
    });
    let mut walls = vec![Vec::new(); engines.len()];
    for _ in 0..ROUNDS {
        for (engine, walls) in engines.iter().zip(&mut walls) {
            walls.push(engine.start(image)?);
            engine.remove()?;
        }
    }
    heading(&format!("a pod with a first member that ends at once; median of {ROUNDS} in turns"));
    let middles: Vec<Duration> = walls.into_iter().map(|walls| median(walls).unwrap_or_default()).collect();
    for (engine, wall) in engines.iter().zip(&middles) {
        println!("{:<8} {:>10}", engine.name, milliseconds(*wall));
    }
    if let [own, other] = middles[..] {
        report.at_most("networks: a pod with a member, boxr / podman", ratio(own, other), 0.1, "x");
    }
    memory(bench, report)
}

/// Of each process that holds the namespaces of a pod without members.
fn memory(bench: &Bench, report: &mut Report) -> Outcome {
    for (share, comm) in [("net,ipc,uts", "boxr-pod"), ("net,ipc,uts,pid", "boxr-pause")] {
        bench.ask(&["pod", "create", "--name", POD, "--share", share])?;
        bench.ask(&["pod", "start", POD])?;
        let all = descendants(getpid());
        let found = all.iter().find(|process| process.comm.starts_with(comm));
        let taken = found.ok_or(format!("no {comm} is to be found")).and_then(|process| private(process.pid));
        bench.ask(&["pod", "rm", "--force", POD])?;
        let (memory, dirty) = taken?;
        println!("{comm}: {memory} KiB private, {dirty} KiB of them written to");
        report.at_most(format!("networks: private memory of {comm}"), memory as f64, 200.0, " KiB");
    }
    Ok(())
}
