//! docs/oci-spec.md tells of every field, and of tests that there are.

use std::path::Path;

use boxr_testing::{Sandbox, Test, test};

pub const TESTS: &[Test] = &[test!(every_row_is_whole), test!(tests_that_are_named_are_there)];

const TEXT: &str = include_str!("../../../../docs/oci-spec.md");

/// The cells of each row of a table, without its head.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let rows = TEXT.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| field |"));
    rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

fn every_row_is_whole(_: &Sandbox) {
    assert!(rows().count() > 80);
    for row in rows() {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
}

fn tests_that_are_named_are_there(_: &Sandbox) {
    let here: Vec<_> = super::tests().iter().map(|test| test.name).collect();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for named in
        rows().flat_map(|row| row[2].split(", ").map(|name| name.trim_matches('`')).collect::<Vec<_>>())
    {
        let (program, name) = named.split_once(' ').unwrap_or_else(|| panic!("{named}: no program"));
        if program == "spec" {
            assert!(here.contains(&name), "spec has no test {name}");
            continue;
        }
        let dir = match program {
            "oci" => "crates/boxr-oci/tests/oci".to_owned(),
            "programs" => "crates/boxr-oci/tests/programs".to_owned(),
            package => format!("crates/{package}/src"),
        };
        // From a copy of this program, as other users run it, the sources may be out of reach.
        if !top.join("Cargo.toml").exists() {
            return;
        }
        let (path, function) = name.rsplit_once("::").unwrap();
        let module = path.trim_end_matches("::tests").trim_start_matches("tests");
        let file = if path == "tests" { "tests".to_owned() } else { module.replace("::", "/") };
        let text = std::fs::read_to_string(top.join(&dir).join(format!("{file}.rs")));
        let text = text.unwrap_or_else(|error| panic!("{named}: {dir}/{file}.rs: {error}"));
        assert!(text.contains(&format!("fn {function}(")), "{program} has no test {name}");
    }
}
