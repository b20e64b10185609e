//! What was said about networks, put together.

use boxr_network::{DEFAULT, NetworkUse};
use boxr_sys::namespace::NamespaceKind;

use super::error::ConfigError;
use super::grammar::mode_text;
use super::raw::RawRun;
use super::resolve::conflict;
use crate::options::{NamespaceMode, Namespaces, NetworkOptions};

/// The networks of a box. A published port brings the default one with it.
///
/// # Errors
/// Something about networks where the box has none of its own.
pub(super) fn resolve(
    raw: &RawRun,
    namespaces: &mut Namespaces,
    is_image: bool,
    notes: &mut Vec<String>,
) -> Result<NetworkOptions, ConfigError> {
    if raw.pod.as_ref().is_some_and(|pod| pod.mode(NamespaceKind::Network).is_some()) {
        // It is the pod's.
        return Ok(with_names(raw, NetworkOptions::default()));
    }
    let mut networks = raw.networks.clone();
    let unsaid = raw.namespace(NamespaceKind::Network).is_none() && raw.share.is_none();
    if is_image && unsaid && networks.is_empty() && needs_network(raw).is_none() {
        match crate::network::why_none() {
            None => {
                namespaces.network = NamespaceMode::New;
                networks.push(NetworkUse { name: DEFAULT.to_owned(), ..NetworkUse::default() });
            }
            Some(why) => notes.push(format!(
                "the container shares the host's network: {why}\n  try: boxr doctor network; or --network host or none to say so"
            )),
        }
    }
    if let Some(flag) = needs_network(raw)
        && networks.is_empty()
    {
        if !unsaid {
            let mode = match (&namespaces.network, raw.share.as_deref()) {
                (NamespaceMode::New, _) => "none".to_owned(),
                (mode, _) => mode_text(mode),
            };
            let why = "the box has no network of boxr's to set it up on";
            return Err(conflict(flag, &format!("--network {mode}"), why, "--network bridge"));
        }
        namespaces.network = NamespaceMode::New;
        networks.push(NetworkUse { name: DEFAULT.to_owned(), ..NetworkUse::default() });
    }
    // A container of an image has files of its own about names, whatever its network.
    if !is_image && networks.is_empty() {
        let names = &raw.container;
        let said = [
            (&names.dns, "--dns"),
            (&names.dns_search, "--dns-search"),
            (&names.dns_options, "--dns-option"),
        ];
        if let Some((_, flag)) = said.iter().find(|(words, _)| !words.is_empty()) {
            let other = "a container of an image, or a network such as --network bridge";
            return Err(ConfigError::Needs { one: (*flag).to_owned(), other });
        }
    }
    if let Some(first) = networks.first_mut() {
        first.ip = raw.ip.or(first.ip);
        first.ip6 = raw.ip6.or(first.ip6);
        first.mac = raw.mac_address.or(first.mac);
        first.aliases.extend(raw.network_alias.iter().cloned());
    }
    let options = NetworkOptions {
        networks,
        publish: raw.publish.clone(),
        publish_all: raw.publish_all.unwrap_or(false),
        exposed: raw.expose.clone(),
        ..NetworkOptions::default()
    };
    Ok(with_names(raw, options))
}

/// With what was said of the names that the box looks up.
fn with_names(raw: &RawRun, options: NetworkOptions) -> NetworkOptions {
    NetworkOptions {
        dns: raw.container.dns.clone(),
        dns_search: raw.container.dns_search.clone(),
        dns_options: raw.container.dns_options.clone(),
        ..options
    }
}

/// The first flag that means nothing without a network.
pub(super) fn needs_network(raw: &RawRun) -> Option<&'static str> {
    let said = [
        (!raw.publish.is_empty(), "--publish"),
        (raw.publish_all == Some(true), "--publish-all"),
        (raw.ip.is_some(), "--ip"),
        (raw.ip6.is_some(), "--ip6"),
        (raw.mac_address.is_some(), "--mac-address"),
        (!raw.network_alias.is_empty(), "--network-alias"),
        (!raw.container.links.is_empty(), "--link"),
    ];
    said.into_iter().find(|(said, _)| *said).map(|(_, flag)| flag)
}
