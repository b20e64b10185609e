//! `boxr export`

use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;

use boxr_engine::events::{self, Action};
use boxr_engine::image::tree;
use boxr_engine::own_ids;
use boxr_image::pack::{Contents, Holes, PackError, Tree};

use crate::boxes;
use crate::cli::Invocation;
use crate::report::{Report, io_text, stdout_failed};
use crate::whole_file::WholeFile;

/// Bytes that are written at once.
const BUFFER: usize = 256 * 1024;

/// Carries out `boxr export`: the files of a box as one archive.
///
/// # Errors
/// No such box, one without files of its own, or somewhere that cannot be written, such as a terminal.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let name = invocation.first();
    let output = invocation.value("output").filter(|path| *path != "-").map(Path::new);
    if output.is_none() && std::io::stdout().is_terminal() {
        return Err(Report::new("boxr export: an archive is not written to a terminal")
            .suggest(format!("boxr export -o FILE {name}"))
            .suggest(format!("boxr export {name} > FILE"))
            .status(1));
    }
    let store = boxes::open_store(&invocation.globals)?;
    let dir = boxes::find(&store, name)?;
    let holes = if invocation.switch("sparse") { Holes::Kept } else { Holes::Filled };
    // Files belong to all ids that the box has.
    let ids = own_ids::enter()?;
    let tree = tree(&dir, ids, holes).map_err(|error| Report::from(error).status(1))?;
    let Some(tree) = tree else {
        return Err(Report::new(format!("box {name} has no files of its own, but the host's"))
            .detail("there are some in boxes of images and of --rootfs DIR")
            .status(1));
    };
    let state = dir.read_state().map_err(|error| Report::from(error).status(1))?;
    let contents = match output {
        Some(path) => to_file(&tree, path)?,
        None => to_stdout(&tree)?,
    };
    events::note(dir.paths(), &state, Action::Export);
    if contents.sockets > 0 {
        let stderr = std::io::stderr();
        // Whoever cannot be told is not told.
        drop(writeln!(stderr.lock(), "warning: {} sockets were left out", contents.sockets));
    }
    Ok(0)
}

fn to_stdout(tree: &Tree) -> Result<Contents, Report> {
    let to = BufWriter::with_capacity(BUFFER, std::io::stdout().lock());
    let packed = tree.merged(to).map_err(|error| match error {
        PackError::Write(error) => stdout_failed(&error),
        error => Report::from(error).status(1),
    });
    Ok(packed?.1)
}

fn to_file(tree: &Tree, path: &Path) -> Result<Contents, Report> {
    let failed = |error: &std::io::Error| {
        Report::new(format!("cannot write {}: {}", path.display(), io_text(error))).status(1)
    };
    let file = WholeFile::create(path).map_err(|error| failed(&error))?;
    let packed = tree.merged(BufWriter::with_capacity(BUFFER, file)).map_err(|error| match error {
        PackError::Write(error) => failed(&error),
        error => Report::from(error).status(1),
    });
    let (written, contents) = packed?;
    let file = written.into_inner().map_err(|error| failed(error.error()))?;
    file.commit().map_err(|error| failed(&error))?;
    Ok(contents)
}
