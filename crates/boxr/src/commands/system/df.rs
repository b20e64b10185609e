//! `boxr system df`: what boxr keeps on disk, in allocated bytes, which are those of du(1).

use std::collections::{HashMap, HashSet};

use boxr_engine::disk::{BoxUsage, Usage};
use boxr_engine::paths::Paths;
use boxr_engine::record::State;
use boxr_engine::store::{Contents, Observed};
use boxr_engine::volume::Volumes;
use boxr_image::digest::Digest;
use boxr_image::store::Store as Images;
use serde_json::{Value, json};

use crate::boxes;
use crate::cli::Invocation;
use crate::format::listing::{Header, Listing};
use crate::format::template::Object;
use crate::format::{condition, size, table};
use crate::images::{self, Image};
use crate::report::{Report, write_stdout};

const STANDARD: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const HEADERS: &[Header] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
    ("SizeBytes", "BYTES"),
    ("ReclaimableBytes", "RECLAIMABLE BYTES"),
];

/// A box, as far as df is concerned.
struct Known {
    state: Box<State>,
    observed: Observed,
}

/// All that is there, and who uses it.
struct Facts {
    usage: Usage,
    boxes: Vec<Known>,
    images: Vec<Image>,
    /// Boxes by the manifest of their image.
    held: HashMap<Digest, usize>,
    /// Boxes by volume.
    links: HashMap<String, usize>,
}

/// Carries out `boxr system df`.
///
/// # Errors
/// A template that cannot be used; a store that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let facts = facts(&invocation)?;
    let format = invocation.value("format");
    let text = match (invocation.switch("verbose"), format) {
        (true, Some("json")) => format!("{}\n", verbose(&facts)?),
        (true, None) => tables(&verbose(&facts)?),
        (true, Some(_)) => {
            return Err(Report::new("boxr system df: --verbose has no --format but json"));
        }
        (false, format) => {
            let listing = Listing::new(format, STANDARD, HEADERS)?;
            let rows = summary(&facts);
            listing.render(rows.iter().map(|row| row as &dyn Object))?
        }
    };
    if facts.usage.unreadable > 0 {
        let text = format!("{} directories cannot be read, and count nothing", facts.usage.unreadable);
        Report::new(text).print();
    }
    write_stdout(&text)?;
    Ok(u8::from(facts.usage.unreadable > 0))
}

fn facts(invocation: &Invocation) -> Result<Facts, Report> {
    let globals = &invocation.globals;
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    let store = boxes::open_store(globals)?;
    let mut known = Vec::new();
    for entry in store.list()? {
        if let Contents::Known { state, observed } = entry.contents {
            known.push(Known { state, observed });
        }
    }
    let volumes = Volumes::open(&paths)?;
    let mut links = HashMap::new();
    for name in volumes.names()? {
        links.insert(name.as_str().to_owned(), volumes.users(&name)?.len());
    }
    let images: Images = images::open_store_with_ids(globals)?;
    let mut held: HashMap<Digest, usize> = HashMap::new();
    for (holder, manifest) in images.holds()? {
        let id = boxr_engine::image::mounted::box_of(&holder);
        if known.iter().any(|known| known.state.id == id) {
            *held.entry(manifest).or_default() += 1;
        }
    }
    let usage = Usage::of(&paths, &images)?;
    Ok(Facts { usage, boxes: known, images: images::all(&images)?, held, links })
}

/// One line of the summary.
struct Line {
    kind: &'static str,
    total: usize,
    active: usize,
    bytes: u64,
    reclaimable: u64,
}

fn summary(facts: &Facts) -> Vec<Value> {
    let usage = &facts.usage;
    let is_up =
        |id: &str| facts.boxes.iter().any(|known| known.state.id == id && condition::is_up(known.observed));
    let up = facts.boxes.iter().filter(|known| condition::is_up(known.observed)).count();
    let of_boxes = |part: fn(&BoxUsage) -> u64| {
        let idle = usage.boxes.iter().filter(|(id, _)| !is_up(id)).map(|(_, one)| part(one)).sum();
        (usage.boxes.values().map(part).sum(), idle)
    };
    let ((rest, idle), (logs, idle_logs)) = (of_boxes(|one| one.rest), of_boxes(|one| one.logs));
    let with_logs = |up_only: bool| {
        usage.boxes.iter().filter(|(id, one)| one.logs > 0 && (!up_only || is_up(id))).count()
    };
    let in_use: HashSet<&Digest> = facts
        .images
        .iter()
        .filter(|image| facts.held.contains_key(&image.record.manifest))
        .flat_map(parts)
        .collect();
    let content: u64 = usage.content.values().sum();
    let needed: u64 =
        usage.content.iter().filter(|(digest, _)| in_use.contains(digest)).map(|(_, bytes)| bytes).sum();
    let linked = |name: &String| facts.links.get(name).is_some_and(|links| *links > 0);
    let unused: u64 = usage.volumes.iter().filter(|(name, _)| !linked(name)).map(|(_, bytes)| bytes).sum();
    let held = facts.images.iter().filter(|image| facts.held.contains_key(&image.record.manifest)).count();
    let orphaned = |all: bool| -> u64 {
        usage.orphans.iter().filter(|orphan| all || orphan.removed_by_prune).map(|orphan| orphan.bytes).sum()
    };
    let used_volumes = usage.volumes.keys().filter(|name| linked(name)).count();
    let line = |kind, total, active, bytes, reclaimable| Line { kind, total, active, bytes, reclaimable };
    [
        line("Images", facts.images.len(), held, content, content - needed),
        line("Containers", facts.boxes.len(), up, rest, idle),
        line("Local Volumes", usage.volumes.len(), used_volumes, usage.volumes.values().sum(), unused),
        line("Logs", with_logs(false), with_logs(true), logs, idle_logs),
        line("Orphans", usage.orphans.len(), 0, orphaned(true), orphaned(false)),
        line("Records", 1, 1, usage.records, 0),
    ]
    .iter()
    .map(row)
    .collect()
}

fn row(line: &Line) -> Value {
    let share = (u128::from(line.reclaimable) * 100).checked_div(u128::from(line.bytes)).unwrap_or(0);
    json!({
        "Type": line.kind,
        "TotalCount": line.total.to_string(),
        "Active": line.active.to_string(),
        "Size": size::decimal_precise(line.bytes),
        "Reclaimable": format!("{} ({share}%)", size::decimal_precise(line.reclaimable)),
        "SizeBytes": line.bytes,
        "ReclaimableBytes": line.reclaimable,
    })
}

/// The content that an image needs.
fn parts(image: &Image) -> impl Iterator<Item = &Digest> {
    let record = &image.record;
    let layers = record.layers.iter().map(|layer| &layer.diff_id);
    layers.chain(record.blobs()).collect::<HashSet<_>>().into_iter()
}

/// Everything one by one, under docker's keys.
fn verbose(facts: &Facts) -> Result<Value, Report> {
    let mut users: HashMap<&Digest, usize> = HashMap::new();
    facts.images.iter().flat_map(parts).for_each(|digest| *users.entry(digest).or_default() += 1);
    let mut all_images = Vec::new();
    for image in &facts.images {
        let bytes = |shared: bool| -> u64 {
            let wanted =
                parts(image).filter(|digest| (users.get(digest).copied().unwrap_or(0) > 1) == shared);
            wanted.filter_map(|digest| facts.usage.content.get(digest)).sum()
        };
        let (shared, unique) = (bytes(true), bytes(false));
        let name = image.names.first();
        all_images.push(json!({
            "Repository": name.map_or_else(|| "<none>".to_owned(), |name| name.familiar_name()),
            "Tag": name.and_then(|name| name.tag()).unwrap_or("<none>"),
            "ID": image.record.config.short(),
            "Size": size::decimal(shared + unique),
            "SharedSize": size::decimal(shared),
            "UniqueSize": size::decimal(unique),
            "SizeBytes": shared + unique,
            "Containers": facts.held.get(&image.record.manifest).copied().unwrap_or(0).to_string(),
        }));
    }
    let all_boxes = facts.boxes.iter().map(|known| {
        let usage = facts.usage.boxes.get(&known.state.id).copied().unwrap_or_default();
        json!({
            "ID": known.state.id.get(..12).unwrap_or(&known.state.id),
            "Image": known.state.image,
            "Command": format!("{:?}", table::ellipsis(&known.state.command, 20)),
            "Size": size::decimal(usage.rest),
            "Logs": size::decimal(usage.logs),
            "SizeBytes": usage.rest,
            "LogBytes": usage.logs,
            "Status": condition::state(known.observed),
            "Names": known.state.name,
        })
    });
    let mut volumes: Vec<_> = facts.usage.volumes.iter().collect();
    volumes.sort();
    let volumes = volumes.into_iter().map(|(name, bytes)| {
        let links = facts.links.get(name).copied().unwrap_or(0).to_string();
        json!({"Name": name, "Links": links, "Size": size::decimal(*bytes), "SizeBytes": bytes})
    });
    let orphans = facts.usage.orphans.iter().map(|orphan| {
        json!({
            "Path": orphan.path.display().to_string(),
            "Size": size::decimal(orphan.bytes),
            "SizeBytes": orphan.bytes,
            "Why": orphan.why,
            "Remedy": if orphan.removed_by_prune { "boxr system prune" } else { "look at it, and remove it" },
        })
    });
    Ok(json!({
        "Images": all_images,
        "Containers": all_boxes.collect::<Vec<_>>(),
        "Volumes": volumes.collect::<Vec<_>>(),
        "Orphans": orphans.collect::<Vec<_>>(),
        "RecordBytes": facts.usage.records,
        "TotalBytes": facts.usage.total(),
    }))
}

/// The key of a list, its heading, and its columns: keys and headings.
type Table = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const TABLES: &[Table] = &[
    (
        "Images",
        "Images",
        &[
            ("Repository", "REPOSITORY"),
            ("Tag", "TAG"),
            ("ID", "IMAGE ID"),
            ("Size", "SIZE"),
            ("SharedSize", "SHARED SIZE"),
            ("UniqueSize", "UNIQUE SIZE"),
            ("Containers", "CONTAINERS"),
        ],
    ),
    (
        "Containers",
        "Containers",
        &[
            ("ID", "CONTAINER ID"),
            ("Image", "IMAGE"),
            ("Command", "COMMAND"),
            ("Size", "SIZE"),
            ("Logs", "LOGS"),
            ("Status", "STATUS"),
            ("Names", "NAMES"),
        ],
    ),
    ("Volumes", "Local Volumes", &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")]),
    ("Orphans", "Orphans", &[("Path", "PATH"), ("Size", "SIZE"), ("Why", "WHY"), ("Remedy", "REMEDY")]),
];

fn tables(all: &Value) -> String {
    let mut text = String::new();
    for (key, title, columns) in TABLES {
        text.push_str(&format!("{title} space usage:\n\n"));
        let mut lines = columns.iter().map(|(_, heading)| *heading).collect::<Vec<_>>().join("\t");
        for row in all[key].as_array().into_iter().flatten() {
            let cells: Vec<_> =
                columns.iter().map(|(key, _)| row[*key].as_str().unwrap_or_default()).collect();
            lines.push_str(&format!("\n{}", cells.join("\t")));
        }
        text.push_str(&table::align(&lines));
        text.push('\n');
    }
    text
}
