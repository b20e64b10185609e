//! For each architecture that the kernel tells apart, ranges of numbers with equal treatment.

use std::ops::Range;

use oci_spec::runtime::Arch;

use crate::arch::{ARM_PRIVATE, Abi, Order, Width, X32_BIT};
use crate::assemble::MOST_INSTRUCTIONS;
use crate::error::Error;
use crate::multiplex::Multiplexed;
use crate::profile::{Action, Comparison, ENOSYS, KILL_THREAD, Profile, Rule, Test};
use crate::syscalls::{Row, row};

/// All calls with one `arch` of `struct seccomp_data`.
pub(crate) struct Section {
    /// That value.
    pub audit: u32,
    /// In order; the first starts at 0, each ends where the next starts.
    pub ranges: Vec<Span>,
}

/// Numbers that are treated alike.
pub(crate) struct Span {
    /// The first of them.
    pub start: u32,
    pub target: Target,
    /// How much it matters that they are found soon.
    pub weight: u32,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Always the same.
    Return(Action),
    /// It depends on arguments.
    Decide(Decision),
}

/// The first alternative whose comparisons all hold decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub layout: Layout,
    pub alternatives: Vec<Alternative>,
    pub otherwise: Action,
}

/// Where arguments are, as far as an architecture decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub width: Width,
    pub order: Order,
}

/// Some comparisons, and what follows when all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alternative {
    pub comparisons: Vec<Comparison>,
    pub action: Action,
}

/// The sections of a profile, the host's first.
pub(crate) fn sections(profile: &Profile<'_>) -> Result<Vec<Section>, Error> {
    let source = Source::new(profile);
    let mut sections: Vec<Section> = Vec::new();
    for abi in &profile.abis {
        let audit = abi.audit();
        if sections.iter().all(|section| section.audit != audit) {
            sections.push(Section { audit, ranges: source.ranges(abi)? });
        }
    }
    Ok(sections)
}

/// A profile with its names looked up.
struct Source<'p> {
    profile: &'p Profile<'p>,
    names: Vec<Named>,
    multiplexed: Multiplexed,
}

/// A name that the profile mentions, and the rules of its entry: none where that repeats the default.
struct Named {
    row: Row,
    rules: Range<u32>,
}

/// One rule for one number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    number: u32,
    /// Its index in the profile's rules; [`NO_RULE`] only tells that the number is known.
    rule: u32,
    /// The operation, where the call is one that has several; 0 where it is not.
    operation: u8,
}

const NO_RULE: u32 = u32::MAX;

impl<'p> Source<'p> {
    fn new(profile: &'p Profile<'p>) -> Self {
        let mut names = Vec::with_capacity(profile.entries.iter().map(|entry| entry.names().len()).sum());
        let mut end = 0;
        for (index, entry) in profile.entries.iter().enumerate() {
            let start = end;
            end += profile.rules[start..].iter().take_while(|rule| rule.entry == index).count();
            // What no architecture has is newer or older than the table: ignored, as by runc.
            let rows = entry.names().iter().filter_map(|name| row(name));
            names.extend(rows.map(|row| Named { row, rules: start as u32..end as u32 }));
        }
        Self { profile, names, multiplexed: Multiplexed::new() }
    }

    fn ranges(&self, abi: &Abi) -> Result<Vec<Span>, Error> {
        let mut ranges = Ranges::default();
        match abi.arch {
            Arch::ScmpArchX86_64 | Arch::ScmpArchX32 => self.x86_64(&mut ranges)?,
            Arch::ScmpArchArm => {
                let entries = self.entries(abi);
                let private = entries.partition_point(|entry| entry.number < ARM_PRIVATE);
                let (ordinary, private) = entries.split_at(private);
                self.space(&mut ranges, abi, ordinary, 0..ARM_PRIVATE)?;
                self.space(&mut ranges, abi, private, ARM_PRIVATE..u32::MAX)?;
            }
            _ => drop(self.space(&mut ranges, abi, &self.entries(abi), 0..u32::MAX)?),
        }
        ranges.weigh(abi);
        Ok(ranges.0)
    }

    /// Two architectures with one value of `arch`, told apart by a bit of the number.
    fn x86_64(&self, ranges: &mut Ranges) -> Result<(), Error> {
        let listed = |arch| self.profile.abis.iter().find(|abi| abi.arch == arch);
        let all_known = match listed(Arch::ScmpArchX86_64) {
            Some(abi) => self.space(ranges, abi, &self.entries(abi), 0..X32_BIT)?,
            None => {
                ranges.push(0, Target::Return(KILL_THREAD));
                Unknown::Default
            }
        };
        match listed(Arch::ScmpArchX32) {
            Some(abi) => drop(self.space(ranges, abi, &self.entries(abi), X32_BIT..u32::MAX)?),
            // Newer than all that is named, like the numbers before them.
            None if all_known == Unknown::Enosys => {}
            None => {
                ranges.push(X32_BIT, Target::Return(KILL_THREAD));
                // -1 is no x32 call: a tracer's way to skip a call.
                ranges.push(u32::MAX, Target::Return(self.profile.default));
            }
        }
        Ok(())
    }

    /// What the rules say of each number of `abi`, sorted by number and then in the profile's order.
    fn entries(&self, abi: &Abi) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let through = self.multiplexed.of(name.row);
            let through = through.and_then(|through| Some((abi.number(through.call)?, through.operation)));
            if let Some(number) = abi.number(name.row) {
                let known = name.rules.is_empty().then_some(NO_RULE);
                let rules = name.rules.clone().chain(known);
                entries.extend(rules.map(|rule| Entry { number, rule, operation: 0 }));
            }
            if let Some((number, operation)) = through {
                entries.extend(name.rules.clone().map(|rule| Entry { number, rule, operation }));
            }
        }
        entries.sort_unstable();
        entries
    }

    /// The numbers of one architecture in `space`.
    fn space(
        &self,
        ranges: &mut Ranges,
        abi: &Abi,
        entries: &[Entry],
        space: Range<u32>,
    ) -> Result<Unknown, Error> {
        let default = Target::Return(self.profile.default);
        let mut next = space.start;
        for group in entries.chunk_by(|a, b| a.number == b.number) {
            let number = group[0].number;
            if number > next {
                ranges.push(next, default.clone());
            }
            ranges.push(number, self.target(abi, group)?);
            next = number + 1;
        }
        match entries.last() {
            Some(newest) if self.profile.unknown_is_enosys => {
                ranges.push(newest.number + 1, Target::Return(ENOSYS));
                Ok(Unknown::Enosys)
            }
            _ => {
                ranges.push(next, default);
                Ok(Unknown::Default)
            }
        }
    }

    /// What is made of all rules for one number.
    fn target(&self, abi: &Abi, entries: &[Entry]) -> Result<Target, Error> {
        let mut compared = Vec::new();
        for entry in entries.iter().filter(|entry| entry.rule != NO_RULE) {
            let rule = &self.profile.rules[entry.rule as usize];
            let comparisons = comparisons(abi, rule, entry.operation);
            if comparisons.is_empty() {
                return Ok(Target::Return(rule.action));
            }
            compared.push((rule, comparisons));
        }
        if compared.is_empty() {
            return Ok(Target::Return(self.profile.default));
        }
        if compared.len() > MOST_INSTRUCTIONS {
            // Each takes one at least; comparing them all with each other would take long.
            return Err(Error::TooLong { length: compared.len() });
        }
        let mut alternatives: Vec<(usize, Alternative)> = Vec::new();
        for (rule, comparisons) in compared {
            match alternatives.iter().find(|(_, known)| known.comparisons == comparisons) {
                Some((_, known)) if known.action == rule.action => {}
                Some((earlier, _)) => {
                    let why = format!(
                        "compares the same as syscalls[{earlier}] for the same call, \
                                       but has another action"
                    );
                    return Err(Error::field(format!("syscalls[{}]", rule.entry), why));
                }
                None => alternatives.push((rule.entry, Alternative { comparisons, action: rule.action })),
            }
        }
        let alternatives = alternatives.into_iter().map(|(_, one)| one).collect();
        let layout = Layout { width: abi.width, order: abi.order };
        Ok(Target::Decide(Decision { layout, alternatives, otherwise: self.profile.default }))
    }
}

/// What numbers above all named ones get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    Default,
    Enosys,
}

/// The comparisons of a rule as they are done on one architecture, sorted. One of no bits at all is none,
/// as with libseccomp.
fn comparisons(abi: &Abi, rule: &Rule, operation: u8) -> Vec<Comparison> {
    let mut all = rule.comparisons.clone();
    if operation != 0 {
        // As libseccomp: the operation takes the place of the first argument.
        all.retain(|one| one.argument != 0);
        all.push(Comparison { argument: 0, test: Test::Equal(operation.into()) });
    }
    if abi.width == Width::Low32 {
        for one in &mut all {
            one.test = one.test.narrow();
        }
    }
    all.retain(|one| !matches!(one.test, Test::Masked { mask: 0, .. }));
    all.sort_unstable();
    all
}

/// Ranges in the making.
#[derive(Default)]
struct Ranges(Vec<Span>);

impl Ranges {
    /// From `start` on, `target`; starts come in ascending order, and the last of equal ones counts.
    fn push(&mut self, start: u32, target: Target) {
        if self.0.last().is_some_and(|last| last.start == start) {
            self.0.pop();
        }
        if self.0.last().is_none_or(|last| last.target != target) {
            // What compares arguments is long enough.
            let weight = if matches!(target, Target::Decide(_)) { 4 } else { 1 };
            self.0.push(Span { start, target, weight });
        }
    }

    /// Adds weight to what programs call all the time.
    fn weigh(&mut self, abi: &Abi) {
        for number in FREQUENT.iter().filter_map(|name| abi.number(row(name)?)) {
            let after = self.0.partition_point(|span| span.start <= number);
            self.0[after - 1].weight += 3;
        }
    }
}

/// Calls that make up most of what servers, shells and language runtimes do.
const FREQUENT: &[&str] = &[
    "_llseek",
    "accept4",
    "brk",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "close",
    "connect",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "fcntl",
    "fcntl64",
    "fstat",
    "fstat64",
    "futex",
    "futex_time64",
    "getdents64",
    "getpid",
    "getrandom",
    "gettid",
    "gettimeofday",
    "ioctl",
    "lseek",
    "madvise",
    "mmap",
    "mmap2",
    "mprotect",
    "munmap",
    "nanosleep",
    "newfstatat",
    "open",
    "openat",
    "poll",
    "ppoll",
    "pread64",
    "pwrite64",
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_yield",
    "sendmsg",
    "sendto",
    "stat",
    "statx",
    "write",
    "writev",
];
