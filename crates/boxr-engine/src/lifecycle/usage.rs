//! How much a box keeps on disk.

use std::path::Path;

/// Bytes of the files in `path` and below, symlinks not followed; what cannot be looked at, or
/// vanishes meanwhile, counts nothing.
pub fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let mut total = 0u64;
    for entry in entries.flatten() {
        let Ok(found) = entry.metadata() else { continue };
        let size = if found.is_dir() { bytes_below(&entry.path()) } else { found.len() };
        total = total.saturating_add(size);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_added_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), [0; 100]).unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/b"), [0; 23]).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("c")).unwrap();
        assert_eq!(bytes_below(dir.path()), 123 + 4, "a symlink is as long as its target's name");
        assert_eq!(bytes_below(&dir.path().join("missing")), 0);
    }
}
