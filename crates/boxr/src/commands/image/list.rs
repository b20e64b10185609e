//! `boxr images`

use boxr_image::digest::Digest;
use boxr_image::oci::ImageConfig;
use boxr_image::reference::Reference;
use boxr_image::store::Store;
use serde_json::{Value, json};

use crate::cli::Invocation;
use crate::format::listing::{Header, Listing};
use crate::format::template::Object;
use crate::format::{size, time};
use crate::images::{self, Image};
use crate::report::{Report, write_stdout};

const STANDARD: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const WITH_DIGESTS: &str = "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
/// What stands for no name and no tag.
const NONE: &str = "<none>";

const HEADERS: &[Header] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
];

/// An image with what a listing needs of it.
struct Known {
    image: Image,
    config: ImageConfig,
    created: i64,
    size: u64,
}

/// Carries out `boxr images`.
///
/// # Errors
/// A filter or template that cannot be used; a store that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = images::open_store(&invocation.globals)?;
    let filters = Filters::read(&invocation, &store)?;
    let format = invocation.value("format");
    let quiet = invocation.switch("quiet") && matches!(format, None | Some("table"));
    let standard = if invocation.switch("digests") { WITH_DIGESTS } else { STANDARD };
    let listing = Listing::new(if quiet { Some("{{.ID}}") } else { format }, standard, HEADERS)?;
    let listing = if invocation.switch("noheading") { listing.without_heading() } else { listing };
    let mut known = Vec::new();
    for image in images::all(&store)? {
        let (config, _) = images::config(&store, &image.record)?;
        let (created, size) = (images::created(&config), images::size(&store, &image.record)?);
        known.push(Known { image, config, created, size });
    }
    // The newest first.
    known.sort_by_key(|known| std::cmp::Reverse(known.created));
    if invocation.value("sort") == Some("size") {
        known.sort_by_key(|known| known.size);
    }
    known.retain(|known| filters.accept(known));
    let sort = sorting(&invocation)?;
    let mut rows: Vec<Value> =
        known.iter().flat_map(|known| rows(known, &filters, invocation.switch("no-trunc"))).collect();
    if let Some(field) = sort {
        rows.sort_by(|one, other| one[field].as_str().cmp(&other[field].as_str()));
    }
    if quiet {
        rows.dedup_by(|one, other| one["ID"] == other["ID"]);
    }
    write_stdout(&listing.render(rows.iter().map(|row| row as &dyn Object))?)?;
    Ok(0)
}

/// The field that rows are sorted by; none: the newest first.
fn sorting(invocation: &Invocation) -> Result<Option<&'static str>, Report> {
    Ok(match invocation.value("sort") {
        None | Some("created" | "size") => None,
        Some("id") => Some("ID"),
        Some("repository") => Some("Repository"),
        Some("tag") => Some("Tag"),
        Some(other) => {
            return Err(invocation.bad_value("sort", other, "created, id, repository, size or tag"));
        }
    })
}

/// A row for each name.
fn rows(known: &Known, filters: &Filters, full: bool) -> Vec<Value> {
    let record = &known.image.record;
    let digest = |name: &Reference| {
        let same = |source: &&Reference| {
            (source.registry(), source.repository()) == (name.registry(), name.repository())
        };
        record.sources.iter().find(same).and_then(Reference::digest).map(ToString::to_string)
    };
    let row = |repository: String, tag: &str, digest: Option<String>| {
        json!({
            "ID": images::id(&record.config, full),
            "Repository": repository,
            "Tag": tag,
            "Digest": digest.unwrap_or_else(|| NONE.to_owned()),
            "CreatedSince": images::ago(known.created),
            "CreatedAt": time::go_time(known.created),
            "Size": size::decimal(known.size),
            "VirtualSize": size::decimal(known.size),
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
            "Containers": "N/A",
        })
    };
    let names = known.image.names.iter().filter(|name| filters.wants_name(name));
    let mut rows: Vec<Value> =
        names.map(|name| row(name.familiar_name(), name.tag().unwrap_or(NONE), digest(name))).collect();
    if known.image.names.is_empty() {
        // One that came by its digest is still known by where it came from.
        let source = record.sources.first();
        let repository = source.map_or_else(|| NONE.to_owned(), Reference::familiar_name);
        rows.push(row(repository, NONE, source.and_then(digest)));
    }
    rows
}

/// What is left of a listing; all conditions must hold.
#[derive(Debug, Default)]
struct Filters {
    dangling: Option<bool>,
    references: Vec<String>,
    labels: Vec<(String, Option<String>)>,
    before: Option<i64>,
    since: Option<i64>,
    until: Option<i64>,
    ids: Vec<String>,
    /// Whether a container has it, and those that one has.
    containers: Option<(bool, Vec<Digest>)>,
}

impl Filters {
    fn read(invocation: &Invocation, store: &Store) -> Result<Self, Report> {
        let mut filters = Self::default();
        filters.references.extend(invocation.positionals().first().cloned());
        for text in invocation.values("filter") {
            let bad = |reason: &str| {
                Report::new(format!("--filter {text}: {reason}"))
                    .detail("filters: dangling=true|false containers=true|false id=ID reference=PATTERN label=KEY[=VALUE] before=IMAGE since=IMAGE until=TIME")
            };
            let (key, value) = text.split_once('=').ok_or_else(|| bad("it takes KEY=VALUE"))?;
            match key {
                "dangling" => filters.dangling = Some(value.parse().map_err(|_| bad("not true or false"))?),
                "reference" => filters.references.push(value.to_owned()),
                "label" => filters.labels.push(match value.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (value.to_owned(), None),
                }),
                "id" => filters.ids.push(value.trim_start_matches("sha256:").to_owned()),
                "containers" => {
                    let wanted = value.parse().map_err(|_| bad("not true or false"))?;
                    let held = store.holds()?.into_iter().map(|(_, manifest)| manifest);
                    filters.containers = Some((wanted, held.collect()));
                }
                // podman's word for since.
                "before" | "since" | "after" => {
                    let (image, _) = images::find(store, invocation, value)?;
                    let created = images::created(&images::config(store, &image.record)?.0);
                    *(if key == "before" { &mut filters.before } else { &mut filters.since }) = Some(created);
                }
                "until" => {
                    let then = time::parse(value, time::now());
                    filters.until = Some(then.ok_or_else(|| bad(&format!("not {}", time::ACCEPTED)))?);
                }
                _ => return Err(bad("no such filter")),
            }
        }
        Ok(filters)
    }

    fn accept(&self, known: &Known) -> bool {
        let names = &known.image.names;
        let labels = &known.config.config.labels;
        let has = |key: &String, value: &Option<String>| {
            labels.get(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        self.dangling.is_none_or(|dangling| dangling == names.is_empty())
            && (self.references.is_empty() || names.iter().any(|name| self.wants_name(name)))
            && self.labels.iter().all(|(key, value)| has(key, value))
            && (self.ids.is_empty()
                || self.ids.iter().any(|id| known.image.record.config.hex().starts_with(id.as_str())))
            && self
                .containers
                .as_ref()
                .is_none_or(|(wanted, held)| *wanted == held.contains(&known.image.record.manifest))
            && self.before.is_none_or(|before| known.created < before)
            && self.since.is_none_or(|since| known.created > since)
            && self.until.is_none_or(|until| known.created < until)
    }

    /// A pattern stands for a name or, without a tag, for all tags of one.
    fn wants_name(&self, name: &Reference) -> bool {
        let matches = |pattern: &String| {
            let full = format!("{}/{}", name.registry(), name.repository());
            let with_tag = |text: &str| format!("{text}:{}", name.tag().unwrap_or(NONE));
            let names = [name.familiar_name(), full];
            names.iter().any(|name| glob(pattern, name) || glob(pattern, &with_tag(name)))
        };
        self.references.is_empty() || self.references.iter().any(matches)
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for anything within a part and `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern_rest, mut text_rest) = (pattern.chars(), text.chars());
    match (pattern_rest.next(), text_rest.next()) {
        (None, None) => true,
        (Some('*'), next) => {
            glob(pattern_rest.as_str(), text)
                || next.is_some_and(|next| next != '/') && glob(pattern, text_rest.as_str())
        }
        (Some('?'), Some(next)) => next != '/' && glob(pattern_rest.as_str(), text_rest.as_str()),
        (Some(one), Some(other)) if one == other => glob(pattern_rest.as_str(), text_rest.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_parts() {
        for (pattern, text, expected) in [
            ("alpine", "alpine", true),
            ("al*", "alpine", true),
            ("al*", "alp/ine", false),
            ("*/ine", "alp/ine", true),
            ("a?pine:*", "alpine:3.20", true),
            ("a*c*e", "abcde", true),
            ("alpine", "alpine:1", false),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
