//! `NetworkSettings`, in docker's keys.

use boxr_network::{Attachment, Endpoint};
use serde_json::{Map, Value, json};

use crate::commands::port;

/// What a box has of networks now.
pub(super) fn settings(attachment: Option<&Attachment>) -> Value {
    let endpoints = attachment.map(|attachment| attachment.endpoints.as_slice()).unwrap_or_default();
    let first = endpoints.first();
    let mut ports: Map<String, Value> = Map::new();
    for published in attachment.iter().flat_map(|attachment| &attachment.published) {
        let key = format!("{}/{}", published.container, published.protocol.name());
        let bindings = ports.entry(key).or_insert_with(|| json!([]));
        for address in port::addresses(attachment, published) {
            let (ip, port) = address.rsplit_once(':').unwrap_or_default();
            let binding = json!({ "HostIp": ip.trim_matches(['[', ']']), "HostPort": port });
            bindings.as_array_mut().into_iter().for_each(|bindings| bindings.push(binding.clone()));
        }
    }
    let networks: Map<String, Value> =
        endpoints.iter().map(|endpoint| (endpoint.network.clone(), network(endpoint))).collect();
    json!({
        "IPAddress": text(first.and_then(|endpoint| endpoint.address(false))),
        "GlobalIPv6Address": text(first.and_then(|endpoint| endpoint.address(true))),
        "Gateway": text(first.and_then(|endpoint| endpoint.gateways.iter().find(|gateway| gateway.is_ipv4()))),
        "MacAddress": text(first.and_then(|endpoint| endpoint.mac)),
        "Ports": ports,
        "Networks": networks,
    })
}

fn network(endpoint: &Endpoint) -> Value {
    let prefix = |ipv6: bool| {
        let found = endpoint.addresses.iter().find(|(address, _)| address.is_ipv6() == ipv6);
        found.map_or(0, |(_, prefix)| *prefix)
    };
    let gateway = |ipv6: bool| text(endpoint.gateways.iter().find(|gateway| gateway.is_ipv6() == ipv6));
    json!({
        "IPAddress": text(endpoint.address(false)),
        "IPPrefixLen": prefix(false),
        "Gateway": gateway(false),
        "GlobalIPv6Address": text(endpoint.address(true)),
        "GlobalIPv6PrefixLen": prefix(true),
        "IPv6Gateway": gateway(true),
        "MacAddress": text(endpoint.mac),
        "Aliases": endpoint.aliases,
        "Interface": endpoint.inside,
    })
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
