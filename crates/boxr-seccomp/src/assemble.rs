//! Writing a program backwards, so that every jump knows where it goes.

use crate::error::Error;
use crate::filter::Instruction;
use crate::profile::{Action, KILL_THREAD};
use crate::section::Section;
use crate::tree;

/// The longest program that the kernel takes (`BPF_MAXINSNS`).
pub(crate) const MOST_INSTRUCTIONS: usize = 4096;
/// The longest way of a conditional jump.
const FAR: u32 = 255;
/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

/// Conditions of jumps on the accumulator (`BPF_JMP` with `BPF_K`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Condition {
    Equal = 0x15,
    Greater = 0x25,
    GreaterOrEqual = 0x35,
    /// Some bit of the value is set.
    AnyBit = 0x45,
}

/// An instruction that exists: its distance from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(u32);

/// A program whose end is there.
#[derive(Default)]
pub(crate) struct Assembler {
    /// The last instruction first.
    reversed: Vec<Instruction>,
    /// The nearest return of each action.
    returns: Vec<(Action, Label)>,
}

/// The whole program: architectures one after the other, the host's first.
pub(crate) fn program(sections: &[Section]) -> Result<Vec<Instruction>, Error> {
    let mut assembler = Assembler::default();
    let mut next = assembler.ret(KILL_THREAD);
    for section in sections.iter().rev() {
        tree::emit(&mut assembler, &section.ranges);
        let start = assembler.load(NUMBER);
        next = assembler.jump(Condition::Equal, section.audit, start, next);
    }
    assembler.load(ARCH);
    assembler.finish()
}

impl Assembler {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        let label = Label(self.length());
        let [c0, c1] = code.to_ne_bytes();
        let [k0, k1, k2, k3] = k.to_ne_bytes();
        self.reversed.push([c0, c1, jt, jf, k0, k1, k2, k3]);
        label
    }

    fn length(&self) -> u32 {
        self.reversed.len() as u32
    }

    /// How far `to` is from an instruction that is written now.
    fn distance(&self, to: Label) -> u32 {
        self.length() - 1 - to.0
    }

    /// Loads a word of `struct seccomp_data`, then goes on with what was written last.
    pub fn load(&mut self, offset: u32) -> Label {
        self.push(LOAD, 0, 0, offset)
    }

    /// Masks the accumulator, then goes on with what was written last.
    pub fn and(&mut self, mask: u32) -> Label {
        self.push(AND, 0, 0, mask)
    }

    /// Ends with `action`: a return that is near, or a new one.
    pub fn ret(&mut self, action: Action) -> Label {
        let known = self.returns.iter().position(|(known, _)| *known == action);
        // Both ways of a jump may need one more instruction in between.
        if let Some(index) = known
            && self.distance(self.returns[index].1) + 2 <= FAR
        {
            return self.returns[index].1;
        }
        let label = self.push(RETURN, 0, 0, action);
        match known {
            Some(index) => self.returns[index].1 = label,
            None => self.returns.push((action, label)),
        }
        label
    }

    /// Jumps to one of two places.
    pub fn jump(&mut self, condition: Condition, k: u32, mut yes: Label, mut no: Label) -> Label {
        loop {
            if self.distance(yes) > FAR {
                yes = self.go(yes);
            } else if self.distance(no) > FAR {
                no = self.go(no);
            } else {
                let (yes, no) = (self.distance(yes) as u8, self.distance(no) as u8);
                return self.push(condition as u16, yes, no, k);
            }
        }
    }

    /// Makes sure that execution goes on at `to`, whatever was written last.
    pub fn fall_to(&mut self, to: Label) {
        if self.length() - 1 != to.0 {
            self.go(to);
        }
    }

    fn go(&mut self, to: Label) -> Label {
        let distance = self.distance(to);
        self.push(JUMP, 0, 0, distance)
    }

    fn finish(mut self) -> Result<Vec<Instruction>, Error> {
        if self.reversed.len() > MOST_INSTRUCTIONS {
            return Err(Error::TooLong { length: self.reversed.len() });
        }
        self.reversed.reverse();
        Ok(without_dead(&self.reversed))
    }
}

/// What is never executed goes, such as loads of what everybody who comes there has in the accumulator: the kernel
/// translates a program anew each time that it is loaded. Jumps, which only go forwards, become shorter.
fn without_dead(program: &[Instruction]) -> Vec<Instruction> {
    let mut lives = vec![false; program.len() + 1];
    if let Some(first) = lives.first_mut() {
        *first = true;
    }
    for (index, instruction) in program.iter().enumerate() {
        if lives[index] {
            followers(index, instruction).for_each(|next| lives[next.min(program.len())] = true);
        }
    }
    // How many live before each.
    let places: Vec<usize> = lives
        .iter()
        .scan(0, |count, lives| Some(std::mem::replace(count, *count + usize::from(*lives))))
        .collect();
    let kept = program.iter().enumerate().filter(|(index, _)| lives[*index]);
    kept.map(|(index, instruction)| moved(index, instruction, &places)).collect()
}

/// Where execution may go on.
fn followers(index: usize, instruction: &Instruction) -> impl Iterator<Item = usize> {
    let [c0, c1, jt, jf, k @ ..] = *instruction;
    let next = index + 1;
    let both = match u16::from_ne_bytes([c0, c1]) {
        RETURN => [None, None],
        JUMP => [Some(next + u32::from_ne_bytes(k) as usize), None],
        LOAD | AND => [Some(next), None],
        _ => [Some(next + usize::from(jt)), Some(next + usize::from(jf))],
    };
    both.into_iter().flatten()
}

/// An instruction whose jumps lead to where `places` says that instructions are.
fn moved(index: usize, instruction: &Instruction, places: &[usize]) -> Instruction {
    let [c0, c1, jt, jf, k @ ..] = *instruction;
    let from = places[index] + 1;
    let to = |distance: usize| places[index + 1 + distance] - from;
    match u16::from_ne_bytes([c0, c1]) {
        RETURN | LOAD | AND => *instruction,
        JUMP => {
            let [k0, k1, k2, k3] = (to(u32::from_ne_bytes(k) as usize) as u32).to_ne_bytes();
            [c0, c1, jt, jf, k0, k1, k2, k3]
        }
        // Not further than before.
        _ => {
            let [k0, k1, k2, k3] = k;
            [c0, c1, to(usize::from(jt)) as u8, to(usize::from(jf)) as u8, k0, k1, k2, k3]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_executed_goes() {
        let mut assembler = Assembler::default();
        let refused = assembler.ret(0x0005_0001);
        let allowed = assembler.push(RETURN, 0, 0, 0x7fff_0000);
        assembler.load(16);
        let second = assembler.jump(Condition::Equal, 2, allowed, refused);
        assembler.load(16);
        assembler.load(24);
        let first = assembler.jump(Condition::Equal, 1, allowed, second);
        assembler.go(first);
        assembler.load(NUMBER);
        let program = assembler.finish().unwrap();
        let codes: Vec<u16> = program.iter().map(|line| u16::from_ne_bytes([line[0], line[1]])).collect();
        assert_eq!(codes, [LOAD, JUMP, 0x15, 0x15, RETURN, RETURN]);
        let jumps: Vec<(u8, u8)> = program.iter().map(|line| (line[2], line[3])).collect();
        assert_eq!(jumps[2..4], [(1, 0), (0, 1)]);
    }
}
