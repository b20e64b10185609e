//! How large a YAML text is once its aliases (YAML 1.2, 7.1) are what they stand for: a few lines can stand for billions of
//! values, or for one long text a million times.

use yaml_rust2::parser::{Event, EventReceiver};

/// About so many bytes of memory one file may take.
pub(super) const MOST: u64 = 64 << 20;
/// Those of a value without its text.
const VALUE: u64 = 64;

/// The memory that what has been heard of takes.
#[derive(Debug, Default)]
pub(super) struct Size {
    all: u64,
    /// What is open: its anchor, and what was before it.
    open: Vec<(usize, u64)>,
    /// What stands at an anchor.
    anchors: std::collections::HashMap<usize, u64>,
}

impl Size {
    pub fn is_excessive(&self) -> bool {
        self.all > MOST
    }
}

impl EventReceiver for Size {
    fn on_event(&mut self, event: Event) {
        let known = |anchor: &usize| self.anchors.get(anchor).copied().unwrap_or(VALUE);
        let more = match &event {
            Event::Alias(anchor) => known(anchor),
            Event::Scalar(text, ..) => VALUE + text.len() as u64,
            Event::SequenceStart(..) | Event::MappingStart(..) => VALUE,
            _ => 0,
        };
        let before = self.all;
        self.all = before.saturating_add(more);
        match event {
            Event::Scalar(_, _, anchor, _) => {
                self.anchors.insert(anchor, more);
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                self.open.push((anchor, before))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((anchor, begin)) = self.open.pop() {
                    self.anchors.insert(anchor, self.all - begin);
                }
            }
            _ => {}
        }
    }
}
