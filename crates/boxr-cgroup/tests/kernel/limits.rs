//! Limits reach the kernel as they were asked for, can be changed, and work.

use boxr_cgroup::{Controller, DeviceDefaults, Error, Host, Request};

use crate::support::{Outcome, Shell, Test, TestGroup, ensure, resources, unique, words};

pub const TESTS: &[Test] = &[
    ("limits_are_in_force_before_anyone_joins", written),
    ("limits_can_be_changed", updated),
    ("a_limit_can_be_added_to_a_running_box", added_later),
    ("the_limit_of_tasks_holds", tasks),
    ("running_out_of_memory_is_seen", out_of_memory),
    ("a_cpuset_works_or_names_what_is_missing", cpuset),
    ("figures_are_true", figures),
    ("device_rules_hold_in_the_host's_layout", device_rules),
    ("device_rules_hold_as_a_program", device_program),
    ("any_accepted_memory_limit_runs_a_program", least_memory),
];

fn is_legacy(controller: Controller) -> Result<bool, String> {
    Ok(Host::detect().map_err(words)?.legacy.contains_key(&controller))
}

fn written() -> Outcome {
    let group = TestGroup::new(
        r#"{"memory":{"limit":67108864,"reservation":33554432},
            "cpu":{"quota":50000,"period":200000,"shares":2048},"pids":{"limit":77}}"#,
    )?;
    let pairs: &[(&str, &str, &str)] = if is_legacy(Controller::Memory)? {
        &[
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.soft_limit_in_bytes", "33554432"),
            ("cpu", "cpu.cfs_quota_us", "50000"),
            ("cpu", "cpu.cfs_period_us", "200000"),
            ("cpu", "cpu.shares", "2048"),
            ("pids", "pids.max", "77"),
        ]
    } else {
        &[
            ("memory", "memory.max", "67108864"),
            ("memory", "memory.low", "33554432"),
            ("cpu", "cpu.max", "50000 200000"),
            ("cpu", "cpu.weight", "174"),
            ("pids", "pids.max", "77"),
        ]
    };
    for (controller, file, expected) in pairs {
        let found = group.read(controller, file)?;
        ensure!(found == *expected, "{file} is {found}, not {expected}");
    }
    ensure!(group.processes().map_err(words)?.is_empty(), "somebody is in it already");
    Ok(())
}

fn updated() -> Outcome {
    let mut group = TestGroup::new(r#"{"memory":{"limit":67108864,"swap":134217728},"pids":{"limit":10}}"#)?;
    let legacy = is_legacy(Controller::Memory)?;
    let (limit, both) = if legacy {
        ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    } else {
        ("memory.max", "memory.swap.max")
    };
    // Up beyond the old limit of both, then down below it again.
    for (memory, swap) in [(268_435_456u64, 536_870_912u64), (33_554_432, 50_331_648)] {
        let json = format!(r#"{{"memory":{{"limit":{memory},"swap":{swap}}},"pids":{{"limit":20}}}}"#);
        group.0.update(&resources(&json), DeviceDefaults::None).map_err(words)?;
        let expected = if legacy { swap } else { swap - memory };
        ensure!(group.read("memory", limit)? == memory.to_string(), "limit was not set to {memory}");
        ensure!(group.read("memory", both)? == expected.to_string(), "swap was not set to {swap}");
    }
    ensure!(group.read("pids", "pids.max")? == "20", "pids.max was not changed");
    group.0.update(&resources(r#"{"memory":{"limit":-1}}"#), DeviceDefaults::None).map_err(words)?;
    let stats = group.stats().map_err(words)?;
    ensure!(stats.memory.is_some_and(|memory| memory.limit.is_none()), "the limit was not lifted");
    let refused = group.0.update(&resources(r#"{"memory":{"limit":1}}"#), DeviceDefaults::None);
    ensure!(matches!(refused, Err(Error::Invalid { .. })), "a limit of one byte was taken");
    Ok(())
}

fn added_later() -> Outcome {
    let mut group = TestGroup::new("{}")?;
    let shell = Shell::running("exec sleep 1000", &group)?;
    group
        .0
        .update(&resources(r#"{"pids":{"limit":33},"cpu":{"quota":20000}}"#), DeviceDefaults::None)
        .map_err(words)?;
    ensure!(group.read("pids", "pids.max")? == "33", "pids.max was not set");
    let cpu = if is_legacy(Controller::Cpu)? { "cpu.cfs_quota_us" } else { "cpu.max" };
    ensure!(group.read("cpu", cpu)?.starts_with("20000"), "quota was not set");
    for directory in group.directories() {
        ensure!(crate::support::is_in(shell.pid(), &directory), "not in {}", directory.display());
    }
    Ok(())
}

fn tasks() -> Outcome {
    let group = TestGroup::new(r#"{"pids":{"limit":3}}"#)?;
    let mut shell =
        Shell::running("(sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 &) && exit 0; exit 9", &group)?;
    let status = shell.wait()?;
    ensure!(!status.success(), "more tasks were started than allowed");
    let stats = group.stats().map_err(words)?.pids.ok_or("tasks are not counted")?;
    ensure!(stats.current <= 3 && stats.limit == Some(3), "{stats:?}");
    Ok(())
}

fn out_of_memory() -> Outcome {
    let group = TestGroup::new(r#"{"memory":{"limit":16777216,"swap":16777216}}"#)?;
    ensure!(group.oom_kills().map_err(words)? == Some(0), "killed before it began");
    let mut shell = Shell::running("exec tail /dev/zero", &group)?;
    let status = shell.wait()?;
    use std::os::unix::process::ExitStatusExt;
    ensure!(status.signal() == Some(9), "ended with {status}");
    ensure!(group.oom_killed().map_err(words)?, "the kill was not seen");
    Ok(())
}

fn cpuset() -> Outcome {
    let host = Host::detect().map_err(words)?;
    let asked = resources(r#"{"cpu":{"cpus":"0"}}"#);
    let name = unique();
    match host.plan(&Request { resources: Some(&asked), ..Request::new(&name) }) {
        Ok(_) => {}
        Err(error @ Error::Missing { controller: Controller::Cpuset, .. }) => {
            ensure!(error.to_string().contains("--cpuset-cpus"), "does not name the option: {error}");
            ensure!(error.remedy().is_some(), "no remedy: {error}");
            return Ok(());
        }
        Err(error) => return Err(error.to_string()),
    }
    let group = TestGroup::new(r#"{"cpu":{"cpus":"0"}}"#)?;
    let shell = Shell::running("exec sleep 1000", &group)?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", shell.pid())).map_err(words)?;
    ensure!(status.contains("Cpus_allowed_list:\t0\n"), "it may run elsewhere: {status}");
    let far = resources(r#"{"cpu":{"cpus":"0,4000"}}"#);
    let refused = host.plan(&Request { resources: Some(&far), ..Request::new(&name) });
    ensure!(matches!(refused, Err(Error::Invalid { .. })), "processor 4000 was accepted");
    Ok(())
}

fn figures() -> Outcome {
    let group =
        TestGroup::new(r#"{"memory":{"limit":268435456},"cpu":{"quota":100000},"pids":{"limit":50}}"#)?;
    let mut shell = Shell::running("i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done", &group)?;
    ensure!(shell.wait()?.success(), "the work failed");
    let stats = group.stats().map_err(words)?;
    let cpu = stats.cpu.ok_or("processor time is not counted")?;
    ensure!(cpu.total_ns > 1_000_000, "only {cpu:?} for a loop of 50000");
    ensure!(cpu.throttling.is_some(), "no throttling although there is a quota");
    let memory = stats.memory.ok_or("memory is not counted")?;
    ensure!(memory.limit == Some(268_435_456), "{memory:?}");
    ensure!(memory.max_usage.is_some_and(|most| most > 0 && most <= 268_435_456), "{memory:?}");
    let json = serde_json::to_string(&stats).map_err(words)?;
    let back: boxr_cgroup::Stats = serde_json::from_str(&json).map_err(words)?;
    ensure!(back.cpu == stats.cpu && back.pids == stats.pids, "JSON loses something");
    Ok(())
}

fn least_memory() -> Outcome {
    let limit = boxr_cgroup::MEMORY_MINIMUM;
    let group = TestGroup::new(&format!(r#"{{"memory":{{"limit":{limit}}}}}"#))?;
    let fd = group.clone_into_fd();
    match boxr_sys::clone::clone3(0, fd, boxr_sys::clone::Parent::Caller).map_err(words)? {
        boxr_sys::clone::Cloned::Child => {
            // In version 1 the process has to walk in.
            boxr_sys::clone::exit_now(if group.add_legacy(0).is_ok() { 7 } else { 8 });
        }
        boxr_sys::clone::Cloned::Parent { pidfd, .. } => {
            use std::os::fd::AsFd;
            let ended = boxr_sys::pidfd::reap(pidfd.as_fd(), true).map_err(words)?;
            ensure!(ended == Some(boxr_sys::pidfd::Ended::Code(7)), "ended with {ended:?}");
        }
    }
    ensure!(!group.oom_killed().map_err(words)?, "it was killed");
    Ok(())
}

fn device_rules() -> Outcome {
    let mut group = devices_on(&Host::detect().map_err(words)?)?;
    group.0.update(&resources(&rules("rw")), DeviceDefaults::None).map_err(words)?;
    let mut shell = Shell::running(": >/dev/zero || exit 5; (: </dev/full) && exit 6; exit 0", &group)?;
    let status = shell.wait()?;
    ensure!(status.success(), "rules were not changed: {status}");
    Ok(())
}

/// Device rules need nothing of the v2 tree but its being there, so that this runs on hybrid hosts too.
fn device_program() -> Outcome {
    let mut host = Host::detect().map_err(words)?;
    host.legacy.remove(&Controller::Devices);
    devices_on(&host).map(drop)
}

/// Everything is forbidden but null, and `zero` of zero.
fn rules(zero: &str) -> String {
    format!(
        r#"{{"devices":[{{"allow":false,"type":"a","access":"rwm"}},
            {{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"}},
            {{"allow":true,"type":"c","major":1,"minor":5,"access":"{zero}"}}]}}"#
    )
}

fn devices_on(host: &Host) -> Result<TestGroup, String> {
    let group = TestGroup::on(host, &rules("r"))?;
    let script = ": </dev/null >/dev/null || exit 1; : </dev/zero || exit 2; \
        (: >/dev/zero) && exit 3; (: </dev/full) && exit 4; exit 0";
    let mut shell = Shell::running(script, &group)?;
    let status = shell.wait()?;
    ensure!(status.success(), "rules do not hold: {status}");
    Ok(group)
}
