//! Containers of the OCI runtime: their places, what is made for them, and what is heard of them.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use boxr_cgroup::events::{Event, OomNews};
use boxr_cgroup::{Controller, Entrance, Error, FREEZE_PATIENCE, Host, Layout, Need, Place, Request};
use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::pidfd::{Ended, reap};

use crate::support::{Outcome, Shell, Test, TestGroup, ensure, is_in, resources, unique, words};

pub const TESTS: &[Test] = &[
    ("container::is_in_every_hierarchy", every_hierarchy),
    ("container::a_relative_path_is_beside_the_caller", relative),
    ("container::a_directory_that_was_made_for_it_is_used", prepared),
    ("container::a_failed_start_leaves_no_parents", no_parents),
    ("container::its_cgroup_is_handed_over", handed_over),
    ("container::enters_an_inner_cgroup", inner),
    ("container::its_figures_are_shown_as_runc_does", figures),
    ("container::a_lack_of_memory_is_heard", out_of_memory),
    ("container::its_end_is_heard", end_is_heard),
    ("container::takes_what_only_version_2_has_there_alone", unified_keys),
    ("container::threads_and_subgroups_are_killed_and_removed", threaded),
];

fn container(path: &Path, json: &str) -> Result<TestGroup, String> {
    let asked = resources(json);
    let request = Request { resources: Some(&asked), ..Request::container("c", Place::Path(path)) };
    made(&request)
}

fn made(request: &Request<'_>) -> Result<TestGroup, String> {
    let host = Host::detect().map_err(words)?;
    Ok(TestGroup(host.plan(request).map_err(words)?.create().map_err(words)?))
}

/// Makes a child in `group` as the runtime does, and has it end with what `work` says.
fn child(
    group: &TestGroup,
    work: impl FnOnce(Entrance) -> Result<u8, Error>,
) -> Result<Option<Ended>, String> {
    let entrance = group.entrance().map_err(words)?;
    match clone3(0, group.clone_into_fd(), Parent::Caller).map_err(words)? {
        Cloned::Child => exit_now(work(entrance).unwrap_or(99)),
        Cloned::Parent { pidfd, .. } => reap(pidfd.as_fd(), true).map_err(words),
    }
}

/// Whether this process is in a cgroup with this end in every hierarchy that /proc/self/cgroup shows.
fn in_all(name: &str) -> bool {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    !text.is_empty() && text.lines().all(|line| line.ends_with(name))
}

fn every_hierarchy() -> Outcome {
    let name = unique();
    let group = container(Path::new(&format!("/{name}")), "{}")?;
    let host = Host::detect().map_err(words)?;
    ensure!(group.location().legacy.len() == host.legacy.len(), "{:?}", group.location());
    let ended = child(&group, |mut entrance| {
        entrance.enter()?;
        Ok(u8::from(!in_all(&format!("/{name}"))))
    })?;
    ensure!(ended == Some(Ended::Code(0)), "it is not everywhere: {ended:?}");
    if host.layout() == Layout::Unified {
        // Whatever is offered is handed down, so that all can be counted.
        let leaf = group.location().unified.clone().ok_or("no v2 directory")?;
        let read = |path: &Path| std::fs::read_to_string(path.join("cgroup.controllers")).map_err(words);
        ensure!(read(&leaf)? == read(&host.unified.ok_or("no v2")?.mount)?, "a controller is missing");
    }
    Ok(())
}

fn relative() -> Outcome {
    let name = unique();
    let group = container(Path::new(&name), "{}")?;
    let host = Host::detect().map_err(words)?;
    let unified = host.unified.clone().ok_or("no v2")?;
    let beside =
        if unified.own == unified.mount { &unified.own } else { unified.own.parent().ok_or("no parent")? };
    ensure!(group.location().unified.as_deref() == Some(&beside.join(&name)), "{:?}", group.location());
    for (controller, hierarchy) in &host.legacy {
        let found = group.location().legacy.get(controller.legacy_name());
        ensure!(found == Some(&hierarchy.own.join(&name)), "{controller}: {found:?}");
    }
    Ok(())
}

fn prepared() -> Outcome {
    let path = PathBuf::from(format!("/{}", unique()));
    let first = container(&path, r#"{"pids":{"limit":55}}"#)?;
    // As a program that set a limit beforehand leaves it.
    let second = container(&path, r#"{"memory":{"limit":67108864}}"#)?;
    ensure!(second.read("pids", "pids.max")? == "55", "what was set is gone");
    first.freeze(FREEZE_PATIENCE).map_err(words)?;
    let host = Host::detect().map_err(words)?;
    let plan = host.plan(&Request::container("c", Place::Path(&path))).map_err(words)?;
    let refused = plan.create();
    ensure!(matches!(refused, Err(Error::Frozen { .. })), "a frozen cgroup was used: {refused:?}");
    first.thaw().map_err(words)?;
    let shell = Shell::running("exec sleep 1000", &first)?;
    let refused = plan.create();
    ensure!(matches!(refused, Err(Error::Exists { .. })), "a living cgroup was used: {refused:?}");
    ensure!(first.processes().map_err(words)? == [shell.pid()], "the refused start disturbed it");
    Ok(())
}

fn no_parents() -> Outcome {
    let top = unique();
    let json = r#"{"blockIO":{"throttleReadBpsDevice":[{"major":250,"minor":250,"rate":1000}]}}"#;
    let refused = container(&PathBuf::from(format!("/{top}/middle/box")), json);
    ensure!(refused.is_err(), "a limit for a device that is not there was taken");
    let host = Host::detect().map_err(words)?;
    for hierarchy in host.legacy.values().chain(&host.unified) {
        let left = hierarchy.mount.join(&top);
        ensure!(!left.exists(), "left behind: {}", left.display());
    }
    Ok(())
}

fn handed_over() -> Outcome {
    use std::os::unix::fs::MetadataExt;
    let path = PathBuf::from(format!("/{}", unique()));
    let group = made(&Request { owner: Some((1000, 1001)), ..Request::container("c", Place::Path(&path)) })?;
    let leaf = group.location().unified.clone().ok_or("no v2 directory")?;
    for (name, owner) in
        [("", 1000), ("cgroup.procs", 1000), ("cgroup.subtree_control", 1000), ("cgroup.freeze", 0)]
    {
        let meta = std::fs::metadata(leaf.join(name)).map_err(words)?;
        ensure!(meta.uid() == owner, "{name:?} belongs to {}", meta.uid());
    }
    Ok(())
}

fn inner() -> Outcome {
    let path = PathBuf::from(format!("/{}", unique()));
    let annotations = HashMap::from([("run.oci.delegate-cgroup".to_owned(), "inner".to_owned())]);
    let group =
        made(&Request { annotations: Some(&annotations), ..Request::container("c", Place::Path(&path)) })?;
    let leaf = group.location().unified.clone().ok_or("no v2 directory")?;
    let ended = child(&group, |mut entrance| {
        let me = || rustix::process::getpid().as_raw_nonzero().get();
        entrance.enter()?;
        let first = is_in(me(), &leaf);
        entrance.find_inner()?;
        entrance.enter_inner()?;
        Ok(u8::from(!(first && is_in(me(), &leaf.join("inner")))))
    })?;
    ensure!(ended == Some(Ended::Code(0)), "it is elsewhere: {ended:?}");
    for name in ["a/b", "..", "."] {
        let annotations = HashMap::from([("run.oci.delegate-cgroup".to_owned(), name.to_owned())]);
        let request =
            Request { annotations: Some(&annotations), ..Request::container("c", Place::Path(&path)) };
        let refused = Host::detect().map_err(words)?.plan(&request);
        ensure!(matches!(refused, Err(Error::BadAnnotation { .. })), "{name} was taken: {refused:?}");
    }
    Ok(())
}

fn figures() -> Outcome {
    let path = PathBuf::from(format!("/{}", unique()));
    let group = container(&path, r#"{"memory":{"limit":268435456},"pids":{"limit":50}}"#)?;
    // A megabyte stays in the shell, so that it is more than the kernel counts in bulk.
    let script = "x=$(head -c 1000000 /dev/zero | tr '\\000' a); i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done; \
        exec sleep 1000";
    let shell = Shell::running(script, &group)?;
    let comm = format!("/proc/{}/comm", shell.pid());
    while std::fs::read_to_string(&comm).map_err(words)? != "sleep\n" {
        std::thread::yield_now();
    }
    let stats = group.container_stats().map_err(words)?;
    let event = serde_json::to_value(Event::Stats { id: "c", data: &stats }).map_err(words)?;
    let at = |pointer: &str| event.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default();
    ensure!(at("/data/memory/usage/limit") == 268_435_456, "{event}");
    ensure!(at("/data/memory/usage/max").max(at("/data/memory/usage/usage")) > 0, "{event}");
    ensure!(event.pointer("/data/memory/raw/pgfault").is_some(), "{event}");
    ensure!(at("/data/memory/swap/limit") >= 268_435_456, "{event}");
    ensure!(at("/data/pids/limit") == 50 && at("/data/pids/current") == 1, "{event}");
    ensure!(at("/data/cpu/usage/total") > 0, "{event}");
    let legacy = Host::detect().map_err(words)?.legacy.contains_key(&Controller::Cpuset);
    ensure!(event.pointer("/data/cpuset/cpus").is_some() == legacy, "{event}");
    ensure!(event.pointer("/data/network_interfaces") == Some(&serde_json::Value::Null), "{event}");
    Ok(())
}

fn out_of_memory() -> Outcome {
    let path = PathBuf::from(format!("/{}", unique()));
    let group = container(&path, r#"{"memory":{"limit":16777216,"swap":16777216}}"#)?;
    let keeper = Shell::running("exec sleep 1000", &group)?;
    let mut watch = group.watch_oom().map_err(words)?;
    ensure!(watch.news().map_err(words)? == OomNews::Nothing, "news of nothing");
    let mut hog = Shell::running("tail /dev/zero; exit 3", &group)?;
    ensure!(watch.wait().map_err(words)? == OomNews::OutOfMemory, "not the right news");
    hog.wait()?;
    drop(keeper);
    ensure!(group.oom_killed().map_err(words)?, "not counted");
    Ok(())
}

fn end_is_heard() -> Outcome {
    let path = PathBuf::from(format!("/{}", unique()));
    let group = container(&path, "{}")?;
    let keeper = Shell::running("exec sleep 1000", &group)?;
    let mut watch = group.watch_oom().map_err(words)?;
    ensure!(watch.news().map_err(words)? == OomNews::Nothing, "news of nothing");
    drop(keeper);
    group.remove_within(std::time::Duration::from_secs(5)).map_err(words)?;
    ensure!(watch.wait().map_err(words)? == OomNews::Gone, "not the right news");
    ensure!(group.watch_oom().is_err(), "what is gone is watched");
    Ok(())
}

fn unified_keys() -> Outcome {
    let host = Host::detect().map_err(words)?;
    let path = PathBuf::from(format!("/{}", unique()));
    let asked = resources(r#"{"unified":{"memory.high":"50000000","pids.max":"44"}}"#);
    let request = Request { resources: Some(&asked), ..Request::container("c", Place::Path(&path)) };
    if host.legacy.contains_key(&Controller::Memory) {
        let refused = host.plan(&request);
        ensure!(
            matches!(&refused, Err(error @ Error::Unsupported { .. }) if error.to_string().contains("memory.high")),
            "{refused:?}"
        );
        return Ok(());
    }
    let group = TestGroup(host.plan(&request).map_err(words)?.create().map_err(words)?);
    ensure!(group.read("pids", "pids.max")? == "44", "pids.max was not set");
    // The kernel keeps whole pages.
    ensure!(group.read("memory", "memory.high")? == (50_000_000 / 4096 * 4096).to_string(), "memory.high");
    Ok(())
}

/// What a container does that manages cgroups itself: some of threads, some frozen, some deep.
fn threaded() -> Outcome {
    let path = PathBuf::from(format!("/{}", unique()));
    let group = made(&Request { need: Need::Required, ..Request::container("c", Place::Path(&path)) })?;
    let leaf = group.location().unified.clone().ok_or("no v2 directory")?;
    for directory in ["domain", "domain/threads", "deep/er/still", "frozen"] {
        std::fs::create_dir_all(leaf.join(directory)).map_err(words)?;
    }
    std::fs::write(leaf.join("domain/threads/cgroup.type"), "threaded").map_err(words)?;
    let mut shells = Vec::new();
    for (procs, threads) in [("domain", Some("domain/threads")), ("deep/er/still", None), ("frozen", None)] {
        let mut shell = Shell::waiting("exec sleep 1000")?;
        let pid = shell.pid().to_string();
        std::fs::write(leaf.join(procs).join("cgroup.procs"), &pid).map_err(words)?;
        if let Some(threads) = threads {
            std::fs::write(leaf.join(threads).join("cgroup.threads"), &pid).map_err(words)?;
        }
        shell.go()?;
        shells.push(shell);
    }
    std::fs::write(leaf.join("frozen/cgroup.freeze"), "1").map_err(words)?;
    let mut found = group.processes().map_err(words)?;
    found.sort_unstable();
    let mut expected: Vec<_> = shells.iter().map(Shell::pid).collect();
    expected.sort_unstable();
    ensure!(found == expected, "{found:?} are not {expected:?}");
    group.kill().map_err(words)?;
    for shell in &mut shells {
        ensure!(!shell.wait()?.success(), "it was not killed");
    }
    group.remove_within(std::time::Duration::from_secs(5)).map_err(words)?;
    ensure!(!leaf.exists(), "still there");
    Ok(())
}
