//! config.json as text becomes a specification.
//!
//! Texts that are as they should be, nearly all, are read in one go. One that is not is looked at
//! again: what other runtimes take is taken, with a warning, and an error names the field.

use oci_spec::runtime::{Capability, Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;

/// What was read, and what of it is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read<T> {
    /// The specification or process.
    pub value: T,
    /// For the log: a sentence each.
    pub warnings: Vec<String>,
}

/// Reads a config.json.
///
/// # Errors
/// [`Error::Field`] with the path of the field that is wrong, or `config.json` with line and column
/// where the text is not JSON at all.
pub fn read_spec(text: &[u8]) -> Result<Read<Spec>, Error> {
    read(text, "config.json", |value| value.get_mut("process"))
}

/// Reads the process of `exec --process`.
///
/// # Errors
/// As [`read_spec`].
pub fn read_process(text: &[u8]) -> Result<Read<Process>, Error> {
    read(text, "process", |value| Some(value))
}

fn read<T: DeserializeOwned>(
    text: &[u8],
    whole: &str,
    process: impl Fn(&mut Value) -> Option<&mut Value>,
) -> Result<Read<T>, Error> {
    if let Ok(value) = serde_json::from_slice(text) {
        return Ok(Read { value, warnings: Vec::new() });
    }
    let mut value: Value =
        serde_json::from_slice(text).map_err(|error| Error::field(whole, error.to_string()))?;
    let mut warnings = Vec::new();
    if let Some(process) = process(&mut value) {
        leave_unknown_capabilities_out(process, &mut warnings);
        rename_scheduler_flags(process);
    }
    let value = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        Error::field(if path == "." { whole } else { &path }, error.inner().to_string())
    })?;
    Ok(Read { value, warnings })
}

/// A kernel or a caller may know more of them than this program; a container gets none of those.
fn leave_unknown_capabilities_out(process: &mut Value, warnings: &mut Vec<String>) {
    let Some(sets) = process.get_mut("capabilities").and_then(Value::as_object_mut) else { return };
    let mut unknown = std::collections::BTreeSet::new();
    for set in sets.values_mut().filter_map(Value::as_array_mut) {
        set.retain(|name| {
            let known = name.as_str().is_none() || serde_json::from_value::<Capability>(name.clone()).is_ok();
            if !known {
                unknown.extend(name.as_str().map(str::to_owned));
            }
            known
        });
    }
    if !unknown.is_empty() {
        let list = unknown.into_iter().collect::<Vec<_>>().join(" ");
        warnings.push(format!("ignoring unknown or unavailable capabilities: [{list}]"));
    }
}

/// From the specification's names to those of the crate that reads them.
fn rename_scheduler_flags(process: &mut Value) {
    let flags = process.get_mut("scheduler").and_then(|scheduler| scheduler.get_mut("flags"));
    for flag in flags.and_then(Value::as_array_mut).into_iter().flatten() {
        let renamed = match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => "SCHED_RESET_ON_FORK",
            Some("SCHED_FLAG_DL_OVERRUN") => "SCHED_FLAG_D_L_OVERRUN",
            _ => continue,
        };
        *flag = Value::from(renamed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(process: &Value) -> Result<Read<Spec>, Error> {
        let mut whole =
            json!({ "ociVersion": "1.3.0", "process": { "user": {}, "args": ["x"], "cwd": "/" } });
        whole["process"].as_object_mut().unwrap().extend(process.as_object().unwrap().clone());
        read_spec(whole.to_string().as_bytes())
    }

    #[test]
    fn unknown_capabilities_are_left_out_with_a_warning() {
        let sets = json!({ "bounding": ["CAP_KILL", "CAP_FROM_THE_FUTURE"], "permitted": ["CAP_OTHER"] });
        let read = spec(&json!({ "capabilities": sets })).unwrap();
        assert_eq!(
            read.warnings,
            ["ignoring unknown or unavailable capabilities: [CAP_FROM_THE_FUTURE CAP_OTHER]"]
        );
        let process = read.value.process().clone().unwrap();
        assert_eq!(process.capabilities().clone().unwrap().bounding().clone().unwrap().len(), 1);
    }

    #[test]
    fn every_scheduler_flag_of_the_specification_is_read() {
        let flags = [
            "SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_RECLAIM",
            "SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_KEEP_POLICY",
            "SCHED_FLAG_KEEP_PARAMS",
            "SCHED_FLAG_UTIL_CLAMP_MIN",
            "SCHED_FLAG_UTIL_CLAMP_MAX",
        ];
        let read = spec(&json!({ "scheduler": { "policy": "SCHED_DEADLINE", "flags": flags } })).unwrap();
        let scheduler = read.value.process().clone().unwrap().scheduler().clone().unwrap();
        assert_eq!(scheduler.flags().clone().unwrap().len(), flags.len());
    }

    #[test]
    fn an_error_names_the_field() {
        let field = |process: Value| match spec(&process).unwrap_err() {
            Error::Field { field, .. } => field,
            other => panic!("{other}"),
        };
        assert_eq!(field(json!({ "rlimits": [{ "type": "RLIMIT_FOO" }] })), "process.rlimits[0].type");
        assert_eq!(field(json!({ "args": "sh" })), "process.args");
        assert_eq!(field(json!({ "user": { "uid": -1 } })), "process.user.uid");
        let error = read_spec(b"{\"ociVersion\": ").unwrap_err().to_string();
        assert!(error.starts_with("config.json: EOF"), "{error}");
        assert!(read_spec(b"").is_err());
        assert!(read_process(b"[]").is_err());
    }
}
