//! `boxr try`: the command, what it has changed, and what is done about that.

pub(super) mod listing;
pub(super) mod patch;

use std::io::{BufRead, IsTerminal, Write};

use boxr_engine::attempt::{self, Tried};
use boxr_engine::config::Purpose;
use boxr_engine::exposure;
use boxr_engine::foreground::RunRequest;
use boxr_engine::lifecycle::remove::{Force, remove};
use boxr_engine::outcome::EngineError;
use boxr_engine::record::Exit;
use boxr_engine::status::StatusSink;
use boxr_engine::store::Store;
use boxr_engine::terminal::DetachKeys;
use boxr_engine::watch;

use super::{apply, explain, watched};
use crate::boxes;
use crate::cli::Invocation;
use crate::cli::request::run_request;
use crate::protect;
use crate::report::Report;

/// Changes that are listed at the end of a try; `boxr diff` has all.
const MOST_LISTED: usize = 40;

/// What becomes of the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Apply,
    Keep,
    Drop,
}

/// Carries out `boxr try`.
///
/// # Errors
/// As `boxr run`, and whatever keeps changes from being listed or applied.
pub fn run(mut invocation: Invocation) -> Result<u8, Report> {
    let globals = invocation.globals.clone();
    let answer = answer_in_advance(&invocation)?;
    // No word of it names an image.
    invocation.matches.before_dashes = Some(0);
    protect::before_reading(&invocation)?;
    let (mut options, request) = run_request(invocation, Purpose::Run)?;
    if request.detach {
        return Err(Report::new("boxr try: a try is not run in the background")
            .detail("somebody has to say what becomes of its changes"));
    }
    boxes::check_descriptors(options.preserve_fds)?;
    if !request.dry_run {
        exposure::protect_for(&options).map_err(EngineError::from)?;
    }
    let store = boxes::open_store(&globals)?;
    if request.explain {
        explain::print(&store, &options, &request)?;
        if request.dry_run {
            return Ok(0);
        }
    }
    if request.replace {
        boxes::replace(&store, request.name.as_deref())?;
    }
    let recorder = watch::start(store.paths(), &mut options, request.record.clone())?;
    let tried = attempt::run(
        &store,
        RunRequest {
            options,
            name: request.name,
            // Whoever leaves it could not be asked.
            detach_keys: DetachKeys::new(Vec::new()),
            status: request.status_fd.map(StatusSink::open).transpose()?,
            timing: request.timing,
            cidfile: request.cidfile,
        },
    );
    let tried = watched::finished(recorder, tried.map_err(Report::from))?;
    decide(&store, &tried, answer)?;
    Ok(tried.exit.status())
}

fn answer_in_advance(invocation: &Invocation) -> Result<Option<Answer>, Report> {
    let words = [("apply", Answer::Apply), ("keep", Answer::Keep), ("drop", Answer::Drop)];
    let mut said = words.into_iter().filter(|(word, _)| invocation.switch(word));
    match (said.next(), said.next()) {
        (Some((one, _)), Some((other, _))) => {
            Err(Report::new(format!("boxr try: --{one} and --{other} cannot both be")))
        }
        (first, _) => Ok(first.map(|(_, answer)| answer)),
    }
}

fn decide(store: &Store, tried: &Tried, answer: Option<Answer>) -> Result<(), Report> {
    for (path, why) in tried.attempt.unwritable() {
        say(&format!("{} was read-only: {why}\n", attempt::printable(path.as_os_str().as_encoded_bytes())));
    }
    let Some(dir) = &tried.dir else {
        say("nothing has changed\n");
        return Ok(());
    };
    list(tried);
    if let Some(trouble) = &tried.trouble {
        say(&format!("warning: {trouble}\n"));
    }
    let answer = match answer {
        Some(Answer::Apply) if tried.exit != Exit::Code(0) => {
            say("the command has failed: nothing is applied\n");
            Answer::Keep
        }
        Some(answer) => answer,
        None => ask(tried)?,
    };
    match answer {
        Answer::Apply => apply::carry_out(store, dir, &tried.name, &[], false).map(drop),
        Answer::Drop => Ok(remove(store, dir, Force::Yes)?),
        Answer::Keep => {
            if let Err(error) = attempt::settle(&tried.attempt) {
                say(&format!("warning: {error}: the changes may not survive a power failure\n"));
            }
            say(&how_to_go_on(&tried.name));
            Ok(())
        }
    }
}

/// All that boxr itself says goes beside what the command has written.
fn say(text: &str) {
    // Nobody who reads it is left otherwise.
    std::io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

fn list(tried: &Tried) {
    let mut text = String::new();
    for change in tried.changes.iter().take(MOST_LISTED) {
        text.push_str(&listing::line(change));
    }
    if let Some(more @ 1..) = tried.changes.len().checked_sub(MOST_LISTED) {
        text.push_str(&format!("… and {more} more\n"));
    }
    text.push_str(&listing::summary(&tried.changes));
    say(&text);
}

fn how_to_go_on(name: &str) -> String {
    format!("kept as {name}\n  boxr diff -p {name}\n  boxr apply {name}\n  boxr rm {name}\n")
}

/// Asks on a terminal; who cannot be asked keeps them.
fn ask(tried: &Tried) -> Result<Answer, Report> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(Answer::Keep);
    }
    loop {
        say("Apply, keep for later, drop, or show the difference? [a/k/d/s] ");
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        match (read, line.trim().to_ascii_lowercase().as_str()) {
            (Ok(0) | Err(_), _) | (_, "k" | "keep") => return Ok(Answer::Keep),
            (_, "a" | "apply") => return Ok(Answer::Apply),
            (_, "d" | "drop") => return Ok(Answer::Drop),
            (_, "s" | "show") => show(tried)?,
            _ => {}
        }
    }
}

fn show(tried: &Tried) -> Result<(), Report> {
    for change in &tried.changes {
        say(&listing::line(change));
        let text = patch::of(&tried.attempt, change).map_err(EngineError::from)?;
        std::io::stderr().write_all(attempt::harmless(&text).as_bytes()).unwrap_or_default();
    }
    Ok(())
}
