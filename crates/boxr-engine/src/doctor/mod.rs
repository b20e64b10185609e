//! What this host can do for this user: the probes behind `boxr doctor`, which also explain a failed start.
//!
//! A probe looks or tries, changes nothing, and gives one [`Finding`] per fact.

mod cgroups;
mod host;
mod ids;
mod kernel;
mod namespaces;
mod network;
mod trial;

pub use cgroups::why_controller_missing;
pub use namespaces::{why_proc_mount_refused, why_user_namespace_refused};

/// How good a fact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Works.
    Ok,
    /// Works in part, or something that not every box needs does not.
    Limited,
    /// Does not work, and a plain `boxr run` needs it.
    Missing,
}

impl Verdict {
    /// The word that is printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}

/// One fact about this host and user.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// One of [`AREAS`].
    pub area: &'static str,
    /// What it is about; `area.subject` is the stable code of a finding.
    pub subject: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What to type or to change, wherever the verdict is not ok.
    pub remedy: Option<String>,
}

impl Finding {
    /// Something that works.
    fn ok(area: &'static str, subject: &str, detail: impl Into<String>) -> Self {
        Self { area, subject: subject.to_owned(), verdict: Verdict::Ok, detail: detail.into(), remedy: None }
    }

    /// Something that does not, and what to do about it.
    fn lacking(
        area: &'static str,
        subject: &str,
        verdict: Verdict,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { verdict, remedy: Some(remedy.into()), ..Self::ok(area, subject, detail) }
    }

    /// The stable name of the fact: `namespaces.user`.
    pub fn code(&self) -> String {
        format!("{}.{}", self.area, self.subject)
    }
}

/// The areas, in the order in which they are shown.
pub const AREAS: [&str; 6] = ["kernel", "namespaces", "ids", "cgroup", "network", "host"];

/// All findings of an area; none for a word that is not in [`AREAS`].
pub fn probe(area: &str) -> Vec<Finding> {
    match area {
        "kernel" => kernel::probe(),
        "namespaces" => namespaces::probe(),
        "ids" => ids::probe(),
        "cgroup" => cgroups::probe(),
        "network" => network::probe(),
        "host" => host::probe(),
        _ => Vec::new(),
    }
}

/// A small file, trimmed; `None` when it cannot be read.
fn text(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Where a program is, searched as a shell does, and in the directories of administrators.
fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/bin", "/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(extra).map(|dir| dir.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_area_has_findings_with_codes_of_their_own() {
        let all: Vec<Finding> = AREAS.into_iter().flat_map(probe).collect();
        assert!(AREAS.into_iter().all(|area| all.iter().any(|finding| finding.area == area)));
        let mut codes: Vec<String> = all.iter().map(Finding::code).collect();
        let count = codes.len();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), count);
        assert_eq!(probe("nonsense"), Vec::new());
        assert!(all.iter().all(|finding| (finding.verdict == Verdict::Ok) == finding.remedy.is_none()));
    }
}
