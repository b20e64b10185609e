//! Profiles whose entries depend on processor and capabilities: boxr's own, and files in docker's format or the OCI's.

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator,
    LinuxSyscall,
};
use serde::Deserialize;
use serde_json::Value;

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Allow,
    /// It fails with this number.
    Fails(u32),
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Equal { argument: usize, value: u64 },
    NotEqual { argument: usize, value: u64 },
    Masked { argument: usize, mask: u64, value: u64 },
}

/// When an entry counts. Capabilities are without `CAP_`, processors are Go's words.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    pub processors: Vec<String>,
    pub not_processors: Vec<String>,
    /// All of them.
    pub capabilities: Vec<String>,
    /// None of them.
    pub not_capabilities: Vec<String>,
}

/// An entry of boxr's own profile.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    names: Vec<String>,
    verdict: Verdict,
    comparison: Option<Comparison>,
    condition: Condition,
}

impl Entry {
    pub fn new<'n>(names: impl Iterator<Item = &'n str>, verdict: Verdict) -> Self {
        let names = names.map(str::to_owned).collect();
        Self { names, verdict, comparison: None, condition: Condition::default() }
    }

    pub fn comparing(mut self, comparison: Comparison) -> Self {
        self.comparison = Some(comparison);
        self
    }

    pub fn when(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }

    /// The same without names for which `is_left_out`; `None` where none is left.
    pub fn without(mut self, is_left_out: impl Fn(&str) -> bool) -> Option<Self> {
        self.names.retain(|name| !is_left_out(name));
        (!self.names.is_empty()).then_some(self)
    }

    /// What it depends on.
    #[cfg(test)]
    pub fn capabilities(&self) -> Vec<String> {
        let Condition { capabilities, not_capabilities, .. } = self.condition.clone();
        [capabilities, not_capabilities].concat()
    }

    /// As the specification words it; `None` where it does not count.
    pub fn into_spec(self, place: &Place<'_>) -> Option<LinuxSyscall> {
        if !place.meets(&self.condition) {
            return None;
        }
        let mut call = LinuxSyscall::default();
        let args = match self.comparison {
            Some(comparison) => Some(vec![comparison.to_spec()?]),
            None => None,
        };
        call.set_names(self.names).set_args(args);
        match self.verdict {
            Verdict::Allow => call.set_action(LinuxSeccompAction::ScmpActAllow).set_errno_ret(None),
            Verdict::Fails(number) => {
                call.set_action(LinuxSeccompAction::ScmpActErrno).set_errno_ret(Some(number))
            }
        };
        Some(call)
    }
}

impl Comparison {
    /// Every field is set, without which a builder makes nothing.
    fn to_spec(self) -> Option<LinuxSeccompArg> {
        use LinuxSeccompOperator as Op;
        let whole =
            |index: usize, value: u64, op| LinuxSeccompArgBuilder::default().index(index).value(value).op(op);
        let arg = match self {
            Self::Equal { argument, value } => whole(argument, value, Op::ScmpCmpEq),
            Self::NotEqual { argument, value } => whole(argument, value, Op::ScmpCmpNe),
            Self::Masked { argument, mask, value } => {
                whole(argument, mask, Op::ScmpCmpMaskedEq).value_two(value)
            }
        };
        arg.build().ok()
    }
}

/// Where a profile is to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Of the container, without `CAP_`.
    pub capabilities: &'a [&'a str],
    /// Go's word.
    pub processor: &'a str,
    /// Major and minor version.
    pub kernel: (u32, u32),
}

impl Place<'_> {
    fn meets(&self, condition: &Condition) -> bool {
        let has = |name: &String| self.capabilities.contains(&name.as_str());
        let is = |word: &String| word == self.processor;
        (condition.processors.is_empty() || condition.processors.iter().any(is))
            && !condition.not_processors.iter().any(is)
            && condition.capabilities.iter().all(has)
            && !condition.not_capabilities.iter().any(has)
    }
}

/// The parts of docker's format that the OCI's has not.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

/// Reads a profile: the OCI's `linux.seccomp`, or docker's format, of which the entries that count here are
/// taken.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(text: &str, place: &Place<'_>) -> Result<LinuxSeccomp, String> {
    let mut whole: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let map = whole.as_object_mut().ok_or("it is no JSON object")?;
    if let Some(architectures) = map.remove("archMap").filter(|value| !value.is_null()) {
        let known: Vec<Architecture> =
            serde_json::from_value(architectures).map_err(|error| format!("archMap: {error}"))?;
        map.insert("architectures".to_owned(), Value::from(architectures_of(known, place)));
    }
    if let Some(entries) = map.get_mut("syscalls").and_then(Value::as_array_mut) {
        let mut kept = Vec::with_capacity(entries.len());
        for (index, entry) in entries.drain(..).enumerate() {
            kept.extend(entry_here(entry, place).map_err(|why| format!("syscalls[{index}]: {why}"))?);
        }
        *entries = kept;
    }
    serde_json::from_value(whole).map_err(|error| error.to_string())
}

fn architectures_of(known: Vec<Architecture>, place: &Place<'_>) -> Vec<String> {
    let native = native_architecture(place.processor);
    let mine = known.into_iter().find(|known| known.architecture == native);
    mine.map_or_else(Vec::new, |mine| {
        std::iter::once(mine.architecture).chain(mine.sub_architectures.unwrap_or_default()).collect()
    })
}

fn native_architecture(processor: &str) -> &'static str {
    match processor {
        "amd64" => "SCMP_ARCH_X86_64",
        "386" => "SCMP_ARCH_X86",
        "arm64" => "SCMP_ARCH_AARCH64",
        "arm" => "SCMP_ARCH_ARM",
        "s390x" => "SCMP_ARCH_S390X",
        "ppc64le" => "SCMP_ARCH_PPC64LE",
        "riscv64" => "SCMP_ARCH_RISCV64",
        _ => "",
    }
}

/// An entry without what only docker has; `None` where it does not count.
fn entry_here(mut entry: Value, place: &Place<'_>) -> Result<Option<Value>, String> {
    let map = entry.as_object_mut().ok_or("no JSON object")?;
    let mut filter = |key: &str| -> Result<Filter, String> {
        let value = map.remove(key).filter(|value| !value.is_null());
        value.map_or(Ok(Filter::default()), |value| {
            serde_json::from_value(value).map_err(|error| format!("{key}: {error}"))
        })
    };
    let (includes, excludes) = (filter("includes")?, filter("excludes")?);
    map.remove("comment");
    // One name, as older files have it.
    if let Some(name) = map.remove("name").filter(|name| name.as_str().is_some_and(|name| !name.is_empty())) {
        map.insert("names".to_owned(), Value::from(vec![name]));
    }
    let bare = |caps: Vec<String>| {
        caps.into_iter().map(|cap| cap.trim_start_matches("CAP_").to_owned()).collect::<Vec<_>>()
    };
    let condition = Condition {
        processors: includes.arches,
        not_processors: excludes.arches,
        capabilities: bare(includes.caps),
        not_capabilities: bare(excludes.caps),
    };
    let new_enough = |least: Option<String>| least.is_none_or(|least| version(&least) <= place.kernel);
    let counts = place.meets(&condition)
        && new_enough(includes.min_kernel)
        && excludes.min_kernel.is_none_or(|least| version(&least) > place.kernel);
    Ok(counts.then_some(entry))
}

/// Major and minor number of a kernel's version.
pub(super) fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split(['.', '-']).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
