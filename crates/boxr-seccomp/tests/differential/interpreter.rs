//! Classic BPF as the kernel runs it for seccomp(2), with a count of the instructions.

use crate::machine::Order;

/// `struct seccomp_data` without the instruction pointer, which no program here asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub number: u32,
    pub arch: u32,
    pub arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32, order: Order) -> u32 {
        let halves = |value: u64| match order {
            Order::Little => [value as u32, (value >> 32) as u32],
            Order::Big => [(value >> 32) as u32, value as u32],
        };
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 if offset.is_multiple_of(4) => {
                let index = (offset - 16) as usize;
                halves(self.arguments[index / 8])[index % 8 / 4]
            }
            _ => panic!("load from offset {offset}"),
        }
    }
}

/// What a program says of a call, and after how many instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub action: u32,
    pub steps: u32,
}

/// `struct sock_filter`
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

const LOAD: u16 = 0x20;
const RETURN: u16 = 0x06;

/// Whether this is an action of seccomp(2), with data where it takes some.
fn is_action(k: u32) -> bool {
    match k & 0xffff_0000 {
        0x5_0000 | 0x7ff0_0000 => true,
        action => {
            k == action && matches!(k, 0 | 0x8000_0000 | 0x3_0000 | 0x7fc0_0000 | 0x7ffc_0000 | 0x7fff_0000)
        }
    }
}

/// A program that was taken apart.
#[derive(Clone, Debug)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// From the bytes of this machine's byte order.
    pub fn native(bytes: &[[u8; 8]]) -> Self {
        let decode = |b: &[u8; 8]| Instruction {
            code: u16::from_ne_bytes([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
        };
        Self(bytes.iter().map(decode).collect())
    }

    /// From the bytes of another's.
    pub fn foreign(bytes: &[u8], order: Order) -> Self {
        let half = |b: [u8; 2]| match order {
            Order::Little => u16::from_le_bytes(b),
            Order::Big => u16::from_be_bytes(b),
        };
        let whole = |b: [u8; 4]| match order {
            Order::Little => u32::from_le_bytes(b),
            Order::Big => u32::from_be_bytes(b),
        };
        let decode = |b: &[u8; 8]| Instruction {
            code: half([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: whole([b[4], b[5], b[6], b[7]]),
        };
        let (instructions, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty(), "{} bytes are no program", bytes.len());
        let mut program: Vec<_> = instructions.iter().map(decode).collect();
        // libseccomp forgets the other byte order in returns that it repeats because a jump is too short.
        for end in program.iter_mut().filter(|end| end.code == RETURN && !is_action(end.k)) {
            end.k = end.k.swap_bytes();
        }
        Self(program)
    }

    /// How many instructions load the number of the call.
    pub fn number_loads(&self) -> usize {
        self.0.iter().filter(|instruction| instruction.code == LOAD && instruction.k == 0).count()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Runs it; panics where the kernel would have refused to load it.
    pub fn run(&self, call: &Call, order: Order) -> Verdict {
        let (mut at, mut accumulator, mut steps) = (0, 0u32, 0);
        loop {
            let Instruction { code, jt, jf, k } = self.0[at];
            steps += 1;
            at += 1;
            let taken = match code {
                LOAD => {
                    accumulator = call.word(k, order);
                    continue;
                }
                0x54 => {
                    accumulator &= k;
                    continue;
                }
                0x05 => {
                    at += k as usize;
                    continue;
                }
                RETURN => return Verdict { action: k, steps },
                0x15 => accumulator == k,
                0x25 => accumulator > k,
                0x35 => accumulator >= k,
                0x45 => accumulator & k != 0,
                code => panic!("instruction {code:#x}"),
            };
            at += usize::from(if taken { jt } else { jf });
        }
    }
}
