//! `boxr image inspect`

use boxr_image::oci::{Descriptor, Kind};
use boxr_image::reference::Reference;
use boxr_image::store::{ImageIndex, ImageRecord, Store};
use serde_json::{Value, json};

use crate::boxes;
use crate::cli::Invocation;
use crate::commands::inspect::as_json;
use crate::format::template::Template;
use crate::format::time;
use crate::images::chosen::{find_chosen, layer_size};
use crate::images::{self, Image};
use crate::report::{Explain, Report, write_stdout};

/// Carries out `boxr image inspect`: those that are there are printed, whatever is wrong with others.
///
/// # Errors
/// A template that cannot be used; a store that cannot be opened.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let template = match invocation.value("format") {
        None | Some("json") => None,
        Some(text) => Some(Template::parse(text)?),
    };
    let store = images::open_store(&invocation.globals)?;
    let mut views = Vec::new();
    let mut status = boxes::for_each(invocation.positionals(), |word| {
        let (image, _) = find_chosen(&store, &invocation, word)?;
        views.push(view(&store, &image)?);
        Ok(())
    })?;
    let mut text = String::new();
    match template {
        None => text = as_json(&views, invocation.value("format").is_some())?,
        Some(template) => {
            for view in &views {
                if let Err(error) = template.render(view, &mut text) {
                    error.report().print();
                    status = 1;
                    break;
                }
                text.push('\n');
            }
        }
    }
    write_stdout(&text)?;
    Ok(status)
}

/// The view of the image that a word stands for.
///
/// # Errors
/// There is none.
pub fn of_name(invocation: &Invocation, word: &str) -> Result<Value, Report> {
    let store = images::open_store(&invocation.globals)?;
    let (image, _) = images::find(&store, invocation, word)?;
    view(&store, &image)
}

/// Docker's keys.
fn view(store: &Store, image: &Image) -> Result<Value, Report> {
    let (config, raw) = images::config(store, &image.record)?;
    let record = &image.record;
    let familiar = |names: &[Reference]| names.iter().map(Reference::familiar).collect::<Vec<_>>();
    let mut size = 0;
    for layer in &record.layers {
        size += layer_size(store, layer)?;
    }
    let mut view = json!({
        "Id": record.config,
        "RepoTags": familiar(&image.names),
        "RepoDigests": familiar(&record.sources),
        "Parent": "",
        "Comment": config.history.last().map_or("", |step| step.comment.as_str()),
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author.unwrap_or_default(),
        "Config": with_all_keys(raw.get("config")),
        "Architecture": config.platform.architecture,
        "Os": config.platform.os,
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": {"Name": "overlayfs", "Data": layer_dirs(store, record)?},
        "RootFS": {"Type": "layers", "Layers": config.rootfs.diff_ids},
        "Metadata": {"LastTagTime": time::rfc3339(record.added)},
        "Digest": record.manifest,
    });
    if let (Some(variant), Some(view)) = (config.platform.variant, view.as_object_mut()) {
        view.insert("Variant".to_owned(), Value::from(variant));
    }
    let is_whole = record.indexes.iter().any(ImageIndex::is_here);
    if let (true, Some(view)) = (is_whole, view.as_object_mut()) {
        view.insert("Manifests".to_owned(), record.indexes.iter().flat_map(manifests).collect());
    }
    Ok(view)
}

/// Where the layers are; of an image that is not unpacked docker says `null`.
fn layer_dirs(store: &Store, record: &ImageRecord) -> Result<Value, Report> {
    let mut dirs = Vec::new();
    for layer in record.layers.iter().rev() {
        if store.layer(&layer.diff_id)?.is_none() {
            return Ok(Value::Null);
        }
        let path = store.path(&format!("layers/{}/fs", layer.diff_id.file_name()));
        dirs.push(path.display().to_string());
    }
    Ok(json!({"LowerDir": dirs.join(":")}))
}

/// What an index that is here whole names, as docker's API has it.
fn manifests(index: &ImageIndex) -> impl Iterator<Item = Value> {
    let is_index = |document: &&Descriptor| document.media_type.kind() == Kind::Index;
    index.documents.iter().filter(move |document| !is_index(document)).map(|document| {
        let is_image = document.platform.as_ref().is_some_and(|platform| platform.os != "unknown");
        json!({
            "ID": document.digest,
            "Descriptor": document,
            "Available": true,
            "Kind": if is_image { "image" } else { "unknown" },
            "Platform": document.platform.as_ref().map(ToString::to_string),
            "Index": index.digest,
        })
    })
}

/// What an image says of its containers, with the keys that scripts ask for also where it says nothing.
fn with_all_keys(config: Option<&Value>) -> Value {
    let mut whole = json!({
        "Cmd": [], "Entrypoint": [], "Env": [], "ExposedPorts": {}, "Labels": {}, "StopSignal": "", "User": "", "Volumes": {},
        "WorkingDir": "",
    });
    if let (Some(Value::Object(said)), Some(whole)) = (config, whole.as_object_mut()) {
        whole.extend(
            said.iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), value.clone())),
        );
    }
    whole
}
