//! `boxr rmi`: a name goes; with its last name the image, and what no other image needs.

use boxr_engine::events::Action;
use boxr_image::store::{Store, Swept, Which};

use crate::boxes;
use crate::cli::{Globals, Invocation};
use crate::images::{self, Image, Meant};
use crate::report::{Report, write_stdout};

/// Carries out `boxr rmi`: images that could not be removed do not stop the others.
///
/// # Errors
/// The store cannot be opened.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = images::open_store_with_ids(&invocation.globals)?;
    let force = invocation.switch("force") || invocation.switch("ignore");
    let mut status = 0;
    boxes::for_each(&words(&store, &invocation)?, |word| {
        let (image, meant) = match images::find(&store, &invocation, word) {
            Ok(found) => found,
            Err(report) => {
                // docker's: a script that removes what it finds may find nothing.
                status = if force { status } else { 1 };
                report.print();
                return Ok(());
            }
        };
        if let Err(report) = remove(&store, &invocation, &image, &meant) {
            status = 1;
            report.print();
        }
        Ok(())
    })?;
    Ok(status)
}

/// The images that are meant; all by their ids.
fn words(store: &Store, invocation: &Invocation) -> Result<Vec<String>, Report> {
    if !invocation.switch("all") {
        return Ok(invocation.positionals().to_vec());
    }
    let images = images::all(store)?;
    // One by its id would keep the other names of it.
    let words = |image: &Image| match image.names.as_slice() {
        [] => vec![image.record.config.to_string()],
        names => names.iter().map(|name| name.familiar()).collect(),
    };
    Ok(images.iter().flat_map(words).collect())
}

fn remove(store: &Store, invocation: &Invocation, image: &Image, meant: &Meant) -> Result<(), Report> {
    let force = invocation.switch("force");
    if let Meant::Name(name) = meant
        && image.names.len() > 1
    {
        store.untag(name)?;
        images::note(store, Action::Untag, &image.record.config.to_string(), &name.familiar());
        return write_stdout(&format!("Untagged: {}\n", name.familiar()));
    }
    if image.names.len() > 1 && !force {
        let names: Vec<String> = image.names.iter().map(|name| name.familiar()).collect();
        return Err(Report::new(format!("image {} has several names", image.record.config.short()))
            .detail(names.join(", "))
            .suggest(format!("boxr rmi {}", names[0]))
            .suggest(format!("boxr rmi --force {}", image.record.config.short())));
    }
    let holder = images::forget(store, &invocation.globals, &image.record.manifest)?;
    let mut text = String::new();
    if let Some(holder) = holder {
        let short = holder.get(..12).unwrap_or(&holder);
        if !force {
            let id = image.record.config.short();
            // Docker's words, which scripts look for.
            let what = match meant {
                Meant::Name(name) => format!(
                    "conflict: unable to remove repository reference {:?} (must force) - container {short} is using \
                     its referenced image {id}",
                    name.familiar()
                ),
                Meant::Itself => format!(
                    "conflict: unable to delete {id} (must be forced) - image is being used by container {short}"
                ),
            };
            return Err(Report::new(what)
                .suggest(format!("boxr rm {short}"))
                .suggest(format!("boxr rmi --force {}", image.record.config.short())));
        }
        // The names go; the image goes when the container does.
        for name in &image.names {
            store.untag(name)?;
            images::note(store, Action::Untag, &image.record.config.to_string(), &name.familiar());
            text.push_str(&format!("Untagged: {}\n", name.familiar()));
        }
        return write_stdout(&text);
    }
    images::note_gone(store, &image.record.config, &image.names);
    for name in image.names.iter().chain(&image.record.sources) {
        text.push_str(&format!("Untagged: {}\n", name.familiar()));
    }
    text.push_str(&format!("Deleted: {}\n", image.record.config));
    let Swept { layers, .. } = store.sweep(Which::Unreferenced)?;
    text.extend(layers.iter().map(|layer| format!("Deleted: {layer}\n")));
    write_stdout(&text)
}

/// Removes an image that no container uses (`boxr run --rmi`); one that is in use, or has another name, stays.
///
/// # Errors
/// The store cannot be opened, or refuses.
pub fn remove_unused(globals: &Globals, id: &str) -> Result<(), Report> {
    let store = images::open_store_with_ids(globals)?;
    let found = images::all(&store)?.into_iter().find(|image| image.record.config.to_string() == id);
    let Some(image) = found.filter(|image| image.names.len() < 2) else { return Ok(()) };
    if images::forget(&store, globals, &image.record.manifest)?.is_none() {
        store.sweep(Which::Unreferenced)?;
    }
    Ok(())
}
