//! Commands for developers: `cargo xtask COMMAND`.

mod bench;
mod build;
mod documents;
mod edges;
mod manual;
mod syscalls;
mod test;

use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--world NAME] [FILTER]  every test in every world this machine can offer
  check-edges                   who depends on whom, and where unsafe stands (ARCHITECTURE.md, Crates)
  man                           manual pages into target/man
  completions                   completion scripts into target/completions
  syscalls [--write] HEADERS    the table of system calls against the kernel's headers
  bench [--rounds N] [--boxes N] [start|memory|exec|thousand]...
                                speed and memory beside other programs, against the targets
";

/// What a command of this program ends with: the text of an error is all that anybody needs.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "std's own beginning told it")]
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = words.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let outcome = match command {
        "test" => test::main(rest),
        "check-edges" => edges::main(),
        "man" => manual::man(),
        "completions" => manual::completions(),
        "syscalls" => syscalls::main(rest),
        "bench" => bench::main(rest),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The top of the repository.
fn top() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// `cargo` with the toolchain that built this program, in the repository.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(top());
    command
}
