//! `devices`: which device nodes may be used.
//!
//! The rules apply in order, a later one beats an earlier one, and what none of them names is
//! forbidden, as in runc. Version 1 has a controller with a list; in version 2 the rules are a
//! BPF program that the kernel asks at every open(2) and mknod(2) of a device.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{Facts, Setting, Version, invalid};
use crate::controller::Controller::Devices;
use crate::device_program::{ALL_ACCESS, Kind, MKNOD, READ, Rule, WRITE, allow_list};
use crate::error::Result;
use crate::field::Field;

pub(crate) const DEVICES: Field = Field::plain("devices");

/// Which device nodes a container may use besides those that its rules name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceDefaults {
    /// Without rules all; with rules none.
    #[default]
    None,
    /// Those of an OCI container, also where there are no rules: the devices that every container has
    /// (specification, "Default Devices"), pseudo-terminals, tun, and making nodes of any kind, as in runc.
    Container,
}

const CHARACTER: Option<Kind> = Some(Kind::Character);

/// What [`DeviceDefaults::Container`] adds: numbers are those of Linux's admin-guide/devices.
const CONTAINER: [Rule; 11] = [
    Rule { allow: true, kind: CHARACTER, major: None, minor: None, access: MKNOD },
    Rule { allow: true, kind: Some(Kind::Block), major: None, minor: None, access: MKNOD },
    device(1, 3),
    device(1, 8),
    device(1, 7),
    device(5, 0),
    device(1, 5),
    device(1, 9),
    Rule { allow: true, kind: CHARACTER, major: Some(136), minor: None, access: ALL_ACCESS },
    device(5, 2),
    device(10, 200),
];

const fn device(major: u32, minor: u32) -> Rule {
    Rule { allow: true, kind: CHARACTER, major: Some(major), minor: Some(minor), access: ALL_ACCESS }
}

/// The rules that hold for a container; `None` where there are none, or where they come to nothing
/// since the last one allows everything.
pub(crate) fn rules(
    given: Option<&[LinuxDeviceCgroup]>,
    defaults: DeviceDefaults,
) -> Result<Option<Vec<Rule>>> {
    let mut rules = checked(given.unwrap_or_default())?;
    if rules.last().is_some_and(|rule| *rule == Rule::everything(true)) {
        return Ok(None);
    }
    match defaults {
        DeviceDefaults::None if rules.is_empty() => return Ok(None),
        DeviceDefaults::None => {}
        DeviceDefaults::Container => rules.extend(CONTAINER),
    }
    Ok(Some(rules))
}

/// Where `rules` are enforced.
pub(crate) fn version(facts: &dyn Facts) -> Result<Version> {
    facts.version(Devices, &DEVICES)
}

/// What `rules` are in version 1.
pub(crate) fn settings(rules: &[Rule], facts: &dyn Facts) -> Result<Vec<Setting>> {
    let Some(wanted) = allow_list(rules) else {
        // Everything but what is named: in the order that was given.
        return Ok(rules.iter().map(|rule| legacy(*rule)).collect());
    };
    let now = facts.current(Devices, "devices.list")?;
    match now.as_deref().and_then(parse_list) {
        Some(now) => Ok(changes(&now, &wanted)),
        None => Ok(std::iter::once(Rule::everything(false)).chain(wanted).map(legacy).collect()),
    }
}

/// From one list to another without forbidding in between what both allow.
fn changes(now: &[Rule], wanted: &[Rule]) -> Vec<Setting> {
    let same = |a: &Rule, b: &Rule| (a.kind, a.major, a.minor) == (b.kind, b.major, b.minor);
    let allowed = wanted.iter().filter(|rule| !now.contains(rule));
    let forbidden = now.iter().filter_map(|old| {
        let kept = wanted.iter().filter(|rule| same(rule, old)).fold(0, |access, rule| access | rule.access);
        let access = old.access & !kept;
        (access != 0).then_some(Rule { allow: false, access, ..*old })
    });
    allowed.copied().chain(forbidden).map(legacy).collect()
}

/// The rules of a `devices.list`; `None` where it allows everything.
fn parse_list(text: &str) -> Option<Vec<Rule>> {
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Rule> {
    let [kind, numbers, access] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    let kind = match kind {
        "c" => Kind::Character,
        "b" => Kind::Block,
        _ => return None,
    };
    let (major, minor) = numbers.split_once(':')?;
    let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
    let (major, minor) = (number(major)?, number(minor)?);
    Some(Rule { allow: true, kind: Some(kind), major, minor, access: access_of(access)? })
}

/// One rule in the words of version 1 (kernel documentation, cgroup-v1/devices).
fn legacy(rule: Rule) -> Setting {
    let file = if rule.allow { "devices.allow" } else { "devices.deny" };
    if rule.is_everything() {
        return Setting::new(Devices, file, "a", DEVICES);
    }
    let number = |value: Option<u32>| value.map_or_else(|| "*".to_owned(), |value| value.to_string());
    let kind = match rule.kind {
        Some(Kind::Block) => "b",
        _ => "c",
    };
    let value = format!("{kind} {}:{} {}", number(rule.major), number(rule.minor), rule.letters());
    Setting::new(Devices, file, value, DEVICES)
}

fn access_of(letters: &str) -> Option<u32> {
    letters.chars().try_fold(0, |access, letter| match letter {
        'r' => Some(access | READ),
        'w' => Some(access | WRITE),
        'm' => Some(access | MKNOD),
        _ => None,
    })
}

fn checked(rules: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>> {
    rules.iter().enumerate().map(|(index, rule)| check(rule, &format!("devices[{index}]"))).collect()
}

fn check(rule: &LinuxDeviceCgroup, name: &str) -> Result<Rule> {
    let field = Field::dynamic(name.to_owned());
    let letters = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    let access = access_of(letters)
        .ok_or_else(|| invalid(&field, format!("access \"{letters}\""), "is not made of r, w and m"))?;
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
    fn rules_in_version_1() {
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
    fn a_list_changes_without_a_gap() {
        let mut fake = Fake::new(Version::One);
        fake.now.insert("devices.list", "c *:* m\nc 1:3 rwm\nc 1:5 rw\nb 8:0 r\n");
        let json = r#"{"devices":[{"allow":true,"type":"c","access":"m"},
            {"allow":true,"type":"c","major":1,"minor":5,"access":"r"},
            {"allow":true,"type":"c","major":1,"minor":7}]}"#;
        assert_eq!(
            convert(&fake, json).unwrap(),
            [
                "devices.allow=c 1:5 r",
                "devices.allow=c 1:7 rwm",
                "devices.deny=c 1:3 rwm",
                "devices.deny=c 1:5 w",
                "devices.deny=b 8:0 r"
            ]
        );
        fake.now.insert("devices.list", "a *:* rwm\n");
        assert_eq!(convert(&fake, json).unwrap()[0], "devices.deny=a");
    }

    #[test]
    fn containers_have_their_devices() {
        let container = |given: &[LinuxDeviceCgroup]| rules(Some(given), DeviceDefaults::Container).unwrap();
        assert_eq!(container(&[]).unwrap().len(), CONTAINER.len());
        assert_eq!(rules(None, DeviceDefaults::Container).unwrap().unwrap(), CONTAINER);
        let all = LinuxDeviceCgroup::default();
        let mut all = all;
        all.set_allow(true);
        assert_eq!(container(&[all]), None);
        assert_eq!(rules(None, DeviceDefaults::None).unwrap(), None);
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
