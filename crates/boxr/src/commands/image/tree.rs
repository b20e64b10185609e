//! `boxr image tree`: podman's picture of an image's layers.

use boxr_image::digest::Digest;
use boxr_image::reference::Reference;

use crate::cli::Invocation;
use crate::format::size;
use crate::images::{self, Image};
use crate::report::{Report, write_stdout};

/// Carries out `boxr image tree`.
///
/// # Errors
/// No such image; a record that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = images::open_store(&invocation.globals)?;
    let (image, _) = images::find(&store, &invocation, invocation.first())?;
    let all = images::all(&store)?;
    let mut text = format!("Image ID: {}\n", images::id(&image.record.config, false));
    text.push_str(&format!("Tags:     [{}]\n", named(&image.names)));
    text.push_str(&format!(
        "Size:     {}\nImage Layers\n",
        size::decimal(images::size(&store, &image.record)?)
    ));
    let layers = layers(&image);
    for (index, layer) in layers.iter().enumerate() {
        let bytes = store.layer(layer)?.map_or(0, |layer| layer.info.size);
        let branch = if index + 1 == layers.len() { "└──" } else { "├──" };
        text.push_str(&format!("{branch} ID: {} Size: {}", layer.short(), size::decimal(bytes)));
        let tops = tops(&all, &layers[..=index]);
        if !tops.is_empty() {
            text.push_str(&format!(" Top Layer of: [{}]", named(&tops)));
        }
        text.push('\n');
    }
    write_stdout(&text)?;
    Ok(0)
}

fn layers(image: &Image) -> Vec<Digest> {
    image.record.layers.iter().map(|layer| layer.diff_id.clone()).collect()
}

/// The names of the images that are these layers and no more.
fn tops(all: &[Image], of: &[Digest]) -> Vec<Reference> {
    all.iter().filter(|image| layers(image) == of).flat_map(|image| image.names.iter().cloned()).collect()
}

fn named(names: &[Reference]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
