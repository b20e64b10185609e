//! Splits arguments into flags and positionals by the rules docker's users know:
//! `--flag value`, `--flag=value`, clusters of short switches (`-it`), a short flag with its
//! value attached (`-eK=V`, `-e=K=V`), and `--` as the end of flags.

use super::command::FlagOrder;
use super::error::UsageError;
use super::flag::{Flag, Takes};

/// What was said with one flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A switch, on or off.
    Switch(bool),
    /// A value.
    Value(String),
}

/// The result: flags in the order in which they were given, and the rest.
#[derive(Default)]
pub struct Matches {
    /// Flags, in order.
    pub flags: Vec<(&'static Flag, Said)>,
    /// Positional arguments, in order, without the `--` that ended the flags.
    pub positionals: Vec<String>,
    /// How many positionals stood before `--`; `None` without a `--`.
    pub before_dashes: Option<usize>,
}

/// As a command line: what a trace shows.
impl std::fmt::Debug for Matches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (flag, said) in &self.flags {
            match said {
                Said::Switch(on) => write!(f, "--{}={on} ", flag.long)?,
                Said::Value(value) => write!(f, "--{}={value:?} ", flag.long)?,
            }
        }
        write!(f, "-- {:?}", self.positionals)
    }
}

/// Reads `args` against `tables`; the first table that knows a name wins.
pub fn lex(tables: &[&'static [Flag]], order: FlagOrder, args: Vec<String>) -> Result<Matches, UsageError> {
    let mut lexer = Lexer { tables, rest: args.into_iter(), matches: Matches::default() };
    while let Some(word) = lexer.rest.next() {
        if word == "--" {
            lexer.matches.before_dashes = Some(lexer.matches.positionals.len());
            lexer.matches.positionals.extend(lexer.rest.by_ref());
        } else if let Some(long) = word.strip_prefix("--") {
            lexer.long(long)?;
        } else if word.len() > 1 && word.starts_with('-') {
            lexer.cluster(&word[1..])?;
        } else {
            lexer.matches.positionals.push(word);
            if order == FlagOrder::BeforeArguments {
                lexer.matches.positionals.extend(lexer.rest.by_ref());
            }
        }
    }
    Ok(lexer.matches)
}

struct Lexer<'a> {
    tables: &'a [&'static [Flag]],
    rest: std::vec::IntoIter<String>,
    matches: Matches,
}

impl Lexer<'_> {
    fn find(&self, wanted: impl Fn(&Flag) -> bool) -> Option<&'static Flag> {
        self.tables.iter().flat_map(|table| table.iter()).find(|flag| wanted(flag))
    }

    /// `name` or `name=value`, after `--`.
    fn long(&mut self, word: &str) -> Result<(), UsageError> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let flag = self
            .find(|flag| flag.is_long(name))
            .ok_or_else(|| UsageError::unknown_long(name, value, self.tables))?;
        let said = match (flag.takes, value) {
            (Takes::Nothing, None) => Said::Switch(true),
            (Takes::Nothing, Some(value)) => Said::Switch(switch_value(&format!("--{name}"), value)?),
            (Takes::Value(_) | Takes::Optional { .. }, Some(value)) => Said::Value(value.to_owned()),
            (Takes::Optional { implied, .. }, None) => {
                Said::Value(self.optional_word(flag).unwrap_or_else(|| implied.to_owned()))
            }
            (Takes::Value(placeholder), None) => self.next_value(format!("--{name}"), placeholder)?,
        };
        self.matches.flags.push((flag, said));
        Ok(())
    }

    /// `it`, `eK=V`, `i=false`: what follows a single dash.
    fn cluster(&mut self, cluster: &str) -> Result<(), UsageError> {
        for (at, letter) in cluster.char_indices() {
            let flag = self
                .find(|flag| flag.short == Some(letter))
                .ok_or_else(|| UsageError::unknown_short(letter, cluster, self.tables))?;
            let attached = &cluster[at + letter.len_utf8()..];
            let (said, consumed) = match (flag.takes, attached.strip_prefix('=')) {
                (Takes::Nothing, Some(value)) => {
                    (Said::Switch(switch_value(&format!("-{letter}"), value)?), true)
                }
                (Takes::Nothing, None) => (Said::Switch(true), false),
                (Takes::Value(_) | Takes::Optional { .. }, Some(value)) => {
                    (Said::Value(value.to_owned()), true)
                }
                (Takes::Value(_), None) if !attached.is_empty() => (Said::Value(attached.to_owned()), true),
                (Takes::Value(name), None) => (self.next_value(format!("-{letter}"), name)?, true),
                (Takes::Optional { implied, .. }, None) => (Said::Value(implied.to_owned()), false),
            };
            self.matches.flags.push((flag, said));
            if consumed {
                break;
            }
        }
        Ok(())
    }

    /// The next word, where it may be the value of `flag`.
    fn optional_word(&mut self, flag: &Flag) -> Option<String> {
        let next = self.rest.as_slice().first()?;
        (flag.or_next && !next.starts_with('-')).then(|| self.rest.next()).flatten()
    }

    /// The next word, whatever it looks like: `-e -x` gives `-x` to `-e`, as docker does.
    fn next_value(&mut self, flag: String, placeholder: &'static str) -> Result<Said, UsageError> {
        match self.rest.next() {
            Some(value) => Ok(Said::Value(value)),
            None => Err(UsageError::MissingValue { flag, placeholder }),
        }
    }
}

/// The value of a switch that was given with `=`.
fn switch_value(flag: &str, value: &str) -> Result<bool, UsageError> {
    match value {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Ok(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(false),
        _ => Err(UsageError::SwitchValue { flag: flag.to_owned(), value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    static FLAGS: [Flag; 6] = [
        Flag::optional("allow-net", "HOST", "", "a").repeat().or_next(),
        Flag::switch("interactive", "i").short('i'),
        Flag::optional("tty", "WHEN", "true", "t").short('t'),
        Flag::value("env", "K=V", "e").short('e').repeat(),
        Flag::value("network", "MODE", "n").aliases(&["net"]),
        Flag::switch("rm", "r"),
    ];

    fn run(order: FlagOrder, words: &[&str]) -> Result<Matches, UsageError> {
        lex(&[&FLAGS], order, words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn said(words: &[&str]) -> Vec<(&'static str, Said)> {
        let matches = run(FlagOrder::Mixed, words).unwrap();
        matches.flags.into_iter().map(|(flag, said)| (flag.long, said)).collect()
    }

    fn value(text: &str) -> Said {
        Said::Value(text.to_owned())
    }

    #[test]
    fn clusters_hold_switches_and_end_with_a_value() {
        assert_eq!(said(&["-it"]), [("interactive", Said::Switch(true)), ("tty", value("true"))]);
        assert_eq!(said(&["-ti"]), [("tty", value("true")), ("interactive", Said::Switch(true))]);
        assert_eq!(said(&["-ieA=b"]), [("interactive", Said::Switch(true)), ("env", value("A=b"))]);
        assert_eq!(said(&["-t=false"]), [("tty", value("false"))]);
        assert_eq!(said(&["-i=0"]), [("interactive", Said::Switch(false))]);
    }

    #[test]
    fn values_attach_in_each_way() {
        for words in [&["-eA=b"][..], &["-e", "A=b"], &["-e=A=b"], &["--env", "A=b"], &["--env=A=b"]] {
            assert_eq!(said(words), [("env", value("A=b"))], "{words:?}");
        }
        assert_eq!(said(&["--env="]), [("env", value(""))]);
        for (words, host) in
            [(&["--allow-net", "a"][..], "a"), (&["--allow-net=a"], "a"), (&["--allow-net", "--rm"], "")]
        {
            assert_eq!(said(words)[0], ("allow-net", value(host)), "{words:?}");
        }
        assert_eq!(said(&["-e", "--"]), [("env", value("--"))]);
        assert_eq!(said(&["--net", "host"]), [("network", value("host"))]);
        assert_eq!(said(&["--rm=false"]), [("rm", Said::Switch(false))]);
    }

    #[test]
    fn what_follows_the_first_argument_belongs_to_the_command() {
        let matches = run(FlagOrder::BeforeArguments, &["-i", "ls", "-l", "--", "x"]).unwrap();
        assert_eq!(matches.positionals, ["ls", "-l", "--", "x"]);
        assert_eq!(matches.before_dashes, None);
        let matches = run(FlagOrder::BeforeArguments, &["-i", "--", "ls", "-l"]).unwrap();
        assert_eq!(matches.positionals, ["ls", "-l"]);
        assert_eq!(matches.before_dashes, Some(0));
        let matches = run(FlagOrder::Mixed, &["name", "-i", "--", "-l"]).unwrap();
        assert_eq!(matches.positionals, ["name", "-l"]);
        assert_eq!((matches.flags.len(), matches.before_dashes), (1, Some(1)));
        assert_eq!(run(FlagOrder::Mixed, &["-"]).unwrap().positionals, ["-"]);
    }

    #[test]
    fn mistakes_name_the_flag() {
        let error = run(FlagOrder::Mixed, &["--newtork=host"]).unwrap_err();
        assert!(
            matches!(error, UsageError::UnknownFlag { nearest: Some(ref flag), .. } if flag == "--network")
        );
        let error = run(FlagOrder::Mixed, &["-ix"]).unwrap_err();
        assert!(matches!(error, UsageError::UnknownFlag { ref flag, .. } if flag == "-x"));
        let error = run(FlagOrder::Mixed, &["--env"]).unwrap_err();
        assert!(matches!(error, UsageError::MissingValue { .. }));
        let error = run(FlagOrder::Mixed, &["--rm=maybe"]).unwrap_err();
        assert!(matches!(error, UsageError::SwitchValue { .. }));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_after_the_dashes(words in proptest::collection::vec(".*", 0..6)) {
            let mut args = vec!["--".to_owned()];
            args.extend(words.iter().cloned());
            let matches = lex(&[&FLAGS], FlagOrder::BeforeArguments, args).unwrap();
            prop_assert_eq!(matches.positionals, words);
        }

        #[test]
        fn any_words_end_in_a_result(words in proptest::collection::vec("-{0,2}[a-z=é]{0,6}", 0..6)) {
            for order in [FlagOrder::Mixed, FlagOrder::BeforeArguments] {
                let given = words.len();
                if let Ok(matches) = lex(&[&FLAGS], order, words.clone()) {
                    prop_assert!(matches.positionals.len() <= given);
                }
            }
        }
    }
}
