//! Ranges of numbers as a tree of jumps, balanced by weight. The number is in the accumulator.

use crate::assemble::{Assembler, Condition, Label};
use crate::decide;
use crate::section::{Span, Target};

/// Writes the tree; execution begins with what was written last.
pub(crate) fn emit(assembler: &mut Assembler, ranges: &[Span]) {
    let start = node(assembler, ranges);
    let start = label(assembler, start);
    assembler.fall_to(start);
}

/// Where a part of the tree begins. Returns are not written before it is known who needs them: they
/// have to be near.
#[derive(Clone, Copy)]
enum Start {
    At(Label),
    Return(u32),
}

fn label(assembler: &mut Assembler, start: Start) -> Label {
    match start {
        Start::At(label) => label,
        Start::Return(action) => assembler.ret(action),
    }
}

fn node(assembler: &mut Assembler, ranges: &[Span]) -> Start {
    match ranges {
        [] => Start::Return(crate::profile::KILL_THREAD),
        [span] => leaf(assembler, &span.target),
        // One number among others that are treated alike.
        [around, one, after] if around.target == after.target && after.start == one.start + 1 => {
            let (no, yes) = (leaf(assembler, &around.target), leaf(assembler, &one.target));
            branch(assembler, Condition::Equal, one.start, yes, no)
        }
        _ => {
            let (low, high) = ranges.split_at(middle(ranges));
            let yes = node(assembler, high);
            let no = node(assembler, low);
            branch(assembler, Condition::GreaterOrEqual, high[0].start, yes, no)
        }
    }
}

/// Where to cut so that both sides weigh the same, as nearly as can be: the way to what weighs most is
/// the shortest.
fn middle(ranges: &[Span]) -> usize {
    let total: u32 = ranges.iter().map(|span| span.weight).sum();
    let mut below = 0;
    let mut best = (u32::MAX, 1);
    for (index, span) in ranges[..ranges.len() - 1].iter().enumerate() {
        below += span.weight;
        let difference = below.abs_diff(total - below);
        if difference < best.0 {
            best = (difference, index + 1);
        }
    }
    best.1
}

fn leaf(assembler: &mut Assembler, target: &Target) -> Start {
    match target {
        Target::Return(action) => Start::Return(*action),
        Target::Decide(decision) => Start::At(decide::emit(assembler, decision)),
    }
}

fn branch(assembler: &mut Assembler, condition: Condition, k: u32, yes: Start, no: Start) -> Start {
    let yes = label(assembler, yes);
    let no = label(assembler, no);
    Start::At(assembler.jump(condition, k, yes, no))
}
