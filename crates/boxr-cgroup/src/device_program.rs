//! Device rules as a BPF program, for cgroup version 2.
//!
//! The kernel gives the program a `struct bpf_cgroup_dev_ctx`: kind of device and kind of access in
//! one word, then major and minor number. It answers 1 to allow, 0 to forbid.
//!
//! Each kind of access (read, write, mknod) is decided by the last rule that names the device and
//! that access; a request that asks for several is allowed when all are. The program goes through
//! the rules from the last to the first and keeps in a register what is still undecided.

/// `BPF_DEVCG_ACC_MKNOD`
pub(crate) const MKNOD: u32 = 1;
/// `BPF_DEVCG_ACC_READ`
pub(crate) const READ: u32 = 2;
/// `BPF_DEVCG_ACC_WRITE`
pub(crate) const WRITE: u32 = 4;
/// All three.
pub(crate) const ALL_ACCESS: u32 = MKNOD | READ | WRITE;

/// The two kinds of devices, by the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Block = 1,
    Character = 2,
}

/// One rule; `None` is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub allow: bool,
    pub kind: Option<Kind>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: u32,
}

impl Rule {
    /// A rule about everything.
    pub const fn everything(allow: bool) -> Self {
        Self { allow, kind: None, major: None, minor: None, access: ALL_ACCESS }
    }

    /// Its access in the letters of the specification and of version 1.
    pub fn letters(&self) -> String {
        [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
            .into_iter()
            .filter_map(|(bit, letter)| (self.access & bit != 0).then_some(letter))
            .collect()
    }

    /// Whether it speaks of every access to every device.
    pub fn is_everything(&self) -> bool {
        let any = self.kind.is_none() && self.major.is_none() && self.minor.is_none();
        any && self.access == ALL_ACCESS
    }
}

/// The rules that allow something and are not taken back whole; `None` where everything is allowed
/// that no rule forbids. A rule that takes back a part of a wider one is lost: a list of what is
/// allowed cannot say it.
pub(crate) fn allow_list(rules: &[Rule]) -> Option<Vec<Rule>> {
    let mut open = false;
    let mut list: Vec<Rule> = Vec::new();
    for rule in rules {
        let same =
            |known: &Rule| (known.kind, known.major, known.minor) == (rule.kind, rule.major, rule.minor);
        if rule.is_everything() {
            open = rule.allow;
            list.clear();
        } else if rule.allow {
            list.push(*rule);
        } else {
            list.iter_mut().filter(|known| same(known)).for_each(|known| known.access &= !rule.access);
            list.retain(|known| known.access != 0);
        }
    }
    (!open).then_some(list)
}

/// Registers: 0 is the answer, 1 the context, the others ours.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const UNDECIDED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

// Codes of instructions (kernel documentation, bpf/standardization/instruction-set).
const LOAD_WORD: u8 = 0x61;
const MOVE_REGISTER: u8 = 0xbc;
const MOVE: u8 = 0xb4;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_NOT_EQUAL: u8 = 0x56;
const JUMP_IF_BIT: u8 = 0x46;
const JUMP: u8 = 0x05;
const EXIT: u8 = 0x95;

/// One `struct bpf_insn` in memory order of this machine.
fn instruction(code: u8, target: u8, source: u8, offset: i16, value: u32) -> u64 {
    let registers = if cfg!(target_endian = "little") { source << 4 | target } else { target << 4 | source };
    let [o0, o1] = offset.to_ne_bytes();
    let [v0, v1, v2, v3] = value.to_ne_bytes();
    u64::from_ne_bytes([code, registers, o0, o1, v0, v1, v2, v3])
}

/// The program that decides by `rules`.
pub(crate) fn compile(rules: &[Rule]) -> Vec<u64> {
    let mut program = vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(MOVE_REGISTER, UNDECIDED, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, UNDECIDED, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules.iter().rev() {
        program.extend(block(rule));
        if rule.is_everything() {
            // The verifier refuses a program with an end that is never reached.
            return program;
        }
    }
    program.extend(answer(false));
    program
}

fn answer(allow: bool) -> [u64; 2] {
    [instruction(MOVE, ANSWER, 0, 0, u32::from(allow)), instruction(EXIT, 0, 0, 0, 0)]
}

/// One rule: comparisons that jump over it, then what it decides.
fn block(rule: &Rule) -> Vec<u64> {
    let body = body(rule);
    let comparisons: Vec<(u8, u32)> =
        [(KIND, rule.kind.map(|kind| kind as u32)), (MAJOR, rule.major), (MINOR, rule.minor)]
            .into_iter()
            .filter_map(|(register, value)| Some((register, value?)))
            .collect();
    let mut block = Vec::with_capacity(comparisons.len() + body.len());
    for (index, (register, value)) in comparisons.iter().enumerate() {
        // At most 2 comparisons and 5 instructions lie in between.
        let over = (comparisons.len() - index - 1 + body.len()) as i16;
        block.push(instruction(JUMP_NOT_EQUAL, *register, 0, over, *value));
    }
    block.extend(body);
    block
}

fn body(rule: &Rule) -> Vec<u64> {
    let [set, exit] = answer(rule.allow);
    match (rule.allow, rule.access) {
        // Something is undecided whenever a rule is reached.
        (_, ALL_ACCESS) => vec![set, exit],
        (true, access) => vec![
            instruction(AND, UNDECIDED, 0, 0, ALL_ACCESS & !access),
            instruction(JUMP_NOT_EQUAL, UNDECIDED, 0, 2, 0),
            set,
            exit,
        ],
        (false, access) => {
            vec![instruction(JUMP_IF_BIT, UNDECIDED, 0, 1, access), instruction(JUMP, 0, 0, 2, 0), set, exit]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a program as the kernel would.
    fn run(program: &[u64], context: [u32; 3]) -> u32 {
        let mut registers = [0u32; 11];
        let mut at = 0usize;
        for _ in 0..10_000 {
            let [code, pair, o0, o1, v0, v1, v2, v3] = program[at].to_le_bytes();
            let (target, source) = ((pair & 15) as usize, (pair >> 4) as usize);
            let (offset, value) = (i16::from_le_bytes([o0, o1]), u32::from_le_bytes([v0, v1, v2, v3]));
            let jump = match code {
                LOAD_WORD => {
                    registers[target] = context[offset as usize / 4];
                    false
                }
                MOVE_REGISTER => {
                    registers[target] = registers[source];
                    false
                }
                MOVE => {
                    registers[target] = value;
                    false
                }
                AND => {
                    registers[target] &= value;
                    false
                }
                SHIFT_RIGHT => {
                    registers[target] >>= value;
                    false
                }
                JUMP_NOT_EQUAL => registers[target] != value,
                JUMP_IF_BIT => registers[target] & value != 0,
                JUMP => true,
                EXIT => return registers[0],
                other => panic!("code {other:#x}"),
            };
            at += 1 + if jump { offset as usize } else { 0 };
        }
        panic!("does not end");
    }

    /// The rules as they are meant.
    fn meant(rules: &[Rule], kind: u32, major: u32, minor: u32, access: u32) -> bool {
        [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            let names = |rule: &&Rule| {
                rule.kind.is_none_or(|k| k as u32 == kind)
                    && rule.major.is_none_or(|m| m == major)
                    && rule.minor.is_none_or(|m| m == minor)
                    && rule.access & bit != 0
            };
            rules.iter().rev().find(names).is_some_and(|rule| rule.allow)
        })
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let number = || proptest::option::of(0u32..3);
        let kind = prop_oneof![Just(None), Just(Some(Kind::Block)), Just(Some(Kind::Character))];
        (any::<bool>(), kind, number(), number(), 1u32..8)
            .prop_map(|(allow, kind, major, minor, access)| Rule { allow, kind, major, minor, access })
    }

    proptest! {
        #[test]
        fn program_does_what_the_rules_mean(
            rules in proptest::collection::vec(rule(), 0..12), kind in 1u32..3, major in 0u32..3,
            minor in 0u32..3, access in 1u32..8,
        ) {
            let answer = run(&compile(&rules), [access << 16 | kind, major, minor]);
            prop_assert_eq!(answer == 1, meant(&rules, kind, major, minor, access));
        }
    }
}
