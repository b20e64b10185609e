//! `--explain` and `--dry-run`: the plan in words.

use boxr_engine::foreground::find_box;
use boxr_engine::options::BoxOptions;
use boxr_engine::prepare::{Manner, Streams, prepare};
use boxr_engine::store::Store;
use boxr_engine::volume::Places;
use boxr_runtime::plan::CgroupPlan;

use crate::cli::request::RunRequest;
use crate::report::{Explain, Report, write_stdout};

/// Writes what a start would do, in order, to stderr; to stdout when that is all there will be.
///
/// # Errors
/// Whatever would keep the box from starting, as far as it can be known before.
pub fn print(store: &Store, options: &BoxOptions, request: &RunRequest) -> Result<(), Report> {
    let name = request.name.as_deref().unwrap_or("NAME");
    let manner = Manner {
        streams: Streams::Inherit,
        monitored: request.detach,
        trace: false,
        files: None,
        mounted: None,
        filters: None,
        volumes: Places::new(),
        around: Default::default(),
        above: None,
        pod: Default::default(),
    };
    let find = find_box(store);
    let (plan, _) = prepare(options, name, "ID", manner, &find).map_err(|error| error.report())?;
    let lines = plan.describe();
    let mut text: String =
        lines.iter().enumerate().map(|(n, line)| format!("{:>2}. {line}\n", n + 1)).collect();
    if matches!(plan.cgroup, CgroupPlan::Inherit) && !options.limits.is_empty() {
        text.push_str(
            "    no cgroup is to be had here: the limits are those of each process (Data: its memory) and of their user \
             (Nproc), and the kernel ends these processes first when memory runs out\n",
        );
    }
    for line in options.sandbox.iter().flat_map(|sandbox| sandbox.besides()) {
        text.push_str(&format!("    {line}\n"));
    }
    if request.detach {
        text.push_str("    detached, under a monitor of its own; output goes to the box's log\n");
    }
    if request.dry_run { write_stdout(&text) } else { eprint_plain(&text) }
}

fn eprint_plain(text: &str) -> Result<(), Report> {
    use std::io::Write;
    // Nobody is left to be told that stderr cannot be written.
    std::io::stderr().lock().write_all(text.as_bytes()).unwrap_or_default();
    Ok(())
}
