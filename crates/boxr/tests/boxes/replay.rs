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
    deadline 800
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

/// podman and boxr with everything of their own in one directory of the test's.
struct Pair {
    podman: String,
    boxr: String,
}

impl Pair {
    /// Root here may not raise limits.
    fn within(t: &Sandbox, round: &str) -> Self {
        std::fs::create_dir(t.path(round)).unwrap();
        let dir = |name: &str| t.path(round).join(name).display().to_string();
        // What a pod's infra container runs with, which no flag says.
        let limits = t.file(
            "containers.conf",
            "[containers]\ndefault_ulimits = [\"nofile=1024:2048\", \"nproc=1024:2048\"]\n",
        );
        let podman = format!(
            "env CONTAINERS_CONF={limits} podman --runtime runc --storage-driver vfs --root {} --runroot {} --tmpdir {}",
            dir("podman"),
            dir("podman-run"),
            dir("podman-tmp")
        );
        let boxr = format!("{} --state {} --root {}", t.program().display(), dir("state"), dir("root"));
        Self { podman, boxr }
    }

    /// What each says to every line.
    fn answers(&self, t: &Sandbox) -> Vec<(Output, Output)> {
        let import = format!("import -c 'CMD [\"sh\"]' {} bb", t.path("image.tar").display());
        for program in [&self.podman, &self.boxr] {
            run(program, &import).ok();
        }
        let limits = "--network none --ulimit nofile=1024:2048 --ulimit nproc=1024:2048";
        let answer = |(_, line): (Agreement, &'static str)| {
            (run(&self.podman, &line.replace("--network none", limits)), run(&self.boxr, line))
        };
        let answers = lines().map(answer).collect();
        for program in [&self.podman, &self.boxr] {
            run(program, "pod rm -f -a");
            run(program, "rm -f -a");
            run(program, "rmi -f bb").ok();
        }
        answers
    }
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

fn told(output: &Output) -> String {
    format!("{:?} {}", output.status.code(), plain(output))
}

/// Whether two answers are the same as far as a line asks for it.
fn agree(agreement: Agreement, one: &Output, other: &Output) -> bool {
    let same_text = agreement != Agreement::All || plain(one) == plain(other);
    same_text && (agreement == Agreement::Nothing || one.status.code() == other.status.code())
}

fn podman_s_users_find_their_commands(t: &Sandbox) {
    let root = t.rootfs("image");
    std::fs::write(t.path("image/etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    Cmd::new("tar").args(["-C", &root, "-cf", t.path("image.tar").to_str().unwrap(), "."]).run().ok();
    let first = Pair::within(t, "first").answers(t);
    let differ = |answers: &[(Output, Output)]| -> Vec<bool> {
        lines().zip(answers).map(|((agreement, _), (theirs, ours))| !agree(agreement, theirs, ours)).collect()
    };
    let suspects = differ(&first);
    if suspects.contains(&true) {
        // On a busy machine podman loses a line of output now and then, and forgets what it has just made. What it says
        // twice counts; boxr says the same each time.
        let second = Pair::within(t, "second").answers(t);
        let again = differ(&second);
        let mut different = Vec::new();
        for (index, (agreement, line)) in lines().enumerate().filter(|(index, _)| suspects[*index]) {
            let ((theirs, ours), ours_again) = (&first[index], &second[index].1);
            if again[index] || !agree(agreement, ours, ours_again) {
                let words = [told(theirs), told(ours), told(&second[index].0), told(ours_again)];
                different.push(format!(
                    "{line}\n  podman {}\n  boxr   {}\n  podman {}\n  boxr   {}",
                    words[0], words[1], words[2], words[3]
                ));
            } else {
                println!("podman said something else the second time: {line}");
            }
        }
        assert!(different.is_empty(), "{}", different.join("\n"));
    }
    let compared = lines().filter(|(agreement, _)| *agreement != Agreement::Nothing).count();
    assert!(compared >= 240, "{compared} lines are compared");
}
