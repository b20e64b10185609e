//! Devices that are made of one of the host's, its parent, and are on its wire: macvlan and ipvlan.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use boxr_sys::netlink::{Body, CREATE_NEW, Request, message};
use rustix::io::Errno;

use super::{Device, Links, UP, add_address, attribute, inside, link};
use crate::definition::Driver;
use crate::error::Error;
use crate::options::NetworkOptions;

/// `IFLA_MACVLAN_MODE`, `IFLA_IPVLAN_MODE`, `IFLA_IPVLAN_FLAGS`, `IFLA_MACVLAN_BC_CUTOFF` (`<linux/if_link.h>`).
const MODE: u16 = 1;
const FLAGS: u16 = 2;
const BROADCAST_LIMIT: u16 = 9;

/// A container that has just ended is on the wire until the kernel takes its namespace apart, which it does in its own
/// time, and tells nobody: whoever has its addresses next waits for so long, in such steps.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(2);

/// What kind of device, and how it treats others of the same parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// With a hardware address of its own (`MACVLAN_MODE_...`).
    Macvlan { mode: u32, broadcast_limit: Option<i32> },
    /// With that of the parent (`IPVLAN_MODE_...`, `IPVLAN_F_...`).
    Ipvlan { mode: u16, flags: u16 },
}

impl Wire {
    /// What a network's options say; `None` for a network that is on no wire of the host's.
    pub(crate) fn of(driver: Driver, options: &NetworkOptions) -> Option<Self> {
        match driver {
            Driver::Macvlan => Some(Self::Macvlan {
                mode: match options.mode.as_deref() {
                    Some("private") => 1,
                    Some("vepa") => 2,
                    Some("passthru") => 8,
                    // bridge
                    _ => 4,
                },
                broadcast_limit: options.broadcast_limit,
            }),
            Driver::Ipvlan => Some(Self::Ipvlan {
                mode: match options.mode.as_deref() {
                    Some("l3") => 1,
                    Some("l3s") => 2,
                    // l2
                    _ => 0,
                },
                flags: match options.flag.as_deref() {
                    Some("private") => 1,
                    Some("vepa") => 2,
                    // bridge
                    _ => 0,
                },
            }),
            Driver::Bridge | Driver::None | Driver::Host => None,
        }
    }

    /// Whether one parent can have both.
    pub(crate) fn goes_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Macvlan { .. }, Self::Macvlan { .. }) => true,
            _ => self == other,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Macvlan { .. } => "macvlan",
            Self::Ipvlan { .. } => "ipvlan",
        }
    }

    fn making(self) -> &'static str {
        match self {
            Self::Macvlan { .. } => "make the macvlan device",
            Self::Ipvlan { .. } => "make the ipvlan device",
        }
    }

    fn data(self, data: Body) -> Body {
        match self {
            Self::Macvlan { mode, broadcast_limit } => {
                let data = data.with(MODE, &mode.to_ne_bytes());
                // Ignored before Linux 6.4.
                let limit = broadcast_limit.iter();
                limit.fold(data, |data, limit| data.with(BROADCAST_LIMIT, &limit.to_ne_bytes()))
            }
            Self::Ipvlan { mode, flags } => {
                data.with(MODE, &mode.to_ne_bytes()).with(FLAGS, &flags.to_ne_bytes())
            }
        }
    }
}

impl Links {
    /// Makes a device of `parent` in `namespace`.
    pub(crate) fn make_on_wire(
        &mut self,
        parent: u32,
        wire: Wire,
        device: &Device,
        namespace: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        // The parent is looked for in the namespace of this socket.
        let body = Body::new(&link(0, 0, 0)).with(attribute::LINK, &parent.to_ne_bytes());
        let body = inside(body, device, namespace).with_nested(attribute::INFO, |info| {
            info.with_text(attribute::INFO_KIND, wire.kind())
                .with_nested(attribute::INFO_DATA, |data| wire.data(data))
        });
        self.0
            .ask(message::NEW_LINK, CREATE_NEW, &body)
            .map(|_| ())
            .map_err(|errno| Error::system(wire.making(), &device.name, errno))
    }

    /// Sets a device up and gives it its addresses, the hardware's too, when those are free on its parent.
    pub(crate) fn enter_wire(&mut self, index: u32, device: &Device) -> Result<(), Error> {
        let since = Instant::now();
        let set_up = Request { kind: message::NEW_LINK, flags: 0, body: Body::new(&link(index, UP, UP)) };
        self.ask_until_free(&set_up, since)
            .map_err(|errno| Error::system("set up the device", &device.name, errno))?;
        for (address, prefix) in &device.addresses {
            self.ask_until_free(&add_address(index, *address, *prefix), since)
                .map_err(|errno| Error::system("give an address to", &device.name, errno))?;
        }
        Ok(())
    }

    fn ask_until_free(&mut self, request: &Request, since: Instant) -> Result<(), Errno> {
        loop {
            match self.0.ask(request.kind, request.flags, &request.body) {
                Err(Errno::ADDRINUSE) if since.elapsed() < PATIENCE => std::thread::sleep(STEP),
                done => return done.map(drop),
            }
        }
    }
}
