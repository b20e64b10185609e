//! Networks of containers: bridges, addresses, published ports, networks without privilege.
//!
//! [`Networks`] knows all networks of a user. A container's way: [`Networks::reserve`] checks everything and takes
//! addresses and ports, before there is a process; [`Reservation::connect`] makes the devices in its namespace;
//! [`Networks::detach`] takes it all back, whatever has become of the container.
//!
//! The kernel is spoken to by netlink alone: [`link`] for devices, addresses and routes, [`firewall`] for boxr's own
//! table. Crates that do this were looked at: netlink-packet-route makes a tree of allocations for each of the
//! dozen messages that are needed here, and none that knows nf_tables is free of C or of the GPL; the encoders are 300 lines.

mod address;
mod attach;
mod attachment;
mod beside;
mod bridge;
mod claims;
mod definition;
mod devices;
mod error;
mod explain;
mod files;
mod firewall;
mod forwarder;
mod helper;
mod host_side;
mod lease;
mod link;
mod networks;
mod options;
mod port;
mod publish;
mod realm;
mod republish;
mod resolver;
mod slirp4netns;
mod subnets;
mod sysctl;

pub use address::{MacAddress, Subnet};
pub use attach::{AttachRequest, Connected, Means, NetworkUse, Reservation};
pub use attachment::{Attachment, Endpoint, short};
pub use definition::{Definition, Driver, Pool};
pub use error::{Error, Told};
pub use explain::{ForwardRules, Path, Step, Verdict, forward_rules};
pub use helper::{NAME_SERVER, helper_name, why_no_helper};
pub use host_side::HostLoopback;
pub use networks::{CreateRequest, DEFAULT, IsAlive, Networks};
pub use options::{DefaultRoute, NetworkOptions};
pub use port::{HostPort, PortRange, PortSpec, Protocol, Published};
pub use publish::Holds;
pub use realm::{Owner, Realm};
pub use republish::RunningBox;
