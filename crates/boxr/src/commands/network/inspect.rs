//! `boxr network inspect`

use boxr_network::{Attachment, DEFAULT, Definition};
use serde_json::{Map, Value, json};

use super::failed;
use crate::boxes;
use crate::cli::{Globals, Invocation};
use crate::commands::inspect::Shown;
use crate::format::time;
use crate::report::Report;

/// Carries out `boxr network inspect`: those that are there are printed, whatever is wrong with others.
///
/// # Errors
/// A template that cannot be used; records that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let shown = Shown::read(&invocation)?;
    let mut views = Vec::new();
    let status = boxes::for_each(invocation.positionals(), |word| {
        views.push(of_name(&invocation.globals, word)?);
        Ok(())
    })?;
    shown.print(&views)?;
    Ok(status)
}

/// The view of the network of this name or id.
///
/// # Errors
/// There is none; records that cannot be read.
pub fn of_name(globals: &Globals, word: &str) -> Result<Value, Report> {
    let store = boxes::open_store(globals)?;
    let networks = super::open(globals)?;
    boxr_engine::network::look_after(&store).map_err(failed)?;
    let mut attachments = networks.attachments().map_err(failed)?;
    attachments.retain(|attachment| store.is_living(&attachment.id));
    // The default one is not made only to be looked at.
    let known = networks.list().map_err(failed)?.into_iter().find(|network| network.name == word);
    let network = match known {
        Some(network) => network,
        None => networks.find(word).map_err(failed)?,
    };
    Ok(view(&network, &attachments))
}

/// Carries out `boxr network exists`: 0 or 1, and nothing printed.
///
/// # Errors
/// Records that cannot be read.
pub fn exists(invocation: Invocation) -> Result<u8, Report> {
    let networks = super::open(&invocation.globals)?;
    // The default one is not made only to be asked for.
    if networks.list().map_err(failed)?.iter().any(|network| network.name == invocation.first()) {
        return Ok(0);
    }
    match networks.find(invocation.first()) {
        Ok(_) => Ok(0),
        Err(boxr_network::Error::NoNetwork { .. }) => Ok(1),
        Err(error) => Err(failed(error)),
    }
}

/// docker's keys.
fn view(network: &Definition, attachments: &[Attachment]) -> Value {
    let pools = network.pools.iter().map(|pool| {
        let mut config = Map::from_iter([("Subnet".to_owned(), json!(pool.subnet))]);
        config.extend(pool.range.map(|range| ("IPRange".to_owned(), json!(range))));
        config.extend(pool.gateway.map(|gateway| ("Gateway".to_owned(), json!(gateway))));
        Value::Object(config)
    });
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": time::rfc3339(network.created),
        "Scope": "local",
        "Driver": network.driver.name(),
        "EnableIPv6": network.has_ipv6(),
        "IPAM": { "Driver": "default", "Options": {}, "Config": pools.collect::<Vec<_>>() },
        "Internal": network.internal,
        "Interface": network.interface,
        "Containers": containers(network, attachments),
        "Options": network.said,
        "Labels": network.labels,
    })
}

fn containers(network: &Definition, attachments: &[Attachment]) -> Map<String, Value> {
    let mut found = Map::new();
    for attachment in attachments {
        let endpoint = attachment.endpoints.iter().find(|endpoint| endpoint.network == network.name);
        let address = |ipv6: bool| {
            let of = |endpoint: &boxr_network::Endpoint| {
                endpoint.addresses.iter().find(|(address, _)| address.is_ipv6() == ipv6).copied()
            };
            endpoint.and_then(of).map(|(address, prefix)| format!("{address}/{prefix}")).unwrap_or_default()
        };
        if endpoint.is_some() || attachment.helped && network.name == DEFAULT {
            let mac =
                endpoint.and_then(|endpoint| endpoint.mac).map(|mac| mac.to_string()).unwrap_or_default();
            let value = json!({
                "Name": attachment.name,
                "MacAddress": mac,
                "IPv4Address": address(false),
                "IPv6Address": address(true),
            });
            found.insert(attachment.id.clone(), value);
        }
    }
    found
}
