//! The words of a command line, by the rules of runc's own parser: `--flag value`, `--flag=value`, one
//! dash as good as two, `--` ends the flags.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::flag::{Flag, Takes};
use crate::error::Error;

/// Whether flags may follow other words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Anywhere.
    Anywhere,
    /// The first other word ends the flags: what follows is a command of the container's.
    FlagsFirst,
}

/// What was said, by flag, and the rest.
#[derive(Debug, Default)]
pub struct Words {
    flags: Vec<(&'static str, OsString)>,
    /// Words that are no flags.
    pub rest: Vec<OsString>,
}

impl Words {
    /// Reads `words` against `flags`.
    ///
    /// # Errors
    /// An unknown flag, or one without its value.
    pub fn read(
        flags: &[Flag],
        order: Order,
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, Error> {
        let mut read = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match split(&word) {
                Split::End => read.rest.extend(words.by_ref()),
                Split::Other if order == Order::FlagsFirst => {
                    read.rest.push(word);
                    read.rest.extend(words.by_ref());
                }
                Split::Other => read.rest.push(word),
                Split::Flag { name, value } => {
                    let flag = find(flags, &name)?;
                    let value = match (flag.takes, value) {
                        (_, Some(value)) => value,
                        (Takes::Nothing, None) => "true".into(),
                        (Takes::Value, None) => words
                            .next()
                            .ok_or_else(|| Error::Usage(format!("flag needs an argument: -{name}")))?,
                    };
                    if flag.takes == Takes::Nothing && value != "true" && value != "false" {
                        let value = value.display();
                        return Err(Error::Usage(format!("invalid boolean value {value} for -{name}")));
                    }
                    read.flags.push((flag.long, value));
                }
            }
        }
        Ok(read)
    }

    /// The last value of a flag.
    pub fn value(&self, long: &str) -> Option<&OsStr> {
        self.flags.iter().rev().find(|(known, _)| *known == long).map(|(_, value)| value.as_os_str())
    }

    /// All values of a flag, in order.
    pub fn values<'a>(&'a self, long: &'a str) -> impl Iterator<Item = &'a OsStr> {
        self.flags.iter().filter(move |(known, _)| *known == long).map(|(_, value)| value.as_os_str())
    }

    /// Whether a switch is on.
    pub fn on(&self, long: &str) -> bool {
        self.value(long).is_some_and(|value| value == "true")
    }

    /// A path.
    pub fn path(&self, long: &str) -> Option<PathBuf> {
        self.value(long).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// A value that is text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self, long: &str) -> Result<Option<&str>, Error> {
        self.value(long).map(|value| text(value)).transpose()
    }

    /// A number.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn number<T: std::str::FromStr>(&self, long: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.text(long)? else { return Ok(None) };
        let wrong = |_| Error::Usage(format!("invalid value {value:?} for flag -{long}"));
        value.parse().map(Some).map_err(wrong)
    }

    /// The only word that is no flag: the container's id.
    ///
    /// # Errors
    /// There is none, or there are others.
    pub fn only_id(&self, command: &str) -> Result<&str, Error> {
        match self.rest.as_slice() {
            [id] => text(id),
            _ => Err(Error::Usage(format!("{command:?} requires exactly 1 argument(s)"))),
        }
    }
}

/// A word as text.
///
/// # Errors
/// It is not UTF-8.
pub fn text(word: &OsStr) -> Result<&str, Error> {
    word.to_str().ok_or_else(|| Error::Usage(format!("{}: not UTF-8", word.display())))
}

enum Split {
    End,
    Other,
    Flag { name: String, value: Option<OsString> },
}

fn split(word: &OsStr) -> Split {
    let bytes = word.as_bytes();
    let bare = match bytes {
        b"--" => return Split::End,
        [b'-', b'-', bare @ ..] | [b'-', bare @ ..] if !bare.is_empty() => bare,
        _ => return Split::Other,
    };
    let (name, value) = match bare.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bare[..at], Some(OsString::from_vec(bare[at + 1..].to_vec()))),
        None => (bare, None),
    };
    Split::Flag { name: String::from_utf8_lossy(name).into_owned(), value }
}

fn find<'f>(flags: &'f [Flag], name: &str) -> Result<&'f Flag, Error> {
    let mut letters = name.chars();
    let short = letters.next().filter(|_| letters.next().is_none());
    let found = flags.iter().find(|flag| flag.long == name || short.is_some() && flag.short == short);
    found.ok_or_else(|| Error::Usage(format!("flag provided but not defined: -{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag::switch("all", "").short('a'),
        Flag::value("bundle", "").short('b'),
        Flag::value("env", "").short('e'),
    ];

    fn read(order: Order, words: &[&str]) -> Result<Words, String> {
        Words::read(FLAGS, order, words.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn every_spelling_of_a_flag() {
        for words in [&["--bundle", "x", "id"][..], &["-b=x", "id"], &["id", "-bundle", "x"]] {
            let read = read(Order::Anywhere, words).unwrap();
            assert_eq!(read.value("bundle").unwrap(), "x");
            assert_eq!(read.only_id("run").unwrap(), "id");
        }
        assert!(read(Order::Anywhere, &["-a"]).unwrap().on("all"));
        assert!(!read(Order::Anywhere, &["-a", "--all=false"]).unwrap().on("all"));
    }

    #[test]
    fn a_containers_command_keeps_its_flags() {
        let read = read(Order::FlagsFirst, &["-e", "A=b=c", "id", "ls", "-a", "--", "--all"]).unwrap();
        assert_eq!(read.values("env").collect::<Vec<_>>(), ["A=b=c"]);
        assert_eq!(read.rest, ["id", "ls", "-a", "--", "--all"]);
        assert!(!read.on("all"));
    }

    #[test]
    fn mistakes_are_named() {
        let said = |words| read(Order::Anywhere, words).unwrap_err();
        assert_eq!(said(&["--nope"]), "flag provided but not defined: -nope");
        assert_eq!(said(&["--bundle"]), "flag needs an argument: -bundle");
        assert_eq!(said(&["--all=maybe"]), "invalid boolean value maybe for -all");
        assert_eq!(read(Order::Anywhere, &["--", "--nope"]).unwrap().rest, ["--nope"]);
        assert_eq!(read(Order::Anywhere, &["-"]).unwrap().rest, ["-"]);
    }
}
