//! `boxr network ls`

use std::collections::BTreeSet;

use boxr_network::{DEFAULT, Definition, short};
use serde_json::{Value, json};

use super::failed;
use crate::boxes;
use crate::cli::Invocation;
use crate::commands::prune;
use crate::format::listing::{Header, Listing};
use crate::format::template::Object;
use crate::format::time;
use crate::report::{Report, write_stdout};

const STANDARD: &str = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";

const HEADERS: &[Header] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

/// Carries out `boxr network ls`.
///
/// # Errors
/// A filter or template that cannot be used; a record that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let filters = Filters::read(&invocation)?;
    let format = invocation.value("format");
    let quiet = invocation.switch("quiet") && matches!(format, None | Some("table"));
    let listing = Listing::new(if quiet { Some("{{.ID}}") } else { format }, STANDARD, HEADERS)?;
    let listing = if invocation.switch("noheading") { listing.without_heading() } else { listing };
    let store = boxes::open_store(&invocation.globals)?;
    boxr_engine::network::look_after(&store).map_err(failed)?;
    let mut networks = super::open(&invocation.globals)?.list().map_err(failed)?;
    let wanted = if filters.dangling.is_some() { super::wanted(&store)? } else { BTreeSet::new() };
    networks.retain(|network| filters.accept(network, &wanted));
    networks.sort_by(|one, other| one.name.cmp(&other.name));
    let full = invocation.switch("no-trunc");
    let rows: Vec<Value> = networks.iter().map(|network| row(network, full)).collect();
    write_stdout(&listing.render(rows.iter().map(|row| row as &dyn Object))?)?;
    Ok(0)
}

fn row(network: &Definition, full: bool) -> Value {
    let labels: Vec<String> = network.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    json!({
        "ID": if full { &network.id } else { short(&network.id) },
        "Name": network.name,
        "Driver": network.driver.name(),
        "Scope": "local",
        "IPv6": network.has_ipv6().to_string(),
        "Internal": network.internal.to_string(),
        "Labels": labels.join(","),
        "CreatedAt": time::go_time(network.created),
    })
}

/// What networks must be.
#[derive(Debug, Default)]
struct Filters {
    /// Keys and values; values of one key are alternatives.
    pairs: Vec<(String, String)>,
    /// Those of which each must hold.
    all: prune::Filters,
    /// Whether boxes have it, or no box does.
    dangling: Option<bool>,
}

/// Networks that boxr provides.
const BUILT_IN: [&str; 3] = [DEFAULT, "host", "none"];

impl Filters {
    fn read(invocation: &Invocation) -> Result<Self, Report> {
        let mut filters = Self::default();
        let mut all = Vec::new();
        for text in invocation.values("filter") {
            match text.split_once('=') {
                Some((key @ ("driver" | "id" | "name"), value))
                | Some((key @ "scope", value @ ("local" | "swarm" | "global")))
                | Some((key @ "type", value @ ("builtin" | "custom"))) => {
                    filters.pairs.push((key.to_owned(), value.to_owned()));
                }
                Some(("dangling", value @ ("true" | "false" | "1" | "0"))) => {
                    filters.dangling = Some(matches!(value, "true" | "1"));
                }
                Some(("until" | "label" | "label!", _)) => all.push(text),
                _ => {
                    return Err(Report::new(format!("--filter {text}: no such filter")).detail(
                        "filters: dangling=true|false driver=DRIVER id=PREFIX label=KEY[=VALUE] label!=KEY[=VALUE] name=PART \
                         scope=local type=builtin|custom until=TIME",
                    ));
                }
            }
        }
        filters.all = prune::Filters::read(all.into_iter(), time::now())?;
        Ok(filters)
    }

    fn accept(&self, network: &Definition, wanted: &BTreeSet<String>) -> bool {
        let holds = |(key, value): &(String, String)| match key.as_str() {
            "driver" => network.driver.name() == value,
            "id" => network.id.starts_with(value),
            "scope" => value == "local",
            "type" => (value == "builtin") == BUILT_IN.contains(&network.name.as_str()),
            _ => network.name.contains(value),
        };
        let is_dangling = || !wanted.contains(&network.name) && !BUILT_IN.contains(&network.name.as_str());
        self.pairs.iter().all(|(key, _)| self.pairs.iter().filter(|(other, _)| other == key).any(holds))
            && self.all.accepts(network.created, &network.labels)
            && self.dangling.is_none_or(|dangling| dangling == is_dangling())
    }
}
