//! A profile, checked field by field.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
    LinuxSyscall,
};

use crate::arch::{Abi, abi};
use crate::error::Error;
use crate::filter::FilterFlags;

/// What the kernel is told to do with a call: `SECCOMP_RET_*` with its data.
pub(crate) type Action = u32;

/// `SECCOMP_RET_KILL_THREAD`, for architectures that are not listed.
pub(crate) const KILL_THREAD: Action = 0;
/// `SECCOMP_RET_ERRNO` with `ENOSYS`, for calls that no profile could name yet.
pub(crate) const ENOSYS: Action = RET_ERRNO | 38;

const RET_ERRNO: Action = 0x0005_0000;
/// The kernel caps what it returns at this (`MAX_ERRNO`).
const MAX_ERRNO: u32 = 4095;
const EPERM: u32 = 1;
/// The kernel's calls take no more (`struct seccomp_data`).
const ARGUMENTS: usize = 6;

/// A profile whose every field makes sense.
pub(crate) struct Profile<'p> {
    pub default: Action,
    /// Whether calls newer than all named ones get [`ENOSYS`].
    pub unknown_is_enosys: bool,
    /// The host's own first.
    pub abis: Vec<&'static Abi>,
    /// The entries of `syscalls`, for their names.
    pub entries: &'p [LinuxSyscall],
    /// In the order of their entries.
    pub rules: Vec<Rule>,
    pub flags: FilterFlags,
    pub notifies: bool,
}

/// An entry of `syscalls`, or one of several that stand for it.
pub(crate) struct Rule {
    /// Its index in `entries`.
    pub entry: usize,
    pub action: Action,
    /// All must hold; none at all always do.
    pub comparisons: Vec<Comparison>,
}

/// A test of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Comparison {
    /// 0 to 5.
    pub argument: u8,
    pub test: Test,
}

/// How an argument is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Test {
    Equal(u64),
    NotEqual(u64),
    Greater(u64),
    GreaterOrEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    /// The bits of `mask` are those of `value`.
    Masked {
        mask: u64,
        value: u64,
    },
}

impl Test {
    /// The same with the low half of its values.
    pub fn narrow(self) -> Self {
        let low = |value: u64| value & u64::from(u32::MAX);
        match self {
            Self::Equal(value) => Self::Equal(low(value)),
            Self::NotEqual(value) => Self::NotEqual(low(value)),
            Self::Greater(value) => Self::Greater(low(value)),
            Self::GreaterOrEqual(value) => Self::GreaterOrEqual(low(value)),
            Self::Less(value) => Self::Less(low(value)),
            Self::LessOrEqual(value) => Self::LessOrEqual(low(value)),
            Self::Masked { mask, value } => Self::Masked { mask: low(mask), value: low(value) },
        }
    }
}

impl<'p> Profile<'p> {
    /// Checks `profile` for a machine of architecture `host`.
    pub fn check(host: Arch, profile: &'p LinuxSeccomp) -> Result<Self, Error> {
        let default = profile.default_action();
        if default == LinuxSeccompAction::ScmpActNotify {
            return Err(Error::field(
                "defaultAction",
                "SCMP_ACT_NOTIFY: nobody could answer the first calls",
            ));
        }
        let default_action = action(default, profile.default_errno_ret(), "defaultErrnoRet")?;
        let entries = profile.syscalls().as_deref().unwrap_or_default();
        let rules = rules(entries, default_action)?;
        let notifies = entries.iter().any(|entry| entry.action() == LinuxSeccompAction::ScmpActNotify);
        Ok(Self {
            default: default_action,
            unknown_is_enosys: refuses(default) && default_action != ENOSYS,
            abis: abis(host, profile.architectures().as_deref().unwrap_or_default())?,
            entries,
            rules,
            flags: flags(profile.flags().as_deref(), notifies)?,
            notifies,
        })
    }
}

/// Whether a call that gets this action by default is not carried out. A tracer can answer unknown
/// calls by itself.
fn refuses(default: LinuxSeccompAction) -> bool {
    use LinuxSeccompAction as A;
    !matches!(default, A::ScmpActAllow | A::ScmpActLog | A::ScmpActTrace)
}

fn action(action: LinuxSeccompAction, data: Option<u32>, field: &str) -> Result<Action, Error> {
    let most = match action {
        LinuxSeccompAction::ScmpActErrno => MAX_ERRNO,
        LinuxSeccompAction::ScmpActTrace => u32::from(u16::MAX),
        _ if data.is_some() => return Err(Error::field(field, format!("{action} takes no such value"))),
        _ => return Ok(u32::from(action)),
    };
    match data {
        Some(data) if data > most => {
            Err(Error::field(field, format!("{data}: at most {most} with {action}")))
        }
        data => Ok(action.as_u32(Some(data.unwrap_or(EPERM)))),
    }
}

fn abis(host: Arch, listed: &[Arch]) -> Result<Vec<&'static Abi>, Error> {
    let host = abi(host).ok_or(Error::Host)?;
    let mut abis = vec![host];
    for (index, arch) in listed.iter().enumerate() {
        let one = match arch {
            Arch::ScmpArchNative => host,
            arch => abi(*arch).ok_or(Error::Host)?,
        };
        if one.order != host.order {
            let why = format!("{arch} has another byte order than this machine");
            return Err(Error::field(format!("architectures[{index}]"), why));
        }
        if !abis.iter().any(|known| known.arch == one.arch) {
            abis.push(one);
        }
    }
    Ok(abis)
}

fn flags(listed: Option<&[LinuxSeccompFilterFlag]>, notifies: bool) -> Result<FilterFlags, Error> {
    use LinuxSeccompFilterFlag as F;
    // As runc: a profile that says nothing does not ask for slower memory accesses.
    let listed = listed.unwrap_or(&[F::SeccompFilterFlagSpecAllow]);
    let mut flags = FilterFlags::NONE;
    for (index, flag) in listed.iter().enumerate() {
        flags = flags.union(match flag {
            F::SeccompFilterFlagLog => FilterFlags::LOG,
            F::SeccompFilterFlagTsync => FilterFlags::TSYNC,
            F::SeccompFilterFlagSpecAllow => FilterFlags::SPEC_ALLOW,
            F::SeccompFilterFlagWaitKillableRecv if !notifies => {
                let why = format!("{flag} makes sense only with an entry of SCMP_ACT_NOTIFY");
                return Err(Error::field(format!("flags[{index}]"), why));
            }
            F::SeccompFilterFlagWaitKillableRecv => FilterFlags::WAIT_KILLABLE_RECV,
        });
    }
    Ok(flags)
}

/// Entries that only repeat the default decide nothing, as with runc.
fn rules(entries: &[LinuxSyscall], default: Action) -> Result<Vec<Rule>, Error> {
    let mut rules = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let here = |what: &str| format!("syscalls[{index}].{what}");
        let action = action(entry.action(), entry.errno_ret(), &here("errnoRet"))?;
        let names = entry.names();
        if names.iter().any(String::is_empty) {
            return Err(Error::field(here("names"), "an empty name"));
        }
        if entry.action() == LinuxSeccompAction::ScmpActNotify && names.iter().any(|name| name == "write") {
            // runc refuses it as well, and whoever answers for others writes.
            return Err(Error::field(here("names"), "write cannot be used with SCMP_ACT_NOTIFY"));
        }
        let comparisons: Vec<_> = entry
            .args()
            .iter()
            .flatten()
            .enumerate()
            .map(|(number, arg)| comparison(arg, &here(&format!("args[{number}]"))))
            .collect::<Result<_, _>>()?;
        if action != default {
            let rule = |comparisons| Rule { entry: index, action, comparisons };
            rules.extend(alternatives(comparisons).map(rule));
        }
    }
    Ok(rules)
}

/// Several comparisons of one argument are alternatives, each a rule of its own: what runc and crun
/// make of them.
fn alternatives(comparisons: Vec<Comparison>) -> impl Iterator<Item = Vec<Comparison>> {
    let mut seen = [false; ARGUMENTS];
    let repeated =
        comparisons.iter().any(|one| std::mem::replace(&mut seen[usize::from(one.argument)], true));
    let (single, whole) = if repeated { (comparisons, None) } else { (vec![], Some(comparisons)) };
    single.into_iter().map(|one| vec![one]).chain(whole)
}

fn comparison(arg: &LinuxSeccompArg, field: &str) -> Result<Comparison, Error> {
    if arg.index() >= ARGUMENTS {
        return Err(Error::field(format!("{field}.index"), format!("{}: at most 5", arg.index())));
    }
    let value = arg.value();
    let test = match arg.op() {
        LinuxSeccompOperator::ScmpCmpEq => Test::Equal(value),
        LinuxSeccompOperator::ScmpCmpNe => Test::NotEqual(value),
        LinuxSeccompOperator::ScmpCmpGt => Test::Greater(value),
        LinuxSeccompOperator::ScmpCmpGe => Test::GreaterOrEqual(value),
        LinuxSeccompOperator::ScmpCmpLt => Test::Less(value),
        LinuxSeccompOperator::ScmpCmpLe => Test::LessOrEqual(value),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            let wanted = arg.value_two().unwrap_or(0);
            Test::Masked { mask: value, value: wanted & value }
        }
    };
    Ok(Comparison { argument: arg.index() as u8, test })
}
