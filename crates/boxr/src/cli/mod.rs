//! The command line: flags and commands as static data ([`table`]), a lexer, and help.
//!
//! Only the table of the command that was called is touched at a start; nothing is built.

mod command;
pub mod completion;
mod error;
mod exec_request;
mod flag;
pub mod help;
mod invocation;
mod lexer;
pub mod man;
pub mod request;
pub mod stock;
pub mod table;

use std::ffi::OsString;
use std::path::PathBuf;

pub use command::{Arg, Command, Example, FlagOrder, Section};
pub use error::{UsageError, nearest};
pub use exec_request::{ExecRequest, ExecTarget, exec_request};
pub use flag::{Complete, Flag, Takes};
pub use invocation::{Globals, Invocation};
pub use lexer::{Matches, Said};
pub use request::{DETACH_KEYS, RunRequest, run_request, update_request};

use crate::report::{Report, write_stdout};
use crate::trace;

/// Runs a command line, the program's name first; the status to end with.
///
/// # Errors
/// What a person should read.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Report> {
    let words = utf8(args.into_iter().skip(1))?;
    let before = lexer::lex(&[table::GLOBAL, table::ALONE], FlagOrder::BeforeArguments, words)
        .map_err(|error| error.report_for(None))?;
    let alone =
        |long: &str| before.flags.iter().any(|(flag, said)| flag.long == long && *said == Said::Switch(true));
    if alone("version") {
        write_stdout(concat!("boxr version ", env!("CARGO_PKG_VERSION"), "\n"))?;
        return Ok(0);
    }
    let mut positionals = before.positionals.into_iter();
    let (Some(word), false) = (positionals.next(), alone("help")) else {
        write_stdout(&help::overview(help::width()))?;
        return Ok(0);
    };
    let command = table::find(&word)?;
    let mut globals = Globals::default();
    take_globals(&mut globals, before.flags);
    dispatch(command, globals, positionals.collect())
}

/// Runs one command with the words that follow its name.
fn dispatch(command: &'static Command, mut globals: Globals, words: Vec<String>) -> Result<u8, Report> {
    let mut tables = command.flags.to_vec();
    tables.extend([table::GLOBAL, table::HELP]);
    let mut matches =
        lexer::lex(&tables, command.order, words).map_err(|error| error.report_for(Some(command)))?;
    if matches
        .flags
        .iter()
        .any(|(flag, said)| std::ptr::eq(*flag, &table::HELP[0]) && *said == Said::Switch(true))
    {
        write_stdout(&help::command(command, help::width()))?;
        return Ok(0);
    }
    let own = |flag: &Flag| !table::GLOBAL.iter().chain(table::HELP).any(|other| std::ptr::eq(flag, other));
    let (flags, others) = matches.flags.into_iter().partition(|(flag, _)| own(flag));
    matches.flags = flags;
    take_globals(&mut globals, others);
    check_arity(command, &matches).map_err(|error| error.report_for(Some(command)))?;
    trace::start(&globals)?;
    trace::note(|| format!("{} {:?}", command.name, matches));
    let mut invocation = Invocation { command, globals, matches };
    if invocation.offers("latest") && invocation.switch("latest") {
        match command.name {
            // They list it.
            "ps" | "pod ps" => {}
            name if name.starts_with("pod ") => crate::commands::pod::put_latest(&mut invocation)?,
            _ => crate::boxes::put_latest(&mut invocation)?,
        }
    }
    (command.run)(invocation)
}

/// Runs the command that the first positional argument calls, after the word of its group.
///
/// # Errors
/// As [`run`].
pub fn run_member(invocation: Invocation) -> Result<u8, Report> {
    let mut words = invocation.matches.positionals.into_iter();
    let word = words.next().unwrap_or_default();
    let command = table::find_member(invocation.command.name, &word)?;
    dispatch(command, invocation.globals, words.collect())
}

/// Whether there are as many positional arguments as the command takes.
fn check_arity(command: &Command, matches: &Matches) -> Result<(), UsageError> {
    let given = matches.positionals.len();
    let on = |long: &str| {
        let said = matches.flags.iter().rfind(|(flag, _)| flag.long == long);
        said.is_some_and(|(_, said)| *said == Said::Switch(true))
    };
    let said = |long: &str| matches.flags.iter().any(|(flag, _)| flag.long == long);
    for (index, arg) in command.args.iter().enumerate() {
        let replaced = arg.unless.filter(|switch| on(switch));
        match (replaced, given > index) {
            (Some(switch), true) => return Err(UsageError::Instead { name: arg.name, switch }),
            (None, false) if arg.or.iter().any(|long| said(long)) => {}
            (None, false) if arg.required => {
                return Err(UsageError::MissingArgument { name: arg.name, unless: arg.unless });
            }
            _ => {}
        }
    }
    let endless = command.args.iter().any(|arg| arg.many);
    match matches.positionals.get(command.args.len()) {
        Some(word) if !endless => Err(UsageError::ExtraArgument { word: word.clone() }),
        _ => Ok(()),
    }
}

/// All words as UTF-8: they end in records and specifications, which are JSON.
fn utf8(words: impl Iterator<Item = OsString>) -> Result<Vec<String>, UsageError> {
    words
        .enumerate()
        .map(|(index, word)| {
            word.into_string().map_err(|word| UsageError::NotUtf8 {
                index: index + 1,
                lossy: word.to_string_lossy().into_owned(),
            })
        })
        .collect()
}

/// Keeps what was said with boxr's own flags.
fn take_globals(globals: &mut Globals, said: Vec<(&'static Flag, Said)>) {
    for (flag, said) in said {
        match (flag.long, said) {
            ("root", Said::Value(path)) => globals.root = Some(PathBuf::from(path)),
            ("state", Said::Value(path)) => globals.state = Some(PathBuf::from(path)),
            ("log", Said::Value(path)) => globals.log = Some(PathBuf::from(path)),
            ("debug", Said::Switch(on)) => globals.debug = on,
            _ => {}
        }
    }
}
