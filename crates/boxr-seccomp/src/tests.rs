//! What is refused, by which name, and what odd profiles become.

use oci_spec::runtime::{Arch, LinuxSeccomp};

use crate::{Error, Filter, FilterFlags, compile_for};

const HOST: Arch = Arch::ScmpArchX86_64;

fn compile(json: &str) -> Result<Filter, Error> {
    compile_for(HOST, &serde_json::from_str::<LinuxSeccomp>(json).unwrap())
}

/// A profile that allows by default, with these entries.
fn entries(entries: &str) -> String {
    format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{entries}]}}"#)
}

#[track_caller]
fn refused(json: &str, field: &str) {
    match compile(json).unwrap_err() {
        Error::Field { field: named, .. } => assert_eq!(named, format!("linux.seccomp.{field}")),
        other => panic!("{other}"),
    }
}

#[test]
fn refusals_name_the_field() {
    refused(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "defaultAction");
    refused(r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}"#, "defaultErrnoRet");
    refused(r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}"#, "defaultErrnoRet");
    let data = r#"{"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 5}"#;
    refused(&entries(data), "syscalls[0].errnoRet");
    let notify = r#"{"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"}"#;
    refused(&entries(notify), "syscalls[0].names");
    refused(&entries(r#"{"names": [""], "action": "SCMP_ACT_LOG"}"#), "syscalls[0].names");
    let sixth = r#"{"names": ["read"], "action": "SCMP_ACT_LOG",
                    "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}"#;
    refused(&entries(sixth), "syscalls[0].args[0].index");
    refused(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390"]}"#,
        "architectures[0]",
    );
    let wait = r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#;
    refused(wait, "flags[0]");
}

#[test]
fn one_comparison_with_two_actions_is_refused() {
    let entry = |action: &str| {
        format!(
            r#"{{"names": ["ioctl"], "action": "{action}", "args": [{{"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}}]}}"#
        )
    };
    let both = format!("{}, {}", entry("SCMP_ACT_KILL"), entry("SCMP_ACT_LOG"));
    refused(&entries(&both), "syscalls[1]");
    let twice = format!("{}, {}", entry("SCMP_ACT_LOG"), entry("SCMP_ACT_LOG"));
    assert!(compile(&entries(&twice)).is_ok());
}

#[test]
fn flags_are_those_of_the_kernel() {
    let flags = |list: &str| {
        compile(&format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "flags": [{list}]}}"#)).unwrap().flags
    };
    assert_eq!(flags(""), FilterFlags::NONE);
    let all = r#""SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW""#;
    assert_eq!(flags(all).bits(), 7);
    let absent = compile(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
    assert_eq!(absent.flags, FilterFlags::SPEC_ALLOW, "runc's default");
    assert!(!absent.notifies);
    let notify = r#"{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}"#;
    assert!(compile(&entries(notify)).unwrap().notifies);
}

#[test]
fn every_architecture_can_be_the_host() {
    let every = [
        "X86",
        "X86_64",
        "X32",
        "ARM",
        "AARCH64",
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "PARISC",
        "PARISC64",
        "RISCV64",
        "LOONGARCH64",
        "M68K",
        "SH",
        "SHEB",
        "NATIVE",
    ];
    for name in every {
        let arch: Arch = serde_json::from_str(&format!("\"SCMP_ARCH_{name}\"")).unwrap();
        let mut profile = LinuxSeccomp::default();
        profile.set_architectures(Some(vec![arch]));
        assert!(compile_for(arch, &profile).is_ok(), "{name}");
        assert!(crate::number(arch, "openat").is_some(), "{name}");
    }
}

#[test]
fn the_native_architecture_is_the_hosts() {
    let mut profile = LinuxSeccomp::default();
    let alone = compile_for(Arch::ScmpArchRiscv64, &profile).unwrap();
    profile.set_architectures(Some(vec![Arch::ScmpArchNative, Arch::ScmpArchRiscv64]));
    assert_eq!(compile_for(Arch::ScmpArchRiscv64, &profile).unwrap(), alone);
}

#[test]
fn a_program_that_is_too_long_is_refused() {
    let one = |value: u64| {
        format!(
            r#"{{"names": ["ioctl"], "action": "SCMP_ACT_LOG",
                "args": [{{"index": 1, "value": {value}, "op": "SCMP_CMP_EQ"}}]}}"#
        )
    };
    let many = |count: u64| entries(&(0..count).map(one).collect::<Vec<_>>().join(","));
    assert!(compile(&many(1000)).is_ok());
    assert!(matches!(compile(&many(3000)), Err(Error::TooLong { .. })));
    assert!(matches!(compile(&many(5000)), Err(Error::TooLong { .. })));
}
