//! The same command lines through podman and through boxr: what they print, and how they end.

use boxr_testing::{Cmd, Need, Output, Sandbox, Test, Tool, test};

use crate::containers::OVERLAY;

/// The tests of this file.
pub const TESTS: &[Test] = &[test!(
    podman_s_users_find_their_commands,
    Need::Root,
    Need::Tool(Tool::Podman),
    Need::Tool(Tool::Runc),
    Need::Tool(Tool::Busybox),
    OVERLAY;
    deadline 400
)];

const LINES: &str = include_str!("replay.txt");

/// What of a line must agree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Agreement {
    All,
    Status,
    Nothing,
}

/// The lines, with what must agree.
fn lines() -> impl Iterator<Item = (Agreement, &'static str)> {
    LINES.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (mark, rest) = line.split_once(' ').unwrap();
        let agreement = match mark {
            "=" => Agreement::All,
            "~" => Agreement::Status,
            "!" => Agreement::Nothing,
            _ => panic!("{line}"),
        };
        (agreement, rest.split_once("  # ").map_or(rest, |(line, _reason)| line))
    })
}

/// podman with everything of its own in the test's directory. Root here may not raise limits.
fn podman(t: &Sandbox) -> String {
    let dir = |name: &str| t.path(name).display().to_string();
    // What a pod's infra container runs with, which no flag says.
    let limits = t.file(
        "containers.conf",
        "[containers]\ndefault_ulimits = [\"nofile=1024:2048\", \"nproc=1024:2048\"]\n",
    );
    format!(
        "env CONTAINERS_CONF={limits} podman --runtime runc --storage-driver vfs --root {} --runroot {} --tmpdir {}",
        dir("podman"),
        dir("podman-run"),
        dir("podman-tmp")
    )
}

fn run(program: &str, line: &str) -> Output {
    Cmd::new("sh").args(["-c", &format!("echo input | {program} {line}")]).run()
}

/// Without what is another one every time.
fn plain(output: &Output) -> String {
    let text = output.text().replace("localhost/", "");
    let is_id = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = |line: &str| {
        line.split(' ').map(|word| if is_id(word) { "ID" } else { word }).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(|line| words(line) + "\n").collect()
}

fn podman_s_users_find_their_commands(t: &Sandbox) {
    let root = t.rootfs("image");
    std::fs::write(t.path("image/etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    Cmd::new("tar").args(["-C", &root, "-cf", t.path("image.tar").to_str().unwrap(), "."]).run().ok();
    let boxr = [t.program().to_str().unwrap().to_owned()]
        .into_iter()
        .chain(t.globals().map(|word| word.to_str().unwrap().to_owned()))
        .collect::<Vec<_>>()
        .join(" ");
    let podman = podman(t);
    let import = format!("import -c 'CMD [\"sh\"]' {} bb", t.path("image.tar").display());
    for program in [&podman, &boxr] {
        run(program, &import).ok();
    }
    let (mut compared, mut different) = (0, Vec::new());
    for (agreement, line) in lines() {
        let limits = "--network none --ulimit nofile=1024:2048 --ulimit nproc=1024:2048";
        let theirs = run(&podman, &line.replace("--network none", limits));
        let ours = run(&boxr, line);
        compared += usize::from(agreement != Agreement::Nothing);
        let same_text = agreement != Agreement::All || plain(&theirs) == plain(&ours);
        let same_status = agreement == Agreement::Nothing || theirs.status.code() == ours.status.code();
        if !(same_text && same_status) {
            let told = |output: &Output| format!("{:?} {}", output.status.code(), plain(output));
            different.push(format!("{line}\n  podman {}\n  boxr   {}", told(&theirs), told(&ours)));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(compared >= 240, "{compared} lines are compared");
    for program in [&podman, &boxr] {
        run(program, "pod rm -f -a");
        run(program, "rm -f -a");
        run(program, "rmi -f bb").ok();
    }
}
