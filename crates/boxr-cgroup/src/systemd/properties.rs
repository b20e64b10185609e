//! Properties of a scope (systemd.resource-control(5)), from the same settings that the files of the
//! cgroup get: systemd owns these files, and would put its own idea back whenever it reads its
//! configuration again.

use crate::controller::Controller;
use crate::dbus::Value;
use crate::resources::cpuset::parse_list;
use crate::resources::{Missing, Setting};

/// One property of a unit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Property {
    pub name: String,
    pub value: Value,
    /// Not known to every systemd in use, and not lost without it.
    pub optional: bool,
}

impl Property {
    pub fn new(name: &str, value: Value) -> Self {
        Self { name: name.to_owned(), value, optional: false }
    }

    fn optional(name: &str, value: Value) -> Self {
        Self { optional: true, ..Self::new(name, value) }
    }

    /// As the calls take it.
    pub fn to_value(&self) -> Value {
        Value::Struct(vec![Value::text(&*self.name), self.value.clone().variant()])
    }
}

/// What every scope of ours has.
pub(super) fn base(slice: &str, id: &str, version_one: bool) -> Vec<Property> {
    let yes = |name| Property::new(name, Value::Bool(true));
    vec![
        Property::new("Description", Value::Text(format!("boxr container {id}"))),
        Property::new("Slice", Value::text(slice)),
        // What is below the scope is the container's, and systemd leaves it alone.
        yes("Delegate"),
        // So that the files which count are there, whatever the system's configuration says.
        yes("MemoryAccounting"),
        yes("CPUAccounting"),
        yes(if version_one { "BlockIOAccounting" } else { "IOAccounting" }),
        yes("TasksAccounting"),
        // Not stopped before everything else when the machine shuts down, as the one that watches it is.
        Property::new("DefaultDependencies", Value::Bool(false)),
    ]
}

/// What `settings` are in systemd's words; those that it has no word for reach the files alone.
/// `period` is the length of the period in force, microseconds, where a quota comes without.
pub(super) fn of_settings(settings: &[Setting], period: Option<u64>) -> Vec<Property> {
    let mut list: Vec<Property> = Vec::new();
    for property in settings.iter().flat_map(of_setting).chain(quota(settings, period)) {
        // A later value for the same file beats an earlier one.
        list.retain(|known| known.name != property.name);
        list.push(property);
    }
    list
}

fn of_setting(setting: &Setting) -> Vec<Property> {
    let amount = |name| amount(&setting.value).map(|value| Property::new(name, Value::U64(value)));
    let mask = |name| {
        let set = parse_list(&setting.value).ok()?;
        Some(Property::optional(name, bytes(&set)))
    };
    let property = match (&*setting.file, setting.controller) {
        ("memory.max", _) => amount("MemoryMax"),
        ("memory.high", _) => amount("MemoryHigh"),
        ("memory.low", _) => amount("MemoryLow"),
        ("memory.min", _) => amount("MemoryMin"),
        ("memory.swap.max", _) => amount("MemorySwapMax"),
        ("memory.limit_in_bytes", _) => amount("MemoryLimit"),
        ("pids.max", _) => amount("TasksMax"),
        ("cpu.weight", _) => amount("CPUWeight"),
        ("cpu.shares", _) => amount("CPUShares"),
        // Weight 0 is the idle class, for systemd 252 and later.
        ("cpu.idle", Some(Controller::Cpu)) if setting.value == "1" => {
            Some(Property::optional("CPUWeight", Value::U64(0)))
        }
        ("blkio.weight", _) => amount("BlockIOWeight"),
        ("io.weight", _) => default_weight(&setting.value),
        ("io.bfq.weight", _) => match &setting.missing {
            Missing::Use("io.weight", value) => default_weight(value),
            _ => None,
        },
        ("cpuset.cpus", _) => mask("AllowedCPUs"),
        ("cpuset.mems", _) => mask("AllowedMemoryNodes"),
        _ => None,
    };
    property.into_iter().collect()
}

/// A number; `max` and `-1` are systemd's infinity.
fn amount(text: &str) -> Option<u64> {
    match text.trim() {
        "max" | "-1" => Some(u64::MAX),
        text => text.parse().ok(),
    }
}

/// The weight that holds for all devices: a bare number, or one after `default`.
fn default_weight(text: &str) -> Option<Property> {
    let text = text.trim();
    let number = text.strip_prefix("default ").unwrap_or(text).parse().ok()?;
    Some(Property::new("IOWeight", Value::U64(number)))
}

/// Bit n of byte m stands for number 8m + n.
fn bytes(set: &std::collections::BTreeSet<u32>) -> Value {
    let length = set.last().map_or(0, |last| *last as usize / 8 + 1);
    let mut bytes = vec![0u8; length];
    for number in set {
        bytes[*number as usize / 8] |= 1 << (number % 8);
    }
    Value::Array("y".into(), bytes.into_iter().map(Value::Byte).collect())
}

/// Quota and period, which systemd wants as microseconds of processor time in a second.
fn quota(settings: &[Setting], period_now: Option<u64>) -> Vec<Property> {
    const DEFAULT_PERIOD: u64 = 100_000;
    let find = |file: &str| {
        settings.iter().rev().find(|setting| setting.file == file).map(|setting| &*setting.value)
    };
    let (quota, period) = match find("cpu.max") {
        Some(both) => {
            both.split_once(' ').map_or((Some(both), None), |(quota, period)| (Some(quota), Some(period)))
        }
        None => (find("cpu.cfs_quota_us"), find("cpu.cfs_period_us")),
    };
    let period = period.and_then(|text| text.trim().parse().ok());
    let mut list = Vec::new();
    if let Some(period) = period {
        list.push(Property::optional("CPUQuotaPeriodUSec", Value::U64(period)));
    }
    if let Some(quota) = quota.and_then(amount) {
        let per_second = per_second(quota, period.or(period_now).unwrap_or(DEFAULT_PERIOD));
        list.push(Property::new("CPUQuotaPerSecUSec", Value::U64(per_second)));
    }
    list
}

/// systemd keeps whole percents of a processor: rounded up, never below what was asked for.
fn per_second(quota: u64, period: u64) -> u64 {
    const PERCENT: u64 = 10_000;
    if quota == u64::MAX || period == 0 {
        return u64::MAX;
    }
    quota.saturating_mul(1_000_000).div_ceil(period).div_ceil(PERCENT).saturating_mul(PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Version;
    use crate::resources::tests::{Fake, settings_of};

    fn properties(version: Version, json: &str) -> Vec<(String, Value)> {
        let list = of_settings(&settings_of(&Fake::new(version), json), None);
        list.into_iter().map(|property| (property.name, property.value)).collect()
    }

    fn numbers(list: &[(&str, u64)]) -> Vec<(String, Value)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), Value::U64(*value))).collect()
    }

    const LIMITS: &str = r#"{"memory":{"limit":67108864,"swap":134217728,"reservation":1000000},
        "cpu":{"shares":1024,"quota":50000,"period":200000},"pids":{"limit":-1},"blockIO":{"weight":500}}"#;

    #[test]
    fn limits_in_version_2() {
        let expected = [
            ("MemorySwapMax", 67_108_864),
            ("MemoryMax", 67_108_864),
            ("MemoryLow", 1_000_000),
            ("CPUWeight", 100),
            ("TasksMax", u64::MAX),
            ("IOWeight", 4950),
            ("CPUQuotaPeriodUSec", 200_000),
            ("CPUQuotaPerSecUSec", 250_000),
        ];
        assert_eq!(properties(Version::Two, LIMITS), numbers(&expected));
    }

    #[test]
    fn limits_in_version_1() {
        let expected = [
            ("MemoryLimit", 67_108_864),
            ("CPUShares", 1024),
            ("TasksMax", u64::MAX),
            ("BlockIOWeight", 500),
            ("CPUQuotaPeriodUSec", 200_000),
            ("CPUQuotaPerSecUSec", 250_000),
        ];
        assert_eq!(properties(Version::One, LIMITS), numbers(&expected));
    }

    #[test]
    fn raw_keys_and_masks() {
        let json = r#"{"unified":{"memory.high":"4096","cpu.max":"max 50000","cpu.idle":"1","memory.oom.group":"1"}}"#;
        let expected = [
            ("CPUWeight", 0),
            ("MemoryHigh", 4096),
            ("CPUQuotaPeriodUSec", 50_000),
            ("CPUQuotaPerSecUSec", u64::MAX),
        ];
        assert_eq!(properties(Version::Two, json), numbers(&expected));
        let list = properties(Version::Two, r#"{"cpu":{"cpus":"0,3"}}"#);
        assert_eq!(list[0].1, Value::Array("y".into(), vec![Value::Byte(0b1001)]));
    }

    #[test]
    fn quotas_are_never_rounded_down() {
        assert_eq!(per_second(1_000, 100_000), 10_000);
        assert_eq!(per_second(1_001, 100_000), 20_000);
        assert_eq!(per_second(150_000, 100_000), 1_500_000);
        assert_eq!(per_second(u64::MAX - 1, 1), u64::MAX);
    }
}
