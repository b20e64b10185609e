//! `boxr history`

use boxr_image::store::Store;
use serde_json::{Value, json};

use crate::cli::Invocation;
use crate::format::listing::{Header, Listing};
use crate::format::template::Object;
use crate::format::{size, table, time};
use crate::images::chosen::{find_chosen, layer_size};
use crate::images::{self, Image};
use crate::report::{Report, write_stdout};

const STANDARD: &str = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

const HEADERS: &[Header] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// Columns of a terminal that the command gets (docker's).
const COMMAND_WIDTH: usize = 45;

/// Carries out `boxr history`.
///
/// # Errors
/// No such image; a template that cannot be used.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = images::open_store(&invocation.globals)?;
    let (image, _) = find_chosen(&store, &invocation, invocation.first())?;
    let quiet = invocation.switch("quiet");
    let format = if quiet { Some("{{.ID}}") } else { invocation.value("format") };
    let listing = Listing::new(format, STANDARD, HEADERS)?;
    let human = invocation.switch_said("human").unwrap_or(true);
    let rows = rows(&store, &image, invocation.switch("no-trunc"), human)?;
    write_stdout(&listing.render(rows.iter().map(|row| row as &dyn Object))?)?;
    Ok(0)
}

/// The last step first, which alone has an id.
fn rows(store: &Store, image: &Image, full: bool, human: bool) -> Result<Vec<Value>, Report> {
    let (config, _) = images::config(store, &image.record)?;
    let mut layers = image.record.layers.iter();
    let mut rows = Vec::new();
    for step in &config.history {
        let layer = if step.empty_layer { None } else { layers.next() };
        let bytes = match layer {
            Some(layer) => layer_size(store, layer)?,
            None => 0,
        };
        let created = step.created.as_deref().and_then(|text| time::parse(text, 0)).unwrap_or(0);
        // Whole seconds, as docker has them.
        let created = created - created.rem_euclid(1_000_000_000);
        let by =
            if full { step.created_by.clone() } else { table::ellipsis(&step.created_by, COMMAND_WIDTH) };
        rows.push(json!({
            "ID": "<missing>",
            "CreatedSince": if human { images::ago(created) } else { time::rfc3339(created) },
            "CreatedAt": time::rfc3339(created),
            "CreatedBy": by,
            "Size": if human { size::decimal(bytes) } else { bytes.to_string() },
            "Comment": step.comment,
        }));
    }
    rows.reverse();
    if let Some(first) = rows.first_mut() {
        first["ID"] = Value::from(images::id(&image.record.config, full));
    }
    Ok(rows)
}
