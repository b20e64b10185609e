//! `devices`: which device nodes may be used.
//!
//! Version 1 has a controller with a list; in version 2 the rules are a BPF program, which
//! boxr does not load yet: rules that forbid anything are refused there rather than ignored.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{Facts, Setting, Version, invalid, unsupported};
use crate::controller::Controller::Devices;
use crate::error::Result;
use crate::field::Field;

const DEVICES: Field = Field::plain("devices");

/// What `devices` asks for: the rules in order, a later one beats an earlier one.
pub(crate) fn settings(rules: &[LinuxDeviceCgroup], facts: &dyn Facts) -> Result<Vec<Setting>> {
    if rules.iter().all(LinuxDeviceCgroup::allow) {
        return Ok(Vec::new());
    }
    if facts.version(Devices, &DEVICES)? == Version::Two {
        return Err(unsupported(
            &DEVICES,
            "device rules in cgroup v2 need a BPF program, which boxr does not load yet",
        ));
    }
    rules.iter().enumerate().map(|(index, rule)| setting(index, rule)).collect()
}

fn setting(index: usize, rule: &LinuxDeviceCgroup) -> Result<Setting> {
    let field = Field::dynamic(format!("devices[{index}]"));
    let file = if rule.allow() { "devices.allow" } else { "devices.deny" };
    Ok(Setting::new(Devices, file, rule_text(rule, &field)?, field))
}

/// One rule in the kernel's words (Documentation/admin-guide/cgroup-v1/devices.rst).
fn rule_text(rule: &LinuxDeviceCgroup, field: &Field) -> Result<String> {
    let access = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    if !access.chars().all(|letter| "rwm".contains(letter)) {
        return Err(invalid(field, format!("access \"{access}\""), "is not made of r, w and m"));
    }
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok("*".to_owned()),
        Some(value @ 0..) => Ok(value.to_string()),
        Some(value) => Err(invalid(field, value, "is not a device number")),
    };
    let (major, minor) = (number(rule.major())?, number(rule.minor())?);
    let kind = match rule.typ().unwrap_or_default() {
        LinuxDeviceType::C | LinuxDeviceType::U => "c",
        LinuxDeviceType::B => "b",
        LinuxDeviceType::P => return Err(invalid(field, "p", "is not a kind of device, a or b or c is")),
        LinuxDeviceType::A => {
            // The kernel takes nothing after an `a`.
            if major == "*" && minor == "*" && access == "rwm" {
                return Ok("a".into());
            }
            return Err(invalid(field, "a", "stands for all devices, and takes no number and no access"));
        }
    };
    Ok(format!("{kind} {major}:{minor} {access}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fake, convert, refusal};
    use super::*;

    #[test]
    fn rules() {
        let json = r#"{"devices":[{"allow":false,"type":"a","access":"rwm"},
            {"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"},
            {"allow":true,"type":"c","major":136}]}"#;
        assert_eq!(
            convert(&Fake::new(Version::One), json).unwrap(),
            ["devices.deny=a", "devices.allow=c 1:3 rwm", "devices.allow=c 136:* rwm"]
        );
        assert!(refusal(Version::Two, json).contains("BPF"));
        let open = r#"{"devices":[{"allow":true,"type":"a","access":"rwm"}]}"#;
        assert!(convert(&Fake::new(Version::Two), open).unwrap().is_empty());
        assert!(
            refusal(Version::One, r#"{"devices":[{"allow":false,"type":"c","access":"x"}]}"#)
                .contains("devices[0]")
        );
    }
}
