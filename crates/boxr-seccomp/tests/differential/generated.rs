//! Profiles that nobody wrote.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator as Op, LinuxSyscall,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::libseccomp::Optimize;
use crate::machine::{HOSTS, Host};
use crate::{docker, libseccomp};

/// Names with something special on some architecture, and plain ones; few, so that entries meet.
const NAMES: &[&str] = &[
    "read",
    "write",
    "open",
    "openat",
    "close",
    "socket",
    "socketcall",
    "accept",
    "accept4",
    "bind",
    "recv",
    "sendmmsg",
    "ipc",
    "semop",
    "semget",
    "shmat",
    "msgctl",
    "clone",
    "personality",
    "ioctl",
    "execve",
    "futex",
    "futex_time64",
    "clock_gettime64",
    "arch_prctl",
    "cacheflush",
    "set_tls",
    "breakpoint",
    "mmap2",
    "waitpid",
    "_llseek",
    "fork",
    "preadv2",
    "openat2",
    "faccessat2",
    "close_range",
    "landlock_add_rule",
    "s390_sthyi",
    "no_such_call",
];

fn operator() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(Op::ScmpCmpNe),
        Just(Op::ScmpCmpLt),
        Just(Op::ScmpCmpLe),
        Just(Op::ScmpCmpEq),
        Just(Op::ScmpCmpGe),
        Just(Op::ScmpCmpGt),
        Just(Op::ScmpCmpMaskedEq),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0u64..6,
        2 => prop::sample::select(vec![
            u64::from(u32::MAX), 1 << 31, 1 << 32, (1 << 32) + 3, (5 << 32) + 3, 1 << 63, u64::MAX, u64::MAX - 1,
            0x7e02_0000, 0xff, 0xffff_0000,
        ]),
        1 => any::<u64>(),
    ]
}

fn argument(arguments: std::ops::Range<usize>) -> impl Strategy<Value = LinuxSeccompArg> {
    (arguments, value(), value(), operator()).prop_map(|(index, value, two, op)| {
        LinuxSeccompArgBuilder::default().index(index).value(value).value_two(two).op(op).build().unwrap()
    })
}

fn action() -> impl Strategy<Value = (Action, Option<u32>)> {
    prop_oneof![
        4 => Just((Action::ScmpActAllow, None)),
        1 => Just((Action::ScmpActKillProcess, None)),
        1 => Just((Action::ScmpActKill, None)),
        1 => Just((Action::ScmpActTrap, None)),
        1 => Just((Action::ScmpActLog, None)),
        1 => (1u32..4096).prop_map(|data| (Action::ScmpActTrace, Some(data))),
        3 => (1u32..4).prop_map(|data| (Action::ScmpActErrno, Some(data))),
    ]
}

fn entry(
    names: impl Strategy<Value = Vec<&'static str>>,
    args: impl Strategy<Value = Vec<LinuxSeccompArg>>,
) -> impl Strategy<Value = LinuxSyscall> {
    (names, action(), args).prop_map(|(names, (action, data), args)| {
        let mut entry = LinuxSyscall::default();
        entry.set_names(names.into_iter().map(str::to_owned).collect());
        entry.set_action(action).set_errno_ret(data);
        entry.set_args((!args.is_empty()).then_some(args));
        entry
    })
}

fn all_names() -> impl Strategy<Value = Vec<&'static str>> {
    let table: Vec<_> = boxr_seccomp::names().collect();
    let count = table.len();
    prop_oneof![
        2 => prop::collection::vec(prop::sample::select(NAMES), 1..6),
        1 => prop::sample::subsequence(table, 0..count),
    ]
}

fn profile(entries: impl Strategy<Value = Vec<LinuxSyscall>>) -> impl Strategy<Value = (Host, LinuxSeccomp)> {
    let host = prop_oneof![3 => prop::sample::select(&HOSTS[..2]), 2 => prop::sample::select(HOSTS)];
    (host, any::<[bool; 2]>(), action(), entries).prop_map(|(host, listed, (action, data), entries)| {
        let mut profile = LinuxSeccomp::default();
        let arches: Vec<Arch> =
            host.others.iter().zip(listed).filter_map(|(arch, listed)| listed.then_some(*arch)).collect();
        profile.set_default_action(action).set_default_errno_ret(data);
        profile.set_architectures((!arches.is_empty()).then_some(arches));
        profile.set_syscalls((!entries.is_empty()).then_some(entries));
        (host, profile)
    })
}

fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    // The same cases in every run: a failure is news, not luck.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, random).run(&strategy, test).unwrap();
}

/// Any profile at all, against its meaning; contradictions are refused and nothing else.
pub fn do_what_they_say() {
    let args = prop::collection::vec(argument(0..3), 0..4);
    let entries = prop::collection::vec(entry(all_names(), args), 0..10);
    run(60, profile(entries), |(host, profile)| {
        match boxr_seccomp::compile_for(host.arch, &profile) {
            Ok(_) => docker::check(host, &profile),
            Err(error) => {
                let text = error.to_string();
                let expected = text.contains("has another action") || text.contains("4096 at most");
                prop_assert!(expected, "{text}");
            }
        }
        Ok(())
    });
}

/// What libseccomp gets right: for each name either one entry that compares several arguments, or any
/// number of them that wait for values of the same argument. With others, it goes to the default once half
/// of one entry has matched and the rest has not, and never tries the next.
pub fn match_libseccomp() {
    let plain = entry(all_names(), Just(Vec::new()));
    let whole = prop::sample::subsequence(vec![0usize, 1, 2], 1..3).prop_flat_map(|indexes| {
        indexes.into_iter().map(|index| argument(index..index + 1)).collect::<Vec<_>>()
    });
    let one = (0usize..3).prop_flat_map(|index| prop::collection::vec(argument(index..index + 1), 1..5));
    let compared =
        (prop::sample::select(NAMES), prop_oneof![whole.prop_map(|args| vec![args]), one.prop_map(values)]);
    let compared = prop::collection::vec(compared, 0..8).prop_map(|all| {
        let names: BTreeMap<&str, Vec<Vec<LinuxSeccompArg>>> = all.into_iter().collect();
        names
            .into_iter()
            .flat_map(|(name, entries)| entries.into_iter().map(move |args| compare(name, args)))
            .collect()
    });
    let entries = (prop::collection::vec(plain, 0..3), compared);
    let entries =
        entries.prop_map(|(plain, compared): (_, Vec<_>)| [plain, compared].concat()).prop_shuffle();
    run(150, profile(entries), |(host, profile)| {
        let profile = docker::known_to_libseccomp(&profile);
        if crate::meaning::names_operation_and_multiplexer(&profile) {
            // The first entry decides here; in libseccomp the one of the multiplexing call itself.
            return Ok(());
        }
        if boxr_seccomp::compile_for(host.arch, &profile).is_ok() {
            docker::compare(host, &profile, Optimize::List);
        } else {
            // One operation of ipc(2) or socketcall(2) twice, with two actions.
            let refused = libseccomp::compile(host, &profile, Optimize::List).unwrap_err();
            prop_assert!(refused.ends_with("File exists"), "{refused}");
        }
        Ok(())
    });
}

/// An entry for each value.
fn values(args: Vec<LinuxSeccompArg>) -> Vec<Vec<LinuxSeccompArg>> {
    let equal = |arg: LinuxSeccompArg| {
        let builder = LinuxSeccompArgBuilder::default().op(Op::ScmpCmpEq);
        vec![builder.index(arg.index()).value(arg.value()).build().unwrap()]
    };
    args.into_iter().map(equal).collect()
}

/// An entry with an action that is never the default here.
fn compare(name: &str, args: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    let mut entry = LinuxSyscall::default();
    entry.set_names(vec![name.to_owned()]).set_args(Some(args));
    entry.set_action(Action::ScmpActErrno).set_errno_ret(Some(77));
    entry
}
