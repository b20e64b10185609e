//! The calls that a profile is tried with: every number, and for numbers that are decided by arguments
//! values around those that the profile names.

use std::collections::BTreeSet;

use oci_spec::runtime::{Arch, LinuxSeccomp};

use crate::interpreter::Call;
use crate::machine::{Host, audit, numbers};

/// Calls with the same number and arguments from combinations of interesting values.
const COMBINATIONS: usize = 150;

/// Every call that `profile` is tried with on `host`.
pub fn of(host: Host, profile: &LinuxSeccomp) -> Vec<Call> {
    let values = values(profile);
    let mut calls = Vec::new();
    for arch in std::iter::once(host.arch).chain(host.others.iter().copied()) {
        let compared = compared(arch, profile);
        for number in numbers(arch) {
            let call = |arguments| Call { number, arch: audit(arch), arguments };
            calls.push(call([0; 6]));
            calls.push(call([u64::MAX; 6]));
            if compared.contains(&number) {
                calls.extend(combinations(&values, number).map(call));
            }
        }
    }
    // An architecture that nobody lists.
    calls.push(Call { number: 0, arch: 0x1234, arguments: [0; 6] });
    calls
}

/// Numbers that comparisons are about, those of the multiplexing calls included.
fn compared(arch: Arch, profile: &LinuxSeccomp) -> BTreeSet<u32> {
    let entries = profile.syscalls().iter().flatten();
    let named = entries.filter(|entry| entry.args().as_ref().is_some_and(|args| !args.is_empty()));
    let names = named.flat_map(|entry| entry.names().iter().map(String::as_str)).chain(["socketcall", "ipc"]);
    names.filter_map(|name| boxr_seccomp::number(arch, name)).collect()
}

/// For each argument, what it is tried with.
fn values(profile: &LinuxSeccomp) -> [Vec<u64>; 6] {
    let mut values: [BTreeSet<u64>; 6] = Default::default();
    for all in &mut values {
        all.extend([0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX]);
    }
    // The operations of socketcall(2) and ipc(2).
    values[0].extend(1..25);
    for arg in profile.syscalls().iter().flatten().flat_map(|entry| entry.args().iter().flatten()) {
        let two = arg.value_two().unwrap_or(0);
        for value in [arg.value(), two, arg.value() & two, arg.value() | two, !arg.value()] {
            let near = [value, value.wrapping_sub(1), value.wrapping_add(1)];
            let far = near.map(|value| value ^ (1 << 32)).into_iter().chain(near.map(|v| v ^ (1 << 63)));
            values[arg.index()].extend(near.into_iter().chain(far));
        }
    }
    values.map(|all| all.into_iter().collect())
}

/// Each value of each argument once beside those of the others, and mixtures.
fn combinations(values: &[Vec<u64>; 6], seed: u32) -> impl Iterator<Item = [u64; 6]> {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        // xorshift: any spread will do, as long as it is the same every time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let longest = values.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest.max(COMBINATIONS)).map(move |round| {
        std::array::from_fn(|argument| {
            let all = &values[argument];
            let index = if argument == round % 6 && round / 6 < all.len() { round / 6 } else { next() };
            all[index % all.len()]
        })
    })
}
