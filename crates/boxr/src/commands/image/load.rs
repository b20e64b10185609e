//! `boxr load`

use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;

use boxr_engine::events::Action;
use boxr_image::archive::{Load, Loaded, Source};
use boxr_image::pull::{Progress, Silent};

use super::progress::{Bars, LOAD};
use super::pull::warn_left_out;
use crate::cli::Invocation;
use crate::images;
use crate::report::{Report, io_text, write_stdout};

/// Carries out `boxr load`.
///
/// # Errors
/// An archive that cannot be used; then nothing was taken from it.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let platform = images::platform(&invocation)?;
    let input = invocation.value("input").filter(|path| *path != "-");
    if input.is_none() && std::io::stdin().is_terminal() {
        return Err(Report::new("boxr load: an archive is not read from a terminal")
            .suggest("boxr load -i FILE")
            .suggest("boxr load < FILE")
            .status(1));
    }
    // Before the store is made.
    let file = input.map(|path| open(Path::new(path))).transpose()?;
    let store = images::open_store_with_ids(&invocation.globals)?;
    let how = images::how(&store)?;
    let bars = Bars::new(LOAD);
    let progress: &dyn Progress =
        if invocation.switch("quiet") || !std::io::stderr().is_terminal() { &Silent } else { &bars };
    let platforms = images::platforms(&invocation);
    let load = Load { store: &store, how, platform: &platform, platforms, progress };
    let loaded = match file {
        Some((file, true)) => load.run(Source::Directory(file.into())),
        Some((mut file, false)) => load.run(Source::Stream(&mut file)),
        None => load.run(Source::Stream(&mut std::io::stdin().lock())),
    };
    bars.finish();
    let loaded = loaded.map_err(|error| {
        let report = Report::from(error).status(1);
        let what = input.unwrap_or("stdin");
        Report { what: format!("cannot load {what}: {}", report.what), ..report }
    })?;
    if let Some(first) = loaded.first() {
        warn_left_out(&first.left_out);
    }
    for loaded in &loaded {
        let id = loaded.image.config.to_string();
        let name = loaded.names.first().map_or_else(|| id.clone(), |name| name.familiar());
        images::note(&store, Action::Load, &id, &name);
    }
    write_stdout(&loaded.iter().flat_map(lines).collect::<String>())?;
    Ok(0)
}

/// The file, and whether it is a directory.
fn open(path: &Path) -> Result<(File, bool), Report> {
    let failed = |error: std::io::Error| {
        Report::new(format!("cannot open {}: {}", path.display(), io_text(&error))).status(1)
    };
    let file = File::open(path).map_err(failed)?;
    let is_dir = file.metadata().map_err(failed)?.is_dir();
    Ok((file, is_dir))
}

/// Docker's words.
fn lines(loaded: &Loaded) -> Vec<String> {
    if loaded.names.is_empty() {
        return vec![format!("Loaded image ID: {}\n", loaded.image.config)];
    }
    loaded.names.iter().map(|name| format!("Loaded image: {}\n", name.familiar())).collect()
}
