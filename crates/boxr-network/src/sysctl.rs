//! What the kernel must allow: forwarding.

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::files::failed;

const ALL4: &str = "/proc/sys/net/ipv4/ip_forward";
const ALL6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// Lets the host forward for a bridge. Each setting is written only where it is another.
pub(crate) fn prepare(bridge: &str, ipv6: bool, internal: bool) -> Result<(), Error> {
    // A port on 127.0.0.1 leads to a container; the guard chain sees to the other direction.
    set(&format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet"), "1")?;
    if internal {
        return Ok(());
    }
    set(ALL4, "1")?;
    if ipv6 {
        keep_router_advertisements()?;
        set(ALL6, "1")?;
    }
    Ok(())
}

/// In a container's namespace, before a helper makes its device: addresses of IPv6 are the container's without a
/// question whether somebody has them, which pasta would take for a packet from nowhere, and send ports there.
pub(crate) fn announce_no_address() -> Result<(), Error> {
    let path = "/proc/sys/net/ipv6/conf/default/accept_dad";
    // The kernel may have no IPv6.
    if Path::new(path).exists() { set(path, "0") } else { Ok(()) }
}

/// Whether packets between the ports of a bridge are shown to the firewall (br_netfilter).
pub(crate) fn bridges_are_filtered() -> bool {
    is_one("/proc/sys/net/bridge/bridge-nf-call-iptables")
}

/// The same for packets of IPv6.
pub(crate) fn bridges_are_filtered_for_ipv6() -> bool {
    is_one("/proc/sys/net/bridge/bridge-nf-call-ip6tables")
}

fn is_one(path: &str) -> bool {
    let mut value = [0u8; 1];
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    // No file, no such module.
    file.and_then(|file| rustix::io::read(file, &mut value)).is_ok() && value == *b"1"
}

/// A host that forwards no longer listens to routers, unless a device says so (2): those that do now go on.
fn keep_router_advertisements() -> Result<(), Error> {
    if read(ALL6)? == "1" {
        return Ok(());
    }
    let dir = Path::new("/proc/sys/net/ipv6/conf");
    for entry in fs::read_dir(dir).map_err(failed("read", dir))? {
        let file = entry.map_err(failed("read", dir))?.path().join("accept_ra");
        let file = file.to_string_lossy();
        if read(&file)? == "1" {
            set(&file, "2")?;
        }
    }
    Ok(())
}

fn read(path: &str) -> Result<String, Error> {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(failed("read", Path::new(path)))
}

fn set(path: &str, value: &str) -> Result<(), Error> {
    if read(path)? == value {
        return Ok(());
    }
    fs::write(path, value).map_err(failed("set", Path::new(path)))
}
