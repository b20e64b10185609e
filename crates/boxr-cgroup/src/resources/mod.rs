//! From the OCI specification's `linux.resources` to values in cgroup files.
//!
//! Each section (memory, cpu, …) is a file with one function per version of cgroups. It checks
//! the values against what the kernel takes, so that a refusal names the option and comes before
//! anything was changed.

pub(crate) mod block_io;
pub(crate) mod cpu;
pub(crate) mod cpuset;
pub(crate) mod devices;
pub(crate) mod memory;
pub(crate) mod other;
pub(crate) mod pids;

use std::borrow::Cow;

use oci_spec::runtime::LinuxResources;

use crate::controller::Controller;
use crate::device_program::Rule;
use crate::error::{Error, Result};
use crate::field::Field;
use devices::DeviceDefaults;

/// Which version of cgroups has a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// One value for one file of the box's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Whose file it is; `None` is v2's core, which every v2 cgroup has.
    pub controller: Option<Controller>,
    /// In the box's directory of that controller.
    pub file: Cow<'static, str>,
    /// What is written.
    pub value: String,
    /// What is done where `file` does not exist.
    pub missing: Missing,
    /// Which option asked for it.
    pub field: Field,
    /// For `--explain`: `memory: at most 64 MiB`.
    pub words: String,
}

/// What is done where the file of a setting does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The option cannot be honoured.
    Refuse,
    /// Nothing: the kernel has no such thing, and the option does not depend on it.
    Skip,
    /// This value goes into this file.
    Use(&'static str, String),
}

impl Setting {
    /// A setting of `controller`.
    pub fn new(controller: Controller, file: &'static str, value: impl ToString, field: Field) -> Self {
        Self {
            controller: Some(controller),
            file: Cow::Borrowed(file),
            value: value.to_string(),
            missing: Missing::Refuse,
            field,
            words: String::new(),
        }
    }

    /// With words for people.
    pub fn words(mut self, words: impl Into<String>) -> Self {
        self.words = words.into();
        self
    }

    /// With another file for kernels that lack the first.
    pub fn or(mut self, file: &'static str, value: impl ToString) -> Self {
        self.missing = Missing::Use(file, value.to_string());
        self
    }

    /// For kernels that may lack the file.
    pub fn if_exists(mut self) -> Self {
        self.missing = Missing::Skip;
        self
    }

    /// One line for `--explain`.
    pub fn describe(&self) -> String {
        match (self.words.as_str(), self.value.as_str()) {
            ("", value) => format!("{} = {value}", self.file),
            (words, value) => format!("{words} ({} = {value})", self.file),
        }
    }
}

/// What can be found out about the host while a plan is made.
pub(crate) trait Facts {
    /// Where `controller` is, or an error that names `field`.
    fn version(&self, controller: Controller, field: &Field) -> Result<Version>;
    /// The text of a file in the cgroup above the box's; `None` where it does not exist.
    fn above(&self, controller: Controller, file: &str) -> Result<Option<String>>;
    /// The current text of a file of the box itself; `None` where it has none yet.
    fn current(&self, controller: Controller, file: &str) -> Result<Option<String>>;
    /// Whether the caller has the say over devices. Others need no rules: whoever lives in a user
    /// namespace cannot make device nodes, and for those that exist the file permissions decide
    /// (user_namespaces(7)).
    fn may_rule_devices(&self) -> bool;
}

/// Everything that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// In the order in which it has to be written.
    pub settings: Vec<Setting>,
    /// Which devices may be used, where not all may.
    pub rules: Option<Vec<Rule>>,
    /// Whether version 2 needs [`Asked::rules`] as a program; version 1 has them in its settings.
    pub program: bool,
}

/// What `resources` and `defaults` come to.
pub(crate) fn ask(
    resources: Option<&LinuxResources>,
    defaults: DeviceDefaults,
    facts: &dyn Facts,
) -> Result<Asked> {
    let mut asked = Asked::default();
    if let Some(resources) = resources {
        asked.settings = settings(resources, facts)?;
    }
    let given = resources.and_then(|resources| resources.devices().as_deref());
    asked.rules = devices::rules(given, defaults)?;
    if let Some(rules) = &asked.rules {
        match devices::version(facts) {
            Ok(Version::Two) => asked.program = true,
            _ if !facts.may_rule_devices() => asked.rules = None,
            Ok(Version::One) => asked.settings.extend(devices::settings(rules, facts)?),
            Err(error) => return Err(error),
        }
    }
    Ok(asked)
}

/// Everything `resources` asks for but devices.
fn settings(resources: &LinuxResources, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    // Memory first: with it in force nothing that follows is charged elsewhere.
    if let Some(memory) = resources.memory() {
        list.extend(memory::settings(memory, facts)?);
    }
    if let Some(cpu) = resources.cpu() {
        list.extend(cpu::settings(cpu, facts)?);
        list.extend(cpuset::settings(cpu, facts)?);
    }
    if let Some(pids) = resources.pids() {
        list.extend(pids::settings(pids.limit(), facts)?);
    }
    if let Some(block_io) = resources.block_io() {
        list.extend(block_io::settings(block_io, facts)?);
    }
    if let Some(limits) = resources.hugepage_limits() {
        list.extend(other::hugepages(limits, facts)?);
    }
    if let Some(network) = resources.network() {
        list.extend(other::network(network, facts)?);
    }
    if let Some(rdma) = resources.rdma() {
        list.extend(other::rdma(rdma, facts)?);
    }
    if let Some(unified) = resources.unified() {
        list.extend(other::unified(unified, facts)?);
    }
    Ok(list)
}

/// [`Error::Invalid`]; `reason` reads on from the value.
pub(crate) fn invalid(field: &Field, value: impl ToString, reason: impl Into<String>) -> Error {
    Error::Invalid { field: field.clone(), value: value.to_string(), reason: reason.into() }
}

/// [`Error::Unsupported`].
pub(crate) fn unsupported(field: &Field, reason: impl Into<String>) -> Error {
    Error::Unsupported { field: field.clone(), reason: reason.into() }
}

/// Bytes for people: `64 MiB`, exact where it divides.
pub(crate) fn bytes(count: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if count >= 1 << shift && count.is_multiple_of(1 << shift) {
            return format!("{} {unit}", count >> shift);
        }
    }
    match count {
        0..1024 => format!("{count} B"),
        count if count < 1 << 20 => format!("{:.1} KiB", count as f64 / 1024.0),
        count if count < 1 << 30 => format!("{:.1} MiB", count as f64 / 1048576.0),
        count => format!("{:.1} GiB", count as f64 / 1073741824.0),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A host for tests: all controllers in one version.
    pub(crate) struct Fake {
        pub version: Version,
        pub files: BTreeMap<&'static str, &'static str>,
        pub now: BTreeMap<&'static str, &'static str>,
    }

    impl Fake {
        pub(crate) fn new(version: Version) -> Self {
            let files = BTreeMap::from([
                ("cpuset.cpus.effective", "0-3\n"),
                ("cpuset.effective_cpus", "0-3\n"),
                ("cpuset.mems.effective", "0\n"),
                ("cpuset.effective_mems", "0\n"),
                ("memory.memsw.limit_in_bytes", "0\n"),
            ]);
            Self { version, files, now: BTreeMap::new() }
        }
    }

    impl Facts for Fake {
        fn version(&self, _: Controller, _: &Field) -> Result<Version> {
            Ok(self.version)
        }
        fn above(&self, _: Controller, file: &str) -> Result<Option<String>> {
            Ok(self.files.get(file).map(ToString::to_string))
        }
        fn current(&self, _: Controller, file: &str) -> Result<Option<String>> {
            Ok(self.now.get(file).map(ToString::to_string))
        }
        fn may_rule_devices(&self) -> bool {
            true
        }
    }

    /// The settings that `json` asks for.
    pub(crate) fn settings_of(fake: &Fake, json: &str) -> Vec<Setting> {
        let resources: LinuxResources = serde_json::from_str(json).unwrap();
        ask(Some(&resources), DeviceDefaults::None, fake).unwrap().settings
    }

    /// `file=value` of everything that `json` asks for.
    pub(crate) fn convert(fake: &Fake, json: &str) -> Result<Vec<String>> {
        let resources: LinuxResources = serde_json::from_str(json).unwrap();
        let asked = ask(Some(&resources), DeviceDefaults::None, fake)?;
        Ok(asked.settings.iter().map(|setting| format!("{}={}", setting.file, setting.value)).collect())
    }

    /// The text of the refusal of `json`.
    pub(crate) fn refusal(version: Version, json: &str) -> String {
        convert(&Fake::new(version), json).unwrap_err().to_string()
    }

    #[test]
    fn bytes_for_people() {
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5), "5 B");
        assert_eq!(bytes((1 << 30) + (1 << 29)), "1536 MiB");
    }
}
