//! What a profile means, worked out call by call from its names: slow, and without any of the
//! compiler's ideas but its table.

use std::collections::{HashMap, HashSet};

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Op,
};

use crate::interpreter::Call;
use crate::machine::{Host, audit, is_narrow};

const KILL: u32 = 0;
const ENOSYS: u32 = 0x5_0026;
const X32_BIT: u32 = 0x4000_0000;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The profile says so.
    Said(u32),
    /// It is newer than all that the profile names: libseccomp knows nothing of that.
    Newer,
}

impl Meaning {
    pub fn action(self) -> u32 {
        match self {
            Self::Said(action) => action,
            Self::Newer => ENOSYS,
        }
    }
}

/// What entries say of one number.
type Entries<'p> = Vec<(u32, &'p [LinuxSeccompArg], Option<u64>)>;

/// A profile on one host.
pub struct Meanings<'p> {
    default: u32,
    listed: Vec<(Arch, HashMap<u32, Entries<'p>>, Vec<u32>)>,
}

impl<'p> Meanings<'p> {
    pub fn new(host: Host, profile: &'p LinuxSeccomp) -> Self {
        let default = action(profile.default_action(), profile.default_errno_ret());
        let mut arches = vec![host.arch];
        arches.extend(profile.architectures().iter().flatten());
        let of = |arch: Arch| {
            let (mut entries, mut named) = (HashMap::<u32, Entries<'p>>::new(), Vec::new());
            for (name, action, args) in mentioned(profile) {
                let direct = boxr_seccomp::number(arch, name).map(|number| (number, None));
                named.extend(direct.map(|(number, _)| number));
                let through = operation(name).and_then(|(by, operation)| {
                    boxr_seccomp::number(arch, by).map(|number| (number, Some(operation)))
                });
                named.extend(through.filter(|_| action != default).map(|(number, _)| number));
                for (number, operation) in direct.into_iter().chain(through).filter(|_| action != default) {
                    entries.entry(number).or_default().push((action, args, operation));
                }
            }
            (arch, entries, named)
        };
        Self { default, listed: arches.into_iter().map(of).collect() }
    }

    /// The meaning for one call.
    pub fn of(&self, call: &Call) -> Meaning {
        let mut listed = self.listed.iter().filter(|(arch, ..)| audit(*arch) == call.arch).peekable();
        let Some((first, _, named)) = listed.peek() else { return Meaning::Said(KILL) };
        let is_x32 = call.arch == Arch::ScmpArchX86_64 as u32 && call.number >= X32_BIT;
        let (first, named_first) = (*first, named);
        match listed.find(|(arch, ..)| (*arch == Arch::ScmpArchX32) == is_x32) {
            Some((arch, _, named)) if self.newer(*arch, named, call.number) => Meaning::Newer,
            Some((arch, entries, _)) => {
                let entries = entries.get(&call.number).map(Vec::as_slice).unwrap_or_default();
                Meaning::Said(rule(*arch, entries, call).unwrap_or(self.default))
            }
            None if self.newer(first, named_first, call.number) => Meaning::Newer,
            None if call.number == u32::MAX => Meaning::Said(self.default),
            None => Meaning::Said(KILL),
        }
    }

    fn newer(&self, arch: Arch, named: &[u32], number: u32) -> bool {
        // Log, trace and allow are no refusals.
        if (0x7ff0_0000..0x8000_0000).contains(&self.default) || self.default == ENOSYS {
            return false;
        }
        let private = |number: u32| arch == Arch::ScmpArchArm && number >= 0xf_0000;
        let alike = named.iter().filter(|named| private(**named) == private(number));
        alike.max().is_some_and(|newest| number > *newest)
    }
}

pub fn action(action: Action, data: Option<u32>) -> u32 {
    match action {
        Action::ScmpActErrno | Action::ScmpActTrace => action.as_u32(Some(data.unwrap_or(1))),
        action => action.as_u32(None),
    }
}

/// Names that a profile mentions, with the action of their entry and its comparisons.
fn mentioned(profile: &LinuxSeccomp) -> impl Iterator<Item = (&str, u32, &[LinuxSeccompArg])> {
    profile.syscalls().iter().flatten().flat_map(|entry| {
        let args = entry.args().as_deref().unwrap_or_default();
        entry.names().iter().map(move |name| (name.as_str(), action(entry.action(), entry.errno_ret()), args))
    })
}

fn rule(arch: Arch, entries: &[(u32, &[LinuxSeccompArg], Option<u64>)], call: &Call) -> Option<u32> {
    // Comparing no bits is no comparison.
    let width = if is_narrow(arch) { 0xffff_ffff } else { u64::MAX };
    let empty = |arg: &LinuxSeccompArg| arg.op() == Op::ScmpCmpMaskedEq && arg.value() & width == 0;
    let all_empty = |args: &[LinuxSeccompArg]| {
        if is_choice(args) { args.iter().any(empty) } else { args.iter().all(empty) }
    };
    let always = entries.iter().find(|(_, args, operation)| operation.is_none() && all_empty(args));
    let fitting = || entries.iter().find(|(_, args, operation)| fits(arch, args, *operation, call));
    always.or_else(fitting).map(|(action, ..)| *action)
}

fn fits(arch: Arch, args: &[LinuxSeccompArg], operation: Option<u64>, call: &Call) -> bool {
    let holds = |arg: &LinuxSeccompArg| match operation {
        Some(operation) if arg.index() == 0 => call.arguments[0] as u32 == operation as u32,
        _ => holds(arch, arg, call),
    };
    let operation_fits = operation.is_none_or(|operation| {
        if is_narrow(arch) {
            call.arguments[0] as u32 == operation as u32
        } else {
            call.arguments[0] == operation
        }
    });
    operation_fits && if is_choice(args) { args.iter().any(holds) } else { args.iter().all(holds) }
}

/// Whether an argument is compared twice: then one comparison is enough.
fn is_choice(args: &[LinuxSeccompArg]) -> bool {
    let indexes: HashSet<_> = args.iter().map(LinuxSeccompArg::index).collect();
    indexes.len() < args.len()
}

fn holds(arch: Arch, arg: &LinuxSeccompArg, call: &Call) -> bool {
    let low = |value: u64| if is_narrow(arch) { value & 0xffff_ffff } else { value };
    let (is, value) = (low(call.arguments[arg.index()]), low(arg.value()));
    match arg.op() {
        Op::ScmpCmpEq => is == value,
        Op::ScmpCmpNe => is != value,
        Op::ScmpCmpLt => is < value,
        Op::ScmpCmpLe => is <= value,
        Op::ScmpCmpGt => is > value,
        Op::ScmpCmpGe => is >= value,
        Op::ScmpCmpMaskedEq => is & value == low(arg.value_two().unwrap_or(0)) & value,
    }
}

/// Whether a profile names ipc(2) or socketcall(2) beside one of the calls that it multiplexes.
pub fn names_operation_and_multiplexer(profile: &LinuxSeccomp) -> bool {
    let entries = profile.syscalls().iter().flatten();
    let names: Vec<_> = entries.flat_map(|entry| entry.names().iter().map(String::as_str)).collect();
    names.iter().filter_map(|name| operation(name)).any(|(multiplexer, _)| names.contains(&multiplexer))
}

/// Where else `name` is reached, and as which operation.
fn operation(name: &str) -> Option<(&'static str, u64)> {
    let sockets = "socket bind connect listen accept getsockname getpeername socketpair send recv sendto \
                   recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";
    if let Some(index) = sockets.split_whitespace().position(|known| known == name) {
        return Some(("socketcall", index as u64 + 1));
    }
    let ipc = "semop semget semctl semtimedop - - - - - - msgsnd msgrcv msgget msgctl - - - - - - shmat \
               shmdt shmget shmctl";
    ipc.split_whitespace().position(|known| known == name).map(|index| ("ipc", index as u64 + 1))
}
