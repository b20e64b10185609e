//! `boxr system prune`: everything that nobody uses.

use std::path::Path;

use boxr_engine::disk::Usage;
use boxr_engine::paths::Paths;
use boxr_image::store::Store;

use crate::cli::Invocation;
use crate::commands::prune::{self as boxes, agreed};
use crate::commands::{image, volume};
use crate::format::{size, time};
use crate::images;
use crate::report::{Report, write_stdout};

/// Carries out `boxr system prune`.
///
/// # Errors
/// A filter that cannot be used; nobody to ask; a store that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let filters = boxes::Filters::read(invocation.values("filter"), time::now())?;
    let (all, volumes) = (invocation.switch("all"), invocation.switch("volumes"));
    if volumes && filters.until().is_some() {
        return Err(Report::new("boxr system prune: --volumes takes no --filter until").status(1));
    }
    if !invocation.switch("force") && !agreed("boxr system prune", &question(all, volumes))? {
        return Ok(0);
    }
    let globals = &invocation.globals;
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    let (mut text, mut bytes, mut status) = boxes::prune_boxes(globals, &filters)?;
    if volumes {
        let (more, freed, failed) = volume::prune_unused(globals, &filters)?;
        text.push_str(&more);
        (bytes, status) = (bytes.saturating_add(freed), status.max(failed));
    }
    let store = images::open_store_with_ids(globals)?;
    let before = Usage::of(&paths, &store)?;
    let (more, freed) = image::prune_images(&store, globals, all, &filters)?;
    text.push_str(&more);
    bytes = bytes.saturating_add(unpacked_and_gone(&before, &store));
    let gone = Usage::of(&paths, &store)?.remove_boxes_that_are_gone(&paths)?;
    bytes = bytes.saturating_add(freed).saturating_add(gone);
    text.push_str(&format!("Total reclaimed space: {}\n", size::decimal_precise(bytes)));
    write_stdout(&text)?;
    Ok(status)
}

/// Bytes of what was half unpacked, and is gone now.
fn unpacked_and_gone(before: &Usage, store: &Store) -> u64 {
    let staging = store.path("staging");
    let is_gone = |path: &Path| path.parent() == Some(&staging) && !path.exists();
    before.orphans.iter().filter(|orphan| is_gone(&orphan.path)).map(|orphan| orphan.bytes).sum()
}

fn question(all: bool, volumes: bool) -> String {
    let mut text = "WARNING! This will remove:\n  - all boxes that do not run, with their logs\n".to_owned();
    if volumes {
        text.push_str("  - all volumes without a name of their own that no box has\n");
    }
    text.push_str(match all {
        true => "  - all images that no container uses\n",
        false => "  - all images without a name\n",
    });
    text.push_str("  - what killed commands have left\nAre you sure you want to continue? [y/N] ");
    text
}
