//! `cargo xtask bench`: what boxr costs, beside its peers, against its targets.

mod exec;
mod guard;
mod images;
mod measure;
mod memory;
mod networks;
mod oci;
mod peers;
mod report;
mod sandbox;
mod start;
mod thousand;
mod tries;

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Outcome, build};
use report::Report;

/// A part of the benchmark: measures, prints, and reports what has a target.
type Part = fn(&Bench, &mut Report) -> Outcome;

/// How much is measured.
pub struct Scale {
    /// Starts of each contender.
    pub rounds: usize,
    /// Detached boxes at once.
    pub boxes: usize,
}

/// Measures all, or the parts that the words name, and prints the table.
pub fn main(words: &[String]) -> Outcome {
    match guard::places() {
        Some(places) => measure(words, &places),
        None => guard::run(words),
    }
}

fn measure(words: &[String], places: &[PathBuf; 2]) -> Outcome {
    let mut scale = Scale { rounds: 300, boxes: 1000 };
    let mut parts = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => scale.rounds = number(words.next())?,
            "--boxes" => scale.boxes = number(words.next())?,
            part => parts.push(part.to_owned()),
        }
    }
    // Monitors lose their parent on purpose; so they become ours, and can be found and reaped.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| error.to_string())?;
    let bench = Bench::prepare(scale, places)?;
    let mut report = Report::default();
    let all: [(&str, Part); 9] = [
        ("start", start::run),
        ("sandbox", sandbox::run),
        ("memory", memory::run),
        ("exec", exec::run),
        ("thousand", thousand::run),
        ("oci", oci::run),
        ("images", images::run),
        ("networks", networks::run),
        ("try", tries::run),
    ];
    if let Some(unknown) = parts.iter().find(|part| all.iter().all(|(name, _)| name != part)) {
        return Err(format!("there is no part {unknown:?} to measure"));
    }
    for (name, run) in all {
        if parts.is_empty() || parts.iter().any(|part| part == name) {
            run(&bench, &mut report)?;
        }
    }
    report.print()
}

fn number(word: Option<&String>) -> Result<usize, String> {
    let number = word.and_then(|word| word.parse().ok()).filter(|number| *number > 0);
    number.ok_or("a number above 0 is missing".into())
}

/// The programs that are measured, and a place for boxes.
pub struct Bench {
    scale: Scale,
    boxr: PathBuf,
    /// Compiled programs, and boxr's `--root`.
    dir: TempDir,
    /// boxr's `--state`.
    state: TempDir,
}

impl Bench {
    fn prepare(scale: Scale, [disk, memory]: &[PathBuf; 2]) -> Result<Self, String> {
        crate::test::packages::install_musl()?;
        // Another build to measure, such as yesterday's.
        let built = std::env::var_os("BOXR_BENCH_BIN")
            .map_or_else(|| build::release("boxr"), |path| Ok(path.into()))?;
        let failed = |error: std::io::Error| error.to_string();
        // Both by one name, by which the guard finds them.
        let dir = tempfile::Builder::new().tempdir_in(disk).map_err(failed)?;
        let name = dir.path().file_name().unwrap_or_default();
        let state = tempfile::Builder::new().prefix(name).rand_bytes(0).tempdir_in(memory).map_err(failed)?;
        // A copy, as an installation makes it and as the peers are: what the linker has written lies in smaller pieces in the
        // page cache, which the kernel maps one by one.
        let boxr = dir.path().join(guard::PROGRAM);
        std::fs::copy(built, &boxr).map_err(failed)?;
        let bench = Self { scale, boxr, dir, state };
        peers::compile(&bench)?;
        Ok(bench)
    }

    /// A compiled program of `bench/`.
    fn program(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `boxr ARGS…` with a state of its own.
    fn boxr(&self, args: &[&str]) -> Command {
        self.boxr_in(self.state.path(), &self.dir.path().join("root"), args)
    }

    /// The same with another store.
    fn boxr_in(&self, state: &Path, root: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.boxr);
        command.arg("--state").arg(state).arg("--root").arg(root).args(args);
        command
    }

    /// Runs boxr to its end; what it printed.
    fn ask(&self, args: &[&str]) -> Result<String, String> {
        let output = self.boxr(args).output().map_err(|error| format!("boxr: {error}"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("boxr {}: {}\n{errors}", args.join(" "), output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
