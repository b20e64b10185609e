//! `ps`: the processes of a container, as pids or in the table of ps(1).

use std::ffi::OsString;
use std::process::Command;

use boxr_cgroup::Cgroup;

use super::print;
use crate::cli::Globals;
use crate::cli::words::{Words, text};
use crate::container::{Container, State};
use crate::error::Error;

/// Runs the command.
///
/// # Errors
/// ps(1) cannot be run, or its table has no column of pids.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let Some((id, options)) = words.rest.split_first() else {
        return Err(Error::Usage("\"ps\" requires a minimum of 1 argument".into()));
    };
    let container = Container::open(&globals.root, text(id)?)?;
    let pids = pids(&container.state()?)?;
    match words.text("format")?.unwrap_or("table") {
        "json" => {
            let list: Vec<_> = pids.iter().map(ToString::to_string).collect();
            Ok(print(&format!("[{}]\n", list.join(","))))
        }
        "table" | "" => Ok(print(&table(&pids, options)?)),
        _ => Err(Error::Usage("invalid format option".into())),
    }
}

fn pids(state: &State) -> Result<Vec<i32>, Error> {
    match &state.cgroup {
        Some(location) => Ok(Cgroup::open(location)?.processes()?),
        None => {
            Ok(state.process.iter().filter(|process| process.is_alive()).map(|process| process.pid).collect())
        }
    }
}

fn table(pids: &[i32], options: &[OsString]) -> Result<String, Error> {
    let default = [OsString::from("-ef")];
    let options = if options.is_empty() { default.as_slice() } else { options };
    let output = Command::new("ps").args(options).output().map_err(|error| Error::io("run", "ps", error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(Error::Usage(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    filter(&said, pids).ok_or_else(|| Error::Usage("couldn't find PID field in ps output".into()))
}

/// The head of the table and the rows of `pids`.
fn filter(table: &str, pids: &[i32]) -> Option<String> {
    let mut lines = table.lines();
    let head = lines.next()?;
    let column = head.split_whitespace().position(|name| name == "PID")?;
    let is_ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|field| field.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    Some(
        std::iter::once(head)
            .chain(lines.filter(is_ours))
            .fold(String::new(), |text, line| text + line + "\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_of_the_container_are_shown() {
        let table = "UID   PID  PPID CMD\nroot  7  1 init\nroot  8  7 7\nroot 77 1 x\n";
        assert_eq!(filter(table, &[7]).unwrap(), "UID   PID  PPID CMD\nroot  7  1 init\n");
        assert!(filter("A B\n1 2\n", &[1]).is_none());
    }
}
