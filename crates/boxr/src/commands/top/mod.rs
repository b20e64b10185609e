//! `boxr top`: the processes of a box without running ps(1), which a box may not have.

mod column;
mod descriptor;
mod table;

use boxr_engine::lifecycle::inside::{Inside, Names};
use boxr_engine::lifecycle::top::{self, Process};
use boxr_engine::record::State;

use crate::boxes;
use crate::cli::Invocation;
use crate::format;
use crate::report::{Report, write_stdout};
use column::{Column, Facts};
use descriptor::Descriptor;

/// Carries out `boxr top`.
///
/// # Errors
/// An unknown column; no such box, or one that does not run.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let columns = Columns::choose(&invocation, Style::Docker)?;
    let store = boxes::open_store(&invocation.globals)?;
    let name = invocation.first();
    let state = boxes::find(&store, name)?.read_state().map_err(|error| Report::from(error).status(1))?;
    if columns.show([&state])? == 0 {
        return Err(Report::new(format!("box {name} is not running"))
            .suggest(format!("boxr start {name}"))
            .status(1));
    }
    Ok(0)
}

/// Whose columns are shown where none are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `ps -ef`, as the host sees processes.
    Docker,
    /// Podman's, as their container sees them.
    Podman,
}

/// A column of ps(1), or one of podman's.
#[derive(Clone, Copy, Debug)]
enum Chosen {
    Ps(Column),
    Inside(Descriptor),
}

/// What is to be shown of processes.
#[derive(Debug)]
pub(super) struct Columns(Vec<Chosen>);

impl Columns {
    /// What a command line asks for behind its first word.
    ///
    /// # Errors
    /// An unknown column.
    pub fn choose(invocation: &Invocation, style: Style) -> Result<Self, Report> {
        Self::read(invocation.positionals().get(1..).unwrap_or_default(), style)
    }

    /// Options of ps(1): `-ef` (docker's default), `aux`, `-o LIST`; plain words are podman's.
    fn read(options: &[String], style: Style) -> Result<Self, Report> {
        let mut chosen = Vec::new();
        let mut standard: Vec<Chosen> = match style {
            Style::Docker => Column::FULL.iter().copied().map(Chosen::Ps).collect(),
            Style::Podman => Descriptor::STANDARD.iter().copied().map(Chosen::Inside).collect(),
        };
        let of_ps = |columns: &[Column]| columns.iter().copied().map(Chosen::Ps).collect();
        let mut words = options.iter().map(String::as_str);
        while let Some(word) = words.next() {
            if let Some(list) = list_of_ps(word) {
                let list = if list.is_empty() { words.next() } else { Some(list) };
                let list =
                    list.ok_or_else(|| Report::new("boxr top: -o needs a list of columns").status(1))?;
                add(list, &mut chosen, |word| Column::find(word).map(Chosen::Ps))?;
            } else if ["aux", "-aux", "u", "-u", "axu"].contains(&word) {
                standard = of_ps(Column::USER);
            } else if ["-ef", "-e", "-f", "-A", "-eF", "ax", "-ax"].contains(&word) {
                standard = of_ps(Column::FULL);
            } else {
                add(word, &mut chosen, |word| {
                    Descriptor::find(word).map(Chosen::Inside).or(Column::find(word).map(Chosen::Ps))
                })?;
            }
        }
        Ok(Self(if chosen.is_empty() { standard } else { chosen }))
    }

    /// Prints the processes of boxes, if there are any; how many there are.
    ///
    /// # Errors
    /// Standard output.
    pub fn show<'a>(&self, boxes: impl IntoIterator<Item = &'a State>) -> Result<usize, Report> {
        let facts = Facts::look();
        let mut lines: Vec<String> = vec![self.0.iter().map(heading).collect::<Vec<_>>().join("\t")];
        for state in boxes {
            let names = std::cell::OnceCell::new();
            for process in top::processes(state) {
                lines.push(self.line(&process, state, &names, &facts));
            }
        }
        let found = lines.len() - 1;
        if found > 0 {
            lines.push(String::new());
            write_stdout(&format::table::align(&lines.join("\n")))?;
        }
        Ok(found)
    }

    fn line(
        &self,
        process: &Process,
        state: &State,
        names: &std::cell::OnceCell<Names>,
        facts: &Facts,
    ) -> String {
        // Columns of ps need no look at the container's files.
        let inside = self.0.iter().any(|column| matches!(column, Chosen::Inside(_))).then(|| {
            let first = state.process.map_or(process.pid, |first| first.pid);
            Inside::look(process, names.get_or_init(|| Names::of(first)))
        });
        let cell = |column: &Chosen| match (column, &inside) {
            (Chosen::Ps(column), _) => column.value(process, facts),
            (Chosen::Inside(column), Some(inside)) => column.value(process, inside, facts),
            (Chosen::Inside(_), None) => String::new(),
        };
        self.0.iter().map(|column| clean(&cell(column))).collect::<Vec<_>>().join("\t")
    }
}

fn heading(column: &Chosen) -> &'static str {
    match column {
        Chosen::Ps(column) => column.heading(),
        Chosen::Inside(column) => column.heading(),
    }
}

fn list_of_ps(word: &str) -> Option<&str> {
    ["-o", "-eo", "--format="].into_iter().find_map(|option| word.strip_prefix(option))
}

/// What a process has written as its name must not move the cursor or make a column.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn add(list: &str, chosen: &mut Vec<Chosen>, find: impl Fn(&str) -> Option<Chosen>) -> Result<(), Report> {
    for word in list.split(',').filter(|word| !word.is_empty()) {
        let column = find(word).ok_or_else(|| {
            let all = |words: &mut dyn Iterator<Item = &'static str>| words.collect::<Vec<_>>().join(" ");
            Report::new(format!("boxr top: unknown column {word}"))
                .detail(format!("columns as the host has them, with -o: {}", all(&mut Column::words())))
                .detail(format!("as the container has them, plain: {}", all(&mut Descriptor::words())))
                .status(1)
        })?;
        chosen.push(column);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headings(options: &[&str], style: Style) -> String {
        let options: Vec<String> = options.iter().map(|word| (*word).to_owned()).collect();
        let columns = Columns::read(&options, style).unwrap();
        columns.0.iter().map(heading).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_of_ps() {
        let headings = |options: &[&str]| headings(options, Style::Docker);
        assert_eq!(headings(&[]), "UID PID PPID C STIME TTY TIME CMD");
        assert_eq!(headings(&["-ef"]), "UID PID PPID C STIME TTY TIME CMD");
        assert_eq!(headings(&["aux"]), "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
        assert_eq!(headings(&["-e", "-o", "pid,nspid,args"]), "PID NSPID COMMAND");
        assert_eq!(headings(&["-opid,rss"]), "PID RSS");
        assert_eq!(headings(&["-eo", "user,pid"]), "USER PID");
        let unknown = Columns::read(&["-o".to_owned(), "pdi".to_owned()], Style::Docker).unwrap_err();
        assert!(unknown.details[0].contains("nspid"));
    }

    #[test]
    fn words_of_podman() {
        assert_eq!(headings(&[], Style::Podman), "USER PID PPID %CPU ELAPSED TTY TIME COMMAND");
        assert_eq!(headings(&["-ef"], Style::Podman), "UID PID PPID C STIME TTY TIME CMD");
        assert_eq!(headings(&["pid,hpid", "capeff", "%C"], Style::Docker), "PID HPID EFFECTIVE CAPS %CPU");
        // What only ps(1) has.
        assert_eq!(headings(&["pid", "nspid"], Style::Podman), "PID NSPID");
        let unknown = Columns::read(&["pdi".to_owned()], Style::Podman).unwrap_err();
        assert!(unknown.details[1].contains("hpid"));
    }
}
