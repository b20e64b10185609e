//! The tables that are printed.

use crate::Outcome;

/// Figures with targets, collected while parts are measured.
#[derive(Default)]
pub struct Report {
    lines: Vec<Line>,
}

struct Line {
    what: String,
    measured: f64,
    target: f64,
    unit: &'static str,
}

impl Report {
    /// A figure that must not be above its target.
    pub fn at_most(&mut self, what: impl Into<String>, measured: f64, target: f64, unit: &'static str) {
        self.lines.push(Line { what: what.into(), measured, target, unit });
    }

    /// Prints all figures with their verdicts; an error when one misses its target.
    pub fn print(&self) -> Outcome {
        println!("\n{:<58} {:>12} {:>12}", "against the targets", "measured", "at most");
        let mut missed = 0;
        for line in &self.lines {
            let verdict = if line.measured <= line.target { "ok" } else { "MISSED" };
            missed += usize::from(line.measured > line.target);
            let unit = line.unit;
            let (measured, target) =
                (format!("{:.2}{unit}", line.measured), format!("{:.2}{unit}", line.target));
            println!("{:<58} {measured:>12} {target:>12}  {verdict}", line.what);
        }
        if missed == 0 { Ok(()) } else { Err(format!("{missed} of {} targets missed", self.lines.len())) }
    }
}

/// A heading of a part.
pub fn heading(text: &str) {
    println!("\n{text}");
}
