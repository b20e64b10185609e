//! `boxr network ls`

use boxr_network::{Definition, short};
use serde_json::{Value, json};

use super::failed;
use crate::boxes;
use crate::cli::Invocation;
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
    let filters = filters(&invocation)?;
    let format = invocation.value("format");
    let quiet = invocation.switch("quiet") && matches!(format, None | Some("table"));
    let listing = Listing::new(if quiet { Some("{{.ID}}") } else { format }, STANDARD, HEADERS)?;
    boxr_engine::network::look_after(&boxes::open_store(&invocation.globals)?).map_err(failed)?;
    let mut networks = super::open(&invocation.globals)?.list().map_err(failed)?;
    networks.retain(|network| accepts(&filters, network));
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

/// Keys and values; values of one key are alternatives.
fn filters(invocation: &Invocation) -> Result<Vec<(String, String)>, Report> {
    let read = |text: &str| match text.split_once('=') {
        Some((key @ ("driver" | "id" | "label" | "name"), value)) => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Report::new(format!("--filter {text}: no such filter"))
            .detail("filters: driver=DRIVER id=PREFIX label=KEY[=VALUE] name=PART")),
    };
    invocation.values("filter").map(read).collect()
}

fn accepts(filters: &[(String, String)], network: &Definition) -> bool {
    let holds = |(key, value): &(String, String)| match key.as_str() {
        "driver" => network.driver.name() == value,
        "id" => network.id.starts_with(value),
        "name" => network.name.contains(value),
        _ => match value.split_once('=') {
            Some((key, value)) => network.labels.get(key).is_some_and(|found| found == value),
            None => network.labels.contains_key(value),
        },
    };
    filters.iter().all(|(key, _)| filters.iter().filter(|(other, _)| other == key).any(holds))
}
