//! `boxr store verify`: every blob is read and every record, and every layer unpacked again; what is damaged is named, and mended if asked.

use boxr_engine::store::{Contents, Store as Boxes};
use boxr_image::digest::Digest;
use boxr_image::pull::{Aspect, compare_layers, repair};
use boxr_image::store::{Finding, Item, Problem, Store};

use super::mount::mounted_at;
use crate::boxes;
use crate::cli::Invocation;
use crate::format::condition;
use crate::format::size;
use crate::images;
use crate::report::{Report, write_stdout};

/// Carries out `boxr store verify`. The status is 1 if anything is damaged afterwards.
///
/// # Errors
/// The store cannot be read at all.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    // Before the ids are others, by which it is found.
    let boxes = invocation.switch("repair").then(|| boxes::open_store(&invocation.globals)).transpose()?;
    let store = images::open_store_with_ids(&invocation.globals)?;
    let (mut read, mut findings) = (0, Vec::new());
    store.verify(|bytes| read += bytes, |finding| findings.push(finding))?;
    if is_writable(&store) {
        let changed = compare_layers(&store, &images::how(&store)?, &findings)?;
        findings.extend(changed);
    }
    let mut text: String = findings.iter().map(|finding| format!("{}\n", describe(finding))).collect();
    if findings.is_empty() {
        text.push_str(&format!("all is well: {} read\n", size::decimal(read)));
        write_stdout(&text)?;
        return Ok(0);
    }
    let Some(boxes) = boxes else {
        write_stdout(&text)?;
        return Err(Report::new(format!("{} things are damaged", findings.len()))
            .suggest("boxr store verify --repair")
            .status(1));
    };
    write_stdout(&text)?;
    let (client, how) = (images::client(&invocation)?, images::how(&store)?);
    let users = users(&boxes, &store)?;
    let (held, findings): (Vec<Finding>, Vec<Finding>) =
        findings.into_iter().partition(|finding| !users_of(&users, &finding.item).is_empty());
    let mut failed = held.len();
    held.iter().for_each(|finding| refused(&finding.item, &users_of(&users, &finding.item)).print());
    for repaired in repair(&store, &client, &how, findings) {
        match repaired.outcome {
            Ok(()) => write_stdout(&format!("{}: mended\n", name(&repaired.item)))?,
            Err(error) => {
                failed += 1;
                let report = Report::from(error);
                Report { what: format!("{}: {}", name(&repaired.item), report.what), ..report }.print();
            }
        }
    }
    Ok(u8::from(failed > 0))
}

/// Something that has layers mounted: what it is called, and which.
type User = (String, Vec<Digest>);

/// Boxes that are up, and images that are mounted to be looked at.
fn users(boxes: &Boxes, store: &Store) -> Result<Vec<User>, Report> {
    let mut users = Vec::new();
    for entry in boxes.list()? {
        let Contents::Known { state, observed } = &entry.contents else { continue };
        if !condition::is_up(*observed) {
            continue;
        }
        // It may have been removed meanwhile.
        let Ok(dir) = boxes.resolve(&state.id) else { continue };
        let options = dir.read_record()?.options;
        let images = options.root.image().into_iter().chain(options.images.iter().map(|one| &one.image));
        users.push((state.name.clone(), images.flat_map(|image| image.layers.clone()).collect()));
    }
    for image in store.readable_images()? {
        if let Some(place) = mounted_at(store, &image)? {
            let layers = image.layers.into_iter().map(|layer| layer.diff_id);
            users.push((place.display().to_string(), layers.collect()));
        }
    }
    Ok(users)
}

/// Who has it mounted. A blob nobody has.
fn users_of<'u>(users: &'u [User], item: &Item) -> Vec<&'u str> {
    let Item::Layer(diff_id) = item else { return Vec::new() };
    let has = |(_, layers): &&User| layers.contains(diff_id);
    users.iter().filter(has).map(|(name, _)| name.as_str()).collect()
}

/// A layer that is mounted keeps its files: they would vanish from under whoever reads them.
fn refused(item: &Item, users: &[&str]) -> Report {
    let (places, names): (Vec<&str>, Vec<&str>) = users.iter().partition(|user| user.starts_with('/'));
    let report = Report::new(format!("{}: is mounted, and not mended: {}", name(item), users.join(", ")));
    let report = match names.is_empty() {
        true => report,
        false => report.suggest(format!("boxr stop {}", names.join(" "))),
    };
    let report = match places.is_empty() {
        true => report,
        false => report.suggest("boxr image unmount IMAGE"),
    };
    report.suggest("boxr store verify --repair")
}

/// Whether layers can be unpacked there.
fn is_writable(store: &Store) -> bool {
    let found = rustix::fs::statvfs(store.path("staging"));
    found.is_ok_and(|found| !found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

fn name(item: &Item) -> String {
    match item {
        Item::Blob(digest) => format!("blob {digest}"),
        Item::Layer(digest) => format!("layer {digest}"),
        Item::Image(file) => format!("image record {file}"),
        Item::Name(name) => format!("name {name}"),
    }
}

fn describe(finding: &Finding) -> String {
    let problem = match &finding.problem {
        Problem::Missing => "missing".to_owned(),
        Problem::Changed(path, aspect) => {
            let what = match aspect {
                Aspect::Contents => "is another",
                Aspect::Mode => "has other permissions",
                Aspect::Owner => "has another owner",
                Aspect::Attributes => "has other attributes",
            };
            format!("its file /{} {what} than in the blob", path.display())
        }
        Problem::WrongDigest(found) => format!("damaged, its digest is {found}"),
        Problem::Unreadable(error) => error.to_string(),
        Problem::Dangling(image) => format!("stands for the image {image}, which is not here"),
    };
    format!("{}: {problem}", name(&finding.item))
}
