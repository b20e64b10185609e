//! `features`: what this runtime can do, in the specification's own structure (features.md).

use boxr_runtime::capabilities::Capabilities;
use boxr_runtime::hooks::HookKind;
use boxr_runtime::plan::mount_option_names;
use boxr_sys::namespace::NamespaceKind;
use serde_json::{Value, json};

use super::print;
use crate::cli::Globals;
use crate::cli::words::Words;
use crate::error::Error;

/// The newest version of the runtime specification that is understood.
pub use boxr_runtime::plan::IMPLEMENTED_VERSION as SPEC_VERSION;

/// seccomp's actions, operators and architectures, as the specification calls them.
const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];
const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];
// A filter holds for architectures of one byte order.
#[cfg(target_endian = "little")]
const ARCHITECTURES: [&str; 12] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];
#[cfg(target_endian = "big")]
const ARCHITECTURES: [&str; 11] = [
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SHEB",
];
const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// Runs the command.
///
/// # Errors
/// None: it asks nothing of the host.
pub fn run(_: &Globals, _: &Words) -> Result<u8, Error> {
    Ok(print(&format!("{:#}\n", features())))
}

fn features() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": HookKind::ALL.map(HookKind::key),
        "mountOptions": mount_option_names(),
        "linux": linux(),
        "annotations": {"org.opencontainers.runc.checkpoint.enabled": "true"},
        "potentiallyUnsafeConfigAnnotations": ["org.systemd.property.", "run.oci."],
    })
}

fn linux() -> Value {
    json!({
        "namespaces": NamespaceKind::ALL.map(NamespaceKind::word),
        "capabilities": Capabilities::all().names(),
        "cgroup": {"v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true},
        "seccomp": {
            "enabled": true,
            "actions": ACTIONS,
            "operators": OPERATORS,
            "archs": ARCHITECTURES,
            "knownFlags": FLAGS,
            "supportedFlags": FLAGS,
        },
        "apparmor": {"enabled": true},
        "selinux": {"enabled": true},
        "intelRdt": {"enabled": true, "schemata": true, "monitoring": true},
        "memoryPolicy": {
            "modes": [
                "MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED",
                "MPOL_PREFERRED_MANY", "MPOL_LOCAL",
            ],
            "flags": ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
        },
        "mountExtensions": {"idmap": {"enabled": true}},
        "netDevices": {"enabled": true},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_specification_defines() {
        let text = features().to_string();
        let read: oci_spec::runtime::Features = serde_json::from_str(&text).unwrap();
        assert_eq!(read.oci_version_max(), SPEC_VERSION);
        let linux = read.linux().as_ref().unwrap();
        assert_eq!(linux.namespaces().as_ref().unwrap().len(), 8);
        assert!(linux.capabilities().as_ref().unwrap().contains(&"CAP_SYS_ADMIN".to_owned()));
    }

    #[test]
    fn what_it_says_of_seccomp_compiles() {
        let profile = |action: &str, arch: &str, op: &str, flag: &str| -> Value {
            json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": [arch],
                "flags": [flag],
                "listenerPath": "/run/agent",
                "syscalls": [{"names": ["read"], "action": action, "args": [{"index": 0, "value": 7, "op": op}]}],
            })
        };
        let native = "SCMP_ARCH_X86_64";
        let (act, op) = ("SCMP_ACT_ERRNO", "SCMP_CMP_EQ");
        let plain = "SECCOMP_FILTER_FLAG_LOG";
        let mut all = Vec::new();
        all.extend(ACTIONS.map(|action| profile(action, native, op, plain)));
        all.extend(OPERATORS.map(|op| profile(act, native, op, plain)));
        all.extend(ARCHITECTURES.map(|arch| profile(act, arch, op, plain)));
        for profile in all {
            let read = serde_json::from_value(profile.clone()).unwrap();
            boxr_seccomp::compile(&read).unwrap_or_else(|error| panic!("{profile}: {error}"));
        }
    }
}
