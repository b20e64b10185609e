//! `boxr top`: the processes of a box without running ps(1), which a box may not have.

mod column;

use boxr_engine::lifecycle::top;

use crate::boxes;
use crate::cli::Invocation;
use crate::format::table;
use crate::report::{Report, write_stdout};
use column::{Column, Facts};

/// Carries out `boxr top`.
///
/// # Errors
/// An unknown column; no such box, or one that does not run.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let options = invocation.positionals().get(1..).unwrap_or_default();
    // Before anything is looked for.
    columns(options)?;
    let store = boxes::open_store(&invocation.globals)?;
    let name = invocation.first();
    let state = boxes::find(&store, name)?.read_state().map_err(|error| Report::from(error).status(1))?;
    let processes = top::processes(&state);
    if processes.is_empty() {
        return Err(Report::new(format!("box {name} is not running"))
            .suggest(format!("boxr start {name}"))
            .status(1));
    }
    show(options, &processes)
}

/// Prints processes in the columns that options of ps(1) ask for.
///
/// # Errors
/// An unknown column.
pub(super) fn show(options: &[String], processes: &[top::Process]) -> Result<u8, Report> {
    let columns = columns(options)?;
    let facts = Facts::look();
    let mut lines: Vec<String> =
        vec![columns.iter().map(|column| column.heading()).collect::<Vec<_>>().join("\t")];
    for process in processes {
        let cells: Vec<String> = columns.iter().map(|column| clean(&column.value(process, &facts))).collect();
        lines.push(cells.join("\t"));
    }
    lines.push(String::new());
    write_stdout(&table::align(&lines.join("\n")))?;
    Ok(0)
}

/// What a process has written as its name must not move the cursor or make a column.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The columns that options of ps(1) ask for: `-ef` (docker's default), `aux`, `-o LIST`; and, like
/// podman's, plain lists of names.
fn columns(options: &[String]) -> Result<Vec<Column>, Report> {
    let mut chosen = Vec::new();
    let mut standard = Column::FULL;
    let mut words = options.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if let Some(list) = word.strip_prefix("-o").or_else(|| word.strip_prefix("--format=")) {
            let list = if list.is_empty() { words.next() } else { Some(list) };
            let list = list.ok_or_else(|| Report::new("boxr top: -o needs a list of columns").status(1))?;
            add(list, &mut chosen)?;
        } else if ["aux", "-aux", "u", "-u", "axu"].contains(&word) {
            standard = Column::USER;
        } else if !["-ef", "-e", "-f", "-A", "-eF", "ax", "-ax"].contains(&word) {
            add(word, &mut chosen)?;
        }
    }
    Ok(if chosen.is_empty() { standard.to_vec() } else { chosen })
}

fn add(list: &str, chosen: &mut Vec<Column>) -> Result<(), Report> {
    for word in list.split(',').filter(|word| !word.is_empty()) {
        let column = Column::find(word).ok_or_else(|| {
            Report::new(format!("boxr top: unknown column {word}"))
                .detail(format!("columns: {}", Column::words().collect::<Vec<_>>().join(" ")))
                .status(1)
        })?;
        chosen.push(column);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headings(options: &[&str]) -> String {
        let options: Vec<String> = options.iter().map(|word| (*word).to_owned()).collect();
        let columns = columns(&options).unwrap();
        columns.iter().map(|column| column.heading()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_of_ps() {
        assert_eq!(headings(&[]), "UID PID PPID C STIME TTY TIME CMD");
        assert_eq!(headings(&["-ef"]), "UID PID PPID C STIME TTY TIME CMD");
        assert_eq!(headings(&["aux"]), "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
        assert_eq!(headings(&["-e", "-o", "pid,nspid,args"]), "PID NSPID COMMAND");
        assert_eq!(headings(&["-opid,rss"]), "PID RSS");
        assert_eq!(headings(&["pid", "comm"]), "PID COMMAND");
        let unknown = columns(&["-o".to_owned(), "pdi".to_owned()]).unwrap_err();
        assert!(unknown.details[0].contains("nspid"));
    }
}
