//! Joining, freezing, killing, removing.

use std::time::Duration;

use boxr_cgroup::{Cgroup, Error, FREEZE_PATIENCE, Frozen, Host, Layout, Request, Within};

use crate::support::{Outcome, Shell, Test, TestGroup, ensure, is_in, unique, words};

pub const TESTS: &[Test] = &[
    ("a_process_starts_in_its_cgroup", cloned_into),
    ("freezing_and_thawing", freezing),
    ("a_fork_bomb_is_killed", fork_bomb),
    ("a_frozen_box_is_killed", frozen_and_killed),
    ("cgroups_made_inside_are_counted_and_removed", nested),
    ("a_box_that_lives_is_not_removed", busy),
    ("operations_on_what_is_gone", gone),
    ("one_of_several_does_not_make_again_what_was_removed", of_several),
];

/// What needs version 1 hierarchies.
pub const LEGACY: &[Test] = &[
    ("freezing_in_version_1", freezing_legacy),
    ("a_fork_bomb_is_killed_in_version_1", fork_bomb_legacy),
    ("killing_what_is_gone_in_version_1", gone_legacy),
];

const LIMITS: &str = r#"{"memory":{"limit":67108864},"pids":{"limit":60}}"#;

fn cloned_into() -> Outcome {
    let group = TestGroup::new("{}")?;
    let fd = group.clone_into_fd().ok_or("no v2 directory on this host")?;
    let unified = group.location().unified.clone().ok_or("no v2 directory")?;
    match boxr_sys::clone::clone3(0, Some(fd), boxr_sys::clone::Parent::Caller).map_err(words)? {
        boxr_sys::clone::Cloned::Child => {
            let me = rustix::process::getpid().as_raw_nonzero().get();
            boxr_sys::clone::exit_now(if is_in(me, &unified) { 0 } else { 1 });
        }
        boxr_sys::clone::Cloned::Parent { pidfd, .. } => {
            use std::os::fd::AsFd;
            let ended = boxr_sys::pidfd::reap(pidfd.as_fd(), true).map_err(words)?;
            ensure!(ended == Some(boxr_sys::pidfd::Ended::Code(0)), "it was elsewhere: {ended:?}");
        }
    }
    Ok(())
}

/// As when a pod is removed while a member of it starts.
fn of_several() -> Outcome {
    let host = Host::detect().map_err(words)?;
    let name = unique();
    let pod = TestGroup(host.plan(&Request::new(&name)).map_err(words)?.create().map_err(words)?);
    let (location, directories) = (pod.location().clone(), pod.directories());
    let within = Within { name: &name, location: &location };
    let member = host.plan(&Request { within: Some(within), ..Request::new("it") }).map_err(words)?;
    member.create().map_err(words)?.location().remove().map_err(words)?;
    ensure!(directories.iter().all(|path| path.is_dir()), "it took the others' along");
    location.remove().map_err(words)?;
    match member.create() {
        Err(Error::Gone { .. }) => {}
        other => return Err(format!("made: {:?}", other.map(|made| made.location().clone()))),
    }
    ensure!(!directories.iter().any(|path| path.exists()), "made again: {location:?}");
    Ok(())
}

fn freezing() -> Outcome {
    freeze_and_thaw(&TestGroup::new(LIMITS)?)
}

/// This host without its v2 tree.
fn legacy_host() -> Result<Host, String> {
    let mut host = Host::detect().map_err(words)?;
    host.unified = None;
    ensure!(host.layout() == Layout::Legacy, "no version 1 here");
    Ok(host)
}

fn freezing_legacy() -> Outcome {
    freeze_and_thaw(&TestGroup::on(&legacy_host()?, LIMITS)?)
}

fn freeze_and_thaw(group: &TestGroup) -> Outcome {
    ensure!(group.frozen().map_err(words)? == Frozen::No, "frozen from birth");
    let shell = Shell::running("while :; do :; done", group)?;
    ensure!(group.processes().map_err(words)? == [shell.pid()], "wrong processes");
    for _ in 0..3 {
        group.freeze(FREEZE_PATIENCE).map_err(words)?;
        ensure!(group.frozen().map_err(words)? == Frozen::Yes, "not frozen");
        group.thaw().map_err(words)?;
        ensure!(group.frozen().map_err(words)? == Frozen::No, "not thawed");
    }
    Ok(())
}

fn fork_bomb() -> Outcome {
    bomb(TestGroup::new(LIMITS)?)
}

fn fork_bomb_legacy() -> Outcome {
    bomb(TestGroup::on(&legacy_host()?, LIMITS)?)
}

fn bomb(group: TestGroup) -> Outcome {
    let mut shell = Shell::running("f() { f & f & wait; }; while :; do f; done", &group)?;
    // It is at work when it has used up its tasks once.
    while group.processes().map_err(words)?.len() < 20 {
        std::thread::yield_now();
    }
    group.kill().map_err(words)?;
    group.remove_within(Duration::from_secs(10)).map_err(words)?;
    ensure!(!shell.wait()?.success(), "the bomb ended by itself");
    for directory in group.directories() {
        ensure!(!directory.exists(), "{} is still there", directory.display());
    }
    Ok(())
}

fn frozen_and_killed() -> Outcome {
    let group = TestGroup::new(LIMITS)?;
    let mut shell = Shell::running("exec sleep 1000", &group)?;
    group.freeze(FREEZE_PATIENCE).map_err(words)?;
    group.kill().map_err(words)?;
    ensure!(!shell.wait()?.success(), "it was not killed");
    group.remove_within(Duration::from_secs(5)).map_err(words)
}

fn nested() -> Outcome {
    let group = TestGroup::new("{}")?;
    let unified = group.location().unified.clone().ok_or("no v2 directory")?;
    let inner = unified.join("inner/most");
    std::fs::create_dir_all(&inner).map_err(words)?;
    let mut shell = Shell::waiting("exec sleep 1000")?;
    std::fs::write(inner.join("cgroup.procs"), shell.pid().to_string()).map_err(words)?;
    shell.go()?;
    ensure!(group.processes().map_err(words)? == [shell.pid()], "the inner process is not seen");
    group.freeze(FREEZE_PATIENCE).map_err(words)?;
    group.thaw().map_err(words)?;
    group.kill().map_err(words)?;
    group.remove_within(Duration::from_secs(5)).map_err(words)?;
    ensure!(!unified.exists(), "still there");
    Ok(())
}

fn busy() -> Outcome {
    let group = TestGroup::new(LIMITS)?;
    let shell = Shell::running("exec sleep 1000", &group)?;
    let error = match group.remove_within(Duration::ZERO) {
        Ok(()) => return Err("removed under a living process".into()),
        Err(error) => error,
    };
    ensure!(error.to_string().contains(&shell.pid().to_string()), "does not name the process: {error}");
    ensure!(error.remedy().is_some(), "no remedy");
    Ok(())
}

fn gone() -> Outcome {
    let location = {
        let group = TestGroup::new(LIMITS)?;
        group.location().clone()
    };
    let cgroup = Cgroup::open(&location).map_err(words)?;
    ensure!(cgroup.clone_into_fd().is_none(), "a descriptor of nothing");
    ensure!(cgroup.processes().map_err(words)?.is_empty(), "processes of nothing");
    ensure!(cgroup.frozen().map_err(words)? == Frozen::No, "nothing is frozen");
    ensure!(cgroup.stats().map_err(words)? == boxr_cgroup::Stats::default(), "figures of nothing");
    ensure!(matches!(cgroup.add(0), Err(Error::System { .. })), "joined nothing");
    cgroup.kill().map_err(words)?;
    cgroup.remove().map_err(words)
}

fn gone_legacy() -> Outcome {
    let location = TestGroup::on(&legacy_host()?, LIMITS)?.location().clone();
    Cgroup::open(&location).map_err(words)?.kill().map_err(words)
}
