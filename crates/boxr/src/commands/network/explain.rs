//! `boxr network explain`

use boxr_engine::network;
use boxr_network::{Path, PortSpec, Verdict};

use super::failed;
use crate::boxes;
use crate::cli::Invocation;
use crate::format::table::align;
use crate::report::{Report, write_stdout};

/// Carries out `boxr network explain`: 0 where packets come through as far as boxr decides, 1 where they do not.
///
/// # Errors
/// No such box, or nobody has published the port; what the kernel does not tell.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let word = invocation.first();
    let is_port = word.starts_with(|c: char| c.is_ascii_digit()) && word.parse::<PortSpec>().is_ok();
    let paths = match is_port {
        true => {
            let port: PortSpec = word.parse().map_err(|error: boxr_network::Error| failed(error))?;
            let protocol = word.contains('/').then_some(port.protocol);
            network::explain_port(&store, port.container.first, protocol)
        }
        false => network::explain_container(&store, &boxes::find(&store, word)?),
    };
    let paths = paths.map_err(failed)?;
    let text = match invocation.switch("json") {
        true => serde_json::to_string_pretty(&paths)
            .map(|text| text + "\n")
            .map_err(|error| Report::new(format!("the ways cannot be written as JSON: {error}")))?,
        false => paths.iter().map(lines).collect::<Vec<_>>().join("\n"),
    };
    write_stdout(&text)?;
    Ok(u8::from(!paths.iter().all(Path::is_open)))
}

/// A line for the whole, one for each station, and one for what to do.
fn lines(path: &Path) -> String {
    let word = |verdict| match verdict {
        Verdict::Ok => "ok",
        Verdict::May => "may drop",
        Verdict::Stops => "stops",
    };
    let cells =
        path.steps.iter().map(|step| format!("{}\t{}\t{}\n", word(step.verdict), step.station, step.found));
    let aligned = align(&cells.collect::<String>());
    let mut text = format!("{}\n", path.title);
    for (line, step) in aligned.lines().zip(&path.steps) {
        text.push_str(&format!("  {line}\n"));
        if let Some(remedy) = &step.remedy {
            text.push_str(&format!("            try: {remedy}\n"));
        }
    }
    text
}
