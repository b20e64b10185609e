//! `boxr volume ls`

use boxr_engine::volume::Volume;
use serde_json::{Value, json};

use super::filters::Filters;
use crate::boxes;
use crate::cli::Invocation;
use crate::format::listing::{Header, Listing};
use crate::format::template::Object;
use crate::report::{Report, write_stdout};

const STANDARD: &str = "{{.Driver}}\t{{.Name}}";

const HEADERS: &[Header] = &[
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
];

/// Carries out `boxr volume ls`.
///
/// # Errors
/// A filter or template that cannot be used; a directory that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let known =
        ["dangling=true|false", "driver=local", "label=KEY[=VALUE]", "label!=KEY[=VALUE]", "name=PART"];
    let filters = Filters::read(invocation.values("filter"), &known)?;
    let format = invocation.value("format");
    let quiet = invocation.switch("quiet") && matches!(format, None | Some("table"));
    let listing = Listing::new(if quiet { Some("{{.Name}}") } else { format }, STANDARD, HEADERS)?;
    let listing = if invocation.switch("noheading") { listing.without_heading() } else { listing };
    let store = boxes::open_store(&invocation.globals)?;
    let volumes = super::open(&invocation.globals)?;
    let (known, status) = super::all(&volumes)?;
    let mut rows = Vec::new();
    for volume in known {
        let users = super::users(&store, &volumes, &volume.name)?;
        if filters.accept(&volume, || Ok(!users.is_empty()))? {
            rows.push(row(&volume, &volumes.data(&volume.name).display().to_string(), users.len()));
        }
    }
    write_stdout(&listing.render(rows.iter().map(|row| row as &dyn Object))?)?;
    Ok(status)
}

fn row(volume: &Volume, mountpoint: &str, links: usize) -> Value {
    let labels: Vec<String> = volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    json!({
        "Driver": "local",
        "Name": volume.name,
        "Scope": "local",
        "Mountpoint": mountpoint,
        "Labels": labels.join(","),
        "Links": links.to_string(),
    })
}
