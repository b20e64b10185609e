//! `linux.netDevices`.

use std::collections::HashMap;

use oci_spec::runtime::LinuxNetDevice;

use super::super::NetDevice;
use crate::error::Error;

/// Devices to move, by the order of their names. `own_network` tells whether the container has a
/// network namespace that is not the caller's.
pub(super) fn net_devices(
    map: Option<&HashMap<String, LinuxNetDevice>>,
    own_network: bool,
) -> Result<Vec<NetDevice>, Error> {
    let mut all = Vec::new();
    for (host, device) in map.into_iter().flatten() {
        let field = || format!("linux.netDevices.{host}");
        if !own_network {
            return Err(Error::field(field(), "needs a network namespace that is not the host's"));
        }
        let name = device.name().clone().filter(|name| !name.is_empty()).unwrap_or_else(|| host.clone());
        check(host).map_err(|why| Error::field(field(), why))?;
        check(&name).map_err(|why| Error::field(format!("{}.name", field()), why))?;
        all.push(NetDevice { host: host.clone(), name });
    }
    all.sort_by(|one, other| one.host.cmp(&other.host));
    Ok(all)
}

/// As the kernel's `dev_valid_name`.
fn check(name: &str) -> Result<(), String> {
    let wrong = |letter: char| letter == '/' || letter == ':' || letter.is_whitespace() || letter == '\0';
    match name {
        "" | "." | ".." => Err(format!("{name:?}: not the name of a device")),
        _ if name.len() > 15 => Err(format!("{name}: longer than 15 bytes")),
        _ if name.contains(wrong) => Err(format!("{name:?}: contains a letter that no device may have")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let plan = |json: &str, own| net_devices(Some(&serde_json::from_str(json).unwrap()), own);
        assert_eq!(
            plan(r#"{"eth1":{"name":"in%d"},"eth0":{}}"#, true).unwrap(),
            [
                NetDevice { host: "eth0".into(), name: "eth0".into() },
                NetDevice { host: "eth1".into(), name: "in%d".into() }
            ]
        );
        for (json, field) in [
            (r#"{"eth0":{"name":"a/b"}}"#, "linux.netDevices.eth0.name: "),
            (r#"{"eth0":{"name":"sixteen-letters-"}}"#, "linux.netDevices.eth0.name: "),
            (r#"{"..":{}}"#, "linux.netDevices...: "),
        ] {
            let error = plan(json, true).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
        assert!(plan(r#"{"eth0":{}}"#, false).is_err());
    }
}
