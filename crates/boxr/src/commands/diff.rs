//! `boxr diff`

use boxr_engine::image::{self, ContainerFiles};
use boxr_engine::own_ids;
use boxr_image::rootfs::ChangeKind;
use serde_json::json;

use crate::boxes;
use crate::cli::Invocation;
use crate::report::{Report, write_stdout_bytes};

/// Carries out `boxr diff`.
///
/// # Errors
/// No such box, or one that is of no image; files that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let as_json = match invocation.value("format") {
        None => false,
        Some("json") => true,
        Some(other) => return Err(invocation.bad_value("format", other, "json")),
    };
    let store = boxes::open_store(&invocation.globals)?;
    let name = invocation.first();
    let dir = boxes::find(&store, name)?;
    let options = dir.read_record().map_err(|error| Report::from(error).status(1))?.options;
    let files = ContainerFiles::of(&dir, &options)?;
    own_ids::enter()?;
    let Some(changes) = image::changes(&options, files.as_ref())? else {
        return Err(
            Report::new(format!("box {name} is of no image: there is nothing to compare it with")).status(1)
        );
    };
    let mut text = Vec::new();
    if as_json {
        let of = |kind| -> Vec<String> {
            let meant = changes.iter().filter(|change| change.kind == kind);
            meant.map(|change| String::from_utf8_lossy(&change.path).into_owned()).collect()
        };
        let view = json!({
            "added": of(ChangeKind::Added), "changed": of(ChangeKind::Changed), "deleted": of(ChangeKind::Deleted),
        });
        text.extend_from_slice(format!("{view:#}\n").as_bytes());
    } else {
        for change in &changes {
            text.extend_from_slice(match change.kind {
                ChangeKind::Added => b"A ",
                ChangeKind::Changed => b"C ",
                ChangeKind::Deleted => b"D ",
            });
            text.extend_from_slice(&change.path);
            text.push(b'\n');
        }
    }
    write_stdout_bytes(&text)?;
    Ok(0)
}
