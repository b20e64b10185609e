//! What a command is: static data, and the function that carries it out.

use super::flag::{Complete, Flag};
use super::invocation::Invocation;
use crate::report::Report;

/// Where flags may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOrder {
    /// Anywhere.
    Mixed,
    /// Before the first positional argument only: what follows belongs to a command in the box.
    BeforeArguments,
}

/// One positional argument.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// What usage and errors call it.
    pub name: &'static str,
    /// Whether the command needs it.
    pub required: bool,
    /// Whether there may be several; only the last argument may say so.
    pub many: bool,
    /// A switch that stands in its place: `--all` for names.
    pub unless: Option<&'static str>,
    /// Flags that say it in another way: with one of them it may be missing.
    pub or: &'static [&'static str],
    /// What a shell offers.
    pub complete: Complete,
}

impl Arg {
    /// Exactly one.
    pub const fn one(name: &'static str, complete: Complete) -> Self {
        Self { name, required: true, many: false, unless: None, or: &[], complete }
    }

    /// One or none.
    pub const fn optional(name: &'static str, complete: Complete) -> Self {
        Self { name, required: false, many: false, unless: None, or: &[], complete }
    }

    /// One or more.
    pub const fn some(name: &'static str, complete: Complete) -> Self {
        Self { name, required: true, many: true, unless: None, or: &[], complete }
    }

    /// With a switch that stands in its place.
    pub const fn unless(mut self, switch: &'static str) -> Self {
        self.unless = Some(switch);
        self
    }

    /// With flags that say it in another way.
    pub const fn or(mut self, flags: &'static [&'static str]) -> Self {
        self.or = flags;
        self
    }

    /// Any number.
    pub const fn any(name: &'static str, complete: Complete) -> Self {
        Self { name, required: false, many: true, unless: None, or: &[], complete }
    }
}

/// A line that works, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The command line.
    pub line: &'static str,
    /// What it does.
    pub what: &'static str,
}

/// Heading of a command in `boxr --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Making boxes and ending them.
    Life,
    /// Looking at boxes.
    Look,
    /// Images and registries.
    Images,
    /// The host, and boxr itself.
    System,
}

impl Section {
    /// In the order in which help shows them.
    pub const ALL: [Self; 4] = [Self::Life, Self::Look, Self::Images, Self::System];

    /// The heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Life => "Run boxes",
            Self::Look => "Look at boxes",
            Self::Images => "Images",
            Self::System => "The host and boxr",
        }
    }
}

/// One command of boxr.
pub struct Command {
    /// The word that calls it.
    pub name: &'static str,
    /// Other words that do.
    pub aliases: &'static [&'static str],
    /// Heading in the list of commands.
    pub section: Section,
    /// One line, for the list of commands.
    pub summary: &'static str,
    /// Usage lines, each without `boxr`.
    pub usage: &'static [&'static str],
    /// Sentences for help and manual, one paragraph each.
    pub about: &'static [&'static str],
    /// Positional arguments.
    pub args: &'static [Arg],
    /// Tables of flags.
    pub flags: &'static [&'static [Flag]],
    /// Where flags may stand.
    pub order: FlagOrder,
    /// Examples.
    pub examples: &'static [Example],
    /// Not shown in lists.
    pub hidden: bool,
    /// Carries it out; the status boxr ends with.
    pub run: fn(Invocation) -> Result<u8, Report>,
}

impl Command {
    /// A visible command with mixed flags and nothing else; meant for `..Command::new(…)` in tables.
    pub const fn new(
        name: &'static str,
        section: Section,
        summary: &'static str,
        run: fn(Invocation) -> Result<u8, Report>,
    ) -> Self {
        Self {
            name,
            aliases: &[],
            section,
            summary,
            usage: &[],
            about: &[],
            args: &[],
            flags: &[],
            order: FlagOrder::Mixed,
            examples: &[],
            hidden: false,
            run,
        }
    }

    /// All its flags.
    pub fn flags(&self) -> impl Iterator<Item = &'static Flag> + use<> {
        self.flags.iter().flat_map(|table| table.iter())
    }

    /// Whether it has a flag of this long name.
    pub fn knows(&self, long: &str) -> bool {
        self.flags().any(|flag| flag.long == long)
    }

    /// Whether `word` calls it.
    pub fn is_called(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command").field("name", &self.name).finish_non_exhaustive()
    }
}
