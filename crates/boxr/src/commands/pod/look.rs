//! `boxr pod top` and `boxr pod stats`

use boxr_engine::pod::View;

use crate::boxes;
use crate::cli::Invocation;
use crate::commands::stats as figures;
use crate::commands::top::{Columns, Style};
use crate::format::listing::Listing;
use crate::report::{Report, write_stdout};

/// Carries out `boxr pod top`.
///
/// # Errors
/// An unknown column; no such pod, or one in which nothing runs.
pub fn top(invocation: Invocation) -> Result<u8, Report> {
    let columns = Columns::choose(&invocation, Style::Podman)?;
    let store = boxes::open_store(&invocation.globals)?;
    let view = super::view(&store, super::find(&store, invocation.first())?)?;
    if columns.show(view.boxes())? == 0 {
        let name = &view.record.name;
        return Err(Report::new(format!("nothing runs in pod {name}"))
            .suggest(format!("boxr pod start {name}"))
            .status(125));
    }
    Ok(0)
}

const STANDARD: &str =
    "{{.Pod}}\t{{.CID}}\t{{.Name}}\t{{.CPU}}\t{{.MemUsage}}\t{{.Mem}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDS}}";

/// Carries out `boxr pod stats`.
///
/// # Errors
/// A value or template that cannot be used; no such pod.
pub fn stats(invocation: Invocation) -> Result<u8, Report> {
    let listing = Listing::new(invocation.value("format"), STANDARD, figures::HEADERS)?.in_one_array();
    let store = boxes::open_store(&invocation.globals)?;
    let views = match invocation.positionals() {
        [] => super::views(&store)?,
        words => {
            let mut views = Vec::new();
            for word in words {
                views.push(super::view(&store, super::find(&store, word)?)?);
            }
            views
        }
    };
    let ids: Vec<String> = views.iter().flat_map(View::boxes).map(|state| state.id.clone()).collect();
    if ids.is_empty() {
        write_stdout(&listing.render([])?)?;
        return Ok(0);
    }
    figures::watch(&invocation, &listing, &store, (0, Some(ids)))
}
