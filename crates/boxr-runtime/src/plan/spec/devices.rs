//! `linux.devices` and the devices that every container has.

use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

use super::super::DevicePlan;
use super::absolute;
use crate::error::Error;

pub(super) fn devices(extra: &[LinuxDevice]) -> Result<Vec<DevicePlan>, Error> {
    let character = |name: &str, major, minor| DevicePlan {
        path: Path::new("/dev").join(name),
        block: false,
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
        let field = format!("linux.devices[{index}]");
        let block = match device.typ() {
            LinuxDeviceType::B => true,
            LinuxDeviceType::C | LinuxDeviceType::U => false,
            other => {
                return Err(Error::field(
                    field,
                    format!("{other:?}: neither a character nor a block device"),
                ));
            }
        };
        let number = |value: i64| {
            u32::try_from(value)
                .map_err(|_| Error::field(field.clone(), format!("{value}: not a device number")))
        };
        let path = absolute(&field, device.path())?;
        all.retain(|known| known.path != path);
        all.push(DevicePlan {
            path,
            block,
            major: number(device.major())?,
            minor: number(device.minor())?,
            mode: device.file_mode().unwrap_or(0o666),
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        });
    }
    Ok(all)
}
