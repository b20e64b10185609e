//! A pod with its first member beside podman's, and what the processes that keep a pod up take of memory.

use std::process::Command;
use std::time::Duration;

use boxr_testing::processes::descendants;
use rustix::process::getpid;

use crate::Outcome;
use crate::bench::Bench;
use crate::bench::guard;
use crate::bench::images::Podman;
use crate::bench::measure::{self, median};
use crate::bench::memory::private;
use crate::bench::report::{Report, heading};
use crate::bench::start::{milliseconds, ratio};

const ROUNDS: usize = 11;
const POD: &str = "benched";

/// How an engine is asked.
struct Engine<'a> {
    name: &'static str,
    command: &'a dyn Fn(&[&str]) -> Command,
    /// Where the pod's cgroup is to be.
    flags: Vec<String>,
}

impl Engine<'_> {
    /// A first member, which ends at once, brings up a pod on a bridge.
    fn start(&self, image: &str) -> Result<Duration, String> {
        let mut make = (self.command)(&["pod", "create", "--name", POD]);
        measure::once(make.args(&self.flags))?;
        measure::once(&mut (self.command)(&["run", "--pod", POD, image, "/true"])).map(|sample| sample.wall)
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
    let mut engines = vec![Engine { name: "boxr", command: &own, flags: Vec::new() }];
    if podman.is_some() {
        // It leaves some of a pod's cgroups where there are two versions of them.
        let flags = vec![format!("--cgroup-parent=/{}", guard::cgroup())];
        engines.push(Engine { name: "podman", command: &other, flags });
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
    heading(&format!("a first member, which ends at once, brings its pod up; median of {ROUNDS} in turns"));
    let middles: Vec<Duration> = walls.into_iter().map(|walls| median(walls).unwrap_or_default()).collect();
    for (engine, wall) in engines.iter().zip(&middles) {
        println!("{:<8} {:>10}", engine.name, milliseconds(*wall));
    }
    if let [own, other] = middles[..] {
        report.at_most("networks: a pod with a member, boxr / podman", ratio(own, other), 0.2, "x");
    }
    memory(bench, report)
}

/// Of each process that holds the namespaces of a pod without members.
fn memory(bench: &Bench, report: &mut Report) -> Outcome {
    for (share, comm) in [("net,ipc,uts", "boxr-pod"), ("net,ipc,uts,pid", "boxr-pause")] {
        bench.ask(&["pod", "create", "--name", POD, "--share", share])?;
        bench.ask(&["pod", "start", POD])?;
        let all = descendants(getpid());
        // Those of the pods before wait to be reaped.
        let found = all.iter().find(|process| process.comm.starts_with(comm) && process.state != 'Z');
        let taken = found.ok_or(format!("no {comm} is to be found")).and_then(|process| private(process.pid));
        bench.ask(&["pod", "rm", "--force", POD])?;
        crate::bench::thousand::reap();
        let (memory, dirty) = taken?;
        // The rest are pages of the program's file: one fault maps as much of it as the page cache has in one piece.
        println!("{comm}: {memory} KiB private, {dirty} KiB of them written to");
        report.at_most(format!("networks: memory of {comm} itself"), dirty as f64, 200.0, " KiB");
    }
    Ok(())
}
