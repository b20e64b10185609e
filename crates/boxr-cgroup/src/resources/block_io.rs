//! `blockIO`: weights and rates of block devices.

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use super::{Facts, Setting, Version, invalid, unsupported};
use crate::controller::Controller::Io;
use crate::error::Result;
use crate::field::Field;

const WEIGHT: Field = Field::flag("blockIO.weight", "--blkio-weight");
const LEAF_WEIGHT: Field = Field::plain("blockIO.leafWeight");
const WEIGHT_DEVICE: Field = Field::flag("blockIO.weightDevice", "--blkio-weight-device");

/// Weights of the specification, which are v1's.
const WEIGHTS: std::ops::RangeInclusive<u16> = 10..=1000;

/// What `blockIO` asks for.
pub(crate) fn settings(block_io: &LinuxBlockIo, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    if let Some(weight) = block_io.weight().filter(|weight| *weight != 0) {
        check_weight(weight, &WEIGHT)?;
        list.push(match facts.version(Io, &WEIGHT)? {
            Version::One => Setting::new(Io, "blkio.weight", weight, WEIGHT).or("blkio.bfq.weight", weight),
            Version::Two => {
                Setting::new(Io, "io.bfq.weight", weight, WEIGHT).or("io.weight", io_weight(weight))
            }
        });
    }
    if let Some(weight) = block_io.leaf_weight().filter(|weight| *weight != 0) {
        check_weight(weight, &LEAF_WEIGHT)?;
        leaf_allowed(facts)?;
        list.push(Setting::new(Io, "blkio.leaf_weight", weight, LEAF_WEIGHT));
    }
    list.extend(device_weights(block_io, facts)?);
    list.extend(throttles(block_io, facts)?);
    Ok(list)
}

/// cgroup v2's `io.weight` (1-10000) for the specification's weight (10-1000), linear.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight) - 10) * 9999 / 990
}

fn check_weight(weight: u16, field: &Field) -> Result<()> {
    if WEIGHTS.contains(&weight) { Ok(()) } else { Err(invalid(field, weight, "is not between 10 and 1000")) }
}

fn leaf_allowed(facts: &dyn Facts) -> Result<()> {
    match facts.version(Io, &LEAF_WEIGHT)? {
        Version::One => Ok(()),
        Version::Two => Err(unsupported(&LEAF_WEIGHT, "cgroup v2 has no leaf weight")),
    }
}

fn device_weights(block_io: &LinuxBlockIo, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    for device in block_io.weight_device().iter().flatten() {
        let number = format!("{}:{}", device.major(), device.minor());
        if let Some(weight) = device.weight().filter(|weight| *weight != 0) {
            check_weight(weight, &WEIGHT_DEVICE)?;
            let value = format!("{number} {weight}");
            list.push(match facts.version(Io, &WEIGHT_DEVICE)? {
                Version::One => Setting::new(Io, "blkio.weight_device", &value, WEIGHT_DEVICE)
                    .or("blkio.bfq.weight_device", &value),
                Version::Two => Setting::new(Io, "io.bfq.weight", &value, WEIGHT_DEVICE)
                    .or("io.weight", format!("{number} {}", io_weight(weight))),
            });
        }
        if let Some(weight) = device.leaf_weight().filter(|weight| *weight != 0) {
            check_weight(weight, &LEAF_WEIGHT)?;
            leaf_allowed(facts)?;
            let value = format!("{number} {weight}");
            list.push(Setting::new(Io, "blkio.leaf_weight_device", value, LEAF_WEIGHT));
        }
    }
    Ok(list)
}

/// One of the four kinds of rates: list, option, file of v1, key of v2's `io.max`.
type Throttle<'a> = (&'a Option<Vec<LinuxThrottleDevice>>, Field, &'static str, &'static str);

fn throttles(block_io: &LinuxBlockIo, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let kinds: [Throttle<'_>; 4] = [
        (
            block_io.throttle_read_bps_device(),
            Field::flag("blockIO.throttleReadBpsDevice", "--device-read-bps"),
            "blkio.throttle.read_bps_device",
            "rbps",
        ),
        (
            block_io.throttle_write_bps_device(),
            Field::flag("blockIO.throttleWriteBpsDevice", "--device-write-bps"),
            "blkio.throttle.write_bps_device",
            "wbps",
        ),
        (
            block_io.throttle_read_iops_device(),
            Field::flag("blockIO.throttleReadIOPSDevice", "--device-read-iops"),
            "blkio.throttle.read_iops_device",
            "riops",
        ),
        (
            block_io.throttle_write_iops_device(),
            Field::flag("blockIO.throttleWriteIOPSDevice", "--device-write-iops"),
            "blkio.throttle.write_iops_device",
            "wiops",
        ),
    ];
    let mut list = Vec::new();
    for (devices, field, file, key) in kinds {
        for device in devices.iter().flatten() {
            let number = format!("{}:{}", device.major(), device.minor());
            list.push(match (facts.version(Io, &field)?, device.rate()) {
                (Version::One, rate) => Setting::new(Io, file, format!("{number} {rate}"), field.clone()),
                // v1 says "no limit" with 0, v2 with max.
                (Version::Two, 0) => Setting::new(Io, "io.max", format!("{number} {key}=max"), field.clone()),
                (Version::Two, rate) => {
                    Setting::new(Io, "io.max", format!("{number} {key}={rate}"), field.clone())
                }
            });
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fake, convert, refusal};
    use super::*;

    #[test]
    fn weights_and_rates() {
        let json = r#"{"blockIO":{"weight":500,
            "weightDevice":[{"major":8,"minor":0,"weight":100}],
            "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1000}],
            "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}}"#;
        assert_eq!(
            convert(&Fake::new(Version::One), json).unwrap(),
            [
                "blkio.weight=500",
                "blkio.weight_device=8:0 100",
                "blkio.throttle.read_bps_device=8:0 1000",
                "blkio.throttle.write_iops_device=8:16 0"
            ]
        );
        assert_eq!(
            convert(&Fake::new(Version::Two), json).unwrap(),
            ["io.bfq.weight=500", "io.bfq.weight=8:0 100", "io.max=8:0 rbps=1000", "io.max=8:16 wiops=max"]
        );
        assert_eq!((io_weight(10), io_weight(1000)), (1, 10_000));
    }

    #[test]
    fn refusals() {
        assert!(refusal(Version::Two, r#"{"blockIO":{"weight":9}}"#).starts_with("--blkio-weight "));
        assert!(refusal(Version::Two, r#"{"blockIO":{"leafWeight":20}}"#).contains("leafWeight"));
    }
}
