//! The seccomp filter of a container: boxr's default, a person's profile, or none.

mod calls;
mod profile;

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSyscall};

use self::profile::Place;
use super::options::Seccomp;

/// What makes profiles, hashed.
pub(crate) const SOURCES: u64 = boxr_seccomp::hash_of(include_bytes!("mod.rs"))
    .rotate_left(1)
    .wrapping_add(boxr_seccomp::hash_of(include_bytes!("calls.rs")))
    .rotate_left(1)
    .wrapping_add(boxr_seccomp::hash_of(include_bytes!("profile.rs")));

/// The profile of a container that has these capabilities, without `CAP_`.
///
/// # Errors
/// What is wrong with a person's profile.
pub(crate) fn of(chosen: &Seccomp, capabilities: &[&str]) -> Result<Option<LinuxSeccomp>, String> {
    let place = Place { capabilities, processor: processor(), kernel: kernel() };
    match chosen {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Default => Ok(Some(default_profile(&place))),
        Seccomp::Profile(text) => profile::read(text, &place).map(Some),
    }
}

/// The default of a container without capabilities, with `others` for the calls of which `is_left_out` is true.
pub(crate) fn stricter(is_left_out: impl Fn(&str) -> bool, others: Vec<LinuxSyscall>) -> LinuxSeccomp {
    let place = Place { capabilities: &[], processor: processor(), kernel: kernel() };
    let entries = calls::entries().into_iter().filter_map(|entry| entry.without(&is_left_out));
    profile_of(&place, entries.filter_map(|entry| entry.into_spec(&place)).chain(others).collect())
}

fn default_profile(place: &Place<'_>) -> LinuxSeccomp {
    let entries = calls::entries().into_iter();
    profile_of(place, entries.filter_map(|entry| entry.into_spec(place)).collect())
}

fn profile_of(place: &Place<'_>, calls: Vec<LinuxSyscall>) -> LinuxSeccomp {
    let mut seccomp = LinuxSeccomp::default();
    seccomp
        .set_default_action(LinuxSeccompAction::ScmpActErrno)
        .set_default_errno_ret(Some(1))
        .set_architectures(Some(architectures(place.processor)))
        .set_syscalls(Some(calls))
        .set_flags(None)
        .set_listener_path(None)
        .set_listener_metadata(None);
    seccomp
}

/// What programs of this processor may be.
fn architectures(processor: &str) -> Vec<Arch> {
    match processor {
        "amd64" => vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32],
        "386" => vec![Arch::ScmpArchX86],
        "arm64" => vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm],
        "arm" => vec![Arch::ScmpArchArm],
        "s390x" => vec![Arch::ScmpArchS390x, Arch::ScmpArchS390],
        "ppc64le" => vec![Arch::ScmpArchPpc64le],
        "riscv64" => vec![Arch::ScmpArchRiscv64],
        // The compiler adds its own.
        _ => Vec::new(),
    }
}

/// Go's word for this processor.
fn processor() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// Major and minor number of this kernel's version.
pub(crate) fn kernel() -> (u32, u32) {
    profile::version(&rustix::system::uname().release().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const USUAL: [&str; 14] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ];

    fn place(capabilities: &'static [&'static str]) -> Place<'static> {
        Place { capabilities, processor: "amd64", kernel: (6, 1) }
    }

    /// Names with how they are compared and what becomes of them, one text each.
    fn meanings(profile: &LinuxSeccomp) -> BTreeSet<String> {
        let entries = profile.syscalls().iter().flatten();
        entries
            .flat_map(|entry| {
                let rest = format!("{:?} {:?} {:?}", entry.args(), entry.action(), entry.errno_ret());
                entry.names().iter().map(move |name| format!("{name} {rest}"))
            })
            .map(|text| text.replace("value_two: Some(0)", "value_two: None"))
            .collect()
    }

    #[test]
    fn the_default_is_what_dockers_users_know() {
        let ours = default_profile(&place(&USUAL));
        let dockers: LinuxSeccomp =
            serde_json::from_str(include_str!("../../../../boxr-seccomp/tests/data/docker.json")).unwrap();
        let (ours_said, dockers_said) = (meanings(&ours), meanings(&dockers));
        let difference: Vec<_> = ours_said.symmetric_difference(&dockers_said).collect();
        assert!(difference.is_empty(), "{difference:#?}");
        assert_eq!(ours.architectures(), dockers.architectures());
        assert_eq!(ours.default_errno_ret(), dockers.default_errno_ret());
    }

    #[test]
    fn capabilities_open_what_they_are_for() {
        let has = |capabilities: &'static [&'static str], name: &str| {
            let profile = default_profile(&place(capabilities));
            profile.syscalls().iter().flatten().any(|entry| {
                entry.action() == LinuxSeccompAction::ScmpActAllow
                    && entry.args().is_none()
                    && entry.names().iter().any(|known| known == name)
            })
        };
        for (capability, name) in [
            (&["SYS_ADMIN"], "mount"),
            (&["SYS_ADMIN"], "clone3"),
            (&["SYS_CHROOT"], "chroot"),
            (&["SYS_BOOT"], "reboot"),
            (&["SYS_TIME"], "clock_settime"),
            (&["BPF"], "bpf"),
        ] {
            assert!(has(capability, name) && !has(&[], name), "{name}");
        }
        let all = boxr_runtime::capabilities::NAMES.iter().copied();
        let names: BTreeSet<_> = calls::entries().iter().flat_map(|entry| entry.capabilities()).collect();
        assert!(names.iter().all(|name| all.clone().any(|known| known == name)), "{names:?}");
    }

    #[test]
    fn files_in_dockers_format_are_read() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
            {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":null}],
            "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},
            {"name":"old","action":"SCMP_ACT_ALLOW","includes":null,"comment":"x"},
            {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
            {"names":["arm"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64"]}},
            {"names":["new"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.2"}},
            {"names":["unshare"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
        let names = |capabilities: &'static [&'static str]| -> Vec<String> {
            let profile = profile::read(text, &place(capabilities)).unwrap();
            assert_eq!(
                profile.architectures().as_deref(),
                Some(&[Arch::ScmpArchX86_64, Arch::ScmpArchX86][..])
            );
            profile.syscalls().iter().flatten().flat_map(|entry| entry.names().clone()).collect()
        };
        assert_eq!(names(&[]), ["read", "old", "unshare"]);
        assert_eq!(names(&["SYS_ADMIN"]), ["read", "old", "mount"]);
        assert!(profile::read("[]", &place(&[])).is_err());
        assert!(profile::read("{", &place(&[])).is_err());
        assert!(profile::read(r#"{"defaultAction":"SCMP_ACT_FROB"}"#, &place(&[])).is_err());
    }
}
