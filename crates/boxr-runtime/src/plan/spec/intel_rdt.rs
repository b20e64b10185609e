//! `linux.intelRdt`.

use std::path::Path;

use oci_spec::runtime::LinuxIntelRdt;

use crate::error::Error;
use crate::intel_rdt::{IntelRdt, MOUNT, Owner};

/// Names that resctrl has for itself.
const TAKEN: [&str; 5] = ["", ".", "..", "info", "mon_groups"];

/// The group that is asked for. `id` is the container's.
pub(super) fn intel_rdt(wanted: Option<&LinuxIntelRdt>, id: Option<&str>) -> Result<Option<IntelRdt>, Error> {
    let Some(wanted) = wanted else { return Ok(None) };
    let root = Path::new(MOUNT);
    if !root.join("schemata").exists() {
        return Err(Error::field("linux.intelRdt", format!("resctrl is not mounted at {MOUNT}")));
    }
    plan(wanted, id, root).map(Some)
}

fn plan(wanted: &LinuxIntelRdt, id: Option<&str>, root: &Path) -> Result<IntelRdt, Error> {
    let need_id = || Error::field("linux.intelRdt", "a container without an id has no group");
    let (group, owner) = match wanted.clos_id().as_deref().filter(|id| !id.is_empty()) {
        Some("/") => (String::new(), Owner::Others),
        Some(name) if name.contains('/') || TAKEN.contains(&name) => {
            let why = format!("{name}: not the name of a group");
            return Err(Error::field("linux.intelRdt.closID", why));
        }
        Some(name) => (name.to_owned(), Owner::Others),
        None => (id.ok_or_else(need_id)?.to_owned(), Owner::Container),
    };
    let lines = wanted.l3_cache_schema().iter().chain(wanted.mem_bw_schema());
    let schemata: Vec<String> = lines.chain(wanted.schemata().iter().flatten()).cloned().collect();
    if let Some(line) = schemata.iter().find(|line| line.trim().contains('\n') || line.contains('\0')) {
        return Err(Error::field("linux.intelRdt.schemata", format!("{line:?}: more than a line")));
    }
    let monitor = match wanted.enable_monitoring() {
        Some(true) => Some(id.ok_or_else(need_id)?.to_owned()),
        _ => None,
    };
    Ok(IntelRdt { root: root.to_owned(), group, owner, schemata, monitor })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<IntelRdt, Error> {
        plan(&serde_json::from_str(json).unwrap(), Some("c1"), Path::new("/resctrl"))
    }

    #[test]
    fn groups_are_the_containers_or_named() {
        let own =
            read(r#"{"l3CacheSchema":"L3:0=f","memBwSchema":"MB:0=20","schemata":["L2:0=1"]}"#).unwrap();
        assert_eq!((own.group.as_str(), own.owner), ("c1", Owner::Container));
        assert_eq!(own.schemata, ["L3:0=f", "MB:0=20", "L2:0=1"]);
        let named = read(r#"{"closID":"gold","enableMonitoring":true}"#).unwrap();
        assert_eq!((named.group.as_str(), named.owner), ("gold", Owner::Others));
        assert_eq!(named.monitor.as_deref(), Some("c1"));
        assert_eq!(read(r#"{"closID":"/"}"#).unwrap().group, "");
    }

    #[test]
    fn names_stay_in_the_filesystem() {
        for name in ["../x", "a/b", ".", "..", "info", "mon_groups"] {
            let error = read(&format!(r#"{{"closID":"{name}"}}"#)).unwrap_err().to_string();
            assert!(error.starts_with("linux.intelRdt.closID: "), "{error}");
        }
        assert!(read(r#"{"schemata":["L3:0=f\nMB:0=1"]}"#).is_err());
    }
}
