//! What a network is: its record on disk.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::address::Subnet;
use crate::error::Error;
use crate::link::Neighbours;
use crate::options::NetworkOptions;

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
    /// The same, with that device's hardware address.
    Ipvlan,
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
            Self::Ipvlan => "ipvlan",
            Self::None => "none",
            Self::Host => "host",
        }
    }

    /// Whether its devices are made of one of the host's.
    pub fn is_on_wire(self) -> bool {
        matches!(self, Self::Macvlan | Self::Ipvlan)
    }

    /// The driver of this name.
    ///
    /// # Errors
    /// None has it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let all = [Self::Bridge, Self::Macvlan, Self::Ipvlan, Self::None, Self::Host];
        let found = all.into_iter().find(|driver| driver.name() == text);
        found
            .ok_or_else(|| Error::invalid("driver", text, "there are bridge, macvlan, ipvlan, none and host"))
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

    /// How a port of its bridge is set. In a realm nothing is forwarded to a published port, and so to no neighbour.
    pub(crate) fn neighbours(&self, realm: bool) -> Neighbours {
        match (self.options.apart, realm) {
            (false, _) => Neighbours::Reached,
            (true, false) => Neighbours::ApartByFirewall,
            (true, true) => Neighbours::Apart,
        }
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
