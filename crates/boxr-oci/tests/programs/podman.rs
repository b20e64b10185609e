//! podman, as root and as an ordinary user.

use boxr_testing::{Need, Sandbox, Terminal, Test, Tool, test};

use crate::compare::{BUSYBOX, RUNC, Stage, same_story};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(run_is_as_with_runc, PODMAN, CONMON, BUSYBOX, RUNC, Need::Root; deadline 480),
    test!(a_life_is_as_with_runc, PODMAN, CONMON, BUSYBOX, RUNC, Need::Root; deadline 480),
    test!(pods_are_as_with_runc, PODMAN, CONMON, BUSYBOX, RUNC, Need::Root; deadline 480),
    test!(a_user_runs_as_with_runc, PODMAN, CONMON, BUSYBOX, RUNC, Need::Unprivileged, Need::SubordinateIds; deadline 480),
    test!(a_person_at_a_terminal, PODMAN, CONMON, BUSYBOX, Need::Root; deadline 120),
];

const PODMAN: Need = Need::Tool(Tool::Podman);
const CONMON: Need = Need::Tool(Tool::Conmon);

fn run_is_as_with_runc(t: &Sandbox) {
    same_story(t, include_str!("podman-run.sh"));
}

fn a_life_is_as_with_runc(t: &Sandbox) {
    same_story(t, include_str!("podman-life.sh"));
}

fn pods_are_as_with_runc(t: &Sandbox) {
    same_story(t, include_str!("podman-pods.sh"));
}

fn a_user_runs_as_with_runc(t: &Sandbox) {
    same_story(t, include_str!("podman-user.sh"));
}

/// `run -it` and `exec -it`: the size of the window, its changes, keys, statuses.
fn a_person_at_a_terminal(t: &Sandbox) {
    let stage = Stage::boxr(t);
    let image = t.path("image.tar");
    stage.podman(t, &["import", "--quiet", image.to_str().unwrap(), "bb"]).run().ok();
    let at_terminal = |words: &[&str]| {
        let mut all = vec!["podman".to_owned()];
        all.extend(stage.podman_globals());
        all.extend(words.iter().map(|&word| word.to_owned()));
        Terminal::start(31, 97, &all, |cmd| stage.surround(t, cmd))
    };
    let mut first = at_terminal(&["run", "-it", "--name", "c", &stage.parent(), "bb", "sh"]);
    first.expect("#");
    first.send("stty size; tty\r");
    first.expect("31 97");
    first.expect("/dev/pts/0");
    first.send("until [ \"$(stty size)\" = '20 60' ]; do sleep 0.02; done; echo re''sized\r");
    first.resize(20, 60);
    first.expect("resized");
    // conmon sets the size of the terminal of an exec when that runs already.
    let script =
        "until [ \"$(stty size 2>&1)\" = '31 97' ]; do sleep 0.02; done; echo sized; read line; exit 6";
    let mut second = at_terminal(&["exec", "-it", "c", "sh", "-c", script]);
    second.expect("sized");
    second.send("\r");
    second.finish().exits(6);
    first.send("exit 7\r");
    first.finish().exits(7);
    stage.podman(t, &["rm", "c"]).run().ok();
}
