//! The devices of a container, made from its record: for a start, for a further network, and again.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::attachment::{Attachment, Endpoint};
use crate::definition::{Definition, Driver};
use crate::error::Error;
use crate::firewall::Firewall;
use crate::helper::{self, Ends, Task};
use crate::host_side;
use crate::link::{Device, Links, Neighbours, OwnIpv6, Wire};
use crate::networks::Networks;
use crate::realm::Realm;

/// Devices of a user's networks, whose packets go out through a helper, which takes them one by one: the larger the
/// better. What pasta's own device has.
const REALM_MTU: u32 = 65_520;

impl Networks {
    /// Makes the devices of the endpoints from number `first` on, and what their networks need. The caller is in the
    /// network namespace that has the bridges.
    pub(crate) fn make_devices(
        &self,
        attachment: &Attachment,
        first: usize,
        namespace: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let mut outside = Links::open()?;
        let mut inside = Links::open_in(namespace)?;
        let mut firewall = Firewall::open()?;
        if !attachment.realm {
            firewall.pass_docker()?;
        }
        for (place, endpoint) in attachment.endpoints.iter().enumerate().skip(first) {
            let network = self.find(&endpoint.network)?;
            let mut device = Device {
                name: endpoint.inside.clone(),
                mac: endpoint.mac,
                mtu: network.options.mtu.or(attachment.realm.then_some(REALM_MTU)),
                addresses: endpoint.addresses.clone(),
                ways_out: attachment.ways_out_at(place),
                // Behind a device on the host's wire there may be a router that gives it one.
                own_ipv6: match network.driver {
                    Driver::Bridge if endpoint.address(true).is_none() => OwnIpv6::None,
                    _ => OwnIpv6::Made,
                },
            };
            let neighbours = network.neighbours(attachment.realm);
            self.make_device(
                (&network, neighbours),
                endpoint,
                &device,
                &mut outside,
                &mut firewall,
                namespace,
            )?;
            let index = inside.index(&device.name)?;
            let missing = || Error::system("find the device", &device.name, Errno::NODEV);
            let index = index.ok_or_else(missing)?;
            if network.driver.is_on_wire() {
                inside.enter_wire(index, &device)?;
                device.addresses.clear();
            }
            inside.configure(index, &device)?;
            self.ensure_resolver(&network)?;
        }
        lead_out_otherwise(attachment, first, &mut inside)
    }

    fn make_device(
        &self,
        (network, neighbours): (&Definition, Neighbours),
        endpoint: &Endpoint,
        device: &Device,
        outside: &mut Links,
        firewall: &mut Firewall,
        namespace: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let Some(wire) = Wire::of(network.driver, &network.options) else {
            let bridge = self.bring_up(network, outside, firewall)?;
            let name = endpoint.outside.as_deref().unwrap_or_default();
            return outside.make_veth(name, (bridge, neighbours), device, namespace);
        };
        let parent = network.options.parent.as_deref().unwrap_or_default();
        let index = outside.index(parent)?;
        let index = index.ok_or_else(|| Error::system("find the device", parent, Errno::NODEV))?;
        outside.make_on_wire(index, wire, device, namespace)
    }

    /// In a realm that was made again: all devices of a container that lives.
    pub(crate) fn connect_again(&self, id: &str, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        let Some(attachment) = self.attachment(id)? else { return Ok(()) };
        let mut inside = Links::open_in(namespace)?;
        for endpoint in &attachment.endpoints {
            // Where the other end is still somewhere, this one is here.
            inside.remove(&endpoint.inside)?;
        }
        self.make_devices(&attachment, 0, namespace)
    }

    /// Lets a user's ports lead into a container: by a helper of its own, so that the client's address is kept.
    /// What comes through its device is answered through it.
    pub(crate) fn lead_ports_in(
        &self,
        attachment: &Attachment,
        realm: &Realm,
        pid: i32,
        namespace: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        let program = helper::find()?;
        let pid_file = self.pid_file(&attachment.id);
        let ipv6 = host_side::device_with_ipv6();
        let host = attachment.host_loopback.map(|loopback| loopback.side(ipv6.is_some()));
        let wanted = helper::Wanted {
            pid,
            published: &attachment.published,
            mac: None,
            pid_file: &pid_file,
            task: Task::Ports,
            host,
            ipv6: ipv6.as_deref(),
        };
        let answer = || {
            let Ends { device, own, other, prefix } = helper::ports_ends(host);
            let mut inside = Links::open_in(namespace)?;
            if ipv6.is_some() {
                let [own, near, other] = helper::ports_ends6(host);
                inside.answer_through_ipv6(device, (own, near), other)?;
            }
            inside.answer_through(device, (own, prefix), other)
        };
        helper::start(&program, &wanted, || realm.run(answer))
    }

    /// The bridge networks of containers.
    pub(crate) fn networks_of(&self, which: impl Fn(&Attachment) -> bool) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = self
            .attachments()?
            .into_iter()
            .filter(which)
            .flat_map(|attachment| attachment.endpoints)
            .filter(|endpoint| endpoint.driver == Driver::Bridge)
            .map(|endpoint| endpoint.network)
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

/// Takes default routes from the endpoints before number `first`, where one of the new ones has a lower metric.
fn lead_out_otherwise(attachment: &Attachment, first: usize, inside: &mut Links) -> Result<(), Error> {
    let older = attachment.endpoints.get(..first).unwrap_or_default();
    if older.is_empty() {
        return Ok(());
    }
    let before = Attachment { endpoints: older.to_vec(), ..attachment.clone() };
    for (place, endpoint) in older.iter().enumerate() {
        let stay = attachment.ways_out_at(place);
        for way in before.ways_out_at(place).iter().filter(|way| !stay.contains(way)) {
            inside.lead_out_no_more(&endpoint.inside, way)?;
        }
    }
    Ok(())
}
