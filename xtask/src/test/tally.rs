//! Counting what the test programs print, and the closing lines.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::Outcome;

/// The results of one world.
#[derive(Debug)]
pub struct Tally {
    world: &'static str,
    passed: usize,
    failed: Vec<String>,
    /// Names with reasons.
    skipped: Vec<String>,
}

/// What one line of a test program says (rustc book, "Tests"; libtest-mimic prints the same).
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Passed,
    Failed(&'a str),
    Skipped(&'a str, &'a str),
    Other,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(world: &'static str) -> Self {
        println!("\n== world {world}");
        Self { world, passed: 0, failed: Vec::new(), skipped: Vec::new() }
    }

    /// Says that this world cannot be had.
    pub fn skip_world(&mut self, reason: &str) {
        println!("skipped: {reason}");
        self.skipped.push(format!("all of it: {reason}"));
    }

    /// Runs a test program, shows what it prints, and counts. `label` names it.
    pub fn run(&mut self, label: &str, mut command: Command) -> Outcome {
        println!("-- {label}");
        let failed_before = self.failed.len();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?;
        for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).split(b'\n')) {
            let line = line.map_err(|error| format!("{label}: {error}"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{}", line.trim_end());
            self.count(label, line.trim_end());
        }
        let status = child.wait().map_err(|error| format!("{label}: {error}"))?;
        if !status.success() && self.failed.len() == failed_before {
            self.failed.push(format!("{label}: {status}, with no failed test"));
        }
        Ok(())
    }

    fn count(&mut self, label: &str, line: &str) {
        match parse(line) {
            Line::Passed => self.passed += 1,
            Line::Failed(name) => self.failed.push(format!("{label} {name}")),
            Line::Skipped(name, reason) => self.skipped.push(format!("{label} {name}: {reason}")),
            Line::Other => {}
        }
    }
}

/// `test NAME ... ok`, `… FAILED`, `… ignored`, `… ignored, REASON`, `… ignored (REASON)`.
fn parse(line: &str) -> Line<'_> {
    let Some((name, result)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) else {
        return Line::Other;
    };
    let name = name.trim_end();
    let (word, reason) = result.split_once([',', ' ']).unwrap_or((result, "no reason given"));
    match (word, reason.trim().trim_start_matches('(').trim_end_matches(')')) {
        ("ok", _) => Line::Passed,
        ("FAILED", _) => Line::Failed(name),
        ("ignored", reason) => Line::Skipped(name, reason),
        _ => Line::Other,
    }
}

/// Prints what was skipped and what failed, a line per world, and the closing line.
pub fn summarise(tallies: &[Tally]) -> Outcome {
    println!();
    for tally in tallies {
        tally.skipped.iter().for_each(|skipped| println!("skipped [{}] {skipped}", tally.world));
    }
    for tally in tallies {
        tally.failed.iter().for_each(|failed| println!("failed  [{}] {failed}", tally.world));
    }
    println!("\n{:<12} {:>7} {:>7} {:>8}", "world", "passed", "failed", "skipped");
    for tally in tallies {
        let (failed, skipped) = (tally.failed.len(), tally.skipped.len());
        println!("{:<12} {:>7} {failed:>7} {skipped:>8}", tally.world, tally.passed);
    }
    let sum = |count: fn(&Tally) -> usize| tallies.iter().map(count).sum::<usize>();
    let failed = sum(|tally| tally.failed.len());
    println!(
        "\n{} passed, {failed} failed, {} skipped",
        sum(|tally| tally.passed),
        sum(|tally| tally.skipped.len())
    );
    if failed == 0 { Ok(()) } else { Err("some tests failed".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_test_programs_are_understood() {
        assert_eq!(parse("test a::b ... ok"), Line::Passed);
        assert_eq!(parse("test a::b    ... FAILED"), Line::Failed("a::b"));
        assert_eq!(
            parse("test a::b ... ignored, needs root, and more"),
            Line::Skipped("a::b", "needs root, and more")
        );
        assert_eq!(parse("test a::b ... ignored"), Line::Skipped("a::b", "no reason given"));
        assert_eq!(parse("test a::b ... ignored (needs root)"), Line::Skipped("a::b", "needs root"));
        assert_eq!(parse("test result: ok. 1 passed"), Line::Other);
    }
}
