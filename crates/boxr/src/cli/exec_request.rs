//! `boxr exec`: what the command line says of a further command.

use std::path::PathBuf;

use boxr_engine::config::grammar::UserSpec;
use boxr_engine::config::{self, Caller, Variable};
use boxr_engine::options::Tty;

use super::invocation::Invocation;
use super::request::{DETACH_KEYS, said};
use crate::report::Report;

/// Where a further command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecTarget {
    /// A box, by name, id or beginning of an id.
    Container(String),
    /// `pid:N`: the namespaces of a process.
    Process(i32),
}

/// A further command, as the command line says it; the box has a say in what is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    /// Where.
    pub target: ExecTarget,
    /// The command and its arguments; empty: the shell of the box's user.
    pub args: Vec<String>,
    /// What was said of variables; `config::apply_environment` applies it to the box's.
    pub env: Vec<Variable>,
    /// `--workdir`, absolute in the box; `None`: the box's own.
    pub workdir: Option<PathBuf>,
    /// `--user`; `config::user` looks it up.
    pub user: Option<UserSpec>,
    /// `--privileged`
    pub privileged: bool,
    /// `--tty`
    pub tty: Tty,
    /// `--interactive`
    pub interactive: bool,
    /// `--detach`
    pub detach: bool,
    /// Bytes that detach the terminal; empty for none.
    pub detach_keys: Vec<u8>,
    /// How many descriptors from 3 on the command inherits.
    pub preserve_fds: u32,
}

/// Reads the command line of `boxr exec`.
///
/// # Errors
/// Values that cannot be used.
pub fn exec_request(mut invocation: Invocation) -> Result<ExecRequest, Report> {
    let caller = Caller::current()?;
    let mut words = std::mem::take(&mut invocation.matches.positionals).into_iter();
    let target = target(&words.next().unwrap_or_default())?;
    let mut args: Vec<String> = words.collect();
    // kubectl has `exec NAME -- COMMAND`; no command is called `--`.
    if args.first().is_some_and(|word| word == "--") {
        args.remove(0);
    }
    let raw = said(&invocation, &caller)?;
    Ok(ExecRequest {
        target,
        args,
        env: config::said_environment(&raw, &caller)?,
        workdir: raw.workdir.map(|path| workdir(&invocation, path.said)).transpose()?,
        user: raw.user,
        privileged: raw.container.privileged.unwrap_or(false),
        tty: raw.tty.unwrap_or_default(),
        interactive: raw.interactive.unwrap_or(false),
        detach: raw.detach.unwrap_or(false),
        detach_keys: raw.detach_keys.unwrap_or_else(|| DETACH_KEYS.to_vec()),
        preserve_fds: raw.preserve_fds.unwrap_or(0),
    })
}

fn target(word: &str) -> Result<ExecTarget, Report> {
    let Some(pid) = word.strip_prefix("pid:") else {
        return Ok(ExecTarget::Container(word.to_owned()));
    };
    match pid.parse() {
        Ok(pid) if pid > 0 => Ok(ExecTarget::Process(pid)),
        _ => Err(Report::new(format!("boxr exec {word}: not the pid of a process"))),
    }
}

/// A path in the box: a relative one would be the caller's, which need not be there.
fn workdir(invocation: &Invocation, said: PathBuf) -> Result<PathBuf, Report> {
    if said.is_absolute() {
        return Ok(said);
    }
    Err(invocation.bad_value("workdir", &said.to_string_lossy(), "an absolute path in the box"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Globals, lexer, table};

    fn read(words: &[&str]) -> Result<ExecRequest, Report> {
        let command = table::find("exec").unwrap();
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let matches = lexer::lex(command.flags, command.order, words).unwrap();
        exec_request(Invocation { command, globals: Globals::default(), matches })
    }

    #[test]
    fn what_follows_the_name_is_the_command() {
        let request = read(&["-it", "-e", "A=b", "-w", "/tmp", "web", "ls", "-it", "--", "x"]).unwrap();
        assert_eq!(request.target, ExecTarget::Container("web".into()));
        assert_eq!(request.args, ["ls", "-it", "--", "x"]);
        assert_eq!(request.env, [("A".to_owned(), Some("b".to_owned()))]);
        assert_eq!((request.interactive, request.tty), (true, Tty::Always));
        assert_eq!(request.workdir, Some("/tmp".into()));
        assert_eq!(read(&["web", "--", "ls"]).unwrap().args, ["ls"]);
        assert_eq!(read(&["pid:12"]).unwrap().target, ExecTarget::Process(12));
    }

    #[test]
    fn values_that_cannot_be_are_named() {
        assert!(read(&["pid:x"]).unwrap_err().what.contains("pid:x"));
        assert!(read(&["-w", "tmp", "web"]).unwrap_err().what.contains("--workdir tmp"));
        assert!(read(&["-u", "a b", "web"]).unwrap_err().what.contains("--user a b"));
    }

    #[test]
    fn every_flag_has_a_setting() {
        for flag in table::find("exec").unwrap().flags().filter(|flag| !flag.hidden && flag.long != "latest")
        {
            assert!(config::Setting::of_flag(flag.long).is_some(), "--{}", flag.long);
        }
    }
}
