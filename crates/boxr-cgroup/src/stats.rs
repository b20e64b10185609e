//! Figures of a box: what it uses, and what it was held back by.
//!
//! Each group is `None` where the box has no controller that counts it, never zero. The kernel
//! counts processor time and pressure in every v2 cgroup, so that also a box of the hybrid layout
//! without any limit has these.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Location;
use crate::cgroup::Cgroup;
use crate::controller::Controller;
use crate::error::Result;
use crate::file::{keyed, read_if_exists};

/// Everything that could be counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: Option<CpuStats>,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Tasks.
    pub pids: Option<PidsStats>,
    /// Block devices.
    pub io: Option<IoStats>,
    /// Pressure stall information.
    pub pressure: Pressure,
}

/// Processor time, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuStats {
    /// In all.
    pub total_ns: u64,
    /// In user mode.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
    /// Where a quota is in force: how it held the box back.
    pub throttling: Option<Throttling>,
}

/// The bandwidth controller's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Periods in which the box wanted to run.
    pub periods: u64,
    /// Those in which it ran out of quota.
    pub throttled_periods: u64,
    /// How long it was held back, nanoseconds.
    pub throttled_ns: u64,
}

/// Memory, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// In use, without file contents that the kernel can drop at once: what `docker stats` shows.
    pub usage: u64,
    /// In use, all of it.
    pub usage_total: u64,
    /// The limit; `None` is none.
    pub limit: Option<u64>,
    /// The most that was in use, where the kernel keeps it (v1, v2 from Linux 5.19).
    pub max_usage: Option<u64>,
    /// Swap in use, where it is counted.
    pub swap: Option<u64>,
    /// How often the limit made the kernel kill a process.
    pub oom_kills: Option<u64>,
}

/// Tasks: processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidsStats {
    /// How many there are.
    pub current: u64,
    /// How many there may be; `None` is no limit.
    pub limit: Option<u64>,
}

/// Block devices, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoStats {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
}

/// Pressure stall information (kernel documentation, accounting/psi), by resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Waiting for a processor.
    pub cpu: Option<PressureFigures>,
    /// Waiting for memory.
    pub memory: Option<PressureFigures>,
    /// Waiting for block devices.
    pub io: Option<PressureFigures>,
}

/// The two lines of a pressure file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PressureFigures {
    /// Some task waited.
    pub some: PressureLine,
    /// All tasks waited.
    pub full: PressureLine,
}

/// Shares of time in percent, and the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PressureLine {
    /// Of the last 10 seconds.
    pub avg10: f64,
    /// Of the last minute.
    pub avg60: f64,
    /// Of the last five minutes.
    pub avg300: f64,
    /// Microseconds since the box began.
    pub total_us: u64,
}

impl Cgroup {
    /// What the box uses now. Of a box whose cgroups are gone every group is `None`.
    ///
    /// # Errors
    /// When a file that exists cannot be read.
    pub fn stats(&self) -> Result<Stats> {
        let location = self.location();
        Ok(Stats {
            cpu: cpu(location)?,
            memory: memory(location)?,
            pids: pids(location)?,
            io: io(location)?,
            pressure: match &location.unified {
                Some(path) => pressure(path)?,
                None => Pressure::default(),
            },
        })
    }

    /// How often the kernel killed a process of the box because memory had run out;
    /// `None` where nobody counts.
    ///
    /// # Errors
    /// When a file that exists cannot be read.
    pub fn oom_kills(&self) -> Result<Option<u64>> {
        oom_kills(self.location())
    }

    /// Whether a process of the box was killed because its memory had run out.
    ///
    /// # Errors
    /// When a file that exists cannot be read.
    pub fn oom_killed(&self) -> Result<bool> {
        Ok(self.oom_kills()?.is_some_and(|count| count > 0))
    }
}

/// Where v1 has `controller` for this box.
fn legacy(location: &Location, controller: Controller) -> Option<&Path> {
    location.legacy.get(controller.legacy_name()).map(std::path::PathBuf::as_path)
}

fn number(path: &Path) -> Result<Option<u64>> {
    Ok(read_if_exists(path)?.and_then(|text| text.trim().parse().ok()))
}

fn cpu(location: &Location) -> Result<Option<CpuStats>> {
    let throttling = match legacy(location, Controller::Cpu) {
        Some(path) => {
            read_if_exists(&path.join("cpu.stat"))?.and_then(|text| throttling(&text, "throttled_time", 1))
        }
        None => None,
    };
    if let Some(path) = legacy(location, Controller::Cpuacct)
        && let Some(total_ns) = number(&path.join("cpuacct.usage"))?
    {
        let user_ns = number(&path.join("cpuacct.usage_user"))?.unwrap_or_default();
        let system_ns = number(&path.join("cpuacct.usage_sys"))?.unwrap_or_default();
        return Ok(Some(CpuStats { total_ns, user_ns, system_ns, throttling }));
    }
    let Some(path) = &location.unified else { return Ok(None) };
    let Some(text) = read_if_exists(&path.join("cpu.stat"))? else { return Ok(None) };
    let time = |key| keyed(&text, key).unwrap_or_default() * 1000;
    Ok(Some(CpuStats {
        total_ns: time("usage_usec"),
        user_ns: time("user_usec"),
        system_ns: time("system_usec"),
        throttling: throttling.or_else(|| self::throttling(&text, "throttled_usec", 1000)),
    }))
}

fn throttling(text: &str, time: &str, nanoseconds: u64) -> Option<Throttling> {
    Some(Throttling {
        periods: keyed(text, "nr_periods")?,
        throttled_periods: keyed(text, "nr_throttled")?,
        throttled_ns: keyed(text, time)? * nanoseconds,
    })
}

fn memory(location: &Location) -> Result<Option<MemoryStats>> {
    if let Some(path) = legacy(location, Controller::Memory) {
        return memory_one(path, location);
    }
    let Some(path) = &location.unified else { return Ok(None) };
    let Some(usage_total) = number(&path.join("memory.current"))? else { return Ok(None) };
    let stat = read_if_exists(&path.join("memory.stat"))?.unwrap_or_default();
    Ok(Some(MemoryStats {
        usage: usage_total.saturating_sub(keyed(&stat, "inactive_file").unwrap_or_default()),
        usage_total,
        limit: number(&path.join("memory.max"))?,
        max_usage: number(&path.join("memory.peak"))?,
        swap: number(&path.join("memory.swap.current"))?,
        oom_kills: oom_kills(location)?,
    }))
}

/// Version 1 writes "no limit" as the greatest number of whole pages.
const NO_LIMIT: u64 = i64::MAX as u64 / 4096 * 4096;

fn memory_one(path: &Path, location: &Location) -> Result<Option<MemoryStats>> {
    let Some(usage_total) = number(&path.join("memory.usage_in_bytes"))? else { return Ok(None) };
    let stat = read_if_exists(&path.join("memory.stat"))?.unwrap_or_default();
    let both = number(&path.join("memory.memsw.usage_in_bytes"))?;
    Ok(Some(MemoryStats {
        usage: usage_total.saturating_sub(keyed(&stat, "total_inactive_file").unwrap_or_default()),
        usage_total,
        limit: number(&path.join("memory.limit_in_bytes"))?.filter(|limit| *limit < NO_LIMIT),
        max_usage: number(&path.join("memory.max_usage_in_bytes"))?,
        // Read one after the other: the difference may dip below zero.
        swap: both.map(|both| both.saturating_sub(usage_total)),
        oom_kills: oom_kills(location)?,
    }))
}

fn oom_kills(location: &Location) -> Result<Option<u64>> {
    let path = match legacy(location, Controller::Memory) {
        Some(path) => path.join("memory.oom_control"),
        None => match &location.unified {
            Some(path) => path.join("memory.events"),
            None => return Ok(None),
        },
    };
    Ok(read_if_exists(&path)?.and_then(|text| keyed(&text, "oom_kill")))
}

fn pids(location: &Location) -> Result<Option<PidsStats>> {
    let Some(path) = location.directory(Some(Controller::Pids)) else { return Ok(None) };
    let Some(current) = number(&path.join("pids.current"))? else { return Ok(None) };
    Ok(Some(PidsStats { current, limit: number(&path.join("pids.max"))? }))
}

fn io(location: &Location) -> Result<Option<IoStats>> {
    if let Some(path) = legacy(location, Controller::Io) {
        let text = read_if_exists(&path.join("blkio.throttle.io_service_bytes_recursive"))?;
        return Ok(text.map(|text| io_one(&text)));
    }
    let Some(path) = &location.unified else { return Ok(None) };
    Ok(read_if_exists(&path.join("io.stat"))?.map(|text| io_two(&text)))
}

/// Lines of `8:0 Read 4096`.
fn io_one(text: &str) -> IoStats {
    let mut sum = IoStats::default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, kind, count] = fields[..] else { continue };
        let count: u64 = count.parse().unwrap_or_default();
        match kind {
            "Read" => sum.read_bytes += count,
            "Write" => sum.write_bytes += count,
            _ => {}
        }
    }
    sum
}

/// Lines of `8:0 rbytes=4096 wbytes=0 …`.
fn io_two(text: &str) -> IoStats {
    let mut sum = IoStats::default();
    for (key, count) in text.split_whitespace().filter_map(|field| field.split_once('=')) {
        let count: u64 = count.parse().unwrap_or_default();
        match key {
            "rbytes" => sum.read_bytes += count,
            "wbytes" => sum.write_bytes += count,
            _ => {}
        }
    }
    sum
}

pub(crate) fn pressure(directory: &Path) -> Result<Pressure> {
    let figures = |name: &str| -> Result<Option<PressureFigures>> {
        match read_if_exists(&directory.join(name)) {
            Ok(text) => Ok(text.map(|text| pressure_figures(&text))),
            // Pressure can be switched off per cgroup and per boot; reading says so.
            Err(crate::Error::System { errno: rustix::io::Errno::OPNOTSUPP, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    };
    Ok(Pressure {
        cpu: figures("cpu.pressure")?,
        memory: figures("memory.pressure")?,
        io: figures("io.pressure")?,
    })
}

fn pressure_figures(text: &str) -> PressureFigures {
    let mut figures = PressureFigures::default();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let target = match fields.next() {
            Some("some") => &mut figures.some,
            Some("full") => &mut figures.full,
            _ => continue,
        };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            match key {
                "avg10" => target.avg10 = value.parse().unwrap_or_default(),
                "avg60" => target.avg60 = value.parse().unwrap_or_default(),
                "avg300" => target.avg300 = value.parse().unwrap_or_default(),
                "total" => target.total_us = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_devices_are_summed() {
        let one = "8:0 Read 4096\n8:0 Write 10\n8:0 Total 4106\n8:16 Read 4\nTotal 4110\n";
        assert_eq!(io_one(one), IoStats { read_bytes: 4100, write_bytes: 10 });
        let two = "8:0 rbytes=4096 wbytes=10 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=4 wbytes=0\n";
        assert_eq!(io_two(two), IoStats { read_bytes: 4100, write_bytes: 10 });
    }

    #[test]
    fn pressure_lines() {
        let text = "some avg10=34.21 avg60=22.67 avg300=17.52 total=182216413\nfull avg10=0.10 avg60=0.00 avg300=0.00 total=5\n";
        let figures = pressure_figures(text);
        assert_eq!(
            figures.some,
            PressureLine { avg10: 34.21, avg60: 22.67, avg300: 17.52, total_us: 182216413 }
        );
        assert_eq!(figures.full.total_us, 5);
    }

    #[test]
    fn throttling_needs_its_lines() {
        assert_eq!(throttling("usage_usec 5\n", "throttled_usec", 1000), None);
        let text = "nr_periods 3\nnr_throttled 2\nthrottled_usec 7\n";
        let expected = Throttling { periods: 3, throttled_periods: 2, throttled_ns: 7000 };
        assert_eq!(throttling(text, "throttled_usec", 1000), Some(expected));
    }
}
