//! `boxr volume prune`

use boxr_engine::lifecycle::usage::bytes_below;
use boxr_engine::volume::{Volume, VolumeError};

use super::filters::Filters;
use crate::cli::{Globals, Invocation};
use crate::commands::prune::{self, agreed};
use crate::format::size;
use crate::report::{Report, write_stdout};

/// Carries out `boxr volume prune`: those that nobody named and no box has or, with `--all`, all that no
/// box has.
///
/// # Errors
/// Nobody to ask; a filter that cannot be used.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let known = ["all=true|false", "label=KEY[=VALUE]", "label!=KEY[=VALUE]"];
    let filters = Filters::read(invocation.values("filter"), &known)?;
    let all = invocation.switch("all") || filters.all;
    let question = match all {
        true => "This removes all volumes that no box has, with what is in them. Go on? [y/N] ",
        false => "This removes all volumes without a name of their own that no box has. Go on? [y/N] ",
    };
    if !invocation.switch("force") && !agreed("boxr volume prune", question)? {
        return Ok(0);
    }
    let meant = |volume: &Volume| Ok((all || volume.anonymous) && filters.accept(volume, || Ok(false))?);
    let (mut text, bytes, status) = prune_volumes(&invocation.globals, meant)?;
    text.push_str(&format!("Total reclaimed space: {}\n", size::decimal_precise(bytes)));
    write_stdout(&text)?;
    Ok(status)
}

/// Removes those of the volumes without a name of their own that no box has and that have these labels.
///
/// # Errors
/// A directory that cannot be read.
pub fn prune_unused(globals: &Globals, labels: &prune::Filters) -> Result<(String, u64, u8), Report> {
    prune_volumes(globals, |volume| Ok(volume.anonymous && labels.accepts(0, &volume.labels)))
}

/// Removes volumes that no box has: what is said of it, the bytes that are free again, and the status.
fn prune_volumes(
    globals: &Globals,
    meant: impl Fn(&Volume) -> Result<bool, Report>,
) -> Result<(String, u64, u8), Report> {
    let volumes = super::open(globals)?;
    volumes.sweep()?;
    let (known, status) = super::all(&volumes)?;
    let (mut text, mut bytes) = (String::new(), 0u64);
    for volume in known {
        if !meant(&volume)? {
            continue;
        }
        let size = bytes_below(&volumes.data(&volume.name));
        match volumes.remove(&volume.name) {
            Ok(()) => {
                bytes = bytes.saturating_add(size);
                text.push_str(&format!("{}\n", volume.name));
            }
            // One that is in use stays; that is no failure.
            Err(VolumeError::InUse { .. } | VolumeError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !text.is_empty() {
        text = format!("Deleted Volumes:\n{text}\n");
    }
    Ok((text, bytes, status))
}
