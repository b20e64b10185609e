//! Networks: a mode, `NAME`, `NAME:ip=A,alias=B` (podman's) or `name=NAME,ip=A` (docker's).

use boxr_network::{HostLoopback, MacAddress, NetworkUse};
use boxr_sys::namespace::NamespaceKind;

use super::mode;
use crate::config::value::{Base, Invalid};
use crate::options::NamespaceMode;

/// What `--network` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkSaid {
    /// How the network namespace comes to be.
    Mode(NamespaceMode),
    /// A network.
    Use(NetworkUse),
}

/// Reads it: what is no mode of a namespace is the name of a network.
pub fn network_mode(text: &str, base: &Base) -> Result<NetworkSaid, Invalid> {
    let refused = match mode(NamespaceKind::Network, text, base) {
        Ok(mode) => return Ok(NetworkSaid::Mode(mode)),
        Err(refused) => refused,
    };
    if text.starts_with("name=") {
        return options(text, text).map(NetworkSaid::Use);
    }
    let (name, said) = text.split_once(':').unwrap_or((text, ""));
    let is_mode = matches!(name, "container" | "pid" | "id" | "ns" | "net" | "path");
    if name == "pasta" {
        let name = boxr_network::DEFAULT.to_owned();
        let network = NetworkUse { name, host_loopback: of_pasta(text, said)?, ..NetworkUse::default() };
        return Ok(NetworkSaid::Use(network));
    }
    if is_mode || crate::names::check(name).is_err() || name != text && !said.contains('=') {
        return Err(refused);
    }
    let mut network = options(text, said)?;
    network.name = match name {
        // docker's, podman's and the helpers' words for what boxr would take without being told.
        "default" | "slirp4netns" => boxr_network::DEFAULT.to_owned(),
        _ => name.to_owned(),
    };
    Ok(NetworkSaid::Use(network))
}

fn options(text: &str, said: &str) -> Result<NetworkUse, Invalid> {
    let mut network = NetworkUse::default();
    for part in said.split(',').filter(|part| !part.is_empty()) {
        let (key, value) =
            part.split_once('=').ok_or_else(|| Invalid::new(text, format!("{part} is not KEY=VALUE")))?;
        let address =
            || value.parse().map_err(|_| Invalid::new(text, format!("{value} is not an IP address")));
        match key {
            "name" => network.name = value.to_owned(),
            "ip" => network.ip = Some(address()?),
            "ip6" => network.ip6 = Some(address()?),
            "mac" | "mac-address" => {
                network.mac =
                    Some(value.parse::<MacAddress>().map_err(|error| invalid_network(text, error))?);
            }
            "alias" => network.aliases.push(super::hostname(value)?),
            "interface_name" | "interface" => network.interface = Some(value.to_owned()),
            "host_loopback" | "allow_host_loopback" => {
                network.host_loopback = match value {
                    "true" => Some(network.host_loopback.unwrap_or(HostLoopback::Usual)),
                    "false" => None,
                    _ => Some(with_address(text, network.host_loopback, value)?),
                };
            }
            _ => {
                let why = format!(
                    "{key} is no option of a network; there are ip, ip6, mac, alias, interface_name and \
                     host_loopback"
                );
                return Err(Invalid::new(text, why));
            }
        }
    }
    Ok(network)
}

/// What was said before, and one more address; of each kind of addresses there is one.
fn with_address(text: &str, before: Option<HostLoopback>, value: &str) -> Result<HostLoopback, Invalid> {
    let at: HostLoopback = value.parse().map_err(|error| invalid_network(text, error))?;
    Ok(before.map_or(at, |before| before.and(at)))
}

/// pasta's own words, as podman takes them: a comma comes between them.
fn of_pasta(text: &str, said: &str) -> Result<Option<HostLoopback>, Invalid> {
    let mut loopback = None;
    let mut words = said.split([',', '=']).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        loopback = match word {
            "--map-gw" => Some(loopback.unwrap_or(HostLoopback::Usual)),
            "--map-host-loopback" => match words.next() {
                Some("none") => None,
                Some(value) => Some(with_address(text, loopback, value)?),
                None => return Err(Invalid::new(text, "--map-host-loopback needs an address".to_owned())),
            },
            _ => {
                let why = format!(
                    "{word} is none of pasta's options that boxr takes: --map-host-loopback=ADDR and --map-gw; \
                     ports are published with -p"
                );
                return Err(Invalid::new(text, why));
            }
        };
    }
    Ok(loopback)
}

/// boxr-network's word on a value.
pub fn invalid_network(text: &str, error: boxr_network::Error) -> Invalid {
    match error {
        boxr_network::Error::Invalid { why, .. } => Invalid::new(text, why),
        other => Invalid::new(text, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn said(text: &str) -> Result<NetworkSaid, Invalid> {
        network_mode(text, &Base(PathBuf::from("/here")))
    }

    fn network(text: &str) -> NetworkUse {
        match said(text) {
            Ok(NetworkSaid::Use(network)) => network,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn modes_stay_modes() {
        for text in ["new", "none", "host", "container:web", "pid:7", "/run/netns/blue"] {
            assert!(matches!(said(text), Ok(NetworkSaid::Mode(_))), "{text}");
        }
    }

    #[test]
    fn a_network_has_options() {
        assert_eq!(network("bridge").name, "bridge");
        assert_eq!(network("pasta").name, "bridge");
        let both = network("blue:ip=10.5.0.9,mac=02:42:0a:05:00:09,alias=db,alias=store,interface_name=lan0");
        assert_eq!(
            both,
            network(
                "name=blue,ip=10.5.0.9,mac-address=02:42:0a:05:00:09,alias=db,alias=store,interface=lan0"
            )
        );
        assert_eq!(both.aliases, ["db", "store"]);
    }

    #[test]
    fn the_hosts_loopback_interface_is_asked_for_in_several_words() {
        let at = Some(HostLoopback::At("10.9.0.4".parse().unwrap()));
        for (text, expected) in [
            ("pasta", None),
            ("pasta:--map-gw", Some(HostLoopback::Usual)),
            ("pasta:--map-host-loopback=10.9.0.4", at),
            ("pasta:--map-host-loopback,10.9.0.4", at),
            ("pasta:--map-host-loopback=none", None),
            ("slirp4netns:allow_host_loopback=true", Some(HostLoopback::Usual)),
            ("slirp4netns:allow_host_loopback=false", None),
            ("bridge:host_loopback=true", Some(HostLoopback::Usual)),
        ] {
            assert_eq!(
                (network(text).name, network(text).host_loopback),
                ("bridge".to_owned(), expected),
                "{text}"
            );
        }
        assert_eq!(network("blue:host_loopback=10.9.0.4").host_loopback, at);
        // One of each kind.
        let both = at.map(|at| at.and("fd00:9::4".parse().unwrap()));
        for text in [
            "pasta:--map-host-loopback=fd00:9::4,--map-host-loopback=10.9.0.4",
            "blue:host_loopback=10.9.0.4,host_loopback=fd00:9::4",
        ] {
            assert_eq!(network(text).host_loopback, both, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in [
            "",
            "pid:",
            "container:",
            "blue:",
            "blue:x",
            "blue:ip=x",
            "blue:colour=red",
            "a b",
            "blue:mac=1",
            "name=blue,x",
            "pasta:--mtu=9",
            "pasta:--map-host-loopback",
            "pasta:--map-host-loopback=127.0.0.1",
            "pasta:--map-host-loopback=fe80::1",
            "slirp4netns:allow_host_loopback=maybe",
        ] {
            assert!(said(text).is_err(), "{text}");
        }
    }
}
