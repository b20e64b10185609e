//! `boxr image prune`

use boxr_image::store::{Store, Which};

use crate::cli::{Globals, Invocation};
use crate::commands::prune::{Filters, agreed};
use crate::format::{size, time};
use crate::images;
use crate::report::{Report, write_stdout};

/// Carries out `boxr image prune`: images without a name go or, with `--all`, all that no container
/// uses; and what no image needs, and what cancelled pulls have left.
///
/// # Errors
/// Nobody to ask; a store that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let all = invocation.switch("all");
    let filters = Filters::read(invocation.values("filter"), time::now())?;
    let question = match all {
        true => "This removes all images that no container uses. Go on? [y/N] ",
        false => "This removes all images without a name. Go on? [y/N] ",
    };
    if !invocation.switch("force") && !agreed("boxr image prune", question)? {
        return Ok(0);
    }
    let store = images::open_store_with_ids(&invocation.globals)?;
    let (mut text, bytes) = prune_images(&store, &invocation.globals, all, &filters)?;
    text.push_str(&format!("Total reclaimed space: {}\n", size::decimal_precise(bytes)));
    write_stdout(&text)?;
    Ok(0)
}

/// Removes images that nobody uses, and what no image needs: what is said of it, and the bytes that are free again.
///
/// # Errors
/// A store that cannot be read.
pub fn prune_images(
    store: &Store,
    globals: &Globals,
    all: bool,
    filters: &Filters,
) -> Result<(String, u64), Report> {
    let partial = store.partial_bytes()?;
    let mut text = String::new();
    for image in images::all(store)? {
        if !all && !image.names.is_empty() {
            continue;
        }
        let (config, _) = images::config(store, &image.record)?;
        if !filters.accepts(images::created(&config), &config.config.labels) {
            continue;
        }
        // One that is in use stays; that is no failure.
        if images::forget(store, globals, &image.record.manifest)?.is_none() {
            for name in &image.names {
                text.push_str(&format!("untagged: {}\n", name.familiar()));
            }
            text.push_str(&format!("deleted: {}\n", image.record.config));
            images::note_gone(store, &image.record.config, &image.names);
        }
    }
    let swept = store.sweep(Which::AlsoPartial)?;
    text.extend(swept.layers.iter().map(|layer| format!("deleted: {layer}\n")));
    if !text.is_empty() {
        text = format!("Deleted Images:\n{text}\n");
    }
    Ok((text, swept.bytes + partial.saturating_sub(store.partial_bytes()?)))
}
