//! `boxr push`: docker's line about the manifest on stdout, how it goes on stderr.

use std::io::IsTerminal;

use boxr_engine::events::Action;
use boxr_image::oci::Platforms;
use boxr_image::pull::{Progress, Silent};
use boxr_image::push::Push;
use boxr_image::reference::Reference;
use boxr_image::store::{ImageRecord, Store};

use super::progress::{Bars, Lines, PUSH};
use super::pull::say;
use crate::cli::Invocation;
use crate::images::chosen::choose;
use crate::images::{self, Meant};
use crate::report::{Report, write_stdout};

/// Carries out `boxr push`.
///
/// # Errors
/// No such image, or a registry that does not take it.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let client = images::client(&invocation)?;
    let store = images::open_store(&invocation.globals)?;
    let quiet = invocation.switch("quiet");
    let wanted = if invocation.switch("all-tags") {
        all_tags(&store, &invocation)?
    } else {
        vec![one(&store, &invocation)?]
    };
    for (image, name, reference) in &wanted {
        let index = match images::platforms(&invocation) {
            Platforms::All => Some(images::index(image, name.as_ref())?),
            Platforms::One => None,
        };
        let image = &choose(&store, &invocation, image.clone(), name.as_ref())?;
        if !quiet {
            let name = format!("{}/{}", reference.registry(), reference.repository());
            say(&format!("The push refers to repository [{name}]"));
        }
        let (bars, lines) = (Bars::new(PUSH), Lines(PUSH));
        let progress: &dyn Progress = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => &Silent,
            (false, true) => &bars,
            (false, false) => &lines,
        };
        let push = Push { store: &store, client: &client, image, reference, progress };
        let pushed = match index {
            Some(index) => push.run_whole(index),
            None => push.run(),
        };
        bars.finish();
        let pushed = pushed.map_err(|error| Report::from(error).status(1))?;
        if let Some(path) = invocation.value("digestfile") {
            std::fs::write(path, pushed.digest.to_string()).map_err(|error| {
                Report::new(format!("cannot write {path}: {}", crate::report::io_text(&error)))
            })?;
        }
        images::note(&store, Action::Push, &reference.familiar(), &reference.familiar_name());
        write_stdout(&match quiet {
            true => format!("{reference}\n"),
            false => {
                let version = reference.tag().map_or_else(|| pushed.digest.to_string(), str::to_owned);
                format!("{version}: digest: {} size: {}\n", pushed.digest, pushed.size)
            }
        })?;
    }
    Ok(0)
}

/// An image, the name that it went by here, and the one that it is to have there.
type Wanted = (ImageRecord, Option<Reference>, Reference);

fn one(store: &Store, invocation: &Invocation) -> Result<Wanted, Report> {
    let word = invocation.first();
    let (image, meant) = images::find(store, invocation, word)?;
    let name = match meant {
        Meant::Name(name) => Some(name),
        Meant::Itself => None,
    };
    let reference = match (invocation.positionals().get(1), &name) {
        (Some(to), _) => images::reference(invocation, to).map_err(|report| report.status(1))?,
        (None, Some(name)) => name.clone(),
        (None, None) => {
            return Err(Report::new(format!("{word} does not say where to push the image to"))
                .suggest(format!("boxr push {word} REGISTRY/NAME:TAG"))
                .status(1));
        }
    };
    Ok((image.record, name, reference))
}

/// All images with this name, whatever their tags.
fn all_tags(store: &Store, invocation: &Invocation) -> Result<Vec<Wanted>, Report> {
    let word = invocation.first();
    let wanted = images::reference(invocation, word)?;
    let has_tag = word.rsplit('/').next().unwrap_or_default().contains([':', '@']);
    if has_tag || invocation.positionals().len() > 1 {
        return Err(Report::new("boxr push --all-tags: it takes one name without a tag"));
    }
    let found = images::with_all_tags(store, &wanted)?;
    if found.is_empty() {
        return Err(Report::new(format!("no such image: {word}")).suggest("boxr images").status(1));
    }
    Ok(found.into_iter().map(|(record, name)| (record, Some(name.clone()), name)).collect())
}
