//! What commands about images share: the store, who is asked, and what a word stands for.

use std::os::fd::AsFd;
use std::path::PathBuf;

use boxr_engine::events::{Action, Event, Journal, Kind};
use boxr_engine::image::store_path;
use boxr_engine::own_ids;
use boxr_engine::paths::Paths;
use boxr_image::digest::Digest;
use boxr_image::oci::{ImageConfig, LONGEST_CONFIG, Platform, Platforms};
use boxr_image::reference::{DOCKER_HUB, Reference};
use boxr_image::registry::credentials::{Credential, Store as Credentials};
use boxr_image::registry::{Client, Options, Registries, TlsVerify};
use boxr_image::store::{ImageIndex, ImageRecord, Name, Store};
use boxr_image::unpack::{Form, How, Limits, Ownership};
use serde_json::Value;

pub mod chosen;

use crate::cli::{Globals, Invocation};
use crate::format::time;
use crate::report::{Report, errno_text};

/// Opens the store of images that the command line means.
///
/// # Errors
/// When there is no usable directory.
pub fn open_store(globals: &Globals) -> Result<Store, Report> {
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    Ok(Store::open(&store_path(&paths))?)
}

/// Journals what happened to an image: docker's id, which is a name for `pull` and `push`, and its name.
pub fn note(store: &Store, action: Action, id: &str, name: &str) {
    let event = Event::new(Kind::Image, action, id).with("name", name);
    // Found by the store: an ordinary user may have other ids by now, and with them other paths.
    let path = store.path("");
    path.parent().into_iter().for_each(|data| Journal::below(data).note(std::slice::from_ref(&event)));
}

/// Journals that an image is gone, with its names.
pub fn note_gone(store: &Store, id: &Digest, names: &[Reference]) {
    let id = id.to_string();
    names.iter().for_each(|name| note(store, Action::Untag, &id, &name.familiar()));
    note(store, Action::Delete, &id, &id);
}

/// The same for a command that makes or removes layers: an ordinary user gets all of the ids that are his.
/// Must come before any thread.
///
/// # Errors
/// When there is no usable directory, or the ids cannot be used.
pub fn open_store_with_ids(globals: &Globals) -> Result<Store, Report> {
    // Where the store is depends on who asks.
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    let ids = own_ids::enter()?;
    crate::trace::note(|| format!("works on layers with ids: {ids:?}"));
    Ok(Store::open(&store_path(&paths))?)
}

/// Who is asked, by the flags that all commands have which ask a registry.
///
/// # Errors
/// A flag or a file that cannot be used.
pub fn client(invocation: &Invocation) -> Result<Client, Report> {
    if invocation.offers("disable-content-trust")
        && invocation.switch_said("disable-content-trust") == Some(false)
    {
        return Err(Report::new("--disable-content-trust=false: docker's notary has no client here")
            .detail("an image named by its digest can be no other"));
    }
    let tls_verify = match invocation.switch_said("tls-verify") {
        None => TlsVerify::ByRegistry,
        Some(true) => TlsVerify::Always,
        Some(false) => TlsVerify::Never,
    };
    let credential = invocation.value("creds").map(|text| match text.split_once(':') {
        Some((user, password)) => Ok(Credential::Password { user: user.into(), password: password.into() }),
        None => Err(invocation.bad_value("creds", text, "NAME:PASSWORD")),
    });
    Ok(Client::new(Options {
        tls_verify,
        registries: Registries::of_user(None)?,
        credentials: Credentials::of_user(invocation.value("authfile").map(PathBuf::from).as_deref()),
        credential: credential.transpose()?,
        certificates: invocation.value("cert-dir").map(PathBuf::from),
        ..Options::default()
    }))
}

/// A name as it was typed.
///
/// # Errors
/// What is wrong with it.
pub fn reference(invocation: &Invocation, text: &str) -> Result<Reference, Report> {
    let said = if invocation.offers("registry") { invocation.value("registry") } else { None };
    // Podman's users write an image with the way to it.
    let text = text.strip_prefix("docker://").unwrap_or(text);
    Ok(Reference::parse_in(text, said.unwrap_or(DOCKER_HUB))?)
}

/// What `--platform` says, or this machine.
///
/// # Errors
/// It is none.
pub fn platform(invocation: &Invocation) -> Result<Platform, Report> {
    Ok(said_platform(invocation)?.unwrap_or_else(Platform::host))
}

/// What `--platform` says, or podman's `--os`, `--arch` and `--variant`.
///
/// # Errors
/// No platform; the same thing said twice.
pub fn said_platform(invocation: &Invocation) -> Result<Option<Platform>, Report> {
    let part = |flag| if invocation.offers(flag) { invocation.value(flag) } else { None };
    let (os, arch, variant) = (part("os"), part("arch"), part("variant"));
    match (invocation.value("platform"), os.or(arch).or(variant)) {
        (Some(_), Some(_)) => {
            Err(Report::new("--platform says what --os, --arch and --variant say part by part"))
        }
        (Some(text), None) => Ok(Some(text.parse()?)),
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let host = Platform::host();
            let (os, arch) = (os.unwrap_or(&host.os), arch.unwrap_or(&host.architecture));
            let text = variant.map_or(format!("{os}/{arch}"), |variant| format!("{os}/{arch}/{variant}"));
            Ok(Some(text.parse()?))
        }
    }
}

/// What `--all-platforms` says.
pub fn platforms(invocation: &Invocation) -> Platforms {
    match invocation.switch("all-platforms") {
        true => Platforms::All,
        false => Platforms::One,
    }
}

/// The index of an image with the images of other platforms, as `name` stood for it.
///
/// # Errors
/// It is not here, or there are several.
pub fn index<'r>(record: &'r ImageRecord, name: Option<&Reference>) -> Result<&'r ImageIndex, Report> {
    let word = name.map_or_else(|| record.config.short().to_owned(), Reference::familiar);
    record.index(name).ok_or_else(|| {
        let is_known = record.indexes.iter().any(|index| index.name.is_some() && index.name.as_ref() == name);
        let is_alone = is_known || !record.indexes.iter().any(ImageIndex::is_here);
        let what = match is_alone {
            true => "is here for one platform only",
            false => "is one of several indexes, and has that name in none of them",
        };
        let names: Vec<&Reference> = match name.filter(|_| is_alone) {
            Some(name) => vec![name],
            None => record.indexes.iter().filter_map(|index| index.name.as_ref()).collect(),
        };
        let report = Report::new(format!("--all-platforms: image {word} {what}")).status(1);
        names.iter().fold(report, |report, name| {
            report.suggest(format!("boxr pull --all-platforms {}", name.familiar()))
        })
    })
}

/// How layers are unpacked here.
///
/// # Errors
/// The filesystem has no extended attributes, without which overlayfs cannot be told what is gone.
pub fn how(store: &Store) -> Result<How, Report> {
    let path = store.path("staging");
    let failed = |errno| {
        let report = Report::new(format!("cannot keep images in {}: {}", path.display(), errno_text(errno)));
        let report = match errno {
            rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::PERM => {
                report.detail("the filesystem must have extended attributes")
            }
            _ => report,
        };
        report.suggest("boxr --root DIR")
    };
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let dir = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).map_err(failed)?;
    let form = Form::of(dir.as_fd()).map_err(failed)?;
    let ownership = if rustix::process::geteuid().is_root() { Ownership::Kept } else { Ownership::Squashed };
    Ok(How { form, ownership, limits: Limits::default() })
}

/// An image, and what it is called.
#[derive(Clone, Debug)]
pub struct Image {
    /// What the store knows of it.
    pub record: ImageRecord,
    /// Its names, in order.
    pub names: Vec<Reference>,
}

/// All images with their names.
///
/// # Errors
/// A record that cannot be read.
pub fn all(store: &Store) -> Result<Vec<Image>, Report> {
    let names = store.names()?;
    Ok(store.images()?.into_iter().map(|record| with_names(record, &names)).collect())
}

fn with_names(record: ImageRecord, names: &[Name]) -> Image {
    let mine = names.iter().filter(|name| name.image == record.manifest);
    let mut names: Vec<Reference> = mine.map(|name| name.reference.clone()).collect();
    names.sort();
    Image { record, names }
}

/// The images that have the name of `wanted`, whatever its tag, in the order of their tags.
///
/// # Errors
/// A record that cannot be read.
pub fn with_all_tags(store: &Store, wanted: &Reference) -> Result<Vec<(ImageRecord, Reference)>, Report> {
    let mut names = store.names()?;
    names.retain(|name| {
        let name = &name.reference;
        (name.registry(), name.repository()) == (wanted.registry(), wanted.repository())
    });
    names.sort_by(|one, other| one.reference.cmp(&other.reference));
    let mut found = Vec::new();
    for name in names {
        found.extend(store.image(&name.image)?.map(|record| (record, name.reference)));
    }
    Ok(found)
}

/// What a word stood for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// A name that the image has.
    Name(Reference),
    /// The image itself, by its id or a digest.
    Itself,
}

/// The image that `word` stands for: a name, a name with a digest, an id or a beginning of one.
///
/// # Errors
/// There is none, or more than one.
pub fn find(store: &Store, invocation: &Invocation, word: &str) -> Result<(Image, Meant), Report> {
    let names = store.names()?;
    let reference = reference(invocation, word);
    if let Ok(reference) = &reference {
        if reference.digest().is_none()
            && let Some(record) = store.named(reference)?
        {
            return Ok((with_names(record, &names), Meant::Name(reference.clone())));
        }
        if let Some(record) = store.images()?.into_iter().find(|record| has_source(record, reference)) {
            return Ok((with_names(record, &names), Meant::Itself));
        }
    }
    let digits = word.strip_prefix("sha256:").unwrap_or(word);
    let is_id = !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut found = store.images()?;
    found.retain(|record| is_id && record.config.hex().starts_with(digits));
    match found.len() {
        1 => Ok((with_names(found.remove(0), &names), Meant::Itself)),
        0 => match reference {
            // A word that is neither a name nor an id.
            Err(report) if !is_id => Err(report.status(1)),
            _ => Err(Report::new(format!("no such image: {word}"))
                .suggest(format!("boxr pull {word}"))
                .suggest("boxr images")
                .status(1)),
        },
        count => Err(Report::new(format!("{word} is the beginning of {count} ids of images")).status(1)),
    }
}

fn has_source(record: &ImageRecord, wanted: &Reference) -> bool {
    let Some(digest) = wanted.digest() else { return false };
    let same = |source: &Reference| {
        (source.registry(), source.repository()) == (wanted.registry(), wanted.repository())
    };
    record
        .sources
        .iter()
        .any(|source| same(source) && (source.digest() == Some(digest) || record.manifest == *digest))
}

/// Forgets an image, unless somebody holds it: then who is given. A hold of a container that was killed while it
/// was made or removed is none.
///
/// # Errors
/// A record cannot be read or removed.
pub fn forget(store: &Store, globals: &Globals, manifest: &Digest) -> Result<Option<String>, Report> {
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    loop {
        match store.forget_image(manifest)? {
            Some(holder) if boxr_engine::image::is_stale(&paths, &holder) => store.release(&holder)?,
            holder => return Ok(holder),
        }
    }
}

/// The configuration of an image: as boxr understands it, and all that is in it.
///
/// # Errors
/// It is not there, or damaged.
pub fn config(store: &Store, record: &ImageRecord) -> Result<(ImageConfig, Value), Report> {
    let bytes = store.read_blob(&record.config, LONGEST_CONFIG)?;
    let damaged = |error: serde_json::Error| {
        Report::new(format!("the configuration of image {} is damaged: {error}", record.config.short()))
            .status(1)
    };
    Ok((serde_json::from_slice(&bytes).map_err(damaged)?, serde_json::from_slice(&bytes).map_err(damaged)?))
}

/// Bytes of an image's files, each layer's counted.
///
/// # Errors
/// A layer that is not there.
pub fn size(store: &Store, record: &ImageRecord) -> Result<u64, Report> {
    let mut total = 0;
    for layer in &record.layers {
        total += store.layer(&layer.diff_id)?.map_or(0, |layer| layer.info.size);
    }
    Ok(total)
}

/// When an image was made, nanoseconds since 1970 UTC; 0 when it does not say.
pub fn created(config: &ImageConfig) -> i64 {
    config.created.as_deref().and_then(|text| time::parse(text, 0)).unwrap_or(0)
}

/// How long ago something was, as docker writes it.
pub fn ago(then: i64) -> String {
    match then {
        0 => "N/A".to_owned(),
        then => format!("{} ago", time::human_duration(time::now().saturating_sub(then))),
    }
}

/// An id as tables show it.
pub fn id(digest: &Digest, full: bool) -> String {
    if full { digest.to_string() } else { digest.short().to_owned() }
}
