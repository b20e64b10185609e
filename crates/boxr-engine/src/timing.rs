//! Where the time of a start went (`--timing`).

use rustix::time::{ClockId, clock_gettime};

/// Marks on `CLOCK_MONOTONIC`, nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Timing {
    marks: Vec<(String, u64)>,
}

impl Timing {
    /// The first mark is the start of this process, as far as the kernel tells it to 10 ms; what
    /// comes from here on is exact.
    pub fn start() -> Self {
        Self { marks: vec![("start".to_owned(), now())] }
    }

    /// What ends now is called `step`.
    pub fn mark(&mut self, step: &str) {
        self.marks.push((step.to_owned(), now()));
    }

    /// What ended at `at` in the first process is called `step`.
    pub fn mark_in_box(&mut self, step: &str, at: u64) {
        self.marks.push((format!("box: {step}"), at));
    }

    /// A line for each step: its name, its microseconds, and those since the start.
    pub fn lines(&self) -> Vec<String> {
        let mut marks = self.marks.clone();
        marks.sort_by_key(|(_, at)| *at);
        let Some(first) = marks.first().map(|(_, at)| *at) else { return Vec::new() };
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        marks
            .windows(2)
            .filter_map(|pair| match pair {
                [(_, before), (step, at)] => {
                    Some(format!("{step:<20} {:>9.1} µs {:>9.1} µs", micros(at - before), micros(at - first)))
                }
                _ => None,
            })
            .collect()
    }
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
