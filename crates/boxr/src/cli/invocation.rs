//! One command line, understood: what a command's function gets.

use std::path::PathBuf;
use std::str::FromStr;

use boxr_engine::config::grammar;

use super::command::Command;
use super::lexer::{Matches, Said};
use crate::report::Report;

/// Flags of boxr itself, valid before and after the command's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globals {
    /// `--root`: where boxes that are kept live.
    pub root: Option<PathBuf>,
    /// `--state`: where the state of running boxes lives.
    pub state: Option<PathBuf>,
    /// `--debug`: say on stderr what is done.
    pub debug: bool,
    /// `--log`: say it in this file.
    pub log: Option<PathBuf>,
}

/// A command with its arguments.
#[derive(Debug)]
pub struct Invocation {
    /// Which command.
    pub command: &'static Command,
    /// Flags of boxr itself.
    pub globals: Globals,
    /// Flags and arguments of the command.
    pub matches: Matches,
}

impl Invocation {
    /// Whether a switch is on: the last one given counts.
    pub fn switch(&self, long: &str) -> bool {
        self.switch_said(long).unwrap_or(false)
    }

    /// What was said about a switch, if anything.
    pub fn switch_said(&self, long: &str) -> Option<bool> {
        self.said(long).filter_map(|said| if let Said::Switch(on) = said { Some(*on) } else { None }).last()
    }

    /// The value of a flag: the last one given counts.
    pub fn value(&self, long: &str) -> Option<&str> {
        self.values(long).last()
    }

    /// All values of a flag, in order.
    pub fn values(&self, long: &str) -> impl Iterator<Item = &str> {
        self.said(long)
            .filter_map(|said| if let Said::Value(text) = said { Some(text.as_str()) } else { None })
    }

    /// The value of a flag as a number or another type that reads itself.
    ///
    /// # Errors
    /// A report that names flag, value and what is `accepted` ("a number of seconds").
    pub fn parsed<T: FromStr>(&self, long: &str, accepted: &str) -> Result<Option<T>, Report> {
        self.value(long)
            .map(|text| text.parse().map_err(|_| self.bad_value(long, text, accepted)))
            .transpose()
    }

    /// The bytes that `--detach-keys` says, or the usual ones; empty for none.
    ///
    /// # Errors
    /// A sequence that cannot be used.
    pub fn detach_keys(&self) -> Result<Vec<u8>, Report> {
        let accepted = "single characters or ctrl-X with commas between";
        self.value("detach-keys").map_or(Ok(super::DETACH_KEYS.to_vec()), |text| {
            grammar::detach_keys(text).map_err(|_| self.bad_value("detach-keys", text, accepted))
        })
    }

    /// The number of the signal that `--signal` says.
    ///
    /// # Errors
    /// A signal that there is not.
    pub fn signal(&self) -> Result<Option<u8>, Report> {
        let accepted = "a signal such as TERM, SIGHUP or 15";
        let read = |text| grammar::signal(text).map_err(|_| self.bad_value("signal", text, accepted));
        self.value("signal").map(read).transpose()
    }

    /// The report for a value that cannot be used.
    pub fn bad_value(&self, long: &str, value: &str, accepted: &str) -> Report {
        Report::new(format!("boxr {}: --{long} {value}: not {accepted}", self.command.name))
            .suggest(format!("boxr {} --help", self.command.name))
    }

    /// Whether the command has this flag.
    pub fn offers(&self, long: &str) -> bool {
        self.command.flags().any(|flag| flag.long == long)
    }

    /// Positional arguments.
    pub fn positionals(&self) -> &[String] {
        &self.matches.positionals
    }

    /// The first positional argument; empty when there is none, which the command's arity rules out
    /// for a required one.
    pub fn first(&self) -> &str {
        self.matches.positionals.first().map_or("", String::as_str)
    }

    fn said(&self, long: &str) -> impl Iterator<Item = &Said> {
        debug_assert!(
            self.command.flags().any(|flag| flag.long == long),
            "{}: no --{long}",
            self.command.name
        );
        self.matches.flags.iter().filter(move |(flag, _)| flag.long == long).map(|(_, said)| said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{lexer, table};

    fn read(words: &[&str]) -> Invocation {
        let command = table::find(words[0]).unwrap();
        let words = words[1..].iter().map(|word| (*word).to_owned()).collect();
        let matches = lexer::lex(command.flags, command.order, words).unwrap();
        Invocation { command, globals: Globals::default(), matches }
    }

    #[test]
    fn the_last_word_counts_and_lists_keep_all() {
        let invocation = read(&["ps", "-a", "--all=false", "-f", "a=1", "-f", "b=2", "-n", "3", "-n4"]);
        assert!(!invocation.switch("all") && !invocation.switch("quiet"));
        assert_eq!((invocation.switch_said("all"), invocation.switch_said("quiet")), (Some(false), None));
        assert_eq!(invocation.values("filter").collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(invocation.parsed::<u32>("last", "a number").unwrap(), Some(4));
        let report = read(&["ps", "-n", "x"]).parsed::<u32>("last", "a number").unwrap_err();
        assert_eq!(report.what, "boxr ps: --last x: not a number");
    }

    #[test]
    fn signals_and_keys() {
        assert_eq!(read(&["kill", "-s", "hup", "web"]).signal().unwrap(), Some(1));
        assert_eq!(read(&["kill", "web"]).signal().unwrap(), None);
        assert!(read(&["kill", "-s", "NOPE", "web"]).signal().unwrap_err().what.contains("--signal NOPE"));
        assert_eq!(read(&["attach", "web"]).detach_keys().unwrap(), [16, 17]);
        assert_eq!(read(&["attach", "--detach-keys", "", "web"]).detach_keys().unwrap(), [0u8; 0]);
        assert!(read(&["attach", "--detach-keys", "abc", "web"]).detach_keys().is_err());
    }
}
