//! From a specification to what is asked for of cgroups.

use std::path::Path;

use boxr_cgroup::{Manager, Need, Place, Unit};
use boxr_runtime::capabilities;
use boxr_runtime::plan::CgroupPlan;
use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType, Spec};

use crate::cli::{CgroupManager, Globals, Rootless};
use crate::creation::{annotation, has_namespace};
use crate::error::Error;

/// Where the container's cgroup is, or is to be.
///
/// # Errors
/// A limit that cannot be had, or no place.
pub fn cgroup(globals: &Globals, id: &str, spec: &Spec) -> Result<CgroupPlan, Error> {
    let linux = spec.linux().as_ref();
    let rootless = match globals.rootless {
        Rootless::Yes => true,
        Rootless::No => false,
        Rootless::Auto => is_rootless()?,
    };
    let path = linux.and_then(|linux| linux.cgroups_path().as_deref());
    let place = match globals.cgroups {
        CgroupManager::Cgroupfs => Place::Path(path.unwrap_or(Path::new(id))),
        CgroupManager::Systemd => Place::Scope(Unit::parse(path, id, Manager::of_caller())?),
    };
    let request = boxr_cgroup::Request {
        resources: linux.and_then(|linux| linux.resources().as_ref()),
        need: if rootless { Need::IfPossible } else { Need::Required },
        annotations: spec.annotations().as_ref(),
        owner: linux.and_then(|linux| owner(spec, linux)),
        ..boxr_cgroup::Request::container(id, place)
    };
    let plan = boxr_cgroup::Host::detect()?.plan(&request)?;
    Ok(if plan.is_empty() { CgroupPlan::Inherit } else { CgroupPlan::New(Box::new(plan)) })
}

/// Root of a user namespace, as rootless podman starts us, has no more rights to cgroups than its user.
fn is_rootless() -> Result<bool, Error> {
    Ok(!capabilities::is_privileged().map_err(Error::system("read my capabilities"))?
        || capabilities::is_in_user_namespace()
            .map_err(|errno| Error::at("read", "/proc/self/ns/user", errno))?)
}

/// Who may divide the container's cgroup, by ids of the host: its user, where that sees a cgroup namespace
/// of its own by a file system that it may write, as in runc; or where a cgroup is made for it, as in crun.
fn owner(spec: &Spec, linux: &Linux) -> Option<(u32, u32)> {
    let is_new = |namespace: &&oci_spec::runtime::LinuxNamespace| {
        namespace.typ() == LinuxNamespaceType::Cgroup && namespace.path().is_none()
    };
    linux.namespaces().iter().flatten().find(is_new)?;
    let writable = spec.mounts().iter().flatten().any(|mount| {
        let is_cgroup = mount.typ().as_deref().is_some_and(|typ| typ == "cgroup" || typ == "cgroup2");
        is_cgroup && !mount.options().iter().flatten().any(|option| option == "ro")
    });
    if !writable && annotation(spec, "run.oci.delegate-cgroup").is_none() {
        return None;
    }
    let user = spec.process().as_ref()?.user();
    let (uid, gid) = (user.uid(), user.gid());
    if !has_namespace(spec, LinuxNamespaceType::User) {
        // Root has it anyway.
        return (uid != 0).then_some((uid, gid));
    }
    Some((on_host(linux.uid_mappings().as_deref()?, uid)?, on_host(linux.gid_mappings().as_deref()?, gid)?))
}

fn on_host(maps: &[LinuxIdMapping], id: u32) -> Option<u32> {
    maps.iter().find_map(|map| {
        let offset = id.checked_sub(map.container_id()).filter(|offset| *offset < map.size())?;
        map.host_id().checked_add(offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn owner_of(change: impl FnOnce(&mut Value)) -> Option<(u32, u32)> {
        let mut config = json!({
            "ociVersion": "1.2.0",
            "process": {"cwd": "/", "args": ["x"], "user": {"uid": 5, "gid": 6}},
            "mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["rw"]}],
            "linux": {"namespaces": [{"type": "cgroup"}]}
        });
        change(&mut config);
        let spec: Spec = serde_json::from_value(config).unwrap();
        owner(&spec, spec.linux().as_ref().unwrap())
    }

    #[test]
    fn a_user_that_may_write_its_cgroups_owns_them() {
        assert_eq!(owner_of(|_| ()), Some((5, 6)));
        assert_eq!(owner_of(|config| config["process"]["user"]["uid"] = json!(0)), None);
        assert_eq!(owner_of(|config| config["mounts"][0]["options"] = json!(["ro"])), None);
        assert_eq!(owner_of(|config| config["linux"]["namespaces"] = json!([{"type": "pid"}])), None);
        let with_user_namespace = |config: &mut Value, size: u32| {
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
            let map = json!([{"containerID": 0, "hostID": 1000, "size": size}]);
            config["linux"]["uidMappings"] = map.clone();
            config["linux"]["gidMappings"] = map;
        };
        assert_eq!(owner_of(|config| with_user_namespace(config, 10)), Some((1005, 1006)));
        assert_eq!(owner_of(|config| with_user_namespace(config, 5)), None);
    }
}
