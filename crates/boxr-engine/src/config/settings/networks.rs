//! How modes of namespaces, networks and their addresses are read.

use boxr_sys::namespace::NamespaceKind;

use crate::config::grammar::{self, NetworkSaid};
use crate::config::raw::RawRun;
use crate::config::value::{Base, Invalid, Node, Value};
use crate::options::NamespaceMode;

/// A mode of a namespace.
pub(super) fn namespace(
    raw: &mut RawRun,
    node: &Node,
    base: &Base,
    kind: NamespaceKind,
) -> Result<(), Invalid> {
    let mode = match &node.value {
        Value::Bool(true) => NamespaceMode::New,
        Value::Bool(false) => NamespaceMode::Host,
        Value::Text(text) | Value::Word(text) => grammar::mode(kind, text, base)?,
        _ => return Err(node.wrong_type("true, false or a string")),
    };
    raw.set_namespace(kind, mode);
    Ok(())
}

/// As docker and podman have it: neither `host` nor `none` goes with a network.
const NETWORKS_ONLY: &str = "it cannot stand beside another network";

/// A mode, or a network; several networks one after the other.
pub(super) fn network(raw: &mut RawRun, node: &Node, base: &Base) -> Result<(), Invalid> {
    let is_said = raw.namespace(NamespaceKind::Network).is_some();
    let is_on_networks = !raw.networks.is_empty();
    match &node.value {
        Value::Bool(_) => namespace(raw, node, base, NamespaceKind::Network),
        Value::Text(text) | Value::Word(text) => match grammar::network_mode(text, base)? {
            NetworkSaid::Mode(_) if is_on_networks => Err(node.invalid(NETWORKS_ONLY)),
            NetworkSaid::Use(_) if is_said && !is_on_networks => Err(node.invalid(NETWORKS_ONLY)),
            NetworkSaid::Mode(mode) => {
                raw.set_namespace(NamespaceKind::Network, mode);
                Ok(())
            }
            NetworkSaid::Use(network) => {
                raw.add_network(network);
                Ok(())
            }
        },
        _ => {
            let networks = node.each(|node| match grammar::network_mode(node.text()?, base)? {
                NetworkSaid::Use(network) => Ok(network),
                NetworkSaid::Mode(_) => Err(node.invalid("several are networks, not modes")),
            })?;
            networks.into_iter().for_each(|network| raw.add_network(network));
            Ok(())
        }
    }
}

/// An address of a box's.
pub(super) fn ip(text: &str) -> Result<std::net::IpAddr, Invalid> {
    text.parse().map_err(|_| Invalid::new(text, "not an IP address"))
}

/// A value that boxr-network reads.
pub(super) fn parsed<T: std::str::FromStr<Err = boxr_network::Error>>(text: &str) -> Result<T, Invalid> {
    text.parse().map_err(|error| grammar::invalid_network(text, error))
}
