//! Sockets of the host that have a place in its file tree. A read-only mount does not keep anybody from connecting to
//! one (unix(7): it takes write permission to the socket, which is not the mount's to refuse), so those that the
//! sandbox would see are hidden one by one.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::view::View;

const TABLE: &str = "/proc/net/unix";

/// The sockets that are bound now and that `view` shows, resolved.
///
/// # Errors
/// The table cannot be read.
pub(super) fn shown(view: &View) -> Result<Vec<PathBuf>, Errno> {
    let text = boxr_sys::file::read_table(TABLE)?;
    Ok(of_table(&String::from_utf8_lossy(&text), view))
}

fn of_table(text: &str, view: &View) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in text.lines().skip(1).filter_map(path_of) {
        // Most lie in what is covered; a link may lead out of there, but not to a place with a socket that has
        // another line of its own.
        if !view.shows(path) {
            continue;
        }
        let Ok(real) = path.canonicalize() else { continue };
        let is_socket = std::fs::symlink_metadata(&real).is_ok_and(|found| found.file_type().is_socket());
        if is_socket && view.shows(&real) && !found.contains(&real) {
            found.push(real);
        }
    }
    found
}

/// `Num RefCount Protocol Flags Type St Inode Path`, where only bound sockets have a path, and abstract ones an `@`.
fn path_of(line: &str) -> Option<&Path> {
    let at = line.find(" /")?;
    Some(Path::new(&line[at + 1..]))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::super::view::Sight;
    use super::*;

    #[test]
    fn sockets_in_sight_are_found_and_covered_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let (seen, covered) = (dir.join("seen socket"), dir.join("away/x"));
        std::fs::create_dir(dir.join("away")).unwrap();
        let _listeners = [&seen, &covered].map(|path| UnixListener::bind(path).unwrap());
        let mut view = View::default();
        view.set(&dir.join("away"), Sight::Covered);
        let found = shown(&view).unwrap();
        assert!(found.contains(&seen) && !found.contains(&covered), "{found:?}");
    }
}
