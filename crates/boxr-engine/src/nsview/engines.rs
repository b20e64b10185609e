//! Whose container a process is in, from the path of its cgroup: every engine writes its name there.

/// A container, as its engine names it in cgroup paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Container {
    /// `docker`, `podman`, `containerd`, `cri-o`, `kubernetes`, `systemd-nspawn`, `lxc`, `buildkit`, `boxr`.
    pub engine: &'static str,
    /// Id or name, whole.
    pub id: String,
    /// The Kubernetes pod it is part of.
    pub pod: Option<String>,
}

impl Container {
    /// `docker:0123456789ab`: the id cut to 12 digits where it is one.
    pub fn label(&self) -> String {
        let id = if is_hex_id(&self.id) { &self.id[..12] } else { &self.id };
        match &self.pod {
            Some(pod) => format!("{}:{id} (pod {pod})", self.engine),
            None => format!("{}:{id}", self.engine),
        }
    }
}

/// Prefixes of scopes and of cgroupfs directories that are followed by an id.
const PREFIXES: [(&str, &str); 8] = [
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("buildkit-", "buildkit"),
    ("boxr-", "boxr"),
    ("lxc.payload.", "lxc"),
];

/// Directories that hold one directory per container.
const PARENTS: [(&str, &str); 7] = [
    ("docker", "docker"),
    ("moby", "docker"),
    ("libpod", "podman"),
    ("k8s.io", "containerd"),
    ("lxc", "lxc"),
    ("buildkit", "buildkit"),
    ("boxr", "boxr"),
];

/// Supervisors of engines: they have a cgroup named after the container, and are not in it.
const SUPERVISORS: [&str; 4] = ["libpod-conmon-", "crio-conmon-", "lxc.monitor.", "boxr-monitor-"];

/// The innermost container that the text of a `/proc/PID/cgroup` names (cgroups(7)).
pub fn container_of(cgroup: &str) -> Option<Container> {
    cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2)).find_map(of_path)
}

fn of_path(path: &str) -> Option<Container> {
    // Under Kubernetes containerd may write `SLICE:PREFIX:ID` as one directory.
    let parts: Vec<&str> = path.split(['/', ':']).filter(|part| !part.is_empty()).map(unit_name).collect();
    if parts.iter().any(|part| SUPERVISORS.iter().any(|prefix| part.starts_with(prefix))) {
        return None;
    }
    let pod = parts.iter().rev().find_map(|part| pod_of(part));
    (0..parts.len())
        .rev()
        .find_map(|index| {
            let parent = index.checked_sub(1).map_or("", |above| parts[above]);
            of_part(parts[index], parent, index, pod.is_some())
        })
        .map(|(engine, id)| Container { engine, id: id.to_owned(), pod: pod.clone() })
}

/// A systemd unit without its suffix.
fn unit_name(part: &str) -> &str {
    ["scope", "service"].iter().find_map(|kind| part.strip_suffix(kind)?.strip_suffix('.')).unwrap_or(part)
}

fn of_part<'a>(part: &'a str, parent: &str, depth: usize, in_pod: bool) -> Option<(&'static str, &'a str)> {
    for (prefix, engine) in PREFIXES {
        if let Some(id) = part.strip_prefix(prefix)
            && (is_hex_id(id) || engine == "lxc" || (engine == "buildkit" && !id.is_empty()))
        {
            return Some((engine, id));
        }
    }
    if let Some(name) = part.strip_prefix("systemd-nspawn@").or_else(|| part.strip_prefix("machine-")) {
        return (parent == "machine.slice").then_some(("systemd-nspawn", name));
    }
    if let Some((_, engine)) = PARENTS.into_iter().find(|(name, _)| *name == parent) {
        let named = matches!(engine, "lxc" | "buildkit") && !PARENTS.iter().any(|(name, _)| *name == part);
        return (is_hex_id(part) || named).then_some((engine, part));
    }
    // ctr(8) names the directory above the container after containerd's own namespace.
    if parent == "default" && depth == 1 {
        return Some(("containerd", part));
    }
    (in_pod && is_hex_id(part)).then_some(("kubernetes", part))
}

/// `pod<uid>` of cgroupfs and `kubepods-burstable-pod<uid>.slice` of systemd, which writes `_` for `-`.
fn pod_of(part: &str) -> Option<String> {
    let part = part.strip_suffix(".slice").unwrap_or(part);
    let uid = match part.strip_prefix("kubepods") {
        Some(rest) => rest.rsplit_once("-pod")?.1,
        None => part.strip_prefix("pod")?,
    };
    let plausible = uid.len() >= 32 && uid.chars().all(|c| c.is_ascii_hexdigit() || "-_".contains(c));
    plausible.then(|| uid.replace('_', "-"))
}

fn is_hex_id(text: &str) -> bool {
    text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5d0c1f2e3a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5";
    const POD: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

    fn label(path: &str) -> Option<String> {
        container_of(&format!("0::{}\n", path.replace("ID", ID).replace("POD", POD))).map(|c| c.label())
    }

    #[test]
    fn each_engine_is_known_by_its_path() {
        for (path, expected) in [
            ("/system.slice/docker-ID.scope", "docker:5d0c1f2e3a4b"),
            ("/docker/ID", "docker:5d0c1f2e3a4b"),
            ("/docker/ID/init.scope", "docker:5d0c1f2e3a4b"),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
                "podman:5d0c1f2e3a4b",
            ),
            ("/libpod_parent/libpod-ID", "podman:5d0c1f2e3a4b"),
            ("/system.slice/nerdctl-ID.scope", "containerd:5d0c1f2e3a4b"),
            ("/default/redis", "containerd:redis"),
            ("/k8s.io/ID", "containerd:5d0c1f2e3a4b"),
            ("/machine.slice/machine-debian.scope/payload", "systemd-nspawn:debian"),
            ("/machine.slice/systemd-nspawn@web.service/payload", "systemd-nspawn:web"),
            ("/lxc.payload.web/init.scope", "lxc:web"),
            ("/lxc/web", "lxc:web"),
            ("/buildkit/k3j4h5", "buildkit:k3j4h5"),
            ("/docker/buildkit/k3j4h5", "buildkit:k3j4h5"),
            ("/boxr/ID", "boxr:5d0c1f2e3a4b"),
            ("/docker/ID/docker/ID", "docker:5d0c1f2e3a4b"),
        ] {
            assert_eq!(label(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn pods_are_told() {
        let pod = "(pod 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0)";
        let unit = POD.replace('-', "_");
        for (path, engine) in [
            ("/kubepods/burstable/podPOD/ID".to_owned(), "kubernetes"),
            (format!("/kubepods.slice/kubepods-pod{unit}.slice/cri-containerd-ID.scope"), "containerd"),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{unit}.slice/crio-ID.scope"
                ),
                "cri-o",
            ),
            (
                format!(
                    "/system.slice/containerd.service/kubepods-burstable-pod{unit}.slice:cri-containerd:ID"
                ),
                "kubernetes",
            ),
        ] {
            assert_eq!(label(&path), Some(format!("{engine}:5d0c1f2e3a4b {pod}")), "{path}");
        }
    }

    #[test]
    fn others_are_nobodys() {
        for path in [
            "/",
            "/init.scope",
            "/user.slice/user-1000.slice/session-1.scope",
            "/system.slice/docker.service",
            "/system.slice/containerd.service",
            "/libpod_parent/libpod-conmon-ID",
            "/lxc.monitor.web",
            "/boxr-test-x/ID",
            "/machine.slice",
        ] {
            assert_eq!(label(path), None, "{path}");
        }
        assert_eq!(container_of("garbage"), None);
    }

    #[test]
    fn any_hierarchy_counts() {
        let text = format!("4:memory:/\n3:pids:/docker/{ID}\n0::/\n");
        assert_eq!(container_of(&text).map(|c| c.engine), Some("docker"));
    }
}
