//! `state`: what the specification's `state` operation returns, with runc's additions.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use super::print;
use crate::cli::Globals;
use crate::cli::words::Words;
use crate::container::{Container, State, Status};
use crate::error::Error;

/// The state of a container, in runc's order of keys.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View<'a> {
    oci_version: &'a str,
    id: &'a str,
    /// 0 when it has stopped.
    pub pid: i32,
    /// In the specification's words.
    pub status: &'static str,
    bundle: &'a Path,
    rootfs: &'a Path,
    created: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<HashMap<String, String>>,
    /// Name of the user who made it.
    pub owner: String,
}

impl<'a> View<'a> {
    /// What is true of a container now.
    ///
    /// # Errors
    /// cgroup files.
    pub fn new(container: &Container, state: &'a State) -> Result<Self, Error> {
        let status = container.status(state)?;
        let pid = if status == Status::Stopped { None } else { state.process };
        // A container that is being made, or whose files are damaged, shows without.
        let annotations = container.spec().ok().and_then(|spec| spec.annotations().clone());
        Ok(Self {
            oci_version: &state.oci_version,
            id: &state.id,
            pid: pid.map_or(0, |process| process.pid),
            status: status.word(),
            bundle: &state.bundle,
            rootfs: &state.rootfs,
            created: &state.created,
            annotations: annotations.filter(|annotations| !annotations.is_empty()),
            owner: String::new(),
        })
    }
}

/// Runs the command.
///
/// # Errors
/// [`Error::NoSuchContainer`], or a state that cannot be read.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let container = Container::open(&globals.root, words.only_id("state")?)?;
    let state = container.state()?;
    let view = View::new(&container, &state)?;
    let text = serde_json::to_string_pretty(&view)
        .map_err(|error| Error::Config { path: "state.json".into(), why: error.to_string() })?;
    Ok(print(&format!("{text}\n")))
}
