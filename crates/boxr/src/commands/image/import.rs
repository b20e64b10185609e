//! `boxr import`

use std::fs::File;
use std::io::{IsTerminal, Read};

use boxr_engine::events::Action;
use boxr_image::archive::Import;
use boxr_image::oci::{Config, ManifestForm};
use boxr_image::registry::download;

use super::pull::warn_left_out;
use crate::cli::Invocation;
use crate::format::time;
use crate::images;
use crate::report::{Report, io_text, write_stdout};

/// Carries out `boxr import`: prints the id of the image.
///
/// # Errors
/// An archive that cannot be used; then there is no image of it.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let source = invocation.first();
    let mut config = Config::default();
    for change in invocation.values("change") {
        config.change(change).map_err(|error| Report::new(format!("boxr import: --change {error}")))?;
    }
    let name =
        invocation.positionals().get(1).map(|name| images::reference(&invocation, name)).transpose()?;
    if name.as_ref().is_some_and(|name| name.digest().is_some()) {
        return Err(Report::new("boxr import: an image gets no name with a digest here").status(1));
    }
    let platform = images::platform(&invocation)?;
    let failed = |report: Report| {
        let report = report.status(1);
        Report { what: format!("cannot import {source}: {}", report.what), ..report }
    };
    // Whoever downloads has threads, and other ids come before those.
    let file = match is_url(source) {
        true => None,
        false => Some(open(source)?),
    };
    let store = images::open_store_with_ids(&invocation.globals)?;
    let how = images::how(&store)?;
    let mut from = match file {
        Some(file) => file,
        None => Box::new(download(source).map_err(|error| failed(error.into()))?),
    };
    let comment =
        invocation.value("message").map_or_else(|| format!("Imported from {source}"), str::to_owned);
    let created = time::rfc3339_nano(time::now());
    let import = Import {
        form: ManifestForm::Oci,
        store: &store,
        how,
        platform,
        config,
        base: None,
        author: None,
        created_by: String::new(),
        comment,
        created,
        name,
    };
    let (image, left_out) = import.run(&mut from).map_err(|error| failed(error.into()))?;
    warn_left_out(&left_out);
    images::note(&store, Action::Import, &image.config.to_string(), &image.config.to_string());
    write_stdout(&format!("{}\n", image.config))?;
    Ok(0)
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

fn open(source: &str) -> Result<Box<dyn Read>, Report> {
    if source == "-" {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Err(Report::new("boxr import: an archive is not read from a terminal")
                .suggest("boxr import FILE NAME")
                .status(1));
        }
        return Ok(Box::new(stdin));
    }
    let file = File::open(source)
        .map_err(|error| Report::new(format!("cannot open {source}: {}", io_text(&error))).status(1))?;
    Ok(Box::new(file))
}
