//! `list`: all containers below the root directory.

use std::fmt::Write;

use super::print;
use super::state::View;
use crate::cli::Globals;
use crate::cli::words::Words;
use crate::container::{Container, State};
use crate::error::Error;
use crate::store;

/// Runs the command.
///
/// # Errors
/// The directory cannot be read; a container that cannot is told of and left out.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let format = words.text("format")?.unwrap_or("table");
    if !matches!(format, "table" | "json" | "") {
        return Err(Error::Usage("invalid format option".into()));
    }
    let mut found = Vec::new();
    for id in store::ids(&globals.root)? {
        match read(globals, &id) {
            Ok(one) => found.push(one),
            // Deleted since, or not there yet.
            Err(Error::NoSuchContainer) => {}
            Err(error) => globals.log.warn(&format!("{id}: {error}")),
        }
    }
    if words.on("quiet") {
        return Ok(print(&found.iter().fold(String::new(), |text, (_, state)| text + &state.id + "\n")));
    }
    let views = views(&found)?;
    let text = if format == "json" { json(&views)? } else { table(&views) };
    Ok(print(&text))
}

fn read(globals: &Globals, id: &str) -> Result<(Container, State), Error> {
    let container = Container::open(&globals.root, id)?;
    let state = container.state()?;
    Ok((container, state))
}

fn views(found: &[(Container, State)]) -> Result<Vec<(View<'_>, &State)>, Error> {
    let mut all = Vec::new();
    for (container, state) in found {
        let mut view = View::new(container, state)?;
        view.owner = name_of(state.owner);
        all.push((view, state));
    }
    Ok(all)
}

fn json(views: &[(View<'_>, &State)]) -> Result<String, Error> {
    let views: Vec<_> = views.iter().map(|(view, _)| view).collect();
    let text = if views.is_empty() { Ok("null".to_owned()) } else { serde_json::to_string(&views) };
    text.map(|text| text + "\n")
        .map_err(|error| Error::Config { path: "state.json".into(), why: error.to_string() })
}

/// As runc's: columns of 12 characters at least, three blanks between them.
fn table(views: &[(View<'_>, &State)]) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows = views.iter().map(|(view, state)| {
        let bundle = state.bundle.display().to_string();
        [
            state.id.clone(),
            view.pid.to_string(),
            view.status.to_owned(),
            bundle,
            state.created.clone(),
            view.owner.clone(),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(|column| width(column).max(12)).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            // Writing into a string does not fail.
            write!(text, "{cell:<width$}").unwrap_or_default();
        }
        text += &row[5];
        text.push('\n');
    }
    text
}

/// From /etc/passwd itself: a static program must not load name-service modules. The number where
/// there is no name.
fn name_of(uid: u32) -> String {
    let number = uid.to_string();
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut names = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    names.next().unwrap_or_else(|| format!("#{number}"))
}
