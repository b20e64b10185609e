//! Writes boxr's manual pages into a directory: `cargo xtask man` runs it.
//!
//! An example rather than a command: people get the pages, not the writer of them.

use std::path::PathBuf;

#[expect(clippy::disallowed_methods, reason = "std's own beginning told it")]
fn main() -> std::io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("usage: man DIRECTORY"));
    };
    std::fs::create_dir_all(&directory)?;
    for (name, text) in boxr::cli::man::pages() {
        std::fs::write(directory.join(name), text)?;
    }
    Ok(())
}
