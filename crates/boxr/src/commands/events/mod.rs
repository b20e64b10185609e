//! `boxr events`: what has happened, and what happens.

mod filter;
mod row;

use std::os::fd::AsFd;

use boxr_engine::events::{EventError, Follower, Journal, Woken};
use boxr_engine::paths::Paths;

use crate::cli::Invocation;
use crate::format::template::Template;
use crate::format::time;
use crate::report::{Explain, Report, errno_text, write_stdout};
use filter::Filters;
use row::Row;

impl Explain for EventError {
    fn report(&self) -> Report {
        Report::new(format!("cannot {} {}: {}", self.doing, self.path.display(), errno_text(self.errno)))
    }
}

/// How an event is written.
#[derive(Debug)]
enum Style {
    /// docker's line.
    Line,
    Json,
    Template(Template),
}

/// Carries out `boxr events`.
///
/// # Errors
/// A time, a filter or a template that cannot be used; a journal that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let now = time::now();
    let moment = |flag: &'static str| {
        let parse =
            |text| time::parse(text, now).ok_or_else(|| invocation.bad_value(flag, text, time::ACCEPTED));
        invocation.value(flag).map(parse).transpose()
    };
    let (since, until) = (moment("since")?, moment("until")?);
    let filters = Filters::read(invocation.values("filter"))?;
    let style = match invocation.value("format").map(str::trim) {
        None | Some("" | "table") => Style::Line,
        Some("json" | "{{json .}}" | "{{ json . }}") => Style::Json,
        Some(text) => Style::Template(Template::parse(text)?),
    };
    let streams = !invocation.switch("no-stream") && invocation.switch_said("stream").unwrap_or(true);
    let globals = &invocation.globals;
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    let failed = |error: EventError| Report::from(error).status(1);
    let mut follower = Follower::open(Journal::of(&paths)).map_err(failed)?;
    if since.is_none() && until.is_none() && streams {
        // docker's: without a time only what is to come.
        follower.skip().map_err(failed)?;
    }
    let stdout = std::io::stdout();
    loop {
        let is_over = until.is_some_and(|until| time::now() >= until);
        let mut text = String::new();
        for event in follower.read().map_err(failed)? {
            let in_time = since.is_none_or(|since| event.time >= since)
                && until.is_none_or(|until| event.time <= until);
            if in_time && filters.accept(&event) {
                style.write(&event, &mut text)?;
            }
        }
        if !text.is_empty() {
            write_stdout(&text)?;
        }
        if is_over || !streams {
            return Ok(0);
        }
        if follower.wait(until, stdout.as_fd()).map_err(failed)? == Woken::Left {
            return Ok(141);
        }
    }
}

impl Style {
    fn write(&self, event: &boxr_engine::events::Event, text: &mut String) -> Result<(), Report> {
        match self {
            Self::Line => text.push_str(&row::line(event)),
            Self::Json => text.push_str(&row::json(event).to_string()),
            Self::Template(template) => template.render(&Row::new(event), text)?,
        }
        text.push('\n');
        Ok(())
    }
}
