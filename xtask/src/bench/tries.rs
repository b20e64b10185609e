//! A try, and a record, beside the same command outside.

use std::path::PathBuf;
use std::process::Command;

use super::Bench;
use super::measure::{self, median_wall};
use super::report::{Report, heading};
use super::start::{milliseconds, ratio};
use crate::Outcome;

/// Files of the project that is built.
const SOURCES: usize = 12;
/// A build takes a hundred times as long as a start.
const FEWER: usize = 15;

/// Measures `try -- true`, and the build of a small C project outside, in a try, recorded, and under strace(1).
pub fn run(bench: &Bench, report: &mut Report) -> Outcome {
    start(bench, report)?;
    build(bench, report)
}

fn start(bench: &Bench, report: &mut Report) -> Outcome {
    let mut tried = bench.boxr(&["try", "--"]);
    tried.arg(bench.program("true"));
    let mut run = bench.boxr(&["run", "--"]);
    run.arg(bench.program("true"));
    let mut commands = [tried, run];
    let samples = measure::in_turns(&mut commands, bench.scale.rounds)?;
    heading(&format!("a try that changes nothing; median of {} in turns", bench.scale.rounds));
    for (index, name) in ["boxr try", "boxr run"].into_iter().enumerate() {
        let wall = median_wall(&samples[index]);
        let calls = measure::calls(&commands[index]).map_or("-".to_owned(), |calls| calls.all.to_string());
        println!("{name:<16} {:>9} {calls:>6} calls", milliseconds(wall));
    }
    let wall = median_wall(&samples[0]);
    report.at_most("try -- true", wall.as_secs_f64() * 1e3, 5.0, " ms");
    Ok(())
}

fn build(bench: &Bench, report: &mut Report) -> Outcome {
    let project = project(bench)?;
    let make = format!("cd {} && rm -f *.o all && make -s all", project.display());
    let shell = |mut command: Command| {
        command.args(["sh", "-c", &make]);
        command
    };
    let record = project.join("record.json");
    let outside = Command::new("env");
    let tried = bench.boxr(&["try", "--drop", "--"]);
    let recorded = bench.boxr(&["run", "--record", &record.to_string_lossy(), "--"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "--"]);
    let names = ["outside", "boxr try", "boxr --record", "strace -f"];
    let mut commands = [outside, tried, recorded, strace].map(shell);
    let rounds = (bench.scale.rounds / 20).clamp(1, FEWER);
    let samples = measure::in_turns(&mut commands, rounds)?;
    heading(&format!("a build of {SOURCES} C files; median of {rounds} in turns"));
    let own = median_wall(&samples[0]);
    for (index, name) in names.into_iter().enumerate() {
        let wall = median_wall(&samples[index]);
        println!("{name:<16} {:>12} {:>7.2}", milliseconds(wall), ratio(wall, own));
    }
    let [tried, recorded, straced] = [1, 2, 3].map(|index| median_wall(&samples[index]));
    report.at_most("a build in a try / outside", ratio(tried, own), 1.1, "x");
    report.at_most("a build that is recorded / outside", ratio(recorded, own), 2.0, "x");
    report.at_most("a build that is recorded / under strace -f", ratio(recorded, straced), 1.0, "x");
    Ok(())
}

/// Sources that include what programs include.
fn project(bench: &Bench) -> Result<PathBuf, String> {
    let dir = bench.dir.path().join("project");
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    std::fs::create_dir_all(&dir).map_err(failed)?;
    let includes = ["stdio", "stdlib", "string", "unistd", "sys/stat", "pthread", "math", "signal"];
    let mut objects = String::new();
    for number in 0..SOURCES {
        let mut source: String = includes.iter().map(|name| format!("#include <{name}.h>\n")).collect();
        for function in 0..40 {
            source.push_str(&format!(
                "int f{number}_{function}(int a) {{ char b[64]; snprintf(b, sizeof b, \"%d\", a * {function}); \
                 for (int i = 0; i < a; i++) a += b[i % 64] ^ i; return a + (int)strlen(b); }}\n"
            ));
        }
        std::fs::write(dir.join(format!("f{number}.c")), source).map_err(failed)?;
        objects.push_str(&format!(" f{number}.o"));
    }
    let makefile = format!("CFLAGS = -O1\nall:{objects}\n\tld -r -o all{objects}\n");
    std::fs::write(dir.join("Makefile"), makefile).map_err(failed)?;
    Ok(dir)
}
