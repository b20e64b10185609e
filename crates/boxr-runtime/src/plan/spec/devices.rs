//! `linux.devices` and the devices that every container has.

use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount};

use super::super::{DeviceKind, DevicePlan};
use super::clean;
use crate::error::Error;

/// Devices that the specification promises, and what `extra` adds or replaces.
pub(super) fn devices(extra: &[LinuxDevice]) -> Result<Vec<DevicePlan>, Error> {
    let character = |name: &str, major, minor| DevicePlan {
        path: Path::new("/dev").join(name),
        kind: DeviceKind::Character,
        major,
        minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    };
    let mut all = vec![
        character("null", 1, 3),
        character("zero", 1, 5),
        character("full", 1, 7),
        character("random", 1, 8),
        character("urandom", 1, 9),
        character("tty", 5, 0),
    ];
    for (index, device) in extra.iter().enumerate() {
        let one = device_plan(&format!("linux.devices[{index}]"), device)?;
        all.retain(|known| known.path != one.path);
        all.push(one);
    }
    Ok(all)
}

fn device_plan(field: &str, device: &LinuxDevice) -> Result<DevicePlan, Error> {
    let kind = match device.typ() {
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Character,
        LinuxDeviceType::P => DeviceKind::Fifo,
        LinuxDeviceType::A => {
            return Err(Error::field(format!("{field}.type"), "a: not a type of device"));
        }
    };
    let number = |part: &str, value: i64| match u32::try_from(value) {
        Ok(number) => Ok(number),
        Err(_) if kind == DeviceKind::Fifo => Ok(0),
        Err(_) => Err(Error::field(format!("{field}.{part}"), format!("{value}: not a device number"))),
    };
    let path = clean(device.path());
    if path.parent().is_none() {
        return Err(Error::field(format!("{field}.path"), "missing"));
    }
    Ok(DevicePlan {
        path,
        kind,
        major: number("major", device.major())?,
        minor: number("minor", device.minor())?,
        // Some callers leave the type's bits in.
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

/// Whether the host's /dev is the container's: then nothing is made in it.
pub(super) fn has_dev_of_host(mounts: &[Mount]) -> bool {
    mounts.iter().any(|mount| {
        let is_bind = mount.typ().as_deref() == Some("bind")
            || mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind");
        is_bind && clean(mount.destination()) == Path::new("/dev")
    })
}
