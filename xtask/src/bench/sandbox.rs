//! A sandbox around a command that does nothing, beside a bwrap command line with the same namespaces and mounts.

use std::path::Path;
use std::process::Command;

use super::Bench;
use super::measure::{self, median_wall};
use super::report::{Report, heading};
use super::start::{milliseconds, ratio};
use crate::Outcome;

/// Target of issue 7: wall time of `run --sandbox` in that of bwrap.
const MOST: f64 = 0.7;

/// Measures both in turns and prints a line for each.
pub fn run(bench: &Bench, report: &mut Report) -> Outcome {
    let project = bench.dir.path().join("project");
    for dir in ["", ".git", ".git/hooks"] {
        std::fs::create_dir(project.join(dir)).map_err(|error| error.to_string())?;
    }
    let program = project.join("true");
    std::fs::copy(bench.program("true"), &program).map_err(|error| error.to_string())?;
    let directory = project.to_string_lossy().into_owned();
    let explained =
        bench.ask(&["run", "--sandbox", "-w", &directory, "--explain", "--dry-run", "--", "true"])?;
    let mut boxr = bench.boxr(&["run", "--sandbox", "-w", &directory, "--"]);
    boxr.arg(&program);
    let mut commands = vec![boxr, bwrap(&explained, &program)];
    if let Err(error) = measure::once(&mut commands[1]) {
        println!("not compared with bwrap: {error}");
        return Ok(());
    }
    let samples = measure::in_turns(&mut commands, bench.scale.rounds)?;
    heading(&format!("sandbox around a static `true`; median of {} in turns", bench.scale.rounds));
    println!("{:<16} {:>9} {:>10} {:>10}", "", "median", "calls", "of parent");
    for (name, (samples, command)) in ["run --sandbox", "bwrap"].iter().zip(samples.iter().zip(&commands)) {
        let (all, own) = measure::calls(command)
            .map_or(("-".into(), "-".into()), |calls| (calls.all.to_string(), calls.own.to_string()));
        println!("{name:<16} {:>9} {all:>10} {own:>10}", milliseconds(median_wall(samples)));
    }
    let found = ratio(median_wall(&samples[0]), median_wall(&samples[1]));
    report.at_most("sandbox: boxr run --sandbox / bwrap".to_owned(), found, MOST, "x");
    Ok(())
}

/// What somebody would write by hand for the mounts that `--explain` tells of. It has no filter of system calls, no
/// limits and no clean environment.
fn bwrap(explained: &str, program: &Path) -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/", "/"]);
    command.args(["--proc", "/proc", "--dev", "/dev"]);
    for line in explained.lines().filter_map(|line| line.split_once("mount: ")).map(|(_, line)| line) {
        let words: Vec<&str> = line.split(' ').collect();
        let Some(at) = words.iter().position(|word| *word == "on") else { continue };
        let Some(place) = words.get(at + 1).filter(|place| !place.starts_with("/dev")) else { continue };
        match words[0] {
            "new" if words.get(1) == Some(&"tmpfs") => command.args(["--tmpfs", place]),
            source if source.starts_with('/') && words.contains(&"read-only") => {
                command.args(["--ro-bind", source, place])
            }
            source if source.starts_with('/') => command.args(["--bind", source, place]),
            _ => continue,
        };
    }
    command.arg(program);
    command
}
