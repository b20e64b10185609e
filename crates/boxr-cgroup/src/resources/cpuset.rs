//! `cpu.cpus` and `cpu.mems`: which processors and memory nodes.

use std::collections::BTreeSet;

use oci_spec::runtime::LinuxCpu;

use super::{Facts, Setting, Version, invalid};
use crate::controller::Controller::Cpuset;
use crate::error::Result;
use crate::field::{CPUSET_CPUS, CPUSET_MEMS, Field};

/// More than any kernel is built for; keeps a list of ranges from filling memory.
const MAXIMUM: u32 = 65_535;

/// The numbers of a list such as `0-2,5` (cpuset(7), "List format"); `Err` is what is wrong.
pub fn parse_list(text: &str) -> std::result::Result<BTreeSet<u32>, &'static str> {
    let mut numbers = BTreeSet::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (range, stride) = part.split_once(':').unwrap_or((part, ""));
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let (low, high) = (number(low)?, number(high)?);
        if high < low {
            return Err("has a range that ends before it begins");
        }
        if stride.is_empty() {
            numbers.extend(low..=high);
            continue;
        }
        let (used, group) = stride.split_once('/').ok_or("is not a list such as 0-2,5")?;
        let (used, group) = (number(used)?, number(group)?);
        if group == 0 || used == 0 || used > group {
            return Err("has a range whose step is impossible");
        }
        numbers.extend((low..=high).filter(|value| (value - low) % group < used));
    }
    Ok(numbers)
}

fn number(text: &str) -> std::result::Result<u32, &'static str> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a list such as 0-2,5");
    }
    text.parse().ok().filter(|number| *number <= MAXIMUM).ok_or("has a number that is too great")
}

/// What `cpu` asks for of the cpuset controller.
pub(crate) fn settings(cpu: &LinuxCpu, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    for (value, file, available, field, what) in [
        (
            cpu.cpus(),
            "cpuset.cpus",
            ["cpuset.effective_cpus", "cpuset.cpus.effective"],
            CPUSET_CPUS,
            "processors",
        ),
        (
            cpu.mems(),
            "cpuset.mems",
            ["cpuset.effective_mems", "cpuset.mems.effective"],
            CPUSET_MEMS,
            "memory nodes",
        ),
    ] {
        let Some(value) = value.as_ref().filter(|value| !value.trim().is_empty()) else { continue };
        let wanted = parse_list(value).map_err(|reason| invalid(&field, format!("\"{value}\""), reason))?;
        let available = match facts.version(Cpuset, &field)? {
            Version::One => available[0],
            Version::Two => available[1],
        };
        check_available(&field, value, &wanted, facts.above(Cpuset, available)?.as_deref(), what)?;
        list.push(Setting::new(Cpuset, file, value.trim(), field).words(format!("{what}: {}", value.trim())));
    }
    Ok(list)
}

fn check_available(
    field: &Field,
    value: &str,
    wanted: &BTreeSet<u32>,
    available: Option<&str>,
    what: &str,
) -> Result<()> {
    let Some(available) = available else { return Ok(()) };
    let Ok(offered) = parse_list(available) else { return Ok(()) };
    match wanted.difference(&offered).next() {
        None => Ok(()),
        Some(missing) => {
            let reason = format!("names {missing}, and the {what} available are {}", available.trim());
            Err(invalid(field, format!("\"{value}\""), reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fake, convert, refusal};
    use super::*;

    #[test]
    fn lists() {
        let numbers = |text| parse_list(text).map(|set| set.into_iter().collect::<Vec<_>>());
        assert_eq!(numbers("0-2,5\n"), Ok(vec![0, 1, 2, 5]));
        assert_eq!(numbers("0-7:1/4"), Ok(vec![0, 4]));
        assert_eq!(numbers(""), Ok(vec![]));
        for bad in ["a", "-1", "1-", "2-1", "0-99999999", "0-4:2", "0-4:5/2", "0-4:1/0", "+1"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[0-9,:/ -]{0,20}") {
            if let Ok(set) = parse_list(&text) {
                proptest::prop_assert!(set.iter().all(|number| *number <= MAXIMUM));
            }
        }

        #[test]
        fn single_numbers_come_back(set in proptest::collection::btree_set(0u32..1000, 0..20)) {
            let text = set.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            proptest::prop_assert_eq!(parse_list(&text), Ok(set));
        }
    }

    #[test]
    fn settings_and_refusals() {
        let fake = Fake::new(Version::One);
        let json = r#"{"cpu":{"cpus":"0-1,3","mems":"0"}}"#;
        assert_eq!(convert(&fake, json).unwrap(), ["cpuset.cpus=0-1,3", "cpuset.mems=0"]);
        let text = refusal(Version::Two, r#"{"cpu":{"cpus":"2-5"}}"#);
        assert!(
            text.contains("--cpuset-cpus") && text.contains("names 4") && text.contains("are 0-3"),
            "{text}"
        );
        assert!(refusal(Version::Two, r#"{"cpu":{"mems":"x"}}"#).contains("--cpuset-mems"));
    }
}
