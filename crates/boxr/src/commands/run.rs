//! `boxr run`

use boxr_engine::config::Purpose;
use boxr_engine::exposure;
use boxr_engine::foreground::{self, RunRequest};
use boxr_engine::lifecycle::{self, CreateRequest};
use boxr_engine::monitor::attach::{AttachOptions, Left};
use boxr_engine::options::{BoxOptions, LogDriver, Retention};
use boxr_engine::outcome::EngineError;
use boxr_engine::status::StatusSink;
use boxr_engine::store::Store;
use boxr_engine::supervise::Finish;
use boxr_engine::terminal::DetachKeys;
use boxr_engine::watch;

use super::{explain, watched};
use crate::boxes;
use crate::cli::Invocation;
use crate::cli::request::{self, run_request};
use crate::protect;
use crate::report::{Report, tell, write_stdout};

/// Carries out `boxr run`.
///
/// # Errors
/// Whatever kept the box from running, with docker's statuses (ARCHITECTURE.md, "Exit statuses").
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let globals = invocation.globals.clone();
    protect::before_reading(&invocation)?;
    let (options, request) = run_request(invocation, Purpose::Run)?;
    boxes::check_descriptors(options.preserve_fds)?;
    if !request.dry_run {
        exposure::protect_for(&options).map_err(EngineError::from)?;
    }
    let store = boxes::open_store(&globals)?;
    let image = options.root.image().filter(|_| request.rmi).map(|image| image.id.to_string());
    let ran = go(&store, options, request)?;
    if let Some(image) = image {
        // Whoever uses it still keeps it, and nobody asked for words about that.
        super::image::rmi::remove_unused(&globals, &image)?;
    }
    Ok(ran)
}

fn go(store: &Store, mut options: BoxOptions, request: request::RunRequest) -> Result<u8, Report> {
    if request.explain {
        explain::print(store, &options, &request)?;
        if request.dry_run {
            return Ok(0);
        }
    }
    if options.die_with_parent {
        // boxr is the parent that the command dies with; whoever started boxr is boxr's.
        let signal = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(signal)
            .map_err(|errno| EngineError::system("end with the parent", errno))?;
    }
    if request.replace {
        boxes::replace(store, request.name.as_deref())?;
    }
    let new_pod = request.new_pod.clone();
    let is_kept = options.retention == Retention::Kept || request.attach.is_some() || is_logged(&options);
    let recorder = watch::start(store.paths(), &mut options, request.record.clone())?;
    let is_left = request.detach;
    let done = match (request.detach, is_kept) {
        (true, _) => detached(store, options, request),
        (false, true) => kept(store, options, request),
        (false, false) => in_foreground(store, options, request),
    };
    if let (Err(_), Some(pod)) = (&done, new_pod) {
        pod.take_back(store);
    }
    match (is_left, &done) {
        // It goes on beside the box.
        (true, Ok(_)) => done,
        _ => watched::finished(recorder, done),
    }
}

/// Whether somebody besides the caller is to get the output of a box that leaves nothing behind.
fn is_logged(options: &BoxOptions) -> bool {
    options.log_to.driver == LogDriver::Journald || options.log_to.path.is_some()
}

fn in_foreground(store: &Store, options: BoxOptions, request: request::RunRequest) -> Result<u8, Report> {
    let sandbox = options.sandbox.clone();
    let beforehand = sandbox.iter().flat_map(|sandbox| sandbox.beforehand());
    beforehand.for_each(|line| tell(&format!("boxr: {line}")));
    let ran = foreground::run(
        store,
        RunRequest {
            options,
            name: request.name,
            detach_keys: DetachKeys::new(request.detach_keys),
            status: request.status_fd.map(StatusSink::open).transpose()?,
            timing: request.timing,
            cidfile: request.cidfile,
        },
    )?;
    if let Some(timing) = ran.timing {
        tell(&format!("{:<20} {:>12} {:>12}", "step", "took", "since start"));
        timing.lines().iter().for_each(|line| tell(line));
    }
    if let Some(sandbox) = sandbox {
        ran.refused.iter().for_each(|line| tell(&format!("boxr: {line}")));
        sandbox.afterwards().iter().for_each(|line| tell(&format!("boxr: {line}")));
    }
    Ok(match ran.finish {
        Finish::Ended(exit) => exit.status(),
        Finish::Detached => 0,
    })
}

fn detached(store: &Store, options: BoxOptions, request: request::RunRequest) -> Result<u8, Report> {
    let status = request.status_fd.map(StatusSink::open).transpose()?;
    let create = CreateRequest { options, name: request.name, cidfile: request.cidfile };
    let state = lifecycle::run_detached(store, create, status)?;
    write_stdout(&format!("{}\n", state.id))?;
    Ok(0)
}

/// A foreground box that is kept has a log, and with it a monitor, from the start.
fn kept(store: &Store, options: BoxOptions, request: request::RunRequest) -> Result<u8, Report> {
    // One for the monitor, which sees the start, and one for this boxr, which sees the end.
    let monitors = request.status_fd.map(StatusSink::open).transpose()?;
    let mut status = request.status_fd.map(StatusSink::open).transpose()?;
    let said = request.attach;
    let attach = AttachOptions {
        input: said.map_or(options.interactive, |said| said.input) || foreground::wants_terminal(&options),
        output: said.is_none_or(|said| said.output),
        errors: said.is_none_or(|said| said.errors),
        forward_signals: said.is_none_or(|said| said.signals),
        detach_keys: DetachKeys::new(request.detach_keys),
    };
    let create = CreateRequest { options, name: request.name, cidfile: request.cidfile };
    let (id, left) = lifecycle::run_kept(store, create, &attach, monitors)?;
    match left {
        Left::Detached => Ok(0),
        Left::Signalled(number) => Ok(128 | number),
        Left::Ended(code) => {
            if let Some(status) = &mut status {
                status.ended(&id, boxr_engine::record::Exit::Code(code))?;
            }
            Ok(code)
        }
    }
}
