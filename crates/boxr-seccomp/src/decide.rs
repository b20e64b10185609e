//! Comparisons of arguments as a decision diagram: each path asks nothing that it knows.

use std::collections::BTreeMap;

use crate::arch::{Order, Width};
use crate::assemble::{Assembler, Condition, Label};
use crate::profile::{Action, Comparison, KILL_THREAD, Test};
use crate::section::{Decision, Layout};

/// Where arguments start in `struct seccomp_data`.
const ARGUMENTS: u32 = 16;
/// Larger diagrams are written as they are: what is known on each path could make them grow without
/// bound, and recursion go deep.
const WORTH_IT: usize = 256;

/// Half an argument: its number times two, plus one for the low half.
type Word = u8;

/// A place in a diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Return(Action),
    Ask { question: Question, yes: Id, no: Id },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    word: Word,
    is: Is,
}

/// What a word may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Is {
    Equal(u32),
    Greater(u32),
    GreaterOrEqual(u32),
    /// Some bit of the mask is set.
    AnyBit(u32),
    /// The bits of the mask are those of the value.
    Masked {
        mask: u32,
        value: u32,
    },
}

/// Nodes, each once, and each after those that it leads to.
#[derive(Default)]
struct Diagram {
    nodes: Vec<Node>,
    known: BTreeMap<Node, Id>,
}

/// Writes the decision; the accumulator may hold anything.
pub(crate) fn emit(assembler: &mut Assembler, decision: &Decision) -> Label {
    let mut plain = Diagram::default();
    let root = plain.chain(decision);
    let simple = (plain.nodes.len() <= WORTH_IT).then(|| Simplifier::new(&plain).run(root)).flatten();
    let (diagram, root) = simple.as_ref().map_or((&plain, root), |(diagram, root)| (diagram, *root));
    diagram.write(assembler, root, decision.layout)
}

impl Diagram {
    fn add(&mut self, node: Node) -> Id {
        if let Node::Ask { yes, no, .. } = node
            && yes == no
        {
            return yes;
        }
        *self.known.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            Id(self.nodes.len() as u32 - 1)
        })
    }

    fn node(&self, id: Id) -> Node {
        self.nodes[id.0 as usize]
    }

    /// One alternative after the other.
    fn chain(&mut self, decision: &Decision) -> Id {
        let mut next = self.add(Node::Return(decision.otherwise));
        for alternative in decision.alternatives.iter().rev() {
            let mut id = self.add(Node::Return(alternative.action));
            for comparison in alternative.comparisons.iter().rev() {
                id = self.compare(*comparison, decision.layout.width, id, next);
            }
            next = id;
        }
        next
    }

    fn compare(&mut self, comparison: Comparison, width: Width, yes: Id, no: Id) -> Id {
        let (high, low) = (comparison.argument * 2, comparison.argument * 2 + 1);
        let mut halves = |value: u64, high_is: Option<Is>, low_is: fn(u32) -> Is, yes, no| {
            let id = self.ask(low, low_is(value as u32), yes, no);
            if width == Width::Low32 {
                return id;
            }
            let id = self.ask(high, Is::Equal((value >> 32) as u32), id, no);
            high_is.map_or(id, |is| self.ask(high, is, yes, id))
        };
        let above = |value: u64| Some(Is::Greater((value >> 32) as u32));
        match comparison.test {
            Test::Equal(value) => halves(value, None, Is::Equal, yes, no),
            Test::NotEqual(value) => halves(value, None, Is::Equal, no, yes),
            Test::Greater(value) => halves(value, above(value), Is::Greater, yes, no),
            Test::LessOrEqual(value) => halves(value, above(value), Is::Greater, no, yes),
            Test::GreaterOrEqual(value) => halves(value, above(value), Is::GreaterOrEqual, yes, no),
            Test::Less(value) => halves(value, above(value), Is::GreaterOrEqual, no, yes),
            Test::Masked { mask, value } => {
                let id = self.ask_bits(low, mask as u32, value as u32, yes, no);
                match width {
                    Width::Low32 => id,
                    Width::All64 => self.ask_bits(high, (mask >> 32) as u32, (value >> 32) as u32, id, no),
                }
            }
        }
    }

    fn ask(&mut self, word: Word, is: Is, yes: Id, no: Id) -> Id {
        match is {
            Is::GreaterOrEqual(0) => yes,
            Is::Greater(u32::MAX) => no,
            is => self.add(Node::Ask { question: Question { word, is }, yes, no }),
        }
    }

    fn ask_bits(&mut self, word: Word, mask: u32, value: u32, yes: Id, no: Id) -> Id {
        match (mask, value) {
            (0, _) => yes,
            (u32::MAX, value) => self.ask(word, Is::Equal(value), yes, no),
            (mask, 0) => self.ask(word, Is::AnyBit(mask), no, yes),
            (mask, value) if mask == value && mask.is_power_of_two() => {
                self.ask(word, Is::AnyBit(mask), yes, no)
            }
            (mask, value) => self.ask(word, Is::Masked { mask, value }, yes, no),
        }
    }

    /// Writes all that is reached from `root`, ends first. A node has two beginnings: with the load of
    /// its word, and after it for those who come with that word.
    fn write(&self, assembler: &mut Assembler, root: Id, layout: Layout) -> Label {
        let mut places: Vec<Place> = Vec::with_capacity(self.nodes.len());
        let reached = self.reached(root);
        for (index, node) in self.nodes.iter().enumerate() {
            places.push(match *node {
                Node::Return(action) => Place::Return(action),
                // Nobody goes there.
                Node::Ask { .. } if !reached[index] => Place::Return(KILL_THREAD),
                Node::Ask { question, yes, no } => {
                    let (condition, k, mask) = question.is.instruction();
                    // Masking spoils the accumulator.
                    let loaded = mask.is_none().then_some(question.word);
                    let yes = places[yes.0 as usize].label(assembler, loaded);
                    let no = places[no.0 as usize].label(assembler, loaded);
                    let mut bare = assembler.jump(condition, k, yes, no);
                    if let Some(mask) = mask {
                        bare = assembler.and(mask);
                    }
                    let whole = assembler.load(offset(question.word, layout));
                    Place::Ask { whole, bare, word: question.word }
                }
            });
        }
        places[root.0 as usize].label(assembler, None)
    }

    /// For each node, whether a way leads there from `root`.
    fn reached(&self, root: Id) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        reached[root.0 as usize] = true;
        // Each node stands after those that it leads to.
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if let Node::Ask { yes, no, .. } = node
                && reached[index]
            {
                reached[yes.0 as usize] = true;
                reached[no.0 as usize] = true;
            }
        }
        reached
    }
}

/// Where a node was written.
#[derive(Clone, Copy)]
enum Place {
    Return(Action),
    Ask { whole: Label, bare: Label, word: Word },
}

impl Place {
    /// Where to jump with `loaded` in the accumulator.
    fn label(self, assembler: &mut Assembler, loaded: Option<Word>) -> Label {
        match self {
            Self::Return(action) => assembler.ret(action),
            Self::Ask { bare, word, .. } if loaded == Some(word) => bare,
            Self::Ask { whole, .. } => whole,
        }
    }
}

/// Where a word is in `struct seccomp_data`.
fn offset(word: Word, layout: Layout) -> u32 {
    let (argument, low) = (u32::from(word / 2), word % 2 == 1);
    let second = low == (layout.order == Order::Big);
    ARGUMENTS + argument * 8 + if second { 4 } else { 0 }
}

impl Is {
    /// The jump, its value, and what is masked before.
    fn instruction(self) -> (Condition, u32, Option<u32>) {
        match self {
            Self::Equal(value) => (Condition::Equal, value, None),
            Self::Greater(value) => (Condition::Greater, value, None),
            Self::GreaterOrEqual(value) => (Condition::GreaterOrEqual, value, None),
            Self::AnyBit(mask) => (Condition::AnyBit, mask, None),
            Self::Masked { mask, value } => (Condition::Equal, value, Some(mask)),
        }
    }

    fn holds(self, word: u32) -> bool {
        match self {
            Self::Equal(value) => word == value,
            Self::Greater(value) => word > value,
            Self::GreaterOrEqual(value) => word >= value,
            Self::AnyBit(mask) => word & mask != 0,
            Self::Masked { mask, value } => word & mask == value,
        }
    }
}

/// Answers that a path has had, sorted.
type Facts = Vec<(Question, bool)>;

/// Rebuilds a diagram without the questions that the way to them has answered.
struct Simplifier<'d> {
    from: &'d Diagram,
    /// For each node, a bit for each word that is asked about from there on.
    words: Vec<u16>,
    into: Diagram,
    done: BTreeMap<(Id, Facts), Id>,
}

impl<'d> Simplifier<'d> {
    fn new(from: &'d Diagram) -> Self {
        let mut words: Vec<u16> = Vec::with_capacity(from.nodes.len());
        for node in &from.nodes {
            words.push(match node {
                Node::Return(_) => 0,
                Node::Ask { question, yes, no } => {
                    1 << question.word | words[yes.0 as usize] | words[no.0 as usize]
                }
            });
        }
        Self { from, words, into: Diagram::default(), done: BTreeMap::new() }
    }

    /// `None` when it would grow rather than shrink.
    fn run(mut self, root: Id) -> Option<(Diagram, Id)> {
        let root = self.simplify(root, Facts::new())?;
        let smaller = self.into.nodes.len() <= self.from.nodes.len() * 2 + 16;
        smaller.then_some((self.into, root))
    }

    fn simplify(&mut self, id: Id, mut facts: Facts) -> Option<Id> {
        let Node::Ask { question, yes, no } = self.from.node(id) else {
            return Some(self.into.add(self.from.node(id)));
        };
        let asked = self.words[id.0 as usize];
        facts.retain(|(known, _)| asked & (1 << known.word) != 0);
        if let Some(answer) = answered(&facts, question) {
            return self.simplify(if answer { yes } else { no }, facts);
        }
        let key = (id, facts);
        if let Some(done) = self.done.get(&key) {
            return Some(*done);
        }
        if self.done.len() > WORTH_IT * 4 {
            return None;
        }
        let yes = self.simplify(yes, with(&key.1, question, true))?;
        let no = self.simplify(no, with(&key.1, question, false))?;
        let made = self.into.add(Node::Ask { question, yes, no });
        self.done.insert(key, made);
        Some(made)
    }
}

fn with(facts: &Facts, question: Question, answer: bool) -> Facts {
    let mut facts = facts.clone();
    // Equality says all that there is to say of a word.
    if matches!(question.is, Is::Equal(_)) && answer {
        facts.retain(|(known, _)| known.word != question.word);
    }
    let place = facts.partition_point(|known| *known < (question, answer));
    facts.insert(place, (question, answer));
    facts
}

/// The answer to `question`, if `facts` imply it.
fn answered(facts: &Facts, question: Question) -> Option<bool> {
    let about = || facts.iter().filter(|(known, _)| known.word == question.word);
    if let Some((_, answer)) = about().find(|(known, _)| *known == question) {
        return Some(*answer);
    }
    let (mut least, mut most) = (0, u32::MAX);
    for (known, answer) in about() {
        match (known.is, answer) {
            (Is::Equal(value), true) => return Some(question.is.holds(value)),
            (Is::Greater(value), true) => least = least.max(value + 1),
            (Is::Greater(value), false) => most = most.min(value),
            (Is::GreaterOrEqual(value), true) => least = least.max(value),
            (Is::GreaterOrEqual(value), false) => most = most.min(value - 1),
            _ => {}
        }
    }
    match question.is {
        Is::Equal(value) if value < least || value > most => Some(false),
        Is::Greater(value) if least > value => Some(true),
        Is::Greater(value) if most <= value => Some(false),
        Is::GreaterOrEqual(value) if least >= value => Some(true),
        Is::GreaterOrEqual(value) if most < value => Some(false),
        _ => None,
    }
}
