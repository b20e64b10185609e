//! Limits of the box's cgroup.

use std::collections::BTreeMap;

use super::{BOOL, D, E, Setting, both, count, flag, put};
use crate::config::grammar;
use crate::config::value::{Base, Invalid, Node, Value};
use crate::options::{CgroupMode, DeviceFigure};

const MICROSECONDS: &str = "a number of microseconds";
const RATE: &str = "DEVICE:RATE, such as /dev/sda:10m";
const OPERATIONS: &str = "DEVICE:N, such as /dev/sda:100";

/// In the table `limits` of a file.
pub(super) static SETTINGS: &[Setting] = &[
    both("limits.memory", "memory", "a size such as 512m", E("\"512m\""), |raw, node, _| {
        put(&mut raw.memory, grammar::size(&node.text_or_number()?)?)
    }),
    both("limits.memory-swap", "memory-swap", "a size such as 1g, or -1", E("\"1g\""), |raw, node, _| {
        let text = node.text_or_number()?;
        let swap = if text == "-1" { -1 } else { i64::try_from(grammar::size(&text)?).unwrap_or(i64::MAX) };
        put(&mut raw.memory_swap, swap)
    }),
    both("limits.cpus", "cpus", "a number of processors such as 1.5", E("1.5"), |raw, node, _| {
        put(&mut raw.cpus_milli, grammar::milli_cpus(&node.text_or_number()?)?)
    }),
    both(
        "limits.cpu-shares",
        "cpu-shares",
        "2 to 262144, or 0 for the usual weight",
        E("1024"),
        |raw, node, _| match node.integer(0, 262_144)? {
            1 => Err(node.invalid("not between 2 and 262144")),
            shares => put(&mut raw.cpu_shares, shares.unsigned_abs()),
        },
    ),
    both("limits.cpuset-cpus", "cpuset-cpus", "processors such as 0-2,5", E("\"0-1\""), |raw, node, _| {
        put(&mut raw.cpuset_cpus, grammar::cpuset(&node.text_or_number()?)?)
    }),
    both("limits.cpuset-mems", "cpuset-mems", "memory nodes such as 0-1", E("\"0\""), |raw, node, _| {
        put(&mut raw.cpuset_mems, grammar::cpuset(&node.text_or_number()?)?)
    }),
    both("limits.pids", "pids-limit", "a whole number, or -1", E("100"), |raw, node, _| {
        put(&mut raw.pids, node.integer(-1, i64::from(u32::MAX))?)
    }),
    both(
        "limits.memory-reservation",
        "memory-reservation",
        "a size such as 256m",
        E("\"256m\""),
        |raw, node, _| {
            let size = grammar::size(&node.text_or_number()?)?;
            put(&mut raw.rare.memory_reservation, i64::try_from(size).unwrap_or(i64::MAX))
        },
    ),
    both(
        "limits.memory-swappiness",
        "memory-swappiness",
        "0 to 100, or -1 for the host's",
        E("0"),
        |raw, node, _| {
            // Docker's word for nothing said.
            let said = node.integer(-1, 100)?;
            raw.rare.memory_swappiness = u64::try_from(said).ok();
            Ok(())
        },
    ),
    both("limits.oom-kill-disable", "oom-kill-disable", BOOL, E("true"), |raw, node, _| {
        put(&mut raw.rare.oom_kill_disable, node.boolean()?)
    }),
    both("limits.cpu-period", "cpu-period", MICROSECONDS, E("100000"), |raw, node, _| {
        put(&mut raw.rare.cpu_period, node.integer(1, i64::MAX)?.unsigned_abs())
    }),
    both("limits.cpu-quota", "cpu-quota", "a number of microseconds, or -1", E("50000"), |raw, node, _| {
        match node.integer(-1, i64::MAX)? {
            0 => Ok(()),
            quota => put(&mut raw.rare.cpu_quota, quota),
        }
    }),
    both("limits.cpu-rt-period", "cpu-rt-period", MICROSECONDS, E("1000000"), |raw, node, _| {
        put(&mut raw.rare.cpu_rt_period, node.integer(1, i64::MAX)?.unsigned_abs())
    }),
    both("limits.cpu-rt-runtime", "cpu-rt-runtime", MICROSECONDS, E("950000"), |raw, node, _| {
        put(&mut raw.rare.cpu_rt_runtime, node.integer(0, i64::MAX)?)
    }),
    both("limits.blkio-weight", "blkio-weight", "10 to 1000", E("500"), |raw, node, _| {
        let weight = count(node, 10, 1000)?;
        raw.rare.blkio_weight = u16::try_from(weight).ok();
        Ok(())
    }),
    both(
        "limits.blkio-weight-device",
        "blkio-weight-device",
        "DEVICE:WEIGHT, such as /dev/sda:500",
        E("[\"/dev/sda:500\"]"),
        |raw, node, base| figures(&mut raw.rare.blkio_weight_devices, node, base, weight),
    ),
    both("limits.device-read-bps", "device-read-bps", RATE, E("[\"/dev/sda:10m\"]"), |raw, node, base| {
        figures(&mut raw.rare.read_bps, node, base, grammar::size)
    }),
    both("limits.device-write-bps", "device-write-bps", RATE, E("[\"/dev/sda:10m\"]"), |raw, node, base| {
        figures(&mut raw.rare.write_bps, node, base, grammar::size)
    }),
    both(
        "limits.device-read-iops",
        "device-read-iops",
        OPERATIONS,
        E("[\"/dev/sda:100\"]"),
        |raw, node, base| figures(&mut raw.rare.read_iops, node, base, operations),
    ),
    both(
        "limits.device-write-iops",
        "device-write-iops",
        OPERATIONS,
        E("[\"/dev/sda:100\"]"),
        |raw, node, base| figures(&mut raw.rare.write_iops, node, base, operations),
    ),
    both(
        "limits.cgroup-conf",
        "cgroup-conf",
        "FILE=VALUE of cgroup v2, such as memory.high=1073741824; in a file a table or a list",
        E("{ \"memory.high\": \"1073741824\" }"),
        |raw, node, _| {
            raw.rare.unified.extend(files(node)?);
            Ok(())
        },
    ),
    both(
        "limits.device-cgroup-rule",
        "device-cgroup-rule",
        "TYPE MAJOR:MINOR ACCESS, such as 'c 10:229 rwm'",
        E("[\"c 10:229 rwm\"]"),
        |raw, node, _| {
            super::add(&mut raw.container.device_rules, node.each(|node| grammar::device_rule(node.text()?))?)
        },
    ),
    both(
        "limits.cgroups",
        "cgroups",
        "enabled, disabled, no-conmon or split",
        D("\"enabled\""),
        |raw, node, _| {
            put(
                &mut raw.cgroup_mode,
                match node.text()? {
                    "enabled" | "no-conmon" => CgroupMode::Enabled,
                    "disabled" => CgroupMode::Disabled,
                    "split" => CgroupMode::Split,
                    _ => return Err(node.invalid("no such choice")),
                },
            )
        },
    ),
    both(
        "limits.cgroup-parent",
        "cgroup-parent",
        "a cgroup, or a slice of systemd's",
        E("\"/jobs\""),
        |raw, node, _| match node.text()? {
            text if text.is_empty() || text.split('/').any(|part| part == "..") => {
                Err(node.invalid("not the path of a cgroup"))
            }
            text => put(&mut raw.cgroup_parent, text.to_owned()),
        },
    ),
    flag("kernel-memory", "a size such as 64m", |raw, node, _| {
        grammar::size(&node.text_or_number()?)?;
        raw.note("--kernel-memory has no effect: Linux has had no such limit since 5.16");
        Ok(())
    }),
];

/// Adds to `list` what is said of devices.
fn figures(
    list: &mut Vec<DeviceFigure>,
    node: &Node,
    base: &Base,
    read: fn(&str) -> Result<u64, Invalid>,
) -> Result<(), Invalid> {
    let one = |node: &Node| {
        let text = node.text()?;
        let (path, figure) = text.rsplit_once(':').ok_or_else(|| Invalid::new(text, "no : is in it"))?;
        let figure = read(figure).map_err(|error| Invalid::new(text, error.why))?;
        Ok(DeviceFigure { path: base.absolute(path)?, figure })
    };
    super::add(list, node.each(one)?)
}

fn weight(text: &str) -> Result<u64, Invalid> {
    match text.parse() {
        Ok(weight @ 10..=1000) => Ok(weight),
        _ => Err(Invalid::new(text, "the weight is not between 10 and 1000")),
    }
}

fn operations(text: &str) -> Result<u64, Invalid> {
    text.parse().map_err(|_| Invalid::new(text, "not a number of operations"))
}

/// Files of cgroup v2 and their values.
fn files(node: &Node) -> Result<BTreeMap<String, String>, Invalid> {
    let Value::Table(table) = &node.value else {
        return Ok(node.each(|node| file(node.text()?))?.into_iter().collect());
    };
    let read = |(key, value): &(String, Node)| {
        let text = value.text_or_number().map_err(|error| value.at(error))?;
        file(&format!("{key}={text}")).map_err(|error| value.at(error))
    };
    table.iter().map(read).collect()
}

fn file(text: &str) -> Result<(String, String), Invalid> {
    match text.split_once('=') {
        Some((file, value)) if file.contains('.') && !file.contains('/') && !value.is_empty() => {
            Ok((file.to_owned(), value.to_owned()))
        }
        _ => Err(Invalid::new(text, "not FILE=VALUE")),
    }
}
