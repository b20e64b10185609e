//! `boxr run` and `boxr create`: from the command line to a whole box, and what to do with it now.

use std::io::Write;
use std::path::{Path, PathBuf};

use boxr_engine::config::{self, Attach, Base, Caller, ConfigError, Node, Purpose, RawRun, Setting};
use boxr_engine::image::Image;
use boxr_engine::options::{BoxOptions, Limits, Restart};

use super::invocation::Invocation;
use super::lexer::Said;
use crate::boxes;
use crate::commands::image::wanted;
use crate::commands::pod::membership::{self, NewPod};
use crate::commands::sandbox::add_profile;
use crate::report::{Explain, Report};
use crate::trace;

/// The default of `--detach-keys`: ctrl-p, ctrl-q.
pub const DETACH_KEYS: [u8; 2] = [16, 17];

/// What is asked of this one invocation; what the box is, is in [`BoxOptions`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunRequest {
    /// `--name`; `None`: a name is to be made up.
    pub name: Option<String>,
    /// `--detach`
    pub detach: bool,
    /// `--explain`: say the plan first. Also with `--dry-run`, which without it would say nothing.
    pub explain: bool,
    /// `--dry-run`: stop before anything is changed.
    pub dry_run: bool,
    /// `--timing`
    pub timing: bool,
    /// `--status-fd`
    pub status_fd: Option<i32>,
    /// `--rmi`: the image goes with the box.
    pub rmi: bool,
    /// `--record`, absolute.
    pub record: Option<PathBuf>,
    /// `--replace`: the box that has the name goes.
    pub replace: bool,
    /// `--cidfile`, absolute.
    pub cidfile: Option<PathBuf>,
    /// `--attach` and `--sig-proxy`; `None`: everything is connected.
    pub attach: Option<Attach>,
    /// Bytes that detach the terminal; empty for none.
    pub detach_keys: Vec<u8>,
    /// The pod that was made for it.
    pub new_pod: Option<NewPod>,
    /// `--file`, as it was written.
    pub file: Option<PathBuf>,
}

/// The limits and the restart policy that a command line says.
///
/// # Errors
/// Values that cannot be used.
pub fn update_request(invocation: &Invocation) -> Result<(Limits, Option<Restart>), Report> {
    let raw = said(invocation, &Caller::current()?)?;
    Ok((config::limits::resolve(&raw)?, raw.restart))
}

/// A whole box, and what to do with it.
///
/// # Errors
/// Whatever was said that cannot be, before anything is changed.
pub fn run_request(invocation: Invocation, purpose: Purpose) -> Result<(BoxOptions, RunRequest), Report> {
    let caller = Caller::current()?;
    let image = match image_word(&invocation) {
        Some(word) => {
            refuse_rootfs(&invocation, word)?;
            Some(wanted::find(&invocation, word)?)
        }
        None => None,
    };
    let (options, request) = resolve(invocation, purpose, &caller, image)?;
    trace::note(|| format!("the box is {}", traced(&options)));
    trace::note(|| format!("what is asked is {request:?}"));
    Ok((options, request))
}

/// The options as a trace shows them: variables without their values, which may be secrets.
fn traced(options: &BoxOptions) -> String {
    let mut options = options.clone();
    for variable in &mut options.env {
        variable.truncate(variable.find('=').unwrap_or(variable.len()));
    }
    serde_json::to_string(&options).unwrap_or_default()
}

fn resolve(
    mut invocation: Invocation,
    purpose: Purpose,
    caller: &Caller,
    image: Option<Image>,
) -> Result<(BoxOptions, RunRequest), Report> {
    let run = purpose == Purpose::Run;
    let mut request = RunRequest {
        dry_run: run && invocation.switch("dry-run"),
        explain: run && (invocation.switch("explain") || invocation.switch("dry-run")),
        timing: run && invocation.switch("timing"),
        status_fd: if run { descriptor(&invocation, "status-fd")? } else { None },
        file: invocation.value("file").map(PathBuf::from),
        replace: invocation.switch("replace"),
        rmi: run && invocation.command.knows("rmi") && invocation.switch("rmi"),
        record: if run { invocation.value("record").map(|file| caller.directory.join(file)) } else { None },
        ..RunRequest::default()
    };
    let mut words = std::mem::take(&mut invocation.matches.positionals);
    let mut raw = said(&invocation, caller)?;
    let from_file = request.file.as_ref().map(|file| {
        config::read(Path::new(file), &caller.directory).map_err(|error| file_failed(file, &error))
    });
    let from_file = from_file.transpose()?;
    if raw.sandbox.sandbox.is_none() {
        let mounts = from_file.iter().flat_map(|file| &file.mounts).chain(&raw.mounts);
        raw.mounted = wanted::find_mounted(&invocation, mounts)?;
    }
    if let Some(image) = image {
        words.remove(0);
        raw.image = Some(Box::new(image));
    }
    let new_pod = match invocation.command.knows("pod") {
        true => membership::say(&invocation, &mut raw)?,
        // A try is in none.
        false => None,
    };
    raw.args = (!words.is_empty()).then_some(words);
    if let Some(file) = from_file {
        raw = file.overlaid_by(raw);
    }
    if purpose == Purpose::Create {
        raw.detach = None;
    }
    if request.rmi {
        if raw.rm == Some(false) || raw.detach == Some(true) || raw.image.is_none() {
            return Err(Report::new(
                "boxr run: --rmi is for a container of an image that runs in the foreground",
            )
            .detail(
                "it goes at the end, and its image with it; --detach and --rm=false cannot be said with it",
            ));
        }
        raw.rm = Some(true);
    }
    if raw.sandbox.sandbox.is_some() {
        add_profile(&mut raw, &invocation.globals, caller)?;
    }
    let resolved = config::resolve(raw, purpose, caller).map_err(|error| match error {
        ConfigError::NoCommand => no_command(&invocation),
        other => other.into(),
    });
    if let (Err(_), Some(pod)) = (&resolved, &new_pod) {
        pod.take_back(&boxes::open_store(&invocation.globals)?);
    }
    let resolved = resolved?;
    request.new_pod = new_pod;
    let is_quiet = invocation.command.knows("quiet") && invocation.switch("quiet");
    if !is_quiet {
        warn(&resolved.notes);
    }
    request.name = resolved.name;
    if request.replace && request.name.is_none() {
        return Err(Report::new(format!("boxr {}: --replace needs --name", invocation.command.name)));
    }
    request.detach = resolved.detach;
    request.attach = resolved.attach;
    request.cidfile = resolved.cidfile;
    request.detach_keys = resolved.detach_keys.unwrap_or_else(|| DETACH_KEYS.to_vec());
    Ok((resolved.options, request))
}

/// What the flags say of the box.
pub(super) fn said(invocation: &Invocation, caller: &Caller) -> Result<RawRun, Report> {
    said_but(invocation, caller, &[])
}

/// The same, but for flags that mean something else here.
///
/// # Errors
/// Values that cannot be used.
pub fn said_but(invocation: &Invocation, caller: &Caller, others: &[&str]) -> Result<RawRun, Report> {
    let base = Base(caller.directory.clone());
    let mut raw = RawRun::default();
    for (flag, said) in &invocation.matches.flags {
        let Some(setting) = Setting::of_flag(flag.long).filter(|_| !others.contains(&flag.long)) else {
            continue;
        };
        let node = match said {
            Said::Switch(on) => Node::switch(*on),
            Said::Value(text) => Node::word(text.as_str()),
        };
        setting.set_flag(&mut raw, &node, &base)?;
    }
    Ok(raw)
}

/// Another root has a command of its own, which nothing but `--` tells from an image.
fn refuse_rootfs(invocation: &Invocation, word: &str) -> Result<(), Report> {
    let Some(dir) = invocation.value("rootfs") else { return Ok(()) };
    let (command, words) = (invocation.command.name, invocation.positionals().join(" "));
    Err(Report::new(format!("boxr {command}: --rootfs {dir} and the image {word} cannot both be"))
        .detail("each is a root; a command comes after --")
        .suggest(format!("boxr {command} --rootfs {dir} -- {words}")))
}

/// The word that names an image: the first, unless `--` stands before it.
pub fn image_word(invocation: &Invocation) -> Option<&str> {
    let matches = &invocation.matches;
    match matches.before_dashes {
        Some(0) => None,
        _ => matches.positionals.first().map(String::as_str),
    }
}

/// A file that is not there can be made.
fn file_failed(file: &Path, error: &ConfigError) -> Report {
    match error {
        ConfigError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            error.report().suggest(format!("boxr config {}", file.display()))
        }
        _ => error.report(),
    }
}

fn no_command(invocation: &Invocation) -> Report {
    let command = invocation.command.name;
    let report = Report::new(format!("boxr {command}: no command to run"));
    match invocation.value("file") {
        Some(file) => report
            .detail(format!("{file} has no args, and nothing follows --"))
            .suggest(format!("boxr {command} -f {file} -- sh")),
        None => report
            .suggest(format!("boxr {command} -- sh"))
            .suggest(format!("boxr {command} -f FILE"))
            .suggest(format!("boxr {command} --help")),
    }
}

/// The number of an open descriptor.
fn descriptor(invocation: &Invocation, long: &str) -> Result<Option<i32>, Report> {
    let accepted = "the number of an open descriptor";
    match invocation.parsed::<i32>(long, accepted)? {
        Some(number) if number < 0 => Err(invocation.bad_value(long, &number.to_string(), accepted)),
        number => Ok(number),
    }
}

/// Tells whoever makes something what they may not expect.
pub fn warn(notes: &[String]) {
    for note in notes {
        // Nobody is left to be told that stderr cannot be written.
        drop(writeln!(std::io::stderr().lock(), "warning: {note}"));
    }
}

#[cfg(test)]
mod tests;
