//! Names: of the scope that a container is, of the slice that it is in, and where that is in the tree.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Which of the managers is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// That of the machine, which is its first process.
    System,
    /// That of the user who calls.
    User,
}

impl Manager {
    /// The system's for root of the machine, otherwise the user's, as in runc: root of a user namespace
    /// is an ordinary user for systemd.
    pub fn of_caller() -> Self {
        if crate::devices::is_root_of_the_machine() { Self::System } else { Self::User }
    }
}

/// A scope unit that holds one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// `libpod-ID.scope`
    pub name: String,
    /// `machine.slice`
    pub slice: String,
    /// Who is asked for it.
    pub manager: Manager,
}

/// Prefix of the name where no path is given: runc's, so that tools that look for its scopes find ours.
const DEFAULT_PREFIX: &str = "runc";

impl Unit {
    /// The unit that the specification's `cgroupsPath` names in its systemd form, `SLICE:PREFIX:NAME`.
    ///
    /// Without a path it is `runc-ID.scope`; without a slice it is in `system.slice`, or in `user.slice` of
    /// the user's manager (runc's systemd documentation). Without a prefix the name stands alone.
    ///
    /// # Errors
    /// [`Error::BadPath`]: not of that form, or a slice that systemd would not know.
    pub fn parse(path: Option<&Path>, id: &str, manager: Manager) -> Result<Self> {
        let default_slice = match manager {
            Manager::System => "system.slice",
            Manager::User => "user.slice",
        };
        let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else {
            let name = format!("{DEFAULT_PREFIX}-{id}.scope");
            return Ok(Self { name, slice: default_slice.into(), manager });
        };
        let bad = |reason| Error::BadPath { path: path.to_path_buf(), reason };
        let text = path.to_str().ok_or_else(|| bad("it is not UTF-8"))?;
        let [slice, prefix, name] = text.split(':').collect::<Vec<_>>()[..] else {
            return Err(bad(
                "with the systemd driver it is SLICE:PREFIX:NAME, such as system.slice:runc:NAME",
            ));
        };
        if name.is_empty() || [prefix, name].iter().any(|part| part.contains(['/', '\0'])) {
            return Err(bad("the name of its scope is empty or has a slash"));
        }
        if name.ends_with(".slice") {
            return Err(bad("a container is a scope, and its name ends with .slice"));
        }
        let slice = if slice.is_empty() { default_slice } else { slice };
        expand(slice).map_err(bad)?;
        let name = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        Ok(Self { name, slice: slice.into(), manager })
    }
}

/// Where a slice is below the manager's own cgroup: `a-b.slice` is in `a.slice/a-b.slice`
/// (systemd.slice(5)); `Err` is what is wrong with the name.
pub(crate) fn expand(slice: &str) -> std::result::Result<PathBuf, &'static str> {
    let stem = slice.strip_suffix(".slice").ok_or("the name of its slice does not end with .slice")?;
    if stem == "-" {
        return Ok(PathBuf::new());
    }
    if stem.is_empty() || stem.contains(['/', '\0']) || stem.split('-').any(str::is_empty) {
        return Err("systemd has no slice of that name");
    }
    let ends = stem.match_indices('-').map(|(index, _)| index).chain([stem.len()]);
    Ok(ends.map(|end| format!("{}.slice", &stem[..end])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, manager: Manager) -> Result<(String, String)> {
        Unit::parse(Some(Path::new(path)), "id", manager).map(|unit| (unit.slice, unit.name))
    }

    #[test]
    fn forms_that_programs_use() {
        let pair = |slice: &str, name: &str| (slice.to_owned(), name.to_owned());
        for (path, expected) in [
            ("machine.slice:libpod:abc", pair("machine.slice", "libpod-abc.scope")),
            (":cri-containerd:abc", pair("system.slice", "cri-containerd-abc.scope")),
            ("a-b.slice::abc", pair("a-b.slice", "abc.scope")),
            ("-.slice:x:y", pair("-.slice", "x-y.scope")),
        ] {
            assert_eq!(parse(path, Manager::System).unwrap(), expected, "{path}");
        }
        assert_eq!(parse(":x:y", Manager::User).unwrap().0, "user.slice");
        let unit = Unit::parse(None, "c1", Manager::System).unwrap();
        assert_eq!((unit.slice.as_str(), unit.name.as_str()), ("system.slice", "runc-c1.scope"));
    }

    #[test]
    fn other_forms_are_refused() {
        for path in
            ["/a/b", "a.slice:x", "a.slice:x:y:z", "a:x:y", "a.slice:x:", "a.slice:x:b.slice", "a.slice:x/:y"]
        {
            assert!(matches!(parse(path, Manager::System), Err(Error::BadPath { .. })), "{path}");
        }
    }

    #[test]
    fn slices_are_expanded() {
        assert_eq!(expand("a-b-c.slice"), Ok("a.slice/a-b.slice/a-b-c.slice".into()));
        assert_eq!(expand("system.slice"), Ok("system.slice".into()));
        assert_eq!(expand("-.slice"), Ok(PathBuf::new()));
        for bad in ["a", ".slice", "-a.slice", "a-.slice", "a--b.slice", "a/b.slice", "--.slice"] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }
}
