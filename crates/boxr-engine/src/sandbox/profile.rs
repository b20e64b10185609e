//! Profiles: what a sandbox is opened for, in a file, by name.
//!
//! A profile is the person's own (`$XDG_CONFIG_HOME/boxr/sandbox/NAME.toml`), the machine's (`/etc/boxr/sandbox/NAME.toml`)
//! or one that boxr brings, the first of these. It may inherit others; lists are joined. A project's `.boxr.toml` is one
//! without a name, and counts only when it was approved ([`approval`]).

pub mod approval;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::SandboxError;
use super::said::{Allow, Home, NetAllow, Protection, Said};
use crate::config::Base;

/// What a project calls its own.
pub const OF_PROJECT: &str = ".boxr.toml";
/// The preset and nothing else.
pub const PLAIN: &str = "default";

const SYSTEM: &str = "/etc/boxr/sandbox";
const SHIPPED: [(&str, &str); 5] = [
    ("agent", include_str!("profiles/agent.toml")),
    ("cargo", include_str!("profiles/cargo.toml")),
    ("node", include_str!("profiles/node.toml")),
    ("python", include_str!("profiles/python.toml")),
    ("shell", include_str!("profiles/shell.toml")),
];
/// Profiles that one may inherit, in all.
const MOST: usize = 64;

/// Where a profile comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is boxr's.
    Shipped,
    /// This file.
    File(PathBuf),
}

/// The text of a profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name; empty for a project's.
    pub name: String,
    /// Where it was found.
    pub origin: Origin,
    /// As it is written.
    pub text: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct File {
    description: String,
    inherits: Vec<String>,
    allow: Vec<String>,
    hide: Vec<String>,
    allow_env: Vec<String>,
    allow_net: Vec<String>,
    allow_socket: Vec<String>,
    home: Option<String>,
    allow_degraded: Vec<String>,
}

/// Where profiles are looked for, and what their paths mean.
#[derive(Clone, Debug)]
pub struct Places {
    /// `$XDG_CONFIG_HOME`
    pub config: PathBuf,
    /// What `~` stands for.
    pub home: PathBuf,
}

impl Places {
    /// The person's own directory of profiles.
    pub fn own(&self) -> PathBuf {
        self.config.join("boxr/sandbox")
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn find(&self, name: &str) -> Result<Profile, SandboxError> {
        let what = || format!("profile {name}");
        check(name)?;
        for dir in [self.own(), SYSTEM.into()] {
            let path = dir.join(format!("{name}.toml"));
            match std::fs::read_to_string(&path) {
                Ok(text) => return Ok(Profile { name: name.to_owned(), origin: Origin::File(path), text }),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(SandboxError::refused(what(), format!("{}: {error}", path.display()), ""));
                }
            }
        }
        let shipped = SHIPPED.iter().find(|(known, _)| *known == name);
        let shipped = shipped.map(|(_, text)| Profile {
            name: name.to_owned(),
            origin: Origin::Shipped,
            text: (*text).to_owned(),
        });
        shipped.ok_or_else(|| SandboxError::refused(what(), "there is none", "boxr sandbox ls"))
    }

    /// Whether a profile may be called so.
    pub fn is_name(&self, name: &str) -> bool {
        check(name).is_ok()
    }

    /// All names, with what hides others of the same name first.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect();
        for dir in [self.own(), SYSTEM.into()] {
            // A directory that is not there has none.
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                names
                    .extend(name.strip_suffix(".toml").filter(|name| check(name).is_ok()).map(str::to_owned));
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// What a profile opens, with all that it inherits.
    ///
    /// # Errors
    /// What is wrong in it, or in one that it inherits.
    pub fn said(&self, profile: &Profile) -> Result<Said, SandboxError> {
        let mut seen = Vec::new();
        self.said_by(profile, &mut seen)
    }

    fn said_by(&self, profile: &Profile, seen: &mut Vec<String>) -> Result<Said, SandboxError> {
        let file = profile.read()?;
        seen.push(profile.name.clone());
        let mut said = Said::default();
        for name in &file.inherits {
            // Twice by two ways, or in a circle: once is enough.
            if seen.contains(name) {
                continue;
            }
            if seen.len() > MOST {
                return Err(profile.wrong("it inherits too many"));
            }
            said = said.overlaid_by(self.said_by(&self.find(name)?, seen)?);
        }
        Ok(said.overlaid_by(self.own_words(profile, file)?))
    }

    fn own_words(&self, profile: &Profile, file: File) -> Result<Said, SandboxError> {
        let base = Base(match &profile.origin {
            Origin::File(path) => path.parent().unwrap_or(Path::new("/")).to_owned(),
            Origin::Shipped => self.home.clone(),
        });
        let path = |text: &str| match text.strip_prefix("~/") {
            Some(below) => Ok(self.home.join(below)),
            None => base.absolute(text).map_err(|error| profile.wrong(error.why)),
        };
        let mut said = Said::default();
        for text in &file.allow {
            let (text, optional) = text.strip_prefix('?').map_or((text.as_str(), false), |text| (text, true));
            let (text, writable) = text.strip_suffix(":ro").map_or((text, true), |text| (text, false));
            let path = path(text)?;
            if !optional || path.exists() {
                said.allow.push(Allow { path, writable });
            }
        }
        for (list, into) in [(&file.hide, &mut said.hide), (&file.allow_socket, &mut said.allow_socket)] {
            for text in list {
                into.push(path(text)?);
            }
        }
        for text in &file.allow_net {
            said.allow_net.push(match text.as_str() {
                "all" => NetAllow::All,
                host => NetAllow::Host(
                    host.parse().map_err(|why: String| profile.wrong(format!("allow-net: {why}")))?,
                ),
            });
        }
        for name in &file.allow_degraded {
            let unknown = || profile.wrong(format!("allow-degraded: no protection is called {name:?}"));
            said.degraded.push(Protection::parse(name).ok_or_else(unknown)?);
        }
        said.home = match file.home.as_deref() {
            None => None,
            Some("keep") => Some(Home::Keep),
            Some("empty") => Some(Home::Empty),
            Some(dir) => Some(Home::Directory(path(dir)?)),
        };
        said.allow_env = file.allow_env;
        Ok(said)
    }
}

impl Profile {
    /// What it is for.
    ///
    /// # Errors
    /// It is not of the form of a profile.
    pub fn description(&self) -> Result<String, SandboxError> {
        Ok(self.read()?.description)
    }

    /// The names of those that it inherits.
    ///
    /// # Errors
    /// It is not of the form of a profile.
    pub fn inherited(&self) -> Result<Vec<String>, SandboxError> {
        Ok(self.read()?.inherits)
    }

    /// Where it was found, in words.
    pub fn place(&self) -> String {
        match &self.origin {
            Origin::Shipped => "boxr".to_owned(),
            Origin::File(path) => path.display().to_string(),
        }
    }

    fn read(&self) -> Result<File, SandboxError> {
        toml::from_str(&self.text).map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| self.text[..span.start].matches('\n').count() + 1);
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            self.wrong(format!("{line}{}", error.message()))
        })
    }

    fn wrong(&self, why: impl Into<String>) -> SandboxError {
        let name = if self.name.is_empty() { "the project's profile" } else { self.name.as_str() };
        SandboxError::refused(format!("profile {name} ({})", self.place()), why, "boxr sandbox show shell")
    }
}

/// Names of profiles are names of files.
fn check(name: &str) -> Result<(), SandboxError> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    match (1..=64).contains(&name.len()) && name.chars().all(good) && name != PLAIN {
        true => Ok(()),
        false => Err(SandboxError::refused(
            format!("profile {name}"),
            "no name of a profile",
            "letters, digits, - and _",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { config: dir.path().join("config"), home: dir.path().to_owned() };
        std::fs::create_dir_all(places.own()).unwrap();
        (dir, places)
    }

    #[test]
    fn shipped_profiles_are_whole_and_inherit() {
        let (dir, places) = places();
        std::fs::create_dir_all(dir.path().join(".cargo/registry")).unwrap();
        assert_eq!(places.names(), ["agent", "cargo", "node", "python", "shell"]);
        for name in places.names() {
            let profile = places.find(&name).unwrap();
            assert!(!profile.description().unwrap().is_empty());
            places.said(&profile).unwrap();
        }
        let agent = places.said(&places.find("agent").unwrap()).unwrap();
        assert!(agent.allow.contains(&Allow { path: dir.path().join(".cargo/registry"), writable: true }));
        assert!(agent.allow_net.contains(&NetAllow::Host("pypi.org:443".parse().unwrap())));
    }

    #[test]
    fn own_profiles_come_first_and_circles_end() {
        let (_dir, places) = places();
        std::fs::write(places.own().join("shell.toml"), "inherits = [\"a\"]\nhome = \"keep\"\n").unwrap();
        std::fs::write(
            places.own().join("a.toml"),
            "inherits = [\"shell\", \"a\"]\nallow-env = [\"X\"]\nallow = [\"rel\"]\nhome = \"~/h\"",
        )
        .unwrap();
        let said = places.said(&places.find("shell").unwrap()).unwrap();
        assert_eq!((said.home, said.allow_env), (Some(Home::Keep), vec!["X".to_owned()]));
        assert_eq!(said.allow, [Allow { path: places.own().join("rel"), writable: true }]);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let (_dir, places) = places();
        for (text, part) in [
            ("\nalow = []", "line 2: unknown field"),
            ("allow = 5", "line 1"),
            ("allow-net = [\"a b\"]", "no name of a host"),
            ("allow-degraded = [\"x\"]", "no protection"),
            ("inherits = [\"none\"]", "there is none"),
            ("inherits = [\"../x\"]", "no name of a profile"),
        ] {
            std::fs::write(places.own().join("bad.toml"), text).unwrap();
            let error = places.said(&places.find("bad").unwrap()).unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
        assert!(places.find("../../etc/x").is_err() && places.find("default").is_err());
    }
}
