//! Where cgroups go, what is refused, and that a failure leaves nothing.

use std::path::{Path, PathBuf};

use boxr_cgroup::{Accounting, Cgroup, Error, Host, Need, Place, Request};

use crate::support::{Outcome, Shell, Test, TestGroup, ensure, resources, unique, words};

pub const TESTS: &[Test] = &[
    ("a_refused_write_leaves_nothing", rolled_back),
    ("a_leftover_is_replaced_and_a_living_one_refused", leftover),
    ("many_at_once", concurrent),
    ("an_explicit_path", explicit),
    ("figures_without_limits", accounting),
    ("a_missing_controller_is_named", missing_controller),
    ("plans_change_nothing", plan_changes_nothing),
];

/// What needs no privilege.
pub const ANYONE: &[Test] =
    &[("bad_paths_are_refused", bad_paths), ("without_a_cgroup_if_need_be", optional)];

/// All directories of all hierarchies whose name is `name`.
fn everywhere(host: &Host, name: &str) -> Vec<PathBuf> {
    let hierarchies = host.legacy.values().chain(&host.unified);
    let places = hierarchies.flat_map(|h| [h.mount.join("boxr").join(name), h.own.join("boxr").join(name)]);
    places.filter(|path| path.exists()).collect()
}

fn rolled_back() -> Outcome {
    let host = Host::detect().map_err(words)?;
    let name = unique();
    // No such device: the kernel finds out when the value is written.
    let asked = resources(
        r#"{"memory":{"limit":67108864},
            "blockIO":{"throttleReadBpsDevice":[{"major":250,"minor":250,"rate":1000}]}}"#,
    );
    let plan = host.plan(&Request { resources: Some(&asked), ..Request::new(&name) }).map_err(words)?;
    let error = match plan.create() {
        Ok(_) => return Err("a limit for a device that is not there was taken".into()),
        Err(error) => error,
    };
    ensure!(error.to_string().contains("--device-read-bps"), "does not name the option: {error}");
    let left = everywhere(&host, &name);
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

fn leftover() -> Outcome {
    let host = Host::detect().map_err(words)?;
    let first = TestGroup::new(r#"{"pids":{"limit":5}}"#)?;
    let name = first.location().unified.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    let name = name.ok_or("no name")?.to_owned();
    let asked = resources(r#"{"memory":{"limit":67108864},"pids":{"limit":9}}"#);
    let request = Request { resources: Some(&asked), ..Request::new(&name) };
    // Its owner crashed: nobody is in it.
    let second = TestGroup(host.plan(&request).map_err(words)?.create().map_err(words)?);
    ensure!(second.read("pids", "pids.max")? == "9", "an old limit stayed in force");
    let shell = Shell::running("exec sleep 1000", &second)?;
    match host.plan(&request).map_err(words)?.create() {
        Err(error @ Error::Exists { .. }) => {
            ensure!(error.to_string().contains(&shell.pid().to_string()), "{error}");
        }
        other => return Err(format!("a living cgroup was taken over: {other:?}")),
    }
    ensure!(second.processes().map_err(words)? == [shell.pid()], "the refused start disturbed it");
    Ok(())
}

/// Boxes share parents, which the last one takes along: nobody may trip over that.
fn concurrent() -> Outcome {
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make_and_remove)).collect();
    let mut outcome = Ok(());
    for thread in threads {
        outcome = outcome.and(thread.join().unwrap_or_else(|_| Err("panicked".into())));
    }
    outcome
}

fn make_and_remove() -> Outcome {
    let asked = resources(r#"{"memory":{"limit":67108864},"pids":{"limit":9}}"#);
    let host = Host::detect().map_err(words)?;
    for _ in 0..30 {
        let name = unique();
        let plan = host.plan(&Request { resources: Some(&asked), ..Request::new(&name) }).map_err(words)?;
        let group = plan.create().map_err(words)?;
        group.remove().map_err(words)?;
    }
    Ok(())
}

fn explicit() -> Outcome {
    let host = Host::detect().map_err(words)?;
    let top = unique();
    let path = PathBuf::from(format!("/{top}/middle/box"));
    let asked = resources(r#"{"memory":{"limit":67108864}}"#);
    let request = Request { resources: Some(&asked), place: Place::Path(&path), ..Request::new("ignored") };
    let group = TestGroup(host.plan(&request).map_err(words)?.create().map_err(words)?);
    let directories = group.directories();
    ensure!(
        directories.iter().all(|directory| directory.ends_with(&path.to_string_lossy()[1..])),
        "{directories:?}"
    );
    let hierarchies: Vec<_> = host.legacy.values().chain(&host.unified).collect();
    let limit =
        group.read("memory", "memory.max").or_else(|_| group.read("memory", "memory.limit_in_bytes"))?;
    drop(group);
    for hierarchy in hierarchies {
        for part in ["middle", ""] {
            let directory = hierarchy.mount.join(&top).join(part);
            if directory.exists() {
                std::fs::remove_dir(&directory).map_err(words)?;
            }
        }
    }
    ensure!(limit == "67108864", "the limit is {limit}");
    Ok(())
}

fn accounting() -> Outcome {
    let host = Host::detect().map_err(words)?;
    let name = unique();
    let request = Request { accounting: Accounting::Full, ..Request::new(&name) };
    let group = TestGroup(host.plan(&request).map_err(words)?.create().map_err(words)?);
    let mut shell = Shell::running("exit 3", &group)?;
    ensure!(shell.wait()?.code() == Some(3), "wrong status");
    let stats = group.stats().map_err(words)?;
    ensure!(
        stats.memory.is_some() && stats.cpu.is_some() && stats.pids.is_some() && stats.io.is_some(),
        "{stats:?}"
    );
    Ok(())
}

fn missing_controller() -> Outcome {
    let mut host = Host::detect().map_err(words)?;
    host.legacy.clear();
    let name = unique();
    let asked = resources(r#"{"rdma":{"mlx5_0":{"hcaHandles":3}}}"#);
    match host.plan(&Request { resources: Some(&asked), ..Request::new(&name) }) {
        Err(error @ Error::Missing { .. }) => {
            ensure!(error.to_string().contains("rdma"), "{error}");
            ensure!(error.remedy().is_some(), "no remedy: {error}");
            Ok(())
        }
        other => Err(format!("not refused: {other:?}")),
    }
}

fn plan_changes_nothing() -> Outcome {
    let host = Host::detect().map_err(words)?;
    let name = unique();
    let asked = resources(r#"{"memory":{"limit":67108864},"cpu":{"quota":50000}}"#);
    let plan = host.plan(&Request { resources: Some(&asked), ..Request::new(&name) }).map_err(words)?;
    let text = plan.describe().join("\n");
    ensure!(text.contains("64 MiB") && text.contains("0.5 of a processor") && text.contains(&name), "{text}");
    let made = everywhere(&host, &name);
    ensure!(made.is_empty(), "made by a plan: {made:?}");
    Ok(())
}

fn bad_paths() -> Outcome {
    let host = Host::detect().map_err(words)?;
    for name in ["", "a/b", "..", ".hidden", "a\nb", &"x".repeat(300)] {
        let refused = host.plan(&Request::new(name));
        ensure!(matches!(refused, Err(Error::BadPath { .. })), "the name {name:?} was accepted");
    }
    for path in ["/", "/a/../../b", ".", "../x"] {
        let refused = host.plan(&Request { place: Place::Path(Path::new(path)), ..Request::new("x") });
        ensure!(matches!(refused, Err(Error::BadPath { .. })), "the path {path:?} was accepted");
    }
    Ok(())
}

fn optional() -> Outcome {
    let host = Host::default();
    let plan = host.plan(&Request { need: Need::IfPossible, ..Request::new("x") }).map_err(words)?;
    ensure!(plan.is_empty() && plan.describe().len() == 1, "{plan:?}");
    let empty: Cgroup = plan.create().map_err(words)?;
    empty.add(0).map_err(words)?;
    empty.remove().map_err(words)?;
    ensure!(
        matches!(host.plan(&Request::new("x")), Err(Error::NotMounted)),
        "required, and nothing is mounted"
    );
    let asked = resources(r#"{"memory":{"limit":67108864}}"#);
    let refused =
        host.plan(&Request { need: Need::IfPossible, resources: Some(&asked), ..Request::new("x") });
    ensure!(matches!(refused, Err(Error::Missing { .. })), "a limit that nobody enforces: {refused:?}");
    Ok(())
}
