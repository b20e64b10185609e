//! `memory`: limit, reservation, swap.
//!
//! The specification speaks version 1's language, where `swap` is memory and swap together; in
//! version 2 `memory.swap.max` is swap alone.

use oci_spec::runtime::LinuxMemory;

use super::{Facts, Setting, Version, bytes, invalid, unsupported};
use crate::controller::Controller::Memory;
use crate::error::Result;
use crate::field::{
    Field, MEMORY_KERNEL_TCP, MEMORY_LIMIT, MEMORY_OOM, MEMORY_RESERVATION, MEMORY_SWAP, MEMORY_SWAPPINESS,
};

/// The smallest limit that is accepted. The kernel takes any number and then kills the first
/// process: a static program that does nothing needed between 256 and 384 KiB (Linux 6.18, x86-64).
pub const MINIMUM: i64 = 512 << 10;

/// The largest: the kernel counts pages in an `i64`.
const MAXIMUM: i64 = i64::MAX / 4096 * 4096;

/// What `memory` asks for. `0` is "not asked for" and `-1` "no limit" throughout, as in runc.
pub(crate) fn settings(memory: &LinuxMemory, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let limit = amount(memory.limit(), &MEMORY_LIMIT)?;
    let reservation = amount(memory.reservation(), &MEMORY_RESERVATION)?;
    let swap = amount(memory.swap(), &MEMORY_SWAP)?;
    if let Some(limit) = limit.filter(|limit| (0..MINIMUM).contains(limit)) {
        let reason = format!("is below {}, with which no program starts", bytes(MINIMUM as u64));
        return Err(invalid(&MEMORY_LIMIT, bytes(limit as u64), reason));
    }
    check_swap(limit, swap)?;
    if memory.check_before_update() == Some(true) {
        check_usage(limit, facts)?;
    }
    let mut list = Vec::new();
    for (value, field) in [(limit, MEMORY_LIMIT), (reservation, MEMORY_RESERVATION), (swap, MEMORY_SWAP)] {
        if value.is_some() {
            list = match facts.version(Memory, &field)? {
                Version::One => version_one(limit, reservation, swap, facts)?,
                Version::Two => version_two(limit, reservation, swap, facts)?,
            };
            break;
        }
    }
    list.extend(rare(memory, facts)?);
    Ok(list)
}

/// `Some(-1)` is no limit.
fn amount(value: Option<i64>, field: &Field) -> Result<Option<i64>> {
    match value {
        None | Some(0) => Ok(None),
        Some(-1) => Ok(Some(-1)),
        Some(value) if value < 0 => Err(invalid(field, value, "is negative; only -1 means no limit")),
        Some(value) if value > MAXIMUM => {
            Err(invalid(field, value, "is more than the kernel counts; use -1"))
        }
        Some(value) => Ok(Some(value)),
    }
}

fn check_swap(limit: Option<i64>, swap: Option<i64>) -> Result<()> {
    match (limit, swap) {
        (_, None | Some(-1)) => Ok(()),
        (None | Some(-1), Some(swap)) => Err(invalid(
            &MEMORY_SWAP,
            bytes(swap as u64),
            "is memory and swap together, and needs a memory limit",
        )),
        (Some(limit), Some(swap)) if swap < limit => {
            let reason = format!(
                "is below the memory limit of {}; it is memory and swap together",
                bytes(limit as u64)
            );
            Err(invalid(&MEMORY_SWAP, bytes(swap as u64), reason))
        }
        _ => Ok(()),
    }
}

/// A container that uses more than the new limit is left as it is, rather than that the kernel
/// reclaims and then kills. Version 1 refuses such a limit itself.
fn check_usage(limit: Option<i64>, facts: &dyn Facts) -> Result<()> {
    let Some(limit) = limit.filter(|limit| *limit > 0) else { return Ok(()) };
    if facts.version(Memory, &MEMORY_LIMIT)? == Version::One {
        return Ok(());
    }
    let used = facts.current(Memory, "memory.current")?.and_then(|text| text.trim().parse::<i64>().ok());
    match used.filter(|used| *used > limit) {
        None => Ok(()),
        Some(used) => {
            let reason = format!("is less than the {} that are in use", bytes(used as u64));
            Err(invalid(&MEMORY_LIMIT, bytes(limit as u64), reason))
        }
    }
}

fn words(what: &str, value: i64) -> String {
    match value {
        -1 => format!("{what}: no limit"),
        value => format!("{what}: at most {}", bytes(value as u64)),
    }
}

fn version_one(
    limit: Option<i64>,
    reservation: Option<i64>,
    swap: Option<i64>,
    facts: &dyn Facts,
) -> Result<Vec<Setting>> {
    const LIMIT: &str = "memory.limit_in_bytes";
    const BOTH: &str = "memory.memsw.limit_in_bytes";
    if swap.is_some() && facts.above(Memory, BOTH)?.is_none() {
        return Err(unsupported(&MEMORY_SWAP, "the kernel does not count swap; boot it with swapaccount=1"));
    }
    // No limit of memory with the old limit of both is refused by the kernel: lift both.
    let swap = swap.or(limit
        .filter(|limit| *limit == -1)
        .filter(|_| matches!(facts.current(Memory, BOTH), Ok(Some(_)))));
    let mut list = Vec::new();
    if let Some(limit) = limit {
        list.push(Setting::new(Memory, LIMIT, limit, MEMORY_LIMIT).words(words("memory", limit)));
    }
    if let Some(swap) = swap {
        let both = Setting::new(Memory, BOTH, swap, MEMORY_SWAP).words(words("memory and swap", swap));
        // At every instant memory <= both must hold, so what grows first is decided by what is now.
        let now = facts.current(Memory, BOTH)?.and_then(|text| text.trim().parse::<i64>().ok());
        let grows = now.is_some_and(|now| swap == -1 || swap > now);
        list.insert(if grows { 0 } else { list.len() }, both);
    }
    if let Some(reservation) = reservation {
        let soft = Setting::new(Memory, "memory.soft_limit_in_bytes", reservation, MEMORY_RESERVATION);
        list.push(soft.words(words("memory under pressure", reservation)));
    }
    Ok(list)
}

fn version_two(
    limit: Option<i64>,
    reservation: Option<i64>,
    swap: Option<i64>,
    facts: &dyn Facts,
) -> Result<Vec<Setting>> {
    let text = |value: i64| if value == -1 { "max".to_owned() } else { value.to_string() };
    let mut list = Vec::new();
    // As runc: no limit of memory lifts that of swap too, unless it was named.
    let swap = match (limit, swap) {
        (Some(-1), None) if facts.current(Memory, "memory.swap.max")?.is_some() => Some(-1),
        (_, None) => None,
        (_, Some(-1)) => Some(-1),
        (Some(limit), Some(swap)) => Some(swap - limit),
        (None, Some(swap)) => Some(swap),
    };
    if let Some(swap) = swap {
        let setting = Setting::new(Memory, "memory.swap.max", text(swap), MEMORY_SWAP);
        list.push(setting.words(words("swap", swap)));
    }
    if let Some(limit) = limit {
        let setting = Setting::new(Memory, "memory.max", text(limit), MEMORY_LIMIT);
        list.push(setting.words(words("memory", limit)));
    }
    if let Some(reservation) = reservation {
        let value = if reservation == -1 { "max".to_owned() } else { reservation.to_string() };
        let setting = Setting::new(Memory, "memory.low", value, MEMORY_RESERVATION);
        list.push(setting.words(format!("memory kept under pressure: {}", bytes(reservation.max(0) as u64))));
    }
    Ok(list)
}

/// What only version 1 has. `kernel` and `useHierarchy` are accepted and without effect: the
/// kernel dropped the first (5.16) and made the second the only way (5.11).
fn rare(memory: &LinuxMemory, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    if let Some(swappiness) = memory.swappiness() {
        if swappiness > 100 {
            return Err(invalid(&MEMORY_SWAPPINESS, swappiness, "is not between 0 and 100"));
        }
        only_one(facts, &MEMORY_SWAPPINESS)?;
        list.push(Setting::new(Memory, "memory.swappiness", swappiness, MEMORY_SWAPPINESS));
    }
    if memory.disable_oom_killer() == Some(true) {
        only_one(facts, &MEMORY_OOM)?;
        list.push(Setting::new(Memory, "memory.oom_control", 1, MEMORY_OOM));
    }
    if let Some(limit) = amount(memory.kernel_tcp(), &MEMORY_KERNEL_TCP)? {
        only_one(facts, &MEMORY_KERNEL_TCP)?;
        list.push(Setting::new(Memory, "memory.kmem.tcp.limit_in_bytes", limit, MEMORY_KERNEL_TCP));
    }
    Ok(list)
}

fn only_one(facts: &dyn Facts, field: &Field) -> Result<()> {
    match facts.version(Memory, field)? {
        Version::One => Ok(()),
        Version::Two => Err(unsupported(field, "cgroup v2 has no such setting")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fake, convert, refusal};
    use super::*;

    #[test]
    fn limit_and_swap_in_both_versions() {
        let json = r#"{"memory":{"limit":67108864,"swap":134217728,"reservation":33554432}}"#;
        assert_eq!(
            convert(&Fake::new(Version::One), json).unwrap(),
            [
                "memory.limit_in_bytes=67108864",
                "memory.memsw.limit_in_bytes=134217728",
                "memory.soft_limit_in_bytes=33554432"
            ]
        );
        assert_eq!(
            convert(&Fake::new(Version::Two), json).unwrap(),
            ["memory.swap.max=67108864", "memory.max=67108864", "memory.low=33554432"]
        );
    }

    #[test]
    fn growing_beyond_the_old_limit_of_both_lifts_it_first() {
        let mut fake = Fake::new(Version::One);
        fake.now.insert("memory.memsw.limit_in_bytes", "1000000\n");
        let json = r#"{"memory":{"limit":2000000,"swap":3000000}}"#;
        assert_eq!(
            convert(&fake, json).unwrap(),
            ["memory.memsw.limit_in_bytes=3000000", "memory.limit_in_bytes=2000000"]
        );
    }

    #[test]
    fn usage_is_checked_when_that_is_asked_for() {
        let mut fake = Fake::new(Version::Two);
        fake.now.insert("memory.current", "2000000\n");
        let json = |check| format!(r#"{{"memory":{{"limit":1000000,"checkBeforeUpdate":{check}}}}}"#);
        assert!(convert(&fake, &json("true")).unwrap_err().to_string().contains("in use"));
        assert!(convert(&fake, &json("false")).is_ok());
    }

    #[test]
    fn no_limit_and_not_asked_for() {
        let fake = Fake::new(Version::Two);
        assert_eq!(
            convert(&fake, r#"{"memory":{"limit":-1,"swap":-1}}"#).unwrap(),
            ["memory.swap.max=max", "memory.max=max"]
        );
        assert!(convert(&fake, r#"{"memory":{"limit":0}}"#).unwrap().is_empty());
    }

    #[test]
    fn refusals_name_the_option() {
        let small = refusal(Version::Two, r#"{"memory":{"limit":4096}}"#);
        assert_eq!(
            small,
            "--memory (linux.resources.memory.limit): 4 KiB is below 512 KiB, with which no program starts"
        );
        assert!(refusal(Version::One, r#"{"memory":{"limit":-2}}"#).contains("only -1"));
        assert!(refusal(Version::One, r#"{"memory":{"limit":9223372036854775807}}"#).contains("use -1"));
        assert!(
            refusal(Version::One, r#"{"memory":{"limit":2097152,"swap":1048576}}"#).contains("--memory-swap")
        );
        assert!(refusal(Version::Two, r#"{"memory":{"swap":1048576}}"#).contains("needs a memory limit"));
        assert!(refusal(Version::Two, r#"{"memory":{"swappiness":10}}"#).contains("--memory-swappiness"));
        assert!(refusal(Version::One, r#"{"memory":{"swappiness":101}}"#).contains("between 0 and 100"));
    }
}
