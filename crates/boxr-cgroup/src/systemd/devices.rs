//! Device rules as systemd's list of what is allowed.
//!
//! The precise rules are our own program's (or version 1's list). systemd's own must only not forbid
//! more than they do, since both are asked.

use super::properties::Property;
use crate::dbus::Value;
use crate::device_program::{Kind, Rule, allow_list};

/// `DevicePolicy` and `DeviceAllow`; where the rules cannot be put into a list, systemd forbids nothing.
/// `drivers` is the text of `/proc/devices`.
pub(super) fn properties(rules: &[Rule], drivers: &str) -> Vec<Property> {
    let policy = |name| Property::new("DevicePolicy", Value::text(name));
    let list = |entries| Property::new("DeviceAllow", Value::Array("(ss)".into(), entries));
    // An empty list takes back what an earlier one allowed.
    match allow_list(rules).and_then(|rules| rules.iter().map(|rule| entry(rule, drivers)).collect()) {
        Some(entries) => vec![policy("strict"), list(Vec::new()), list(entries)],
        None => vec![policy("auto"), list(Vec::new())],
    }
}

fn entry(rule: &Rule, drivers: &str) -> Option<Value> {
    let (kind, heading) = match rule.kind? {
        Kind::Character => ("char", "Character devices:"),
        Kind::Block => ("block", "Block devices:"),
    };
    let node = match (rule.major, rule.minor) {
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (Some(major), None) => format!("{kind}-{}", driver(drivers, heading, major)?),
        (None, None) => format!("{kind}-*"),
        (None, Some(_)) => return None,
    };
    Some(Value::Struct(vec![Value::Text(node), Value::Text(rule.letters())]))
}

/// The name of the driver that has a major number (proc_devices(5)): systemd's lists know no numbers.
fn driver<'a>(drivers: &'a str, heading: &str, major: u32) -> Option<&'a str> {
    let section =
        drivers.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.is_empty());
    section
        .filter_map(|line| line.trim().split_once(' '))
        .find_map(|(number, name)| (number.parse() == Ok(major)).then_some(name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_program::{MKNOD, READ, WRITE};

    const DRIVERS: &str = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  1 ramdisk\n  8 sd\n";

    fn rule(allow: bool, kind: Option<Kind>, major: Option<u32>, minor: Option<u32>, access: u32) -> Rule {
        Rule { allow, kind, major, minor, access }
    }

    fn entries(rules: &[Rule]) -> Option<Vec<(String, String)>> {
        let list = properties(rules, DRIVERS);
        let Value::Array(_, entries) = &list.get(2)?.value else { return None };
        let pair = |value: &Value| match value {
            Value::Struct(pair) => {
                (pair[0].as_text().unwrap().to_owned(), pair[1].as_text().unwrap().to_owned())
            }
            _ => unreachable!(),
        };
        Some(entries.iter().map(pair).collect())
    }

    #[test]
    fn a_list_of_what_is_allowed() {
        let character = Some(Kind::Character);
        let rules = [
            Rule::everything(true),
            Rule::everything(false),
            rule(true, character, None, None, MKNOD),
            rule(true, character, Some(1), Some(3), 7),
            rule(true, character, Some(136), None, READ | WRITE),
            rule(true, Some(Kind::Block), Some(8), None, 7),
            rule(false, Some(Kind::Block), Some(8), None, 7),
            rule(true, Some(Kind::Block), Some(1), None, READ),
        ];
        let expected =
            [("char-*", "m"), ("/dev/char/1:3", "rwm"), ("char-pts", "rw"), ("block-ramdisk", "r")];
        let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(entries(&rules), Some(expected));
    }

    #[test]
    fn what_no_list_can_say_is_left_to_the_program() {
        let everything = Rule::everything(true);
        let unknown = rule(true, Some(Kind::Character), Some(77), None, 7);
        let odd = rule(true, Some(Kind::Character), None, Some(3), 7);
        for rules in [[everything], [unknown], [odd]] {
            assert_eq!(entries(&rules), None);
            assert_eq!(properties(&rules, DRIVERS)[0].value, Value::text("auto"));
        }
    }
}
