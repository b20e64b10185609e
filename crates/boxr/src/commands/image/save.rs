//! `boxr save`

use std::io::{BufWriter, IsTerminal};
use std::path::{Path, PathBuf};

use boxr_engine::events::Action;
use boxr_image::archive::{ArchiveError, Directory, Format, Save, Tar};
use boxr_image::oci::Platforms;
use boxr_image::reference::{DEFAULT_TAG, Reference};
use boxr_image::store::{ImageRecord, Store};

use crate::cli::Invocation;
use crate::images::chosen::choose;
use crate::images::{self, Meant};
use crate::report::{Report, io_text, stdout_failed};
use crate::whole_file::WholeFile;

/// Bytes that are written at once.
const BUFFER: usize = 256 * 1024;

/// Where the images go, and in which form.
enum Target {
    Stdout(Format),
    File(PathBuf, Format),
    Directory(PathBuf),
}

/// Carries out `boxr save`.
///
/// # Errors
/// No such image; somewhere that cannot be written, such as a terminal.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let target = target(&invocation)?;
    let store = images::open_store(&invocation.globals)?;
    let mut images: Vec<(ImageRecord, Vec<Reference>)> = Vec::new();
    for word in invocation.positionals() {
        for (record, names) in chosen(&store, &invocation, word)? {
            let record = choose(&store, &invocation, record, names.first())?;
            match images.iter_mut().find(|(known, _)| known.manifest == record.manifest) {
                Some((_, known)) => known.extend(names),
                None => images.push((record, names)),
            }
        }
    }
    for (_, names) in &mut images {
        names.sort();
        names.dedup();
    }
    let platforms = images::platforms(&invocation);
    if platforms == Platforms::All {
        check_indexes(&images, &target)?;
    }
    let saved: Vec<(String, String)> = images.iter().map(|(record, names)| noted(record, names)).collect();
    let save = |format| Save { store: &store, images, format, platforms };
    match target {
        Target::Stdout(format) => to_stdout(&save(format)),
        Target::File(path, format) => to_file(&save(format), &path),
        Target::Directory(path) => to_directory(&save(Format::Oci), &path),
    }
    .map_err(|report| if report.silent { report } else { report.status(1) })?;
    saved.iter().for_each(|(id, name)| images::note(&store, Action::Save, id, name));
    Ok(0)
}

/// Whether all of them are here for all platforms, and go to where there is room for that.
fn check_indexes(images: &[(ImageRecord, Vec<Reference>)], target: &Target) -> Result<(), Report> {
    if let Target::Stdout(Format::Docker) | Target::File(_, Format::Docker) = target {
        return Err(Report::new("boxr save: --all-platforms: docker's archives have images of one platform")
            .suggest("boxr save --all-platforms --format oci-archive"));
    }
    for (record, names) in images {
        if names.is_empty() {
            images::index(record, None)?;
        }
        names.iter().try_for_each(|name| images::index(record, Some(name)).map(drop))?;
    }
    Ok(())
}

/// Id and name of an image as its event has them.
fn noted(record: &ImageRecord, names: &[Reference]) -> (String, String) {
    let id = record.config.to_string();
    let name = names.first().map_or_else(|| id.clone(), Reference::familiar);
    (id, name)
}

fn target(invocation: &Invocation) -> Result<Target, Report> {
    let output = invocation.value("output").map(PathBuf::from);
    let format = match invocation.value("format").unwrap_or("docker-archive") {
        "docker-archive" => Format::Docker,
        "oci-archive" => Format::Oci,
        "oci-dir" => {
            return output.map(Target::Directory).ok_or_else(|| {
                Report::new("boxr save: a directory needs a name")
                    .suggest("boxr save --format oci-dir -o DIR IMAGE")
            });
        }
        other => {
            return Err(invocation.bad_value("format", other, "docker-archive, oci-archive or oci-dir"));
        }
    };
    match output {
        Some(path) => Ok(Target::File(path, format)),
        None if std::io::stdout().is_terminal() => {
            Err(Report::new("boxr save: an archive is not written to a terminal")
                .suggest("boxr save -o FILE IMAGE")
                .suggest("boxr save IMAGE > FILE")
                .status(1))
        }
        None => Ok(Target::Stdout(format)),
    }
}

/// The images that a word stands for, and the names that they are to have: docker's rules. An id names
/// nothing, and a name without a tag is all of its tags.
fn chosen(
    store: &Store,
    invocation: &Invocation,
    word: &str,
) -> Result<Vec<(ImageRecord, Vec<Reference>)>, Report> {
    if let Ok(wanted) = images::reference(invocation, word)
        && wanted.tag() == Some(DEFAULT_TAG)
        && !word.ends_with(&format!(":{DEFAULT_TAG}"))
    {
        let found = images::with_all_tags(store, &wanted)?;
        if !found.is_empty() {
            return Ok(found.into_iter().map(|(record, name)| (record, vec![name])).collect());
        }
    }
    let (image, meant) = images::find(store, invocation, word)?;
    let names = match meant {
        Meant::Name(name) => vec![name],
        Meant::Itself => Vec::new(),
    };
    Ok(vec![(image.record, names)])
}

fn to_stdout(save: &Save<'_>) -> Result<(), Report> {
    let stdout = std::io::stdout().lock();
    let mut sink = Tar::new(BufWriter::with_capacity(BUFFER, stdout));
    let saved = save.run(&mut sink).and_then(|()| sink.finish().map(drop));
    saved.map_err(|error| match error {
        ArchiveError::Write(error) => stdout_failed(&error),
        error => error.into(),
    })
}

fn to_file(save: &Save<'_>, path: &Path) -> Result<(), Report> {
    let failed =
        |error: &std::io::Error| Report::new(format!("cannot write {}: {}", path.display(), io_text(error)));
    let file = WholeFile::create(path).map_err(|error| failed(&error))?;
    let mut sink = Tar::new(BufWriter::with_capacity(BUFFER, file));
    let written = save.run(&mut sink).and_then(|()| sink.finish()).map_err(|error| match error {
        ArchiveError::Write(error) => failed(&error),
        error => error.into(),
    })?;
    let file = written.into_inner().map_err(|error| failed(error.error()))?;
    file.commit().map_err(|error| failed(&error))
}

/// Beside its place first, so that it is there whole or not at all.
fn to_directory(save: &Save<'_>, path: &Path) -> Result<(), Report> {
    let failed =
        |error: &std::io::Error| Report::new(format!("cannot write {}: {}", path.display(), io_text(error)));
    let is_used = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if is_used {
        return Err(Report::new(format!("cannot write {}: there is something in it", path.display())));
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}", rustix::process::getpid().as_raw_nonzero()));
    let aside = path.with_file_name(name);
    std::fs::create_dir(&aside).map_err(|error| failed(&error))?;
    let saved = save.run(&mut Directory(aside.clone())).map_err(|error| match error {
        ArchiveError::Write(error) => failed(&error),
        error => error.into(),
    });
    let placed = saved.and_then(|()| std::fs::rename(&aside, path).map_err(|error| failed(&error)));
    if placed.is_err() {
        // The error that counts has been found.
        std::fs::remove_dir_all(&aside).ok();
    }
    placed
}
