//! Whether what sources say of ARCHITECTURE.md, and it of them, is there.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use crate::top;

    fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                sources(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                found.push(path);
            }
        }
    }

    /// `ARCHITECTURE.md, "Hot path"`, also where a comment is broken between the two.
    #[test]
    fn sections_that_comments_name_exist() {
        let architecture = std::fs::read_to_string(top().join("ARCHITECTURE.md")).unwrap();
        let mut files = Vec::new();
        ["crates", "xtask"].iter().for_each(|dir| sources(&top().join(dir), &mut files));
        let mut named = 0;
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let text = text.replace("\n//! ", " ").replace("\n    /// ", " ").replace("\n/// ", " ");
            for rest in text.split("(ARCHITECTURE.md, \"").skip(1) {
                let section = rest.split('"').next().unwrap();
                let heading = format!("\n## {section}\n");
                assert!(architecture.contains(&heading), "{}: no section {section:?}", file.display());
                named += 1;
            }
        }
        assert!(named > 10, "only {named}");
    }

    /// Paths in backquotes that have a `/` and end in `.rs`: of the workspace or of one of its crates.
    #[test]
    fn files_that_it_names_exist() {
        let architecture = std::fs::read_to_string(top().join("ARCHITECTURE.md")).unwrap();
        let mut files = Vec::new();
        ["crates", "xtask"].iter().for_each(|dir| sources(&top().join(dir), &mut files));
        let words = architecture.split('`').skip(1).step_by(2);
        for word in words.filter(|word| word.ends_with(".rs") && !word.contains(' ')) {
            let tail = Path::new(word);
            // `boxr-engine/src/…` lies below crates/, `process/init.rs` below some src/.
            assert!(files.iter().any(|file| file.ends_with(tail)), "there is no {word}");
        }
    }
}
