//! Mistakes on the command line.

use super::command::Command;
use super::flag::Flag;
use crate::report::{Explain, Report};
pub use boxr_engine::config::nearest;

/// A command line that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No such flag.
    #[error("unknown flag {flag}")]
    UnknownFlag {
        /// As it was written, without its value.
        flag: String,
        /// The known flag that looks most like it.
        nearest: Option<String>,
    },
    /// A flag at the end of the line that needs a value.
    #[error("{flag} needs a value: {flag} {placeholder}")]
    MissingValue {
        /// As it was written.
        flag: String,
        /// What help calls the value.
        placeholder: &'static str,
    },
    /// A switch with something that is neither yes nor no.
    #[error("{flag}={value}: a switch takes true or false")]
    SwitchValue {
        /// As it was written.
        flag: String,
        /// What followed `=`.
        value: String,
    },
    /// No such command.
    #[error("unknown command {word}")]
    UnknownCommand {
        /// As it was written.
        word: String,
        /// The known command that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A command of docker's that a later version of boxr is to have.
    #[error("{word} is not in this version")]
    LaterCommand {
        /// What it is called.
        word: &'static str,
        /// What does it until then.
        instead: &'static str,
    },
    /// Too few positional arguments.
    #[error("{name} is missing{}", or_switch(*unless))]
    MissingArgument {
        /// What usage calls it.
        name: &'static str,
        /// The switch that would stand in its place.
        unless: Option<&'static str>,
    },
    /// An argument and the switch that stands in its place.
    #[error("--{switch} stands in place of {name}; one of them is too many")]
    Instead {
        /// What usage calls the argument.
        name: &'static str,
        /// The switch.
        switch: &'static str,
    },
    /// Too many positional arguments.
    #[error("unexpected argument {word}")]
    ExtraArgument {
        /// The first that is too many.
        word: String,
    },
    /// An argument that is not UTF-8.
    #[error("argument {index} is not UTF-8: {lossy}")]
    NotUtf8 {
        /// Counted from 1, the command's name being 0.
        index: usize,
        /// With replacement characters.
        lossy: String,
    },
}

/// ", and so is --all"
fn or_switch(unless: Option<&str>) -> String {
    unless.map_or(String::new(), |switch| format!(", and so is --{switch}"))
}

impl UsageError {
    /// An unknown long flag; finds the nearest known one.
    pub(super) fn unknown_long(name: &str, _value: Option<&str>, tables: &[&'static [Flag]]) -> Self {
        let known = tables
            .iter()
            .flat_map(|table| table.iter())
            .filter(|flag| !flag.hidden)
            .flat_map(|flag| std::iter::once(flag.long).chain(flag.aliases.iter().copied()));
        let nearest = nearest(name, known).map(|found| format!("--{found}"));
        Self::UnknownFlag { flag: format!("--{name}"), nearest }
    }

    /// An unknown letter in a cluster; a whole cluster that is a long name is taken for it (`-name`).
    pub(super) fn unknown_short(letter: char, cluster: &str, tables: &[&'static [Flag]]) -> Self {
        let name = cluster.split('=').next().unwrap_or_default();
        let long =
            tables.iter().flat_map(|table| table.iter()).find(|flag| name.len() > 1 && flag.is_long(name));
        match long {
            Some(flag) => Self::UnknownFlag { flag: format!("-{name}"), nearest: Some(flag.spelled()) },
            None => Self::UnknownFlag { flag: format!("-{letter}"), nearest: None },
        }
    }

    /// The report, for a command that was found (`None`: boxr itself).
    pub fn report_for(&self, command: Option<&Command>) -> Report {
        let called = match command {
            Some(command) => format!("boxr {}", command.name),
            None => "boxr".to_owned(),
        };
        let report = match self {
            Self::UnknownFlag { nearest: Some(nearest), .. } => {
                Report::new(format!("{called}: {self}")).detail(format!("the nearest flag is {nearest}"))
            }
            Self::UnknownCommand { nearest: Some(nearest), .. } => {
                return Report::new(format!("{called}: {self}"))
                    .detail(format!("the nearest command is {nearest}"))
                    .suggest(format!("boxr {nearest} --help"))
                    .suggest("boxr --help");
            }
            Self::LaterCommand { instead, .. } => Report::new(format!("{called}: {self}")).detail(*instead),
            Self::MissingArgument { .. } | Self::ExtraArgument { .. } | Self::Instead { .. } => {
                let report = Report::new(format!("{called}: {self}"));
                match command.and_then(|command| command.usage.first()) {
                    Some(usage) => report.detail(format!("usage: boxr {usage}")),
                    None => report,
                }
            }
            Self::NotUtf8 { .. } => {
                return Report::new(format!("{called}: {self}"))
                    .detail("records and configurations of boxes are UTF-8, so arguments must be too");
            }
            _ => Report::new(format!("{called}: {self}")),
        };
        report.suggest(format!("{called} --help"))
    }
}

impl Explain for UsageError {
    fn report(&self) -> Report {
        self.report_for(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["hostname", "network", "memory", "memory-swap"];
        assert_eq!(nearest("hostnam", known.into_iter()), Some("hostname"));
        assert_eq!(nearest("newtork", known.into_iter()), Some("network"));
        assert_eq!(nearest("mem", known.into_iter()), Some("memory"));
        assert_eq!(nearest("publish", known.into_iter()), None);
    }
}
