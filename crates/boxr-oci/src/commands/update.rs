//! `update`: other limits for a container that runs.

use std::io::Read;
use std::path::{Path, PathBuf};

use boxr_cgroup::{Cgroup, DeviceDefaults};
use boxr_runtime::units;
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use crate::cli::Globals;
use crate::cli::words::Words;
use crate::container::{Container, Status};
use crate::error::Error;

/// What a flag is in the specification: section, key, and how its value is written.
struct Limit {
    flag: &'static str,
    section: &'static str,
    key: &'static str,
    form: Form,
}

/// How the value of a flag is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `512m`, `-1`
    Size,
    /// A whole number.
    Number,
    /// `0-3,5`
    List,
}

const fn limit(flag: &'static str, section: &'static str, key: &'static str, form: Form) -> Limit {
    Limit { flag, section, key, form }
}

const LIMITS: &[Limit] = &[
    limit("blkio-weight", "blockIO", "weight", Form::Number),
    limit("cpu-period", "cpu", "period", Form::Number),
    limit("cpu-quota", "cpu", "quota", Form::Number),
    limit("cpu-burst", "cpu", "burst", Form::Number),
    limit("cpu-share", "cpu", "shares", Form::Number),
    limit("cpu-rt-period", "cpu", "realtimePeriod", Form::Number),
    limit("cpu-rt-runtime", "cpu", "realtimeRuntime", Form::Number),
    limit("cpu-idle", "cpu", "idle", Form::Number),
    limit("cpuset-cpus", "cpu", "cpus", Form::List),
    limit("cpuset-mems", "cpu", "mems", Form::List),
    limit("kernel-memory", "memory", "kernel", Form::Size),
    limit("kernel-memory-tcp", "memory", "kernelTCP", Form::Size),
    limit("memory", "memory", "limit", Form::Size),
    limit("memory-reservation", "memory", "reservation", Form::Size),
    limit("memory-swap", "memory", "swap", Form::Size),
    limit("pids-limit", "pids", "limit", Form::Number),
];

/// Runs the command.
///
/// # Errors
/// No such limit; the container is not running.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let id = words.only_id("update")?;
    let container = Container::open(&globals.root, id)?;
    container.lock()?;
    let mut state = container.state()?;
    if matches!(container.status(&state)?, Status::Stopped | Status::Creating) {
        return Err(Error::WrongState("container not running".into()));
    }
    let resources = match words.path("resources") {
        // As in runc everything else is then passed over.
        Some(path) => from_file(path)?,
        None => from_flags(words)?,
    };
    let none = || Error::WrongState("the container has no cgroup, which could have limits".into());
    let mut cgroup = Cgroup::open(state.cgroup.as_ref().ok_or_else(none)?)?;
    let location = cgroup.update(&resources, DeviceDefaults::Container)?;
    if state.cgroup.as_ref() != Some(location) {
        state.cgroup = Some(location.clone());
        container.write_state(&state)?;
    }
    Ok(0)
}

/// The specification's `linux.resources`, from a file or, as `-`, from standard input.
fn from_file(path: PathBuf) -> Result<LinuxResources, Error> {
    let read = if path == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(&path)
    };
    let text = read.map_err(|error| Error::io("read", &path, error))?;
    parse(&text).map_err(|why| Error::Config { path, why })
}

/// Go's programs write null for what they do not say.
fn parse(text: &[u8]) -> Result<LinuxResources, String> {
    let mut value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    drop_nulls(&mut value);
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}

fn from_flags(words: &Words) -> Result<LinuxResources, Error> {
    let mut sections = Map::new();
    for limit in LIMITS {
        let Some(text) = words.text(limit.flag)?.filter(|text| !text.is_empty()) else { continue };
        let section = sections.entry(limit.section).or_insert_with(|| json!({}));
        section[limit.key] = limit.value(text)?;
    }
    let bad = |error: serde_json::Error| Error::Usage(format!("invalid value for a limit: {error}"));
    serde_json::from_value(Value::Object(sections)).map_err(bad)
}

impl Limit {
    fn value(&self, text: &str) -> Result<Value, Error> {
        let bad = |why: String| Error::Usage(format!("invalid value for {}: {why}", self.flag));
        match self.form {
            Form::List => Ok(json!(text)),
            Form::Size if text == "-1" => Ok(json!(-1)),
            Form::Size => {
                units::size(text).map(|size| json!(size)).map_err(|error| bad(format!("{text:?}: {error}")))
            }
            Form::Number => {
                text.parse::<i64>().map(|n| json!(n)).map_err(|error| bad(format!("{text:?}: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::words::Order;

    fn flags(words: &[&str]) -> Result<LinuxResources, String> {
        let flags: Vec<_> =
            LIMITS.iter().map(|limit| crate::cli::flag::Flag::value(limit.flag, "")).collect();
        let words = Words::read(&flags, Order::Anywhere, words.iter().map(std::ffi::OsString::from));
        words.and_then(|words| from_flags(&words)).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_become_resources() {
        let resources =
            flags(&["--memory", "64m", "--memory-swap=-1", "--cpu-share", "512", "--cpuset-cpus", "0-1"])
                .unwrap();
        let memory = resources.memory().unwrap();
        assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), Some(-1)));
        let cpu = resources.cpu().clone().unwrap();
        assert_eq!((cpu.shares(), cpu.cpus().as_deref()), (Some(512), Some("0-1")));
        assert_eq!(resources.pids(), &None);
        assert_eq!(flags(&["--pids-limit", "7"]).unwrap().pids().unwrap().limit(), 7);
        assert_eq!(flags(&[]).unwrap(), LinuxResources::default());
    }

    #[test]
    fn mistakes_name_the_flag() {
        for (flag, text) in [("memory", "x"), ("pids-limit", "1.5"), ("cpu-quota", "")] {
            let said = flags(&[&format!("--{flag}={text}")]);
            if text.is_empty() {
                assert_eq!(said.unwrap(), LinuxResources::default());
            } else {
                assert!(said.unwrap_err().contains(flag));
            }
        }
        assert!(flags(&["--cpu-share", "-1"]).is_err());
    }

    #[test]
    fn files_may_say_null() {
        let text = br#"{"memory":{"limit":1048576,"swap":null},"cpu":null,"pids":{"limit":3}}"#;
        let resources = parse(text).unwrap();
        assert_eq!(resources.memory().unwrap().limit(), Some(1_048_576));
        assert!(parse(b"{").is_err() && parse(br#"{"memory":{"limit":"1"}}"#).is_err());
    }
}
