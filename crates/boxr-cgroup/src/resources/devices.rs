//! `devices`: which device nodes may be used.
//!
//! The rules apply in order, a later one beats an earlier one, and what none of them names is
//! forbidden, as in runc. Version 1 has a controller with a list; in version 2 the rules are a
//! BPF program that the kernel asks at every open(2) and mknod(2) of a device.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{Facts, Setting, Version, invalid};
use crate::controller::Controller::Devices;
use crate::device_program::{ALL_ACCESS, Kind, MKNOD, READ, Rule, WRITE};
use crate::error::Result;
use crate::field::Field;

pub(crate) const DEVICES: Field = Field::plain("devices");

/// What `devices` asks for in version 1.
pub(crate) fn settings(rules: &[LinuxDeviceCgroup], facts: &dyn Facts) -> Result<Vec<Setting>> {
    let rules = checked(rules)?;
    if unrestricted(&rules) || facts.version(Devices, &DEVICES)? == Version::Two {
        return Ok(Vec::new());
    }
    let everything = Rule { allow: false, kind: None, major: None, minor: None, access: ALL_ACCESS };
    let list = std::iter::once(everything).filter(|_| !rules[0].is_everything()).chain(rules.iter().copied());
    Ok(list.map(legacy).collect())
}

/// The rules that have to become a program: none where version 1 has the controller, or where
/// nothing is forbidden.
pub(crate) fn program_rules(rules: &[LinuxDeviceCgroup], facts: &dyn Facts) -> Result<Option<Vec<Rule>>> {
    let rules = checked(rules)?;
    let needed = !unrestricted(&rules) && facts.version(Devices, &DEVICES)? == Version::Two;
    Ok(needed.then_some(rules))
}

/// Whether the rules come to nothing: there are none, or the last one allows everything.
fn unrestricted(rules: &[Rule]) -> bool {
    rules.last().is_none_or(|rule| rule.allow && rule.is_everything())
}

/// One rule in the words of version 1 (kernel documentation, cgroup-v1/devices).
fn legacy(rule: Rule) -> Setting {
    let file = if rule.allow { "devices.allow" } else { "devices.deny" };
    if rule.is_everything() {
        return Setting::new(Devices, file, "a", DEVICES);
    }
    let number = |value: Option<u32>| value.map_or_else(|| "*".to_owned(), |value| value.to_string());
    let access: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .into_iter()
        .filter_map(|(bit, letter)| (rule.access & bit != 0).then_some(letter))
        .collect();
    let kind = match rule.kind {
        Some(Kind::Block) => "b",
        _ => "c",
    };
    Setting::new(
        Devices,
        file,
        format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor)),
        DEVICES,
    )
}

fn checked(rules: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>> {
    rules.iter().enumerate().map(|(index, rule)| check(rule, &format!("devices[{index}]"))).collect()
}

fn check(rule: &LinuxDeviceCgroup, name: &str) -> Result<Rule> {
    let field = Field::dynamic(name.to_owned());
    let letters = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    let mut access = 0;
    for letter in letters.chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => return Err(invalid(&field, format!("access \"{letters}\""), "is not made of r, w and m")),
        };
    }
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => match u32::try_from(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(invalid(&field, value, "is not a device number")),
        },
    };
    let (major, minor) = (number(rule.major())?, number(rule.minor())?);
    let kind = match rule.typ().unwrap_or_default() {
        LinuxDeviceType::C | LinuxDeviceType::U => Some(Kind::Character),
        LinuxDeviceType::B => Some(Kind::Block),
        LinuxDeviceType::P => return Err(invalid(&field, "p", "is not a kind of device: a, b and c are")),
        LinuxDeviceType::A => None,
    };
    let rule = Rule { allow: rule.allow(), kind, major, minor, access };
    if kind.is_none() && !rule.is_everything() {
        return Err(invalid(
            &field,
            "a",
            "stands for all devices, and takes neither number nor less than rwm",
        ));
    }
    Ok(rule)
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
        // What nothing names is forbidden, also without a first rule that says so.
        let short = r#"{"devices":[{"allow":true,"type":"b","major":8,"access":"r"}]}"#;
        assert_eq!(
            convert(&Fake::new(Version::One), short).unwrap(),
            ["devices.deny=a", "devices.allow=b 8:* r"]
        );
        let open = r#"{"devices":[{"allow":true,"type":"a","access":"rwm"}]}"#;
        assert!(convert(&Fake::new(Version::One), open).unwrap().is_empty());
    }

    #[test]
    fn refusals() {
        let bad = |rule: &str| refusal(Version::Two, &format!(r#"{{"devices":[{rule}]}}"#));
        assert!(bad(r#"{"allow":false,"type":"c","access":"x"}"#).contains("devices[0]"));
        assert!(bad(r#"{"allow":false,"type":"c","major":-2}"#).contains("device number"));
        assert!(bad(r#"{"allow":false,"type":"a","major":1}"#).contains("all devices"));
        assert!(bad(r#"{"allow":false,"type":"p"}"#).contains("kind"));
    }
}
