//! How a pull or a push goes: a line per layer that is painted over on a terminal, or a line per step elsewhere.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use boxr_image::digest::Digest;
use boxr_image::pull::{Event, Progress};

use crate::format::size;

/// How often a terminal is painted anew.
const PAINT: Duration = Duration::from_millis(100);
/// Columns of a bar, without its ends.
const BAR: usize = 30;

/// What is said of layers that are there.
#[derive(Clone, Copy)]
pub(super) struct Words {
    /// Already.
    present: &'static str,
    /// Now.
    done: &'static str,
}

/// The words of pulls, docker's.
pub(super) const PULL: Words = Words { present: "Already exists", done: "Pull complete" };
/// Of pushes, docker's.
pub(super) const PUSH: Words = Words { present: "Layer already exists", done: "Pushed" };
/// Of loads.
pub(super) const LOAD: Words = Words { present: "Already exists", done: "Loaded" };

/// A line per step, as docker writes them where there is no terminal.
pub(super) struct Lines(pub(super) Words);

impl Progress for Lines {
    fn layer(&self, blob: &Digest, event: Event) {
        let words = match event {
            Event::Present => self.0.present.to_owned(),
            Event::Waiting => "Waiting".to_owned(),
            Event::Fetching { .. } | Event::Sending { .. } | Event::Packing => return,
            Event::Again { reason } => format!("Retrying: {reason}"),
            Event::Unpacking => "Extracting".to_owned(),
            Event::Mounted => "Mounted from another repository".to_owned(),
            Event::Done => self.0.done.to_owned(),
        };
        drop(writeln!(std::io::stderr().lock(), "{}: {words}", blob.short()));
    }
}

/// A line per layer, painted over.
pub(super) struct Bars {
    screen: Mutex<Screen>,
    words: Words,
}

#[derive(Default)]
struct Screen {
    layers: Vec<(Digest, Event)>,
    /// Lines that stand there now.
    painted: usize,
    last: Option<Instant>,
}

impl Progress for Bars {
    fn layer(&self, blob: &Digest, event: Event) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_step = !matches!(event, Event::Fetching { .. } | Event::Sending { .. });
        match screen.layers.iter_mut().find(|(known, _)| known == blob) {
            Some((_, last)) => *last = event,
            None => screen.layers.push((blob.clone(), event)),
        }
        let due = screen.last.is_none_or(|last| last.elapsed() >= PAINT);
        if is_step || due {
            screen.paint(self.words);
        }
    }
}

impl Bars {
    /// Nothing yet.
    pub(super) fn new(words: Words) -> Self {
        Self { screen: Mutex::default(), words }
    }

    /// Paints it as it is in the end.
    pub(super) fn finish(&self) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        if !screen.layers.is_empty() {
            screen.paint(self.words);
        }
    }
}

impl Screen {
    fn paint(&mut self, say: Words) {
        let mut text = if self.painted > 0 { format!("\x1b[{}A", self.painted) } else { String::new() };
        for (blob, event) in &self.layers {
            text.push_str(&format!("\r{}: {}\x1b[K\n", blob.short(), words(event, say)));
        }
        self.painted = self.layers.len();
        self.last = Some(Instant::now());
        let mut stderr = std::io::stderr().lock();
        drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
    }
}

fn words(event: &Event, say: Words) -> String {
    match event {
        Event::Present => say.present.into(),
        Event::Waiting => "Waiting for another pull".into(),
        Event::Fetching { done, total } => {
            format!("Pulling {} {}/{}", bar(*done, *total), size::decimal(*done), size::decimal(*total))
        }
        Event::Again { .. } => "Connecting again".into(),
        Event::Unpacking => "Extracting".into(),
        Event::Packing => "Compressing".into(),
        Event::Sending { done, total } => {
            format!("Pushing {} {}/{}", bar(*done, *total), size::decimal(*done), size::decimal(*total))
        }
        Event::Mounted => "Mounted from another repository".into(),
        Event::Done => say.done.into(),
    }
}

/// `[=====>        ]`
fn bar(done: u64, total: u64) -> String {
    let share = u128::from(done) * BAR as u128 / u128::from(total.max(1));
    let filled = usize::try_from(share).unwrap_or(BAR).min(BAR);
    let head = if filled < BAR { ">" } else { "" };
    format!("[{}{head}{}]", "=".repeat(filled), " ".repeat(BAR - filled - head.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_one_length() {
        for (done, filled) in [(0, 0), (50, 15), (99, 29), (100, 30), (200, 30)] {
            let bar = bar(done, 100);
            assert_eq!((bar.len(), bar.matches('=').count()), (BAR + 2, filled), "{bar}");
        }
        assert_eq!(bar(0, 0).len(), BAR + 2);
    }
}
