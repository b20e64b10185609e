//! `linux.seccomp`: filters on containers, and agents that answer for them.

use boxr_sys::seccomp_listener::{Answer, Notification};
use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::life::{BUSYBOX, delete_when_stopped, state};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_refused_call_fails_with_its_errno, BUSYBOX),
    test!(arguments_decide, BUSYBOX),
    test!(a_forbidden_call_kills, BUSYBOX),
    test!(other_users_are_filtered_without_no_new_privs, BUSYBOX, Need::Root),
    test!(no_right_is_left_over, BUSYBOX, Need::Root),
    test!(exec_is_filtered_too, BUSYBOX),
    test!(a_filter_is_compiled_once, BUSYBOX),
    test!(a_command_that_is_not_there_is_told_under_a_filter, BUSYBOX),
    test!(a_wrong_profile_is_refused, BUSYBOX),
    test!(an_agent_answers, BUSYBOX),
    test!(an_agent_answers_what_the_runtime_calls_last, BUSYBOX),
    test!(an_agent_is_told_by_start, BUSYBOX),
    test!(an_agent_answers_for_exec, BUSYBOX),
    test!(without_its_agent_nothing_starts, BUSYBOX),
    test!(dockers_profile_lets_through_what_runc_does, BUSYBOX, Need::Root, Need::Tool(Tool::Runc)),
];

/// A profile that allows what it does not name.
fn profile(entries: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": entries})
}

/// A bundle whose command runs under `seccomp`.
#[track_caller]
fn bundle<'t>(t: &'t Sandbox, script: &str, seccomp: Value) -> Bundle<'t> {
    Bundle::new(t, "b", script).with(|config| config["linux"]["seccomp"] = seccomp)
}

/// Makes room for another bundle.
#[track_caller]
fn discard(t: &Sandbox) {
    if t.path("b").exists() {
        std::fs::remove_dir_all(t.path("b")).unwrap();
    }
}

/// `mkdir` and its kin.
fn mkdir(more: Value) -> Value {
    let mut entry = json!({"names": ["mkdir", "mkdirat"]});
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entry
}

fn a_refused_call_fails_with_its_errno(t: &Sandbox) {
    let refuse = profile(json!([mkdir(json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 28}))]));
    let out = bundle(t, "mkdir /tmp/x; ls /tmp; exit 3", refuse).run("blue").run().exits(3).prints("");
    out.blames("mkdir: can't create directory '/tmp/x': No space left on device");
    assert_nothing_left(t);
}

fn arguments_decide(t: &Sandbox) {
    let refuse = profile(json!([{
        "names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO",
        // Set-user-id, and nothing else that matters here.
        "args": [{"index": 1, "value": 0o4000, "valueTwo": 0o4000, "op": "SCMP_CMP_MASKED_EQ"}],
    }]));
    let script = "touch /tmp/f; chmod 700 /tmp/f && chmod 4700 /tmp/f; stat -c %a /tmp/f; rm /tmp/f";
    let out = bundle(t, script, refuse).run("blue").run().ok().prints("700\n");
    out.blames("Operation not permitted");
    assert_nothing_left(t);
}

fn a_forbidden_call_kills(t: &Sandbox) {
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
        discard(t);
        let kill = profile(json!([mkdir(json!({"action": action}))]));
        // 128 + SIGSYS
        bundle(t, "mkdir /tmp/x; echo $?", kill).run("blue").run().ok().prints("159\n");
    }
    assert_nothing_left(t);
}

fn other_users_are_filtered_without_no_new_privs(t: &Sandbox) {
    let refuse = profile(json!([mkdir(json!({"action": "SCMP_ACT_ERRNO"}))]));
    let script = "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; mkdir /tmp/x 2>/dev/null || echo refused";
    for no_new_privileges in [false, true] {
        discard(t);
        let bundle = bundle(t, script, refuse.clone()).with(|config| {
            config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        });
        let expected = format!("NoNewPrivs:\t{}\nSeccomp:\t2\nrefused\n", u8::from(no_new_privileges));
        bundle.run("blue").run().ok().prints(&expected);
    }
    assert_nothing_left(t);
}

/// The right to load a filter without no_new_privs is given up with it.
fn no_right_is_left_over(t: &Sandbox) {
    let refuse = profile(json!([mkdir(json!({"action": "SCMP_ACT_ERRNO"}))]));
    let script = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status";
    let of = |seccomp: Option<Value>, uid: u32, capabilities: Option<Value>| {
        discard(t);
        let bundle = Bundle::new(t, "b", script).with(|config| {
            let process = config["process"].as_object_mut().unwrap();
            process.insert("noNewPrivileges".into(), json!(false));
            process.insert("user".into(), json!({"uid": uid, "gid": uid}));
            match capabilities {
                Some(sets) => process.insert("capabilities".into(), sets),
                None => process.remove("capabilities"),
            };
            if let Some(seccomp) = seccomp {
                config["linux"]["seccomp"] = seccomp;
            }
        });
        bundle.run("blue").run().ok().text()
    };
    let some = json!(["CAP_CHOWN", "CAP_KILL"]);
    let sets =
        json!({"bounding": some, "effective": some, "permitted": some, "inheritable": some, "ambient": some});
    for uid in [0, 1000] {
        for capabilities in [Some(sets.clone()), Some(json!({})), None] {
            let without = of(None, uid, capabilities.clone());
            assert_eq!(of(Some(refuse.clone()), uid, capabilities), without, "user {uid}");
        }
    }
    assert_nothing_left(t);
}

fn exec_is_filtered_too(t: &Sandbox) {
    let refuse = profile(json!([mkdir(json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 28}))]));
    bundle(t, "exec sleep 1000", refuse).create("blue");
    oci(t, ["start", "blue"]).run().ok();
    oci(t, ["exec", "blue", "mkdir", "/tmp/x"]).run().exits(1).blames("No space left on device");
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_filter_is_compiled_once(t: &Sandbox) {
    let refuse = profile(json!([mkdir(json!({"action": "SCMP_ACT_ERRNO"}))]));
    let bundle = bundle(t, "mkdir /tmp/x 2>/dev/null || echo refused", refuse);
    let stored = || {
        let entries = std::fs::read_dir(t.layout().state.join("@seccomp")).unwrap();
        entries
            .map(|entry| std::os::unix::fs::MetadataExt::ino(&entry.unwrap().metadata().unwrap()))
            .collect()
    };
    bundle.run("blue").run().ok().prints("refused\n");
    let first: Vec<u64> = stored();
    assert_eq!(first.len(), 1);
    bundle.run("blue").run().ok().prints("refused\n");
    assert_eq!(stored(), first, "it was not written again");
    assert_nothing_left(t);
}

fn a_command_that_is_not_there_is_told_under_a_filter(t: &Sandbox) {
    // Not even the reason can be sent.
    let silent =
        profile(json!([{"names": ["sendmsg", "sendto", "write"], "action": "SCMP_ACT_KILL_PROCESS"}]));
    let bundle = bundle(t, "", silent).with(|config| config["process"]["args"] = json!(["no-such-command"]));
    bundle.run("blue").run().exits(1).blames("no-such-command");
    assert_nothing_left(t);
}

fn a_wrong_profile_is_refused(t: &Sandbox) {
    let wrong = [
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "linux.seccomp.defaultAction"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}), "linux.seccomp.defaultErrnoRet"),
        (json!({"defaultAction": "SCMP_ACT_NOPE"}), "SCMP_ACT_NOPE"),
        (profile(json!([mkdir(json!({"action": "SCMP_ACT_NOTIFY"}))])), "linux.seccomp.listenerPath"),
        (
            profile(json!([mkdir(json!({"action": "SCMP_ACT_LOG",
                "args": [{"index": 9, "value": 0, "op": "SCMP_CMP_EQ"}]}))])),
            "linux.seccomp.syscalls[0].args[0].index",
        ),
    ];
    for (seccomp, field) in wrong {
        discard(t);
        bundle(t, "true", seccomp).run("blue").run().exits(1).blames(field);
        assert_nothing_left(t);
    }
}

/// A profile that puts calls to the agent.
fn notify(agent: &Agent, names: &[&str]) -> Value {
    let mut profile = profile(json!([{"names": names, "action": "SCMP_ACT_NOTIFY"}]));
    profile["listenerPath"] = json!(agent.path);
    profile["listenerMetadata"] = json!("some words");
    profile
}

fn an_agent_answers(t: &Sandbox) {
    let agent = Agent::start(t, "agent", |_| Answer::Error(Errno::NOSPC));
    let seccomp = notify(&agent, &["mkdir", "mkdirat"]);
    let bundle = bundle(t, "mkdir /tmp/x; exit 3", seccomp);
    bundle.run("blue").run().exits(3).blames("No space left on device");
    let seen = agent.finish();
    assert_eq!(seen.calls.len(), 1, "{:?}", seen.calls);
    let message = seen.message;
    assert_eq!(message["fds"], json!(["seccompFd"]));
    assert_eq!(message["metadata"], "some words");
    assert_eq!(message["ociVersion"], message["state"]["ociVersion"]);
    assert_eq!(message["pid"], message["state"]["pid"]);
    assert!(message["pid"].as_i64().unwrap() > 1);
    assert_eq!((&message["state"]["id"], &message["state"]["status"]), (&json!("blue"), &json!("creating")));
    assert_eq!(message["state"]["bundle"], bundle.path());
    assert_nothing_left(t);
}

/// None of these may be called before the agent has the listener: it would never be answered.
fn an_agent_answers_what_the_runtime_calls_last(t: &Sandbox) {
    const LAST: &[&str] = &[
        "execve",
        "capset",
        "prctl",
        "close",
        "close_range",
        "sendmsg",
        "recvmsg",
        "futex",
        "nanosleep",
        "clock_nanosleep",
        "sched_yield",
        "munmap",
        "madvise",
        "openat",
        "exit_group",
        "rt_sigprocmask",
    ];
    for no_new_privileges in [false, true] {
        discard(t);
        let name = format!("agent-{no_new_privileges}");
        let agent = Agent::start(t, &name, |_: &Notification| Answer::Continue);
        let bundle = bundle(t, "echo hello", notify(&agent, LAST))
            .with(|config| config["process"]["noNewPrivileges"] = json!(no_new_privileges));
        bundle.run("blue").run().ok().prints("hello\n");
        assert!(!agent.finish().calls.is_empty());
    }
    assert_nothing_left(t);
}

fn an_agent_is_told_by_start(t: &Sandbox) {
    let agent = Agent::start(t, "agent", |_| Answer::Value(0));
    let seccomp = notify(&agent, &["mkdir", "mkdirat"]);
    bundle(t, "mkdir /tmp/not-really && echo done > /tmp/done; ls /tmp > /tmp/list", seccomp).create("blue");
    let pid = state(t, "blue")["pid"].clone();
    oci(t, ["start", "blue"]).run().ok();
    let seen = agent.finish();
    assert_eq!(seen.message["pid"], pid);
    assert_eq!(seen.calls.len(), 1);
    delete_when_stopped(t, "blue");
    let list = std::fs::read_to_string(t.path("shared-root/tmp/list")).unwrap();
    assert_eq!(list, "done\nlist\n", "it was told so, but nothing was made");
}

fn an_agent_answers_for_exec(t: &Sandbox) {
    let first = Agent::start(t, "agent", |_| Answer::Continue);
    let seccomp = notify(&first, &["mkdir", "mkdirat"]);
    bundle(t, "exec sleep 1000", seccomp).create("blue");
    oci(t, ["start", "blue"]).run().ok();
    std::fs::remove_file(&first.path).unwrap();
    let second = Agent::start(t, "agent", |_| Answer::Error(Errno::NOSPC));
    oci(t, ["exec", "blue", "mkdir", "/tmp/x"]).run().exits(1).blames("No space left on device");
    let seen = second.finish();
    assert_eq!(seen.message["state"]["status"], "running");
    assert_eq!(seen.calls.len(), 1);
    oci(t, ["delete", "-f", "blue"]).run().ok();
    assert!(first.finish().calls.is_empty());
    assert_nothing_left(t);
}

fn without_its_agent_nothing_starts(t: &Sandbox) {
    let mut seccomp = profile(json!([mkdir(json!({"action": "SCMP_ACT_NOTIFY"}))]));
    seccomp["listenerPath"] = json!(t.path("nobody"));
    let bundle = bundle(t, "echo started > /tmp/started", seccomp);
    let nobody = t.path("nobody");
    bundle.run("blue").run().exits(1).blames(nobody.to_str().unwrap());
    assert_nothing_left(t);
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().exits(1).blames(nobody.to_str().unwrap());
    assert_eq!(state(t, "blue")["status"], "created", "it can be started when the agent is there");
    assert!(!t.path("shared-root/tmp/started").exists());
    let agent = Agent::start(t, "nobody", |_| Answer::Continue);
    oci(t, ["start", "blue"]).run().ok();
    agent.finish();
    wait_until("the command has run", || t.path("shared-root/tmp/started").exists());
    delete_when_stopped(t, "blue");
}

/// The same bundle through both: the same words.
fn dockers_profile_lets_through_what_runc_does(t: &Sandbox) {
    let docker = include_str!("../../../boxr-seccomp/tests/data/docker.json");
    let script = "exec 2>&1; mkdir /tmp/d && rm -r /tmp/d && echo made; busybox unshare -m true; \
        busybox mount -t tmpfs none /tmp; busybox swapon /tmp; busybox chroot / true && echo chrooted; \
        busybox setarch linux32 true && echo set; busybox nsenter -t 1 -n true; busybox dmesg -c; \
        echo $(echo piped | cat); grep Seccomp: /proc/self/status";
    let bundle = bundle(t, script, serde_json::from_str(docker).unwrap()).with(|config| {
        let all = json!(["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_CHOWN"]);
        config["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
        config["process"]["noNewPrivileges"] = json!(false);
    });
    let ours = bundle.run("blue").run().text();
    assert!(ours.contains("Operation not permitted") && ours.ends_with("Seccomp:\t2\n"), "{ours}");
    let runc = boxr_testing::Cmd::new("runc").args(["--root".as_ref(), t.path("runc").as_os_str()]).args([
        "run",
        "--bundle",
        bundle.path(),
        "green",
    ]);
    runc.run().prints(&ours);
    assert_nothing_left(t);
}
