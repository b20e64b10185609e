//! `boxr pull`: the full name of what is there now on stdout, how it goes on stderr.

use std::io::{IsTerminal, Write};

use boxr_engine::events::Action;
use boxr_image::pull::{Progress, Pull, Pulled, Silent};
use boxr_image::reference::{DEFAULT_TAG, Reference};
use boxr_image::registry::Client;
use boxr_image::unpack::LeftOut;

use super::progress::{Bars, Lines, PULL};
use crate::cli::Invocation;
use crate::images;
use crate::report::{Report, write_stdout};

/// Carries out `boxr pull`.
///
/// # Errors
/// The image is not there afterwards, unless it was before.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let wanted: Result<Vec<(&String, Reference)>, Report> = invocation
        .positionals()
        .iter()
        .map(|word| Ok((word, images::reference(&invocation, word)?)))
        .collect();
    let (wanted, platform) = (wanted?, images::platform(&invocation)?);
    let platforms = images::platforms(&invocation);
    let client = images::client(&invocation)?;
    let wanted = match invocation.switch("all-tags") {
        true => all_tags(&client, &wanted)?,
        false => wanted.into_iter().map(|(word, reference)| (word.clone(), reference)).collect(),
    };
    let store = images::open_store_with_ids(&invocation.globals)?;
    let how = images::how(&store)?;
    for (word, reference) in &wanted {
        let (store, client, platform) = (&store, &client, &platform);
        let pull = Pull { store, client, reference, platform, platforms, how, progress: &Silent };
        one(&invocation, pull, word)?;
    }
    Ok(0)
}

/// Every image of the repositories that were named.
fn all_tags(client: &Client, wanted: &[(&String, Reference)]) -> Result<Vec<(String, Reference)>, Report> {
    let mut all = Vec::new();
    for (word, reference) in wanted {
        let has_version =
            reference.digest().is_some() || word.ends_with(&format!(":{}", reference.version()));
        if has_version {
            return Err(Report::new(format!(
                "--all-tags: {word} is one image; a name without tag is wanted"
            )));
        }
        let tags = client.tags(reference).map_err(|error| Report::from(error).status(1))?;
        if tags.is_empty() {
            return Err(Report::new(format!("{word} has no tag")).status(1));
        }
        all.extend(tags.into_iter().map(|reference| (reference.familiar(), reference)));
    }
    Ok(all)
}

/// Fetches one image, whose name was written as `word`.
fn one(invocation: &Invocation, pull: Pull<'_>, word: &str) -> Result<(), Report> {
    let Pull { store, reference, platform, .. } = pull;
    let quiet = invocation.switch("quiet");
    let (bars, lines) = (Bars::new(PULL), Lines(PULL));
    let progress: &dyn Progress = match (quiet, std::io::stderr().is_terminal()) {
        (true, _) => &Silent,
        (false, true) => &bars,
        (false, false) => &lines,
    };
    if !quiet {
        begin(word, reference);
    }
    let pulled = Pull { progress, ..pull }.run().map_err(|error| Report::from(error).status(1));
    bars.finish();
    let pulled = pulled?;
    images::note(store, Action::Pull, &reference.familiar(), &reference.familiar_name());
    if !quiet {
        end(reference, &pulled);
        warn(&pulled, platform);
    }
    write_stdout(&format!("{reference}\n"))
}

/// Says something that is no result. Whoever cannot be told is not told.
pub(super) fn say(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

fn begin(typed: &str, reference: &Reference) {
    let implied = reference.tag() == Some(DEFAULT_TAG) && !typed.ends_with(DEFAULT_TAG);
    if implied && reference.digest().is_none() {
        say(&format!("Using default tag: {DEFAULT_TAG}"));
    }
    say(&format!("{}: Pulling from {}", reference.version(), reference.repository()));
}

fn end(reference: &Reference, pulled: &Pulled) {
    say(&format!("Digest: {}", pulled.source));
    let status = if pulled.is_new { "Downloaded newer image for" } else { "Image is up to date for" };
    say(&format!("Status: {status} {}", reference.familiar()));
}

fn warn(pulled: &Pulled, wanted: &boxr_image::oci::Platform) {
    if pulled.platform.fitness(wanted).is_none() {
        say(&format!("warning: the image is for {}, not for {wanted}", pulled.platform));
    }
    warn_left_out(&pulled.left_out);
}

/// Says what could not be made without privilege.
pub(crate) fn warn_left_out(left_out: &LeftOut) {
    for (count, what) in [
        (left_out.owners, "files belong to other users in the image, and to you here"),
        (left_out.devices, "devices are empty files here: making them needs root"),
        (left_out.xattrs, "extended attributes could not be set here"),
    ] {
        if count > 0 {
            say(&format!("warning: {count} {what}"));
        }
    }
}
