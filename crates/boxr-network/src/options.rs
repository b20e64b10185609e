//! What `network create --opt` says, in docker's and podman's words.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::definition::{Driver, device_name};
use crate::error::Error;

/// What there is, for who asked for something else.
const ALL: &str = "no such option; there are mtu, isolate, metric and no_default_route, com.docker.network.bridge.name, \
                   .host_binding_ipv4, .enable_icc and .enable_ip_masquerade, com.docker.network.container_iface_prefix, \
                   parent and mode of macvlan and ipvlan, bclim of macvlan, and ipvlan_flag";
/// The metric of a default route for which none is said, when the lowest is looked for: podman's own.
const METRIC: u32 = 100;

/// What `--opt` says, as it is understood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkOptions {
    /// Largest packet, bytes; the kernel's choice when `None`.
    pub mtu: Option<u32>,
    /// Whether other networks reach its containers without a published port.
    pub open: bool,
    /// Whether its containers reach each other by published ports only.
    pub apart: bool,
    /// Whether what leaves the network keeps the container's address as its source.
    pub keeps_source: bool,
    /// Whether a network's gateway is the way out of its containers.
    pub default_route: DefaultRoute,
    /// What the names of devices begin with, before their number; `eth` when `None`.
    pub prefix: Option<String>,
    /// The host's device that macvlan and ipvlan devices are made of.
    pub parent: Option<String>,
    /// How macvlan devices treat each other: `bridge`, `private`, `vepa`, `passthru`; which addresses lead to an
    /// ipvlan device: `l2`, `l3`, `l3s`.
    pub mode: Option<String>,
    /// From how many macvlan devices on one that listen to a group its packets are queued; -1: never. The kernel's
    /// choice when `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadcast_limit: Option<i32>,
    /// How ipvlan devices treat each other: `bridge`, `private`, `vepa`.
    pub flag: Option<String>,
    /// The address on which ports are published that name none.
    pub host_ip: Option<IpAddr>,
}

/// Whether a network's gateway is the way out of its containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultRoute {
    /// Where it is that of the first network.
    #[default]
    Usual,
    /// Where its metric, which the route has, is the lowest.
    Metric(u32),
    /// Never.
    None,
}

impl DefaultRoute {
    /// Whether it is as it is without an option.
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::Usual
    }

    /// The lower, the sooner it is the way out; `None`: never.
    pub(crate) fn rank(self) -> Option<u32> {
        match self {
            Self::Usual => Some(METRIC),
            Self::Metric(metric) => Some(metric),
            Self::None => None,
        }
    }

    /// What the route is to say.
    pub(crate) fn metric(self) -> Option<u32> {
        match self {
            Self::Metric(metric) => Some(metric),
            Self::Usual | Self::None => None,
        }
    }
}

impl NetworkOptions {
    /// Reads `--opt KEY=VALUE`, in docker's and podman's words.
    ///
    /// # Errors
    /// An unknown key, a value that it cannot have, or one that does not go with another or with the driver.
    pub fn read(said: &BTreeMap<String, String>, driver: Driver) -> Result<Self, Error> {
        let mut options = Self::default();
        for (key, value) in said {
            let invalid = |why: &str| Error::invalid("option", &format!("{key}={value}"), why);
            let of = drivers_of(key);
            if !of.is_empty() && !of.contains(&driver) {
                let names: Vec<&str> = of.iter().map(|driver| driver.name()).collect();
                return Err(invalid(&format!("an option of {} (--driver)", names.join(" and "))));
            }
            options.take(key, value, driver).map_err(|why| invalid(&why))?;
        }
        if options.apart && options.open {
            let why =
                "isolate=false lets everybody reach its containers: it does not go with enable_icc=false";
            return Err(Error::invalid("option", "isolate=false", why));
        }
        Ok(options)
    }

    fn take(&mut self, key: &str, value: &str, driver: Driver) -> Result<(), String> {
        match key {
            "mtu" | "com.docker.network.driver.mtu" => {
                // Below this no IPv4 host need take a packet (RFC 791); above, the field has no room.
                let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
                self.mtu = Some(mtu.ok_or("not a number from 68 to 65535")?);
            }
            "isolate" => match value {
                "strict" => self.open = false,
                _ => self.open = !truth(value)?,
            },
            "com.docker.network.bridge.enable_icc" => self.apart = !truth(value)?,
            "com.docker.network.bridge.enable_ip_masquerade" => self.keeps_source = !truth(value)?,
            "metric" => {
                let metric = value.parse().map_err(|_| "not a number from 0 to 4294967295")?;
                if self.default_route != DefaultRoute::None {
                    self.default_route = DefaultRoute::Metric(metric);
                }
            }
            // Whatever its metric would be.
            "no_default_route" => {
                if truth(value)? {
                    self.default_route = DefaultRoute::None;
                }
            }
            "com.docker.network.container_iface_prefix" => {
                // With the greatest number that a container's networks will come to.
                device_name(&format!("{value}999"))
                    .map_err(|_| "not what a device's name can begin with: at most 12 characters")?;
                self.prefix = Some(value.to_owned());
            }
            "parent" => self.parent = Some(device_name(value)?),
            "mode" | "macvlan_mode" | "ipvlan_mode" if driver == Driver::Ipvlan => {
                self.mode = Some(one_of(value, &["l2", "l3", "l3s"])?);
            }
            "mode" | "macvlan_mode" => {
                self.mode = Some(one_of(value, &["bridge", "private", "vepa", "passthru"])?);
            }
            "bclim" => {
                let limit = value.parse().ok().filter(|limit| *limit >= -1);
                self.broadcast_limit = Some(limit.ok_or("not a number from -1 to 2147483647")?);
            }
            "ipvlan_flag" => self.flag = Some(one_of(value, &["bridge", "private", "vepa"])?),
            "com.docker.network.bridge.host_binding_ipv4" => {
                self.host_ip = Some(value.parse().map_err(|_| "not an IP address")?);
            }
            // Read where the bridge is named.
            "com.docker.network.bridge.name" => {
                device_name(value)?;
            }
            _ => return Err(ALL.to_owned()),
        }
        Ok(())
    }
}

/// The drivers that have the option; none where all have it, or none.
fn drivers_of(key: &str) -> &'static [Driver] {
    match key {
        "parent" | "mode" => &[Driver::Macvlan, Driver::Ipvlan],
        "macvlan_mode" | "bclim" => &[Driver::Macvlan],
        "ipvlan_mode" | "ipvlan_flag" => &[Driver::Ipvlan],
        "isolate" => &[Driver::Bridge],
        _ if key.starts_with("com.docker.network.bridge.") => &[Driver::Bridge],
        _ => &[],
    }
}

fn one_of(value: &str, words: &[&str]) -> Result<String, String> {
    let found = words.iter().find(|word| **word == value);
    found.map(|word| (*word).to_owned()).ok_or_else(|| format!("not one of {}", words.join(", ")))
}

/// docker takes what Go's strconv.ParseBool does.
fn truth(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err("not true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_for(driver: Driver, said: &[(&str, &str)]) -> Result<NetworkOptions, Error> {
        let said = said.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        NetworkOptions::read(&said, driver)
    }

    fn read(key: &str, value: &str) -> Result<NetworkOptions, Error> {
        read_for(Driver::Bridge, &[(key, value)])
    }

    #[test]
    fn options_are_checked() {
        assert_eq!(read("mtu", "1400").unwrap().mtu, Some(1400));
        assert!(read("isolate", "false").unwrap().open);
        for (key, value) in [
            ("mtu", "67"),
            ("mtu", "x"),
            ("isolate", "maybe"),
            ("com.docker.network.bridge.enable_icc", "no"),
            ("mode", "bridge"),
            ("parent", "up0"),
            ("colour", "red"),
        ] {
            assert!(read(key, value).is_err(), "{key}={value}");
        }
        for (key, value) in [("mode", "l3"), ("parent", "a/b"), ("isolate", "true")] {
            assert!(read_for(Driver::Macvlan, &[(key, value)]).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn dockers_words_for_bridges_are_understood() {
        let icc = "com.docker.network.bridge.enable_icc";
        let masquerade = "com.docker.network.bridge.enable_ip_masquerade";
        for (text, apart) in [("false", true), ("0", true), ("true", false), ("1", false)] {
            assert_eq!(read(icc, text).unwrap().apart, apart, "{text}");
            assert_eq!(read(masquerade, text).unwrap().keeps_source, apart, "{text}");
        }
        assert!(read_for(Driver::Bridge, &[(icc, "false"), ("isolate", "false")]).is_err());
    }

    #[test]
    fn modes_are_of_their_driver() {
        for (driver, key, value, is_one) in [
            (Driver::Ipvlan, "mode", "l3", true),
            (Driver::Ipvlan, "ipvlan_mode", "l3s", true),
            (Driver::Ipvlan, "ipvlan_flag", "private", true),
            (Driver::Ipvlan, "mode", "bridge", false),
            (Driver::Ipvlan, "macvlan_mode", "l2", false),
            (Driver::Ipvlan, "ipvlan_flag", "passthru", false),
            (Driver::Macvlan, "macvlan_mode", "passthru", true),
            (Driver::Macvlan, "ipvlan_flag", "private", false),
            (Driver::Macvlan, "bclim", "-1", true),
            (Driver::Macvlan, "bclim", "-2", false),
            (Driver::Ipvlan, "bclim", "1", false),
            (Driver::Bridge, "mode", "l2", false),
        ] {
            assert_eq!(read_for(driver, &[(key, value)]).is_ok(), is_one, "{driver:?} {key}={value}");
        }
    }

    #[test]
    fn podmans_words_for_the_way_out_are_understood() {
        let of = |said: &[(&str, &str)]| read_for(Driver::Bridge, said).map(|options| options.default_route);
        assert_eq!(of(&[]).unwrap(), DefaultRoute::Usual);
        assert_eq!(of(&[("metric", "7")]).unwrap(), DefaultRoute::Metric(7));
        assert_eq!(of(&[("no_default_route", "1"), ("metric", "7")]).unwrap(), DefaultRoute::None);
        assert_eq!(of(&[("no_default_route", "false"), ("metric", "7")]).unwrap(), DefaultRoute::Metric(7));
        assert!(of(&[("metric", "-1")]).is_err() && of(&[("no_default_route", "2")]).is_err());
        let prefix = "com.docker.network.container_iface_prefix";
        assert_eq!(read(prefix, "lan").unwrap().prefix, Some("lan".to_owned()));
        assert!(read(prefix, "a/").is_err() && read(prefix, "thirteenchars").is_err());
    }

    #[test]
    fn a_record_without_the_newer_options_is_read() {
        let old = r#"{"mtu":1400,"open":true,"parent":null,"mode":null,"host_ip":null}"#;
        let options: NetworkOptions = serde_json::from_str(old).unwrap();
        assert_eq!(options, NetworkOptions { mtu: Some(1400), open: true, ..NetworkOptions::default() });
    }
}
