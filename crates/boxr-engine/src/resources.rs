//! A box's limits as the OCI specification words them.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder,
};
use rustix::io::Errno;

use crate::options::{DeviceFigure, Limits, Rare};
use crate::spec::SpecError;

/// One period of the scheduler's bandwidth control, microseconds (docker's and runc's).
const PERIOD: u64 = 100_000;

/// The limits as the specification words them.
///
/// # Errors
/// [`SpecError::BlockDevice`]
pub fn of(limits: &Limits) -> Result<LinuxResources, SpecError> {
    let mut resources = LinuxResources::default();
    // The default of the type denies all devices, which nobody asked for.
    resources.set_devices(None);
    resources.set_memory(memory(limits)).set_cpu(cpu(limits)).set_block_io(block_io(&limits.rare)?);
    if let Some(most) = limits.pids {
        let mut pids = LinuxPids::default();
        pids.set_limit(most);
        resources.set_pids(Some(pids));
    }
    if !limits.rare.unified.is_empty() {
        let files = limits.rare.unified.iter().map(|(file, value)| (file.clone(), value.clone()));
        resources.set_unified(Some(files.collect()));
    }
    Ok(resources)
}

fn memory(limits: &Limits) -> Option<LinuxMemory> {
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(limits.memory)
        .set_swap(limits.memory_swap)
        .set_reservation(limits.rare.memory_reservation)
        .set_swappiness(limits.rare.memory_swappiness)
        .set_disable_oom_killer(limits.rare.oom_kill_disable);
    (memory != LinuxMemory::default()).then_some(memory)
}

fn cpu(limits: &Limits) -> Option<LinuxCpu> {
    let mut cpu = LinuxCpu::default();
    cpu.set_period(limits.rare.cpu_period).set_quota(limits.rare.cpu_quota);
    if let Some(milli) = limits.cpus_milli {
        let quota = i64::try_from(milli.saturating_mul(PERIOD) / 1000).unwrap_or(i64::MAX);
        cpu.set_period(Some(PERIOD)).set_quota(Some(quota));
    }
    cpu.set_shares(limits.cpu_shares)
        .set_cpus(limits.cpuset_cpus.clone())
        .set_mems(limits.cpuset_mems.clone())
        .set_realtime_period(limits.rare.cpu_rt_period)
        .set_realtime_runtime(limits.rare.cpu_rt_runtime);
    (cpu != LinuxCpu::default()).then_some(cpu)
}

fn block_io(rare: &Rare) -> Result<Option<LinuxBlockIo>, SpecError> {
    let mut block_io = LinuxBlockIo::default();
    block_io.set_weight(rare.blkio_weight);
    let weights = figures(&rare.blkio_weight_devices, "--blkio-weight-device", weight)?;
    block_io
        .set_weight_device(weights)
        .set_throttle_read_bps_device(figures(&rare.read_bps, "--device-read-bps", rate)?)
        .set_throttle_write_bps_device(figures(&rare.write_bps, "--device-write-bps", rate)?)
        .set_throttle_read_iops_device(figures(&rare.read_iops, "--device-read-iops", rate)?)
        .set_throttle_write_iops_device(figures(&rare.write_iops, "--device-write-iops", rate)?);
    Ok((block_io != LinuxBlockIo::default()).then_some(block_io))
}

/// A number of a device, and a figure of it, as a type of the specification.
type Made<T> = fn((i64, i64), u64) -> Option<T>;

fn weight((major, minor): (i64, i64), figure: u64) -> Option<LinuxWeightDevice> {
    let weight = u16::try_from(figure).ok()?;
    LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(weight).build().ok()
}

fn rate((major, minor): (i64, i64), rate: u64) -> Option<LinuxThrottleDevice> {
    LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(rate).build().ok()
}

fn figures<T>(list: &[DeviceFigure], flag: &'static str, made: Made<T>) -> Result<Option<Vec<T>>, SpecError> {
    let mut all = Vec::new();
    for DeviceFigure { path, figure } in list {
        let wrong = |errno| SpecError::BlockDevice { flag, path: path.clone(), errno };
        let number = number_of(path).map_err(wrong)?;
        all.push(made(number, *figure).ok_or_else(|| wrong(Errno::RANGE))?);
    }
    Ok((!all.is_empty()).then_some(all))
}

/// The number of a block device.
fn number_of(path: &Path) -> Result<(i64, i64), Errno> {
    let found = std::fs::metadata(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if !found.file_type().is_block_device() {
        return Err(Errno::NOTBLK);
    }
    Ok((i64::from(rustix::fs::major(found.rdev())), i64::from(rustix::fs::minor(found.rdev()))))
}
