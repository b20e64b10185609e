//! What values look like: sizes, times, namespace modes, mounts, ids, limits, signals.
//!
//! Each function takes the text that was written and gives the value or what is wrong with it.

mod cgroup;
mod container;
mod glob;
mod ids;
mod mount;
mod namespace;
mod network;
mod part;
mod signal;
mod terminal;
mod time;
mod words;

pub use cgroup::{cpuset, milli_cpus, size};
pub use container::{address, device, device_rule, host, link, resolver_word};
pub use ids::{Id, UserSpec, extent, group, user};
pub use mount::{mount, mount_maps, mounts, tmpfs, volume};
pub use namespace::{mode, mode_list, mode_text};
pub use network::{NetworkSaid, invalid_network, network_mode};
pub use signal::{signal, signal_name};
pub use terminal::detach_keys;
pub use time::{millis, offset, seconds};
pub use words::{capability, environment, hostname, label, restart, ulimit, umask};
