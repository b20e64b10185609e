//! boxr-oci killed at every system call that it makes: `delete --force` then removes all there is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use boxr_testing::processes::descendants;
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::getppid;

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::BUSYBOX;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(killed_at_every_step_of_create, BUSYBOX, STRACE; deadline 300),
    test!(killed_at_every_step_of_start, BUSYBOX, STRACE; deadline 300),
    test!(killed_at_every_step_of_run, BUSYBOX, STRACE; deadline 300),
    test!(killed_at_every_step_of_exec, BUSYBOX, STRACE; deadline 300),
    test!(killed_at_every_step_of_delete, BUSYBOX, STRACE; deadline 300),
];

const STRACE: Need = Need::Tool(Tool::Strace);
const ID: &str = "victim";

/// `strace FLAGS boxr-oci ARGS`, with nothing of the test's in the hands of a container.
fn strace(t: &Sandbox, flags: &[&str], args: &[&str]) -> Cmd {
    let to = t.path("trace");
    let script = r#"exec "$@" >/dev/null 2>&1 </dev/null"#;
    t.surrounded(Cmd::new("sh"))
        .args(["-c", script, "sh", "strace", "-qq", "-o", to.to_str().unwrap()])
        .args(flags)
        .arg("--")
        .arg(t.program())
        .args(["--root".as_ref(), t.layout().state.as_os_str()])
        .args(args)
}

/// The system calls that a command makes, each with the how manieth of its name it is.
#[track_caller]
fn steps(t: &Sandbox, args: &[&str]) -> Vec<(String, usize)> {
    strace(t, &[], args).run().ok();
    let trace = std::fs::read_to_string(t.path("trace")).unwrap();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut steps = Vec::new();
    for (name, _) in trace.lines().filter_map(|line| line.split_once('(')) {
        if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            let count = counts.entry(name).or_default();
            *count += 1;
            steps.push((name.to_owned(), *count));
        }
    }
    steps
}

/// The container's cgroup in each hierarchy.
fn cgroups(t: &Sandbox) -> Vec<PathBuf> {
    let test = t.layout().state.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let top = Path::new("/sys/fs/cgroup");
    let entries = std::fs::read_dir(top).into_iter().flatten().flatten();
    let hierarchies = std::iter::once(top.to_owned()).chain(entries.map(|entry| entry.path()));
    hierarchies.map(|hierarchy| hierarchy.join(format!("{test}-{ID}"))).collect()
}

/// Whatever was killed: other commands go on, `delete --force` removes it, and nothing is left of it.
#[track_caller]
fn clean_up(t: &Sandbox) {
    oci(t, ["list"]).run().ok();
    oci(t, ["delete", "--force", ID]).run().ok();
    assert_nothing_left(t);
    wait_until("only the test runs", || descendants(getppid().unwrap()).len() == 1);
    let left: Vec<_> = cgroups(t).into_iter().filter(|group| group.exists()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Runs `args` again and again, killed by SIGKILL at each of its system calls in turn.
#[track_caller]
fn walk(t: &Sandbox, args: &[&str], prepare: impl Fn()) {
    prepare();
    let steps = steps(t, args);
    clean_up(t);
    assert!(steps.len() > 10, "{steps:?}");
    // The first is strace's own start of the program.
    for (name, count) in steps.into_iter().skip(1) {
        prepare();
        let inject = format!("inject={name}:signal=KILL:when={count}");
        // How it ends is of no interest: it may have been past what counts.
        strace(t, &["-e", &inject], args).run();
        eprintln!("killed at {name} {count}");
        clean_up(t);
    }
}

fn bundle<'t>(t: &'t Sandbox, script: &str) -> Bundle<'t> {
    let bundle = Bundle::new(t, "b", script);
    bundle.place(ID);
    bundle
}

fn killed_at_every_step_of_create(t: &Sandbox) {
    let bundle = bundle(t, "true");
    walk(t, &["create", "--bundle", bundle.path(), ID], || ());
}

fn killed_at_every_step_of_start(t: &Sandbox) {
    let bundle = bundle(t, "exec sleep 1000");
    walk(t, &["start", ID], || bundle.create(ID));
}

fn killed_at_every_step_of_run(t: &Sandbox) {
    let bundle = bundle(t, "true");
    walk(t, &["run", "--bundle", bundle.path(), ID], || ());
}

fn killed_at_every_step_of_exec(t: &Sandbox) {
    let bundle = bundle(t, "exec sleep 1000");
    walk(t, &["exec", ID, "true"], || {
        bundle.create(ID);
        oci(t, ["start", ID]).run().ok();
    });
}

fn killed_at_every_step_of_delete(t: &Sandbox) {
    let bundle = bundle(t, "exec sleep 1000");
    walk(t, &["delete", "--force", ID], || {
        bundle.create(ID);
        oci(t, ["start", ID]).run().ok();
    });
}
