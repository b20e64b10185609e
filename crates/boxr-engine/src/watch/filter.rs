//! The filter of a box that is watched.

use std::collections::{BTreeMap, HashSet};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSyscall, LinuxSyscallBuilder, Spec};
use rustix::io::Errno;

use super::{calls, metadata};
use crate::image::{ImageError, Seccomp, seccomp};
use crate::options::BoxOptions;
use crate::prepare::PrepareError;
use crate::sandbox::OF_METADATA;
use crate::spec::SpecError;

/// Calls that a profile refuses, and with what.
pub(super) type Refusing = BTreeMap<&'static str, Errno>;

/// The filter that a person has asked for.
fn asked_for(options: &BoxOptions) -> Result<Option<LinuxSeccomp>, ImageError> {
    let Some(text) = &options.seccomp else { return Ok(None) };
    seccomp::of(&Seccomp::Profile(text.clone()), &[]).map_err(ImageError::Seccomp)
}

/// What the person's profile says nothing of, where it refuses that by an error; or the filter of a sandbox, where all
/// that it does is `looked_at`.
pub(super) fn refusing(options: &BoxOptions, looked_at: bool) -> Result<Refusing, PrepareError> {
    let profile = match (asked_for(options)?, &options.sandbox) {
        (Some(profile), _) => profile,
        (None, Some(sandbox)) if looked_at => crate::sandbox::spec::filter(sandbox)?,
        (None, _) => return Ok(Refusing::new()),
    };
    if profile.default_action() != LinuxSeccompAction::ScmpActErrno {
        return Ok(Refusing::new());
    }
    let errno = profile.default_errno_ret().unwrap_or(1);
    let errno = Errno::from_raw_os_error(i32::try_from(errno).unwrap_or(1));
    let said = mentioned(&profile);
    let unsaid = boxr_seccomp::names().filter(|name| !said.contains(*name) && can_be_put(name));
    Ok(unsaid.map(|name| (name, errno)).collect())
}

fn mentioned(profile: &LinuxSeccomp) -> HashSet<String> {
    profile.syscalls().iter().flatten().flat_map(|entry| entry.names().clone()).collect()
}

/// What the first process does under its filter before the listener is delivered must not be put to it. Its second
/// thread, which hands that over, is under no filter (`boxr-runtime/src/process/seccomp.rs`).
fn can_be_put(name: &str) -> bool {
    !["write", "seccomp"].contains(&name)
}

/// Gives a box the filter that was asked for, and puts calls to whoever watches it.
///
/// # Errors
/// A profile beside a sandbox; one that is wrong.
pub(crate) fn complete(spec: &mut Spec, options: &BoxOptions) -> Result<(), PrepareError> {
    let asked = asked_for(options)?;
    if asked.is_some() && options.sandbox.is_some() {
        let text = "--security-opt seccomp: a sandbox has a filter of its own".to_owned();
        return Err(SpecError::Conflict(text).into());
    }
    let watch = options.watch.as_deref();
    let socket = watch.and_then(|watch| watch.socket.clone());
    let records = socket.is_some() && watch.is_some_and(|watch| watch.file.is_some() || watch.explains);
    let refusing = if socket.is_some() { refusing(options, records)? } else { Refusing::new() };
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    let profile = asked.or_else(|| linux.seccomp().clone());
    let mut profile = match (profile, records) {
        (Some(profile), _) => profile,
        (None, true) => allowing(),
        (None, false) => return Ok(()),
    };
    let mut entries = profile.syscalls().clone().unwrap_or_default();
    if records {
        entries = watched(&profile, entries);
    }
    if let Some(watch) = watch.filter(|_| socket.is_some() && super::keeps_metadata(options)) {
        let landlock = options.sandbox.as_ref().and_then(|sandbox| sandbox.landlock.as_ref());
        watch.writable.get_or_init(|| landlock.map(|landlock| landlock.writes.clone()).unwrap_or_default());
        entries.retain(|entry| !entry.names().iter().any(|name| metadata::is_one(name)));
        entries.extend(notifying(OF_METADATA.map(str::to_owned).to_vec()));
    }
    if !refusing.is_empty() {
        entries.extend(notifying(refusing.keys().map(|name| (*name).to_owned()).collect()));
    }
    if socket.is_some() {
        profile.set_listener_path(socket);
    }
    profile.set_syscalls(Some(entries));
    linux.set_seccomp(Some(profile));
    Ok(())
}

/// No filter, as a profile.
fn allowing() -> LinuxSeccomp {
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(LinuxSeccompAction::ScmpActAllow).set_default_errno_ret(None);
    profile.set_architectures(Some(super::profile::architectures()));
    profile.set_syscalls(None).set_flags(None).set_listener_path(None).set_listener_metadata(None);
    profile
}

/// What was allowed is put to the listener, but for the most common calls.
fn watched(profile: &LinuxSeccomp, entries: Vec<LinuxSyscall>) -> Vec<LinuxSyscall> {
    let mut all = Vec::with_capacity(entries.len() * 2);
    for entry in entries {
        if entry.action() != LinuxSeccompAction::ScmpActAllow {
            all.push(entry);
            continue;
        }
        let (common, others): (Vec<String>, Vec<String>) =
            entry.names().iter().cloned().partition(|name| calls::is_common(name) || !can_be_put(name));
        for (names, action) in
            [(common, LinuxSeccompAction::ScmpActAllow), (others, LinuxSeccompAction::ScmpActNotify)]
        {
            if !names.is_empty() {
                let mut part = entry.clone();
                part.set_names(names).set_action(action);
                all.push(part);
            }
        }
    }
    let allows = [LinuxSeccompAction::ScmpActAllow, LinuxSeccompAction::ScmpActLog];
    if allows.contains(&profile.default_action()) {
        let said = mentioned(profile);
        let names = boxr_seccomp::names()
            .filter(|name| !calls::is_common(name) && can_be_put(name) && !said.contains(*name));
        all.extend(notifying(names.map(str::to_owned).collect()));
    }
    all
}

fn notifying(names: Vec<String>) -> Option<LinuxSyscall> {
    LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActNotify).build().ok()
}
