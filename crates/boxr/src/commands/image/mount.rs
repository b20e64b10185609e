//! `boxr image mount` and `boxr image unmount`: an image's files to look at, read-only.

use std::os::fd::AsFd;

use boxr_image::reference::Reference;
use boxr_image::rootfs::{Overlay, attach};
use boxr_image::store::{ImageRecord, Store};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use crate::boxes;
use crate::cli::Invocation;
use crate::images::{self, Image};
use crate::report::{Report, errno_text, write_stdout};

/// Carries out `boxr image mount`: prints where the files are, or those that are mounted.
///
/// # Errors
/// The store cannot be opened.
pub fn mount(invocation: Invocation) -> Result<u8, Report> {
    let store = images::open_store_with_ids(&invocation.globals)?;
    if invocation.positionals().is_empty() {
        return list(&store);
    }
    boxes::for_each(invocation.positionals(), |word| {
        let (image, _) = images::find(&store, &invocation, word)?;
        let place = place(&store, &image.record);
        if is_mounted(&place)? {
            return write_stdout(&format!("{}\n", place.display()));
        }
        let failed = |error: std::io::Error| {
            Report::new(format!("cannot make {}: {error}", place.display())).status(1)
        };
        std::fs::create_dir_all(&place).map_err(failed)?;
        store.hold(&holder(&image), &image.record.manifest)?;
        let done = lay(&store, &image, &place);
        if done.is_err() {
            // What was begun is taken back; the error that counts is the first.
            std::fs::remove_dir(&place).ok();
            store.release(&holder(&image))?;
        }
        done?;
        write_stdout(&format!("{}\n", place.display()))
    })
}

/// Those that are mounted, each with where (podman-image-mount(1)).
fn list(store: &Store) -> Result<u8, Report> {
    for image in images::all(store)? {
        if let Some(place) = mounted_at(store, &image.record)? {
            let name =
                image.names.first().map_or_else(|| image.record.config.to_string(), Reference::familiar);
            write_stdout(&format!("{name} {}\n", place.display()))?;
        }
    }
    Ok(0)
}

/// Where an image is mounted, if it is.
///
/// # Errors
/// That cannot be found out.
pub(super) fn mounted_at(store: &Store, image: &ImageRecord) -> Result<Option<std::path::PathBuf>, Report> {
    let place = place(store, image);
    Ok(is_mounted(&place)?.then_some(place))
}

fn lay(store: &Store, image: &Image, place: &std::path::Path) -> Result<(), Report> {
    let (layers, empty) = (store.open_layers(&image.record)?, store.empty_dir()?);
    let form = images::how(store)?.form;
    let overlay = Overlay {
        layers: &layers,
        empty: empty.as_fd(),
        changes: None,
        data: None,
        form,
        shifted_by: None,
        options: &[],
    };
    let mount = overlay.mount().map_err(|error| Report::from(error).status(1))?;
    attach(mount.as_fd(), place).map_err(|error| Report::from(error).status(1))
}

/// Carries out `boxr image unmount`.
///
/// # Errors
/// The store cannot be opened.
pub fn unmount_all(invocation: Invocation) -> Result<u8, Report> {
    let store = images::open_store_with_ids(&invocation.globals)?;
    boxes::for_each(invocation.positionals(), |word| {
        let (image, _) = images::find(&store, &invocation, word)?;
        let place = place(&store, &image.record);
        let report = |errno: Errno| {
            Report::new(format!("cannot unmount {}: {}", place.display(), errno_text(errno))).status(1)
        };
        match unmount(&place, UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // After a reboot there is only the directory.
            Err(Errno::INVAL) => {}
            Err(Errno::NOENT) => return Err(Report::new(format!("image {word} is not mounted")).status(1)),
            Err(errno) => return Err(report(errno)),
        }
        std::fs::remove_dir(&place)
            .map_err(|error| report(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        store.release(&holder(&image))?;
        write_stdout(&format!("{}\n", image.record.config.hex()))
    })
}

fn place(store: &Store, image: &ImageRecord) -> std::path::PathBuf {
    store.path("mounts").join(image.manifest.hex())
}

/// As what a mounted image is in use.
fn holder(image: &Image) -> String {
    format!("mount-{}", image.record.manifest.hex())
}

/// Whether something is mounted there: then it is on another device than the directory above.
fn is_mounted(place: &std::path::Path) -> Result<bool, Report> {
    use std::os::unix::fs::MetadataExt;
    let above = place.parent().unwrap_or(place);
    match (std::fs::metadata(place), std::fs::metadata(above)) {
        (Ok(here), Ok(above)) => Ok(here.dev() != above.dev()),
        _ => Ok(false),
    }
}
