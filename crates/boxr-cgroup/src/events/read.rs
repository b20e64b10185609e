//! Reading these figures, in either version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{
    Blkio, BlkioEntry, ContainerStats, Cpu, CpuUsage, Cpuset, Hugetlb, Memory, MemoryEntry, Pids, Psi,
};
use super::{PsiLine, Throttling};
use crate::Location;
use crate::cgroup::Cgroup;
use crate::controller::Controller;
use crate::error::Result;
use crate::file::{self, keyed, read_if_exists};
use crate::resources::cpuset::parse_list;
use crate::stats::{PressureFigures, PressureLine, pressure};

/// Nanoseconds of a clock tick, in which `cpuacct.stat` counts: `USER_HZ` is 100 on every machine.
const TICK: u64 = 10_000_000;

impl Cgroup {
    /// What `events --stats` shows of the container.
    ///
    /// # Errors
    /// When a file that exists cannot be read.
    pub fn container_stats(&self) -> Result<ContainerStats> {
        let location = self.location();
        let mut stats = ContainerStats {
            cpu: cpu(location)?,
            cpuset: cpuset(location)?,
            memory: memory(location)?,
            pids: pids(location)?,
            blkio: blkio(location)?,
            hugetlb: hugetlb(location)?,
            ..ContainerStats::default()
        };
        if let Some(unified) = &location.unified {
            let pressure = pressure(unified)?;
            stats.cpu.psi = pressure.cpu.map(Psi::from);
            stats.memory.psi = pressure.memory.map(Psi::from);
            stats.blkio.psi = pressure.io.map(Psi::from);
        }
        Ok(stats)
    }
}

impl From<PressureFigures> for Psi {
    fn from(figures: PressureFigures) -> Self {
        let line = |line: PressureLine| PsiLine {
            avg10: line.avg10,
            avg60: line.avg60,
            avg300: line.avg300,
            total: line.total_us,
        };
        Self { some: line(figures.some), full: line(figures.full) }
    }
}

/// A controller's files, and whether they are version 1's.
enum Files<'a> {
    One(&'a Path),
    Two(&'a Path),
}

fn files(location: &Location, controller: Controller) -> Option<Files<'_>> {
    match location.legacy.get(controller.legacy_name()) {
        Some(path) => Some(Files::One(path)),
        None => location.unified.as_deref().map(Files::Two),
    }
}

/// A file with one number; 0 where there is none, and the greatest for `max`.
fn number(directory: &Path, name: &str) -> Result<u64> {
    let text = read_if_exists(&directory.join(name))?.unwrap_or_default();
    Ok(if text.trim() == "max" { u64::MAX } else { text.trim().parse().unwrap_or_default() })
}

fn text(directory: &Path, name: &str) -> Result<String> {
    Ok(read_if_exists(&directory.join(name))?.unwrap_or_default())
}

fn cpu(location: &Location) -> Result<Cpu> {
    let usage = match files(location, Controller::Cpuacct) {
        Some(Files::One(path)) => usage_one(path)?,
        Some(Files::Two(path)) => usage_two(&text(path, "cpu.stat")?),
        None => CpuUsage::default(),
    };
    let throttling = match files(location, Controller::Cpu) {
        Some(Files::One(path)) => throttling(&text(path, "cpu.stat")?, "throttled_time", 1),
        Some(Files::Two(path)) => throttling(&text(path, "cpu.stat")?, "throttled_usec", 1000),
        None => Throttling::default(),
    };
    Ok(Cpu { usage, throttling, psi: None })
}

fn usage_one(directory: &Path) -> Result<CpuUsage> {
    let numbers = |text: &str| text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let stat = text(directory, "cpuacct.stat")?;
    let mut usage = CpuUsage {
        total: number(directory, "cpuacct.usage")?,
        percpu: numbers(&text(directory, "cpuacct.usage_percpu")?),
        kernel: keyed(&stat, "system").unwrap_or_default() * TICK,
        user: keyed(&stat, "user").unwrap_or_default() * TICK,
        ..CpuUsage::default()
    };
    // `cpu user system`, then a line for each processor.
    for line in text(directory, "cpuacct.usage_all")?.lines().skip(1) {
        if let [_, user, kernel] = numbers(line)[..] {
            usage.percpu_user.push(user);
            usage.percpu_kernel.push(kernel);
        }
    }
    Ok(usage)
}

fn usage_two(stat: &str) -> CpuUsage {
    let time = |key| keyed(stat, key).unwrap_or_default() * 1000;
    CpuUsage {
        total: time("usage_usec"),
        kernel: time("system_usec"),
        user: time("user_usec"),
        ..CpuUsage::default()
    }
}

fn throttling(stat: &str, time: &str, nanoseconds: u64) -> Throttling {
    let count = |key| keyed(stat, key).unwrap_or_default();
    Throttling {
        periods: count("nr_periods"),
        throttled_periods: count("nr_throttled"),
        throttled_time: count(time) * nanoseconds,
    }
}

fn cpuset(location: &Location) -> Result<Cpuset> {
    let Some(Files::One(path)) = files(location, Controller::Cpuset) else { return Ok(Cpuset::default()) };
    let list = |name: &str| -> Result<Vec<u32>> {
        Ok(parse_list(&text(path, name)?).map(|set| set.into_iter().collect()).unwrap_or_default())
    };
    Ok(Cpuset {
        cpus: list("cpuset.cpus")?,
        cpu_exclusive: number(path, "cpuset.cpu_exclusive")?,
        mems: list("cpuset.mems")?,
        mem_hardwall: number(path, "cpuset.mem_hardwall")?,
        mem_exclusive: number(path, "cpuset.mem_exclusive")?,
        memory_migrate: number(path, "cpuset.memory_migrate")?,
        memory_spread_page: number(path, "cpuset.memory_spread_page")?,
        memory_spread_slab: number(path, "cpuset.memory_spread_slab")?,
        memory_pressure: number(path, "cpuset.memory_pressure")?,
        sched_load_balance: number(path, "cpuset.sched_load_balance")?,
        sched_relax_domain_level: text(path, "cpuset.sched_relax_domain_level")?
            .trim()
            .parse()
            .unwrap_or_default(),
    })
}

fn memory(location: &Location) -> Result<Memory> {
    match files(location, Controller::Memory) {
        Some(Files::One(path)) => memory_one(path),
        Some(Files::Two(path)) => memory_two(path),
        None => Ok(Memory::default()),
    }
}

fn raw(directory: &Path) -> Result<BTreeMap<String, u64>> {
    let text = text(directory, "memory.stat")?;
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(pair).collect())
}

fn memory_one(directory: &Path) -> Result<Memory> {
    let entry = |prefix: &str| -> Result<MemoryEntry> {
        Ok(MemoryEntry {
            limit: number(directory, &format!("{prefix}.limit_in_bytes"))?,
            usage: number(directory, &format!("{prefix}.usage_in_bytes"))?,
            max: number(directory, &format!("{prefix}.max_usage_in_bytes"))?,
            failcnt: number(directory, &format!("{prefix}.failcnt"))?,
        })
    };
    let raw = raw(directory)?;
    Ok(Memory {
        cache: raw.get("cache").copied().unwrap_or_default(),
        usage: entry("memory")?,
        swap: entry("memory.memsw")?,
        kernel: entry("memory.kmem")?,
        kernel_tcp: entry("memory.kmem.tcp")?,
        raw,
        psi: None,
    })
}

fn memory_two(directory: &Path) -> Result<Memory> {
    // In a cgroup without the controller there is no limit to show.
    let Some(current) = read_if_exists(&directory.join("memory.current"))? else {
        return Ok(Memory::default());
    };
    let usage = current.trim().parse().unwrap_or_default();
    let limit = number(directory, "memory.max")?;
    let events = text(directory, "memory.events")?;
    let swap_events = text(directory, "memory.swap.events")?;
    let raw = raw(directory)?;
    // Both together, as version 1 counted.
    let swap = MemoryEntry {
        limit: limit.saturating_add(number(directory, "memory.swap.max")?),
        usage: number(directory, "memory.swap.current")?.saturating_add(usage),
        max: 0,
        failcnt: keyed(&swap_events, "max").unwrap_or_default(),
    };
    Ok(Memory {
        cache: raw.get("file").copied().unwrap_or_default(),
        usage: MemoryEntry {
            limit,
            usage,
            max: number(directory, "memory.peak")?,
            failcnt: keyed(&events, "max").unwrap_or_default(),
        },
        swap,
        raw,
        ..Memory::default()
    })
}

fn pids(location: &Location) -> Result<Pids> {
    let Some(directory) = location.directory(Some(Controller::Pids)) else { return Ok(Pids::default()) };
    let limit = number(directory, "pids.max")?;
    Ok(Pids { current: number(directory, "pids.current")?, limit: if limit == u64::MAX { 0 } else { limit } })
}

fn blkio(location: &Location) -> Result<Blkio> {
    match files(location, Controller::Io) {
        Some(Files::One(path)) => Ok(Blkio {
            io_service_bytes_recursive: entries_one(path, "io_service_bytes_recursive")?,
            io_serviced_recursive: entries_one(path, "io_serviced_recursive")?,
            psi: None,
        }),
        Some(Files::Two(path)) => Ok(entries_two(&text(path, "io.stat")?)),
        None => Ok(Blkio::default()),
    }
}

/// Lines of `8:0 Read 4096`, from the scheduler that counts or else from the throttle.
fn entries_one(directory: &Path, name: &str) -> Result<Vec<BlkioEntry>> {
    let bfq = text(directory, &format!("blkio.bfq.{name}"))?;
    let text = match entries_of_lines(&bfq) {
        list if !list.is_empty() => return Ok(list),
        _ => text(directory, &format!("blkio.throttle.{name}"))?,
    };
    Ok(entries_of_lines(&text))
}

fn entries_of_lines(text: &str) -> Vec<BlkioEntry> {
    let entry = |line: &str| {
        let [device, op, value] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        Some(BlkioEntry { op: op.to_owned(), value: value.parse().ok()?, ..numbered(device)? })
    };
    text.lines().filter_map(entry).collect()
}

fn numbered(device: &str) -> Option<BlkioEntry> {
    let (major, minor) = device.split_once(':')?;
    Some(BlkioEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, ..BlkioEntry::default() })
}

/// Lines of `8:0 rbytes=4096 wbytes=0 rios=1 …`.
fn entries_two(text: &str) -> Blkio {
    let mut blkio = Blkio::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some(device) = fields.next().and_then(numbered) else { continue };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (op, list) = match key {
                "rbytes" => ("Read", &mut blkio.io_service_bytes_recursive),
                "wbytes" => ("Write", &mut blkio.io_service_bytes_recursive),
                "dbytes" => ("Discard", &mut blkio.io_service_bytes_recursive),
                "rios" => ("Read", &mut blkio.io_serviced_recursive),
                "wios" => ("Write", &mut blkio.io_serviced_recursive),
                "dios" => ("Discard", &mut blkio.io_serviced_recursive),
                _ => continue,
            };
            let value = value.parse().unwrap_or_default();
            list.push(BlkioEntry { op: op.to_owned(), value, ..device.clone() });
        }
    }
    blkio
}

/// The sizes that this kernel has, by the names that the controller gives them.
fn hugetlb(location: &Location) -> Result<BTreeMap<String, Hugetlb>> {
    let Some(files) = files(location, Controller::Hugetlb) else { return Ok(BTreeMap::new()) };
    let mut sizes = BTreeMap::new();
    for directory in file::children(Path::new("/sys/kernel/mm/hugepages"))? {
        let Some(size) = size_name(&directory) else { continue };
        let figures = match files {
            Files::One(path) => hugetlb_one(path, &size)?,
            Files::Two(path) => hugetlb_two(path, &size)?,
        };
        if let Some(figures) = figures {
            sizes.insert(size, figures);
        }
    }
    Ok(sizes)
}

fn hugetlb_one(directory: &Path, size: &str) -> Result<Option<Hugetlb>> {
    if !file::exists(&directory.join(format!("hugetlb.{size}.usage_in_bytes"))) {
        return Ok(None);
    }
    Ok(Some(Hugetlb {
        usage: number(directory, &format!("hugetlb.{size}.usage_in_bytes"))?,
        max: number(directory, &format!("hugetlb.{size}.max_usage_in_bytes"))?,
        failcnt: number(directory, &format!("hugetlb.{size}.failcnt"))?,
    }))
}

fn hugetlb_two(directory: &Path, size: &str) -> Result<Option<Hugetlb>> {
    let Some(current) = read_if_exists(&directory.join(format!("hugetlb.{size}.current")))? else {
        return Ok(None);
    };
    let events = text(directory, &format!("hugetlb.{size}.events"))?;
    Ok(Some(Hugetlb {
        usage: current.trim().parse().unwrap_or_default(),
        max: 0,
        failcnt: keyed(&events, "max").unwrap_or_default(),
    }))
}

/// `2MB` of `hugepages-2048kB`.
fn size_name(directory: &Path) -> Option<String> {
    let name = PathBuf::from(directory).file_name()?.to_str()?.to_owned();
    let kilobytes: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kilobytes {
        1_048_576.. => format!("{}GB", kilobytes >> 20),
        1024.. => format!("{}MB", kilobytes >> 10),
        _ => format!("{kilobytes}KB"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_devices() {
        let one = entries_of_lines("8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n");
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 0, op: op.into(), value };
        assert_eq!(one, [entry("Read", 4096), entry("Total", 4096)]);
        let two = entries_two("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n");
        assert_eq!(
            two.io_service_bytes_recursive,
            [entry("Read", 1), entry("Write", 2), entry("Discard", 5)]
        );
        assert_eq!(two.io_serviced_recursive, [entry("Read", 3), entry("Write", 4), entry("Discard", 6)]);
    }

    #[test]
    fn sizes_of_pages() {
        for (name, size) in [("2048kB", "2MB"), ("1048576kB", "1GB"), ("64kB", "64KB")] {
            assert_eq!(size_name(Path::new(&format!("/x/hugepages-{name}"))).as_deref(), Some(size));
        }
    }
}
