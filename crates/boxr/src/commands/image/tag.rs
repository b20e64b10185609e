//! `boxr tag`

use boxr_engine::events::Action;

use crate::cli::Invocation;
use crate::images;
use crate::report::Report;

/// Carries out `boxr tag`: the image has more names.
///
/// # Errors
/// No such image; a name that cannot be.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = images::open_store(&invocation.globals)?;
    let (image, _) = images::find(&store, &invocation, invocation.first())?;
    let mut names = Vec::new();
    for target in invocation.positionals().get(1..).unwrap_or_default() {
        let name = images::reference(&invocation, target).map_err(|report| report.status(1))?;
        if name.digest().is_some() {
            return Err(Report::new(format!(
                "{target} cannot be the name of an image here: it has a digest"
            ))
            .status(1));
        }
        names.push(name);
    }
    for name in &names {
        store.tag(name, &image.record.manifest)?;
        images::note(&store, Action::Tag, &image.record.config.to_string(), &name.familiar());
    }
    Ok(0)
}

/// Carries out `boxr untag`: without names, all go.
///
/// # Errors
/// No such image; a name that is not one of its.
pub fn untag(invocation: Invocation) -> Result<u8, Report> {
    let store = images::open_store(&invocation.globals)?;
    let (image, _) = images::find(&store, &invocation, invocation.first())?;
    let mut names = Vec::new();
    for word in invocation.positionals().get(1..).unwrap_or_default() {
        let name = images::reference(&invocation, word).map_err(|report| report.status(1))?;
        if !image.names.contains(&name) {
            return Err(Report::new(format!("{word} is no name of image {}", image.record.config.short()))
                .suggest("boxr images")
                .status(1));
        }
        names.push(name);
    }
    for name in if names.is_empty() { &image.names } else { &names } {
        store.untag(name)?;
        images::note(&store, Action::Untag, &image.record.config.to_string(), &name.familiar());
    }
    Ok(0)
}
