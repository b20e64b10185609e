use super::*;
use crate::options::{NamespaceMode, Tty};
use boxr_sys::namespace::NamespaceKind;
use proptest::prelude::*;

fn toml(text: &str) -> Result<RawRun, ConfigError> {
    parse(text, Path::new("box.toml"), Some(Format::Toml), &Base("/conf".into()))
}

fn json(text: &str) -> Result<RawRun, ConfigError> {
    parse(text, Path::new("box.json"), Some(Format::Json), &Base("/conf".into()))
}

#[test]
fn the_json_of_the_issue() {
    let raw = json(
        r#"{"namespaces":{"pid":true,"network":false,"mount":false,"uts":true,"ipc":false,"user":false,
            "cgroup":false},"detach":false,"args":["zsh"]}"#,
    )
    .unwrap();
    assert_eq!(raw.args, Some(vec!["zsh".to_owned()]));
    assert_eq!(raw.detach, Some(false));
    assert_eq!(raw.namespace(NamespaceKind::Pid), Some(&NamespaceMode::New));
    assert_eq!(raw.namespace(NamespaceKind::Mount), Some(&NamespaceMode::Host));
    assert_eq!(raw.namespace(NamespaceKind::User), Some(&NamespaceMode::Host));
    assert_eq!(raw.namespace(NamespaceKind::Time), None);
}

#[test]
fn both_languages_say_the_same() {
    let from_toml = toml(
        r#"
args = ["sh", "-c", "true"]
tty = false
root = "tree"
env = { B = "2", A = 1 }
volumes = ["./src:/src:ro"]
timeout = "5m"

[namespaces]
network = "container:web"
ipc = "new"

[limits]
memory = "512m"
cpus = 1.5
pids = 10

[[mounts]]
type = "tmpfs"
dst = "/tmp"
size = "1m"

[ulimits]
nofile = 1024
"#,
    )
    .unwrap();
    let from_json = json(
        r#"{"args": ["sh", "-c", "true"], "tty": false, "root": "tree", "env": ["B=2", "A=1"],
        "volumes": ["./src:/src:ro"], "timeout": 300, "name": null, "capabilities": null,
        "namespaces": {"network": "container:web", "ipc": true},
        "limits": {"memory": 536870912, "cpus": 1.5, "pids": 10},
        "mounts": ["type=tmpfs,dst=/tmp,tmpfs-size=1m"], "ulimits": ["nofile=1024"]}"#,
    )
    .unwrap();
    assert_eq!(from_toml, from_json);
    assert_eq!(from_toml.tty, Some(Tty::Never));
    assert_eq!(from_toml.rootfs, Some("/conf/tree".into()));
    assert_eq!(from_toml.mounts[0].source.as_deref(), Some("/conf/src"));
}

/// The line and the nearest key of an unknown key.
fn unknown(error: ConfigError) -> (usize, String, Option<&'static str>) {
    match error {
        ConfigError::UnknownKey { line, key, nearest, .. } => (line, key, nearest),
        other => panic!("{other}"),
    }
}

#[test]
fn unknown_keys_are_named_with_line_and_nearest() {
    for (text, line, key, nearest) in [
        ("name = \"a\"\nhostnam = \"x\"\n", 2, "hostnam", Some("hostname")),
        ("[limits]\nmemory = 1\nmemroy = 2\n", 3, "limits.memroy", Some("limits.memory")),
        ("\n\nmemory = \"1g\"\n", 3, "memory", Some("limits.memory")),
        ("rootfs = \"/x\"\n", 1, "rootfs", Some("root")),
        ("read_only = true\n", 1, "read_only", Some("read-only")),
        ("[namespace]\npid = true\n", 1, "namespace", Some("namespaces")),
        ("[namespaces]\n\nnet = true\n", 3, "namespaces.net", Some("namespaces.network")),
        ("frobnicate = 1\n", 1, "frobnicate", None),
    ] {
        assert_eq!(unknown(toml(text).unwrap_err()), (line, key.to_owned(), nearest), "{text}");
    }
    let error = json("{\n \"args\": [],\n \"limits\": {\n  \"memroy\": 5 }}").unwrap_err();
    assert_eq!(unknown(error), (4, "limits.memroy".to_owned(), Some("limits.memory")));
}

#[test]
fn wrong_types_are_named_with_line_and_expectation() {
    for (text, line, part) in [
        ("detach = \"yes\"\n", 1, "a string where true or false is expected"),
        ("name = \"a\"\nargs = \"sh\"\nargs2=1", 3, "unknown"),
        ("args = 5\n", 1, "a whole number where a list is expected"),
        ("args = [\n \"a\",\n 5,\n]\n", 3, "a whole number where a string is expected"),
        ("limits = 5\n", 1, "where a table is expected"),
        ("[limits]\npids = \"x\"\n", 2, "a string where a whole number is expected"),
        ("[limits]\nmemory = true\n", 2, "true or false where a number or a string is expected"),
        ("[limits]\nmemory = \"12q\"\n", 2, "unit"),
        ("[namespaces]\npid = 5\n", 2, "true, false or a string"),
        ("[namespaces]\npid = \"nwe\"\n", 2, "no such mode"),
        (
            "mounts = [\n { type = \"tmpfs\", dst = \"/a\" },\n { type = \"ext4\", dst = \"/b\" },\n]\n",
            3,
            "type is one of",
        ),
        ("[env]\nA = \"x\"\nB = [1]\n", 3, "a list where"),
        ("args = [\"a\\u0000b\"]\n", 1, "NUL"),
        ("stop-signal = \"TERMINATE\"\n", 1, "no such signal"),
    ] {
        let error = toml(text).unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("box.toml:{line}: ")), "{text}: {shown}");
        assert!(shown.contains(part), "{text}: {shown}");
    }
    let error = json("[1]").unwrap_err().to_string();
    assert!(error.contains("a table is expected"), "{error}");
}

#[test]
fn broken_files_are_placed() {
    let error = toml("a = 1\nb = = 2\n").unwrap_err();
    assert!(matches!(error, ConfigError::Syntax { line: 2, .. }), "{error}");
    let error = json("{\n \"a\": 1,\n}").unwrap_err();
    assert!(matches!(error, ConfigError::Syntax { line: 3, .. }), "{error}");
    let error = toml("detach = true\ndetach = false\n").unwrap_err();
    assert!(error.to_string().starts_with("box.toml:2:"), "{error}");
    let error = json("{\"detach\": true,\n\"detach\": false}").unwrap_err();
    assert!(matches!(error, ConfigError::RepeatedKey { line: 2, .. }), "{error}");
    let deep = format!("{{\"env\": {}{}}}", "[".repeat(60), "]".repeat(60));
    assert!(matches!(json(&deep).unwrap_err(), ConfigError::Syntax { .. }));
}

#[test]
fn depth_has_an_end() {
    for text in [
        format!("env = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("env{} = 1", ".a".repeat(100_000)),
        format!("[env{}]", ".a".repeat(100_000)),
    ] {
        assert!(toml(&text).is_err());
    }
    assert!(json(&format!("{}1{}", "{\"env\":".repeat(100_000), "}".repeat(100_000))).is_err());
}

#[test]
fn without_an_extension_the_text_decides() {
    let base = Base("/".into());
    let read = |text| parse(text, Path::new("box"), None, &base).unwrap().name;
    assert_eq!(read("{\"name\": \"j\"}").as_deref(), Some("j"));
    assert_eq!(read("name = \"t\"").as_deref(), Some("t"));
    assert_eq!(read("\u{feff}name = \"t\"").as_deref(), Some("t"));
}

#[test]
fn files_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let error = read(Path::new("none.toml"), directory.path()).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
    let error = read(directory.path(), Path::new("/")).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
    std::fs::write(directory.path().join("box.toml"), "volumes = [\"./a:/b\"]\n").unwrap();
    let raw = read(&directory.path().join("box.toml"), Path::new("/")).unwrap();
    assert_eq!(raw.mounts[0].source, directory.path().join("a").to_str().map(str::to_owned));
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in "[\\[\\]{}\"=:,a-z0-9 .\n-]{0,60}") {
        drop((toml(&text), json(&text)));
    }

    #[test]
    fn every_key_refuses_or_takes_any_value(index in 0..settings().count(), value in prop_oneof![
        Just("true"), Just("5"), Just("-1.5"), Just("\"x\""), Just("[]"), Just("[1]"), Just("{}"), Just("null"),
        Just("{\"a\": {}}"), Just("[[]]"), Just("\"\""),
    ]) {
        if let Some(key) = settings().nth(index).and_then(|setting| setting.key) {
            let text = match key.split_once('.') {
                Some((table, key)) => format!("{{\"{table}\": {{\"{key}\": {value}}}}}"),
                None => format!("{{\"{key}\": {value}}}"),
            };
            if let Err(error) = json(&text) {
                prop_assert!(error.to_string().contains(key), "{}", error);
            }
        }
    }
}
