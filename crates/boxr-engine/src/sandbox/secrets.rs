//! What is kept from a command: the lists of `secrets.txt`, and what the machine's and the person's files add.

use std::path::{Path, PathBuf};

/// The lists that boxr comes with, taken apart when it is built.
const SHIPPED: &str = include_str!("secrets.txt");
static HIDDEN: [&str; count("[hidden]")] = list("[hidden]");
static VARIABLES: [&str; count("[variables]")] = list("[variables]");
static PROTECTED: [&str; count("[protected]")] = list("[protected]");
/// The machine's own.
const SYSTEM: &str = "/etc/boxr/sandbox.conf";

/// All lists together; these are what the machine's and the person's files add.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    hidden: Vec<String>,
    variables: Vec<String>,
    protected: Vec<String>,
}

/// A line of a file that is none of its kind.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {text:?} stands in none of [hidden], [variables] and [protected]", file.display())]
pub struct BadLine {
    /// Which file.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

impl Secrets {
    /// What boxr, the machine and the person (`config` is their directory of configurations) say.
    ///
    /// # Errors
    /// A file that is not of this form: it is not known what it was to hide.
    pub fn load(config: Option<&Path>) -> Result<Self, BadLine> {
        let mut secrets = Self::default();
        let own = config.map(|dir| dir.join("boxr/sandbox.conf"));
        for file in std::iter::once(PathBuf::from(SYSTEM)).chain(own) {
            match std::fs::read_to_string(&file) {
                Ok(text) => secrets.add(&file, &text)?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(BadLine { file, line: 0, text: error.to_string() }),
            }
        }
        Ok(secrets)
    }

    fn add(&mut self, file: &Path, text: &str) -> Result<(), BadLine> {
        let mut list = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || BadLine { file: file.to_owned(), line: index + 1, text: line.to_owned() };
            match (line, &mut list) {
                ("[hidden]", list) => *list = Some(0),
                ("[variables]", list) => *list = Some(1),
                ("[protected]", list) => *list = Some(2),
                (path, Some(0)) if path.starts_with('/') || path.starts_with("~/") => {
                    self.hidden.push(tidy(path));
                }
                (pattern, Some(1)) => self.variables.push(pattern.to_owned()),
                (path, Some(2)) if !path.starts_with('/') && !path.split('/').any(|part| part == "..") => {
                    self.protected.push(tidy(path));
                }
                _ => return Err(bad()),
            }
        }
        Ok(())
    }

    /// Paths that are hidden, absolute or with `~/` for the home directory.
    pub fn hidden(&self) -> impl Iterator<Item = &str> {
        all(&HIDDEN, &self.hidden)
    }

    /// Paths below a writable directory that stay read-only.
    pub fn protected(&self) -> impl Iterator<Item = &str> {
        all(&PROTECTED, &self.protected)
    }

    /// What is removed of the environment.
    pub fn removals(&self) -> Removals<'_> {
        Removals(all(&VARIABLES, &self.variables).map(|pattern| (letters(pattern), pattern)).collect())
    }
}

fn all<'s>(shipped: &'static [&'static str], added: &'s [String]) -> impl Iterator<Item = &'s str> {
    shipped.iter().copied().chain(added.iter().map(String::as_str))
}

/// A path without what stands twice or at its end: from here on paths are compared by their letters.
fn tidy(path: &str) -> String {
    Path::new(path).components().collect::<PathBuf>().to_string_lossy().into_owned()
}

/// How many lines follow `heading` in [`SHIPPED`].
const fn count(heading: &str) -> usize {
    let (mut rest, mut inside, mut count) = (SHIPPED.as_bytes(), false, 0);
    while let Some(line) = next(&mut rest) {
        match line.as_bytes() {
            [b'[', ..] => inside = same(line, heading),
            _ if inside => count += 1,
            _ => {}
        }
    }
    count
}

/// Those lines.
const fn list<const COUNT: usize>(heading: &str) -> [&'static str; COUNT] {
    let (mut rest, mut inside, mut count) = (SHIPPED.as_bytes(), false, 0);
    let mut list = [""; COUNT];
    while let Some(line) = next(&mut rest) {
        match line.as_bytes() {
            [b'[', ..] => inside = same(line, heading),
            _ if inside => {
                list[count] = line;
                count += 1;
            }
            _ => {}
        }
    }
    list
}

/// The next line that says something.
const fn next(rest: &mut &'static [u8]) -> Option<&'static str> {
    loop {
        let (mut end, text) = (0, *rest);
        while end < text.len() && text[end] != b'\n' {
            end += 1;
        }
        let (line, after) = text.split_at(end);
        *rest = if let [_, after @ ..] = after { after } else { after };
        match (line, std::str::from_utf8(line)) {
            ([], _) if rest.is_empty() => return None,
            ([] | [b'#', ..], _) => {}
            (_, Ok(line)) => return Some(line),
            (_, Err(_)) => return None,
        }
    }
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// Patterns of variables, each with the letters in it.
#[derive(Debug)]
pub(super) struct Removals<'s>(Vec<(u64, &'s str)>);

impl Removals<'_> {
    /// Whether a variable of this name is removed.
    pub fn have(&self, name: &str) -> bool {
        let has = letters(name);
        self.0.iter().any(|(needs, pattern)| needs & !has == 0 && matches(pattern, name))
    }
}

/// A bit for each letter in `text`, upper and lower case alike: a name that lacks one of a pattern's is not as it says.
/// Which letters share a bit is no matter.
fn letters(text: &str) -> u64 {
    let bit = |letter: u8| if letter == b'*' { 0 } else { 1 << (letter.to_ascii_uppercase() % 64) };
    text.bytes().fold(0, |bits, letter| bits | bit(letter))
}

/// Whether `name` is as `pattern` says, where `*` stands for any letters; upper and lower case are the same.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: one letter more is the star's.
    let mut again: Option<(usize, usize)> = None;
    while read < name.len() {
        match (pattern.get(at), again) {
            (Some(b'*'), _) => {
                at += 1;
                again = Some((at, read));
            }
            (Some(letter), _) if letter.eq_ignore_ascii_case(&name[read]) => (at, read) = (at + 1, read + 1),
            (_, Some((after, taken))) => {
                (at, read) = (after, taken + 1);
                again = Some((after, taken + 1));
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_lists_are_whole() {
        let mut read = Secrets::default();
        read.add(Path::new("secrets.txt"), SHIPPED).unwrap();
        assert_eq!(
            (&read.hidden[..], &read.variables[..]),
            (&HIDDEN.map(str::to_owned)[..], &VARIABLES.map(str::to_owned)[..])
        );
        assert_eq!(read.protected, PROTECTED);
        let secrets = Secrets::load(None).unwrap();
        assert!(secrets.hidden().any(|path| path == "~/.ssh"));
        assert!(secrets.protected().any(|path| path == ".git/hooks"));
        for name in
            ["GITHUB_TOKEN", "aws_secret_access_key", "NPM_CONFIG__AUTH", "SSH_AUTH_SOCK", "https_proxy"]
        {
            assert!(secrets.removals().have(name), "{name}");
        }
        for name in ["PATH", "HOME", "LANG", "TERM", "CARGO_HOME", "EDITOR", "AUTHOR"] {
            assert!(!secrets.removals().have(name), "{name}");
        }
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name) in
            [("*", ""), ("A*", "a"), ("*_KEY*", "X_key_2"), ("*ab*ac", "abaabac"), ("A**B", "ab"), ("", "")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
            assert_eq!(letters(pattern) & !letters(name), 0, "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("A", ""), ("A*B", "abc"), ("*_KEY", "KEY"), ("*ab*ac", "abaab")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_file_that_is_not_understood_is_an_error() {
        for text in
            ["~/.ssh", "[hidden]\nrelative", "[protected]\n/absolute", "[protected]\na/../b", "[hiden]\n/x"]
        {
            assert!(Secrets::default().add(Path::new("x"), text).is_err(), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("boxr")).unwrap();
        std::fs::write(
            dir.path().join("boxr/sandbox.conf"),
            "[hidden]\n~/own # not a comment\n//a/./b/\n[variables]\nOWN_*\n",
        )
        .unwrap();
        let secrets = Secrets::load(Some(dir.path())).unwrap();
        assert_eq!(secrets.hidden, ["~/own # not a comment", "/a/b"]);
        assert!(secrets.hidden().any(|path| path == "/a/b") && secrets.removals().have("OWN_X"));
    }
}
