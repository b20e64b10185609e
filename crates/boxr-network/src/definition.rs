//! What a network is: its record on disk.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::address::Subnet;
use crate::error::Error;
use crate::link::MacvlanMode;

/// Version of the record. A reader refuses a newer one.
pub const FORMAT: u32 = 1;

/// How a network comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge on this host, with NAT.
    Bridge,
    /// Devices of their own on a device of the host's.
    Macvlan,
    /// No device but `lo`.
    None,
    /// The host's own network.
    Host,
}

impl Driver {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::None => "none",
            Self::Host => "host",
        }
    }

    /// The driver of this name.
    ///
    /// # Errors
    /// None has it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let all = [Self::Bridge, Self::Macvlan, Self::None, Self::Host];
        let found = all.into_iter().find(|driver| driver.name() == text);
        found.ok_or_else(|| Error::invalid("driver", text, "there are bridge, macvlan, none and host"))
    }
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// All of it.
    pub subnet: Subnet,
    /// The way out; the bridge's own address.
    pub gateway: Option<IpAddr>,
    /// The part that is given out; all of it when `None`.
    pub range: Option<Subnet>,
}

/// What `--opt` says, as it is understood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkOptions {
    /// Largest packet, bytes; the kernel's choice when `None`.
    pub mtu: Option<u32>,
    /// Whether other networks reach its containers without a published port.
    pub open: bool,
    /// The host's device that macvlan devices are made of.
    pub parent: Option<String>,
    /// How macvlan devices treat each other: `bridge`, `private`, `vepa`, `passthru`.
    pub mode: Option<String>,
    /// The address on which ports are published that name none.
    pub host_ip: Option<IpAddr>,
}

/// `networks/NAME.json`: a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// [`FORMAT`]
    pub format: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it comes to be.
    pub driver: Driver,
    /// The bridge's name, at most 15 characters.
    pub interface: String,
    /// Its subnets, IPv4 and IPv6.
    pub pools: Vec<Pool>,
    /// Whether nothing leaves it.
    pub internal: bool,
    /// Options.
    pub options: NetworkOptions,
    /// The options as they were given.
    pub said: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub created: i64,
}

impl Definition {
    /// Whether it has addresses of IPv6.
    pub fn has_ipv6(&self) -> bool {
        self.pools.iter().any(|pool| pool.subnet.is_ipv6())
    }

    pub(crate) fn macvlan_mode(&self) -> MacvlanMode {
        match self.options.mode.as_deref() {
            Some("private") => MacvlanMode::Private,
            Some("vepa") => MacvlanMode::Vepa,
            Some("passthru") => MacvlanMode::Passthru,
            _ => MacvlanMode::Bridge,
        }
    }
}

impl NetworkOptions {
    /// Reads `--opt KEY=VALUE`, in docker's and podman's words.
    ///
    /// # Errors
    /// An unknown key, or a value that it cannot have.
    pub fn read(said: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut options = Self::default();
        for (key, value) in said {
            options.take(key, value)?;
        }
        Ok(options)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let invalid = |why: &str| Error::invalid("option", &format!("{key}={value}"), why);
        match key {
            "mtu" | "com.docker.network.driver.mtu" => {
                // Below this no IPv4 host need take a packet (RFC 791); above, the field has no room.
                let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
                self.mtu = Some(mtu.ok_or_else(|| invalid("not a number from 68 to 65535"))?);
            }
            "isolate" => match value {
                "true" | "strict" => self.open = false,
                "false" => self.open = true,
                _ => return Err(invalid("not true or false")),
            },
            "parent" => self.parent = Some(device_name(value).map_err(|why| invalid(&why))?),
            "mode" | "macvlan_mode" => match value {
                "bridge" | "private" | "vepa" | "passthru" => self.mode = Some(value.to_owned()),
                _ => return Err(invalid("not bridge, private, vepa or passthru")),
            },
            "com.docker.network.bridge.host_binding_ipv4" => {
                self.host_ip = Some(value.parse().map_err(|_| invalid("not an IP address"))?);
            }
            // Read where the bridge is named.
            "com.docker.network.bridge.name" => {
                device_name(value).map_err(|why| invalid(&why))?;
            }
            "com.docker.network.bridge.enable_icc" | "com.docker.network.bridge.enable_ip_masquerade"
                if value == "true" => {}
            _ => {
                return Err(invalid(
                    "no such option; there are mtu and isolate, com.docker.network.bridge.name and \
                     com.docker.network.bridge.host_binding_ipv4, and parent and mode of macvlan",
                ));
            }
        }
        Ok(())
    }
}

/// A name that a device can have (`dev_valid_name` of the kernel).
pub(crate) fn device_name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    if text.is_empty() || text.len() > 15 || text == "." || text == ".." || !text.chars().all(good) {
        return Err("not the name of a device: at most 15 characters without space, / or :".to_owned());
    }
    Ok(text.to_owned())
}

/// A name that a network can have: docker's rule for names.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty()
        || name.len() > 128
        || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
        || !name.chars().all(good)
    {
        let why = match name.len() {
            0..=128 => "not a name of letters, digits, _, . and -, the first a letter or a digit",
            _ => "longer than 128 characters",
        };
        return Err(Error::invalid("name", name, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, value: &str) -> Result<NetworkOptions, Error> {
        NetworkOptions::read(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[test]
    fn options_are_checked() {
        assert_eq!(read("mtu", "1400").unwrap().mtu, Some(1400));
        assert!(read("isolate", "false").unwrap().open);
        for (key, value) in [
            ("mtu", "67"),
            ("mtu", "x"),
            ("isolate", "maybe"),
            ("mode", "l3"),
            ("parent", "a/b"),
            ("colour", "red"),
        ] {
            assert!(read(key, value).is_err(), "{key}={value}");
        }
    }
}
