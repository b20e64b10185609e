//! `cpu`: bandwidth (quota, period, burst), shares, idle, real time.

use oci_spec::runtime::LinuxCpu;

use super::{Facts, Setting, Version, invalid, unsupported};
use crate::controller::Controller::Cpu;
use crate::error::Result;
use crate::field::{
    CPU_BURST, CPU_IDLE, CPU_PERIOD, CPU_QUOTA, CPU_REALTIME_PERIOD, CPU_REALTIME_RUNTIME, CPU_SHARES, Field,
};

/// Microseconds of a period where none is given, the kernel's default.
const DEFAULT_PERIOD: u64 = 100_000;
/// The kernel's bounds of a period, microseconds.
const PERIODS: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;
/// The kernel's least quota, microseconds.
const LEAST_QUOTA: i64 = 1_000;
/// The kernel's greatest quota, microseconds: `MAX_BW` of its scheduler.
const GREATEST_QUOTA: i64 = (1 << 44) - 1;

/// Quota and period, microseconds, that give `thousandths` of a processor; `None` for 0 and for
/// more than the kernel can express. Small fractions get a longer period, as a quota of less than
/// 1 ms is refused.
pub fn bandwidth(thousandths: u64) -> Option<(i64, u64)> {
    let period = if thousandths < 10 { *PERIODS.end() } else { DEFAULT_PERIOD };
    let quota = i64::try_from(thousandths.checked_mul(period / 1000)?).ok()?;
    (LEAST_QUOTA..=GREATEST_QUOTA).contains(&quota).then_some((quota, period))
}

/// cgroup v2's `cpu.weight` (1-10000) for v1's shares (2-262144), the curve that runc 1.3.2 and
/// later use: it maps the smallest, the default (1024 to 100) and the greatest onto each other.
pub fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

/// The bandwidth fields; `0` was "not asked for" and is `None` here.
struct Bandwidth {
    quota: Option<i64>,
    period: Option<u64>,
    burst: Option<u64>,
}

/// What `cpu` asks for, without its cpuset.
pub(crate) fn settings(cpu: &LinuxCpu, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let bandwidth = check_bandwidth(cpu)?;
    let shares = cpu.shares().filter(|shares| *shares != 0);
    let idle = check_idle(cpu.idle())?;
    let Some(first) = first_field(&bandwidth, shares, idle, cpu) else { return Ok(Vec::new()) };
    let version = facts.version(Cpu, &first)?;
    let mut list = Vec::new();
    // An idle group has no weight of its own: the kernel refuses one.
    if let Some(shares) = shares.filter(|_| idle != Some(1)) {
        list.push(match version {
            Version::One => Setting::new(Cpu, "cpu.shares", shares, CPU_SHARES),
            Version::Two => Setting::new(Cpu, "cpu.weight", weight_of_shares(shares), CPU_SHARES),
        });
    }
    match version {
        Version::One => bandwidth_one(&bandwidth, facts, &mut list)?,
        Version::Two => bandwidth_two(&bandwidth, facts, &mut list)?,
    }
    if let Some(idle) = idle {
        let words = if idle == 1 { "processor time: only what nobody else wants" } else { "" };
        let setting = Setting::new(Cpu, "cpu.idle", idle, CPU_IDLE).words(words);
        // Leaving the idle class must come before a weight, entering it after.
        list.insert(if idle == 0 { 0 } else { list.len() }, setting);
    }
    list.extend(realtime(cpu, version)?);
    Ok(list)
}

fn first_field(
    bandwidth: &Bandwidth,
    shares: Option<u64>,
    idle: Option<i64>,
    cpu: &LinuxCpu,
) -> Option<Field> {
    [
        (bandwidth.quota.is_some(), CPU_QUOTA),
        (bandwidth.period.is_some(), CPU_PERIOD),
        (shares.is_some(), CPU_SHARES),
        (bandwidth.burst.is_some(), CPU_BURST),
        (idle.is_some(), CPU_IDLE),
        (cpu.realtime_runtime().is_some_and(|value| value != 0), CPU_REALTIME_RUNTIME),
        (cpu.realtime_period().is_some_and(|value| value != 0), CPU_REALTIME_PERIOD),
    ]
    .into_iter()
    .find_map(|(asked, field)| asked.then_some(field))
}

fn check_idle(idle: Option<i64>) -> Result<Option<i64>> {
    match idle {
        None | Some(0 | 1) => Ok(idle),
        Some(other) => Err(invalid(&CPU_IDLE, other, "is neither 0 nor 1")),
    }
}

fn check_bandwidth(cpu: &LinuxCpu) -> Result<Bandwidth> {
    let period = cpu.period().filter(|period| *period != 0);
    if let Some(period) = period.filter(|period| !PERIODS.contains(period)) {
        return Err(invalid(&CPU_PERIOD, format!("{period} us"), "is not between 1000 and 1000000"));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0).map(|quota| quota.max(-1));
    match quota {
        Some(quota) if (0..LEAST_QUOTA).contains(&quota) => {
            let reason = "of processor time in a period is below 1000 us, the least the kernel hands out";
            return Err(invalid(&CPU_QUOTA, format!("{quota} us"), reason));
        }
        Some(quota) if quota > GREATEST_QUOTA => {
            let reason = "of processor time in a period is more than the kernel can express";
            return Err(invalid(&CPU_QUOTA, format!("{quota} us"), reason));
        }
        _ => {}
    }
    let burst = cpu.burst();
    if let (Some(burst), Some(quota @ 1..)) = (burst, quota)
        && burst > quota as u64
    {
        return Err(invalid(
            &CPU_BURST,
            format!("{burst} us"),
            format!("is more than the quota of {quota} us"),
        ));
    }
    Ok(Bandwidth { quota, period, burst })
}

fn share_words(quota: i64, period: u64) -> String {
    match quota {
        -1 => "processor time: no limit".into(),
        quota => format!("processor time: at most {} of a processor", quota as f64 / period as f64),
    }
}

fn bandwidth_one(bandwidth: &Bandwidth, facts: &dyn Facts, list: &mut Vec<Setting>) -> Result<()> {
    // The new burst must fit the quota that is in force: none while the quota changes.
    if bandwidth.burst.is_some() && bandwidth.quota.is_some() {
        list.push(Setting::new(Cpu, "cpu.cfs_burst_us", 0, CPU_BURST));
    }
    let quota_at = list.len();
    if let Some(quota) = bandwidth.quota {
        let words = share_words(quota, bandwidth.period.unwrap_or(DEFAULT_PERIOD));
        list.push(Setting::new(Cpu, "cpu.cfs_quota_us", quota, CPU_QUOTA).words(words));
    }
    if let Some(period) = bandwidth.period {
        let now = facts.current(Cpu, "cpu.cfs_period_us")?.and_then(|text| text.trim().parse::<u64>().ok());
        // The kernel refuses a share above that of the cgroup above, also for an instant: in this order
        // the share in between is never more than both the old and the new.
        let first = now.is_none_or(|now| period > now);
        list.insert(
            if first { quota_at } else { list.len() },
            Setting::new(Cpu, "cpu.cfs_period_us", period, CPU_PERIOD),
        );
    }
    if let Some(burst) = bandwidth.burst {
        list.push(Setting::new(Cpu, "cpu.cfs_burst_us", burst, CPU_BURST));
    }
    Ok(())
}

fn bandwidth_two(bandwidth: &Bandwidth, facts: &dyn Facts, list: &mut Vec<Setting>) -> Result<()> {
    let quota_text = |quota: i64| if quota == -1 { "max".to_owned() } else { quota.to_string() };
    if bandwidth.burst.is_some() && bandwidth.quota.is_some() {
        list.push(Setting::new(Cpu, "cpu.max.burst", 0, CPU_BURST));
    }
    match (bandwidth.quota, bandwidth.period) {
        (None, None) => {}
        (Some(quota), period) => {
            // The period in force stays, and systemd has to be told of it.
            let now = facts.current(Cpu, "cpu.max")?;
            let in_force = now.as_deref().and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
            let period = period.or(in_force);
            let value = match period {
                Some(period) => format!("{} {period}", quota_text(quota)),
                None => quota_text(quota),
            };
            let words = share_words(quota, period.unwrap_or(DEFAULT_PERIOD));
            list.push(Setting::new(Cpu, "cpu.max", value, CPU_QUOTA).words(words));
        }
        (None, Some(period)) => {
            let now = facts.current(Cpu, "cpu.max")?.unwrap_or_default();
            let quota = now.split_whitespace().next().unwrap_or("max");
            list.push(Setting::new(Cpu, "cpu.max", format!("{quota} {period}"), CPU_PERIOD));
        }
    }
    if let Some(burst) = bandwidth.burst {
        list.push(Setting::new(Cpu, "cpu.max.burst", burst, CPU_BURST));
    }
    Ok(())
}

fn realtime(cpu: &LinuxCpu, version: Version) -> Result<Vec<Setting>> {
    let runtime = cpu.realtime_runtime().filter(|runtime| *runtime != 0);
    let period = cpu.realtime_period().filter(|period| *period != 0);
    let mut list = Vec::new();
    for (value, file, field) in [
        (period.map(|value| value.to_string()), "cpu.rt_period_us", CPU_REALTIME_PERIOD),
        (runtime.map(|value| value.to_string()), "cpu.rt_runtime_us", CPU_REALTIME_RUNTIME),
    ] {
        let Some(value) = value else { continue };
        if version == Version::Two {
            return Err(unsupported(&field, "cgroup v2 does not share out real-time bandwidth"));
        }
        list.push(Setting::new(Cpu, file, value, field));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fake, convert, refusal};
    use super::*;

    #[test]
    fn thousandths_of_a_processor() {
        assert_eq!(bandwidth(1500), Some((150_000, 100_000)));
        assert_eq!(bandwidth(1), Some((1_000, 1_000_000)));
        assert_eq!(bandwidth(10), Some((1_000, 100_000)));
        assert_eq!(bandwidth(0), None);
        assert_eq!(bandwidth(u64::MAX), None);
        assert_eq!(bandwidth(1 << 40), None);
    }

    #[test]
    fn shares_keep_smallest_default_and_greatest() {
        let pairs =
            [(0, 1), (2, 1), (3, 2), (512, 59), (1024, 100), (2048, 174), (4096, 303), (262_144, 10_000)];
        for (shares, weight) in pairs.into_iter().chain([(u64::MAX, 10_000)]) {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }

    proptest::proptest! {
        #[test]
        fn weights_grow_with_shares(shares in 2u64..262_144) {
            let weight = weight_of_shares(shares);
            proptest::prop_assert!((1..=10_000).contains(&weight));
            proptest::prop_assert!(weight <= weight_of_shares(shares + 1));
        }
    }

    #[test]
    fn bandwidth_in_both_versions() {
        let json = r#"{"cpu":{"quota":50000,"period":200000,"burst":1000,"shares":1024}}"#;
        assert_eq!(
            convert(&Fake::new(Version::One), json).unwrap(),
            [
                "cpu.shares=1024",
                "cpu.cfs_burst_us=0",
                "cpu.cfs_period_us=200000",
                "cpu.cfs_quota_us=50000",
                "cpu.cfs_burst_us=1000"
            ]
        );
        assert_eq!(
            convert(&Fake::new(Version::Two), json).unwrap(),
            ["cpu.weight=100", "cpu.max.burst=0", "cpu.max=50000 200000", "cpu.max.burst=1000"]
        );
        let mut shorter = Fake::new(Version::One);
        shorter.now.insert("cpu.cfs_period_us", "100000\n");
        assert_eq!(
            convert(&shorter, r#"{"cpu":{"quota":5000,"period":50000}}"#).unwrap(),
            ["cpu.cfs_quota_us=5000", "cpu.cfs_period_us=50000"]
        );
        let mut running = Fake::new(Version::Two);
        running.now.insert("cpu.max", "5000 100000\n");
        assert_eq!(convert(&running, r#"{"cpu":{"period":50000}}"#).unwrap(), ["cpu.max=5000 50000"]);
        running.now.insert("cpu.max", "5000 200000\n");
        assert_eq!(convert(&running, r#"{"cpu":{"quota":7000}}"#).unwrap(), ["cpu.max=7000 200000"]);
    }

    #[test]
    fn an_idle_group_has_no_weight() {
        let json = r#"{"cpu":{"idle":1,"shares":1024}}"#;
        assert_eq!(convert(&Fake::new(Version::Two), json).unwrap(), ["cpu.idle=1"]);
        let json = r#"{"cpu":{"idle":0,"shares":1024}}"#;
        assert_eq!(convert(&Fake::new(Version::One), json).unwrap(), ["cpu.idle=0", "cpu.shares=1024"]);
    }

    #[test]
    fn refusals_name_the_option() {
        assert!(refusal(Version::Two, r#"{"cpu":{"quota":999}}"#).starts_with("--cpus "));
        assert!(refusal(Version::One, r#"{"cpu":{"quota":17592186044416}}"#).contains("express"));
        assert!(refusal(Version::One, r#"{"cpu":{"period":999}}"#).contains("--cpus"));
        assert!(refusal(Version::One, r#"{"cpu":{"idle":2}}"#).contains("cpu.idle"));
        assert!(refusal(Version::One, r#"{"cpu":{"quota":5000,"burst":6000}}"#).contains("burst"));
        assert!(refusal(Version::Two, r#"{"cpu":{"realtimeRuntime":5}}"#).contains("--cpu-rt-runtime"));
    }
}
