//! The same bundle through boxr-oci, runc and crun: what a process of the container sees, and how it ends.

use std::collections::BTreeSet;
use std::path::PathBuf;

use boxr_testing::{Cmd, Need, Output, Sandbox, Test, Tool, test, wait_until};
use serde_json::{Value, json};

use crate::bundle::{Bundle, assert_nothing_left};
use crate::life::BUSYBOX;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_process_sees_what_it_sees_with_runc, BUSYBOX, RUNC, Need::Root; deadline 120),
    test!(a_process_sees_what_it_sees_with_crun, BUSYBOX, CRUN, Need::Root; deadline 120),
    test!(mistakes_end_as_with_runc, BUSYBOX, RUNC, Need::Root; deadline 120),
    test!(answers_have_the_keys_of_runc, BUSYBOX, RUNC, Need::Root),
];

const RUNC: Need = Need::Tool(Tool::Runc);
const CRUN: Need = Need::Tool(Tool::Crun);

const ID: &str = "blue";

/// A runtime, with a directory for its state.
struct Runtime<'t> {
    t: &'t Sandbox,
    program: PathBuf,
    root: PathBuf,
}

impl<'t> Runtime<'t> {
    fn boxr(t: &'t Sandbox) -> Self {
        Self { t, program: t.program().to_owned(), root: t.layout().state.clone() }
    }

    fn peer(t: &'t Sandbox, tool: Tool) -> Self {
        Self { t, program: tool.path().unwrap(), root: t.path(tool.program()) }
    }

    /// `RUNTIME ARGS…`, in a view of cgroups with version 2 alone: crun wants no other that has controllers.
    fn command(&self, args: &[&str]) -> Cmd {
        self.command_by(&[], args)
    }

    /// The same, started by these words.
    fn command_by(&self, by: &[&str], args: &[&str]) -> Cmd {
        let script = r#"mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@""#;
        self.t
            .surrounded(Cmd::new("unshare"))
            .args(["--mount", "--", "sh", "-c", script, "sh"])
            .args(by)
            .arg(&self.program)
            .args(["--root".as_ref(), self.root.as_os_str()])
            .args(args)
    }

    #[track_caller]
    fn run(&self, bundle: &Bundle<'_>) -> Output {
        bundle.place(ID);
        let out = self.command(&["run", "--bundle", bundle.path(), ID]).run();
        // crun keeps some whose command could not be executed.
        self.command(&["delete", "--force", ID]).run();
        out
    }
}

/// What the container's process tells of itself. Left out is what each runtime may choose: the order and the
/// source of mounts, by what paths are masked, and a link to the kernel's memory.
const LOOK: &str = r#"
    echo "status $(grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Umask):' /proc/self/status)"
    cat /proc/self/limits /proc/self/oom_score_adj
    env | sort; pwd; hostname; umask
    ls -l /dev | sed 's/ [A-Z][a-z][a-z] .*:[0-9]* / /' | grep -v -e core -e total
    cut -d' ' -f 5,6 /proc/self/mountinfo | grep -v -e '^/sys/fs/cgroup' -e "^\($(echo $MASKED | sed 's/ /\\|/g')\) " | sort
    for path in $MASKED; do
        if [ -d $path ]; then echo "$path: $(ls -A $path | wc -l) entries"
        elif [ -e $path ]; then echo "$path: $(head -c 1 $path | wc -c) bytes"; fi
    done
    for kind in mnt pid net ipc uts cgroup user; do
        [ "$(readlink /proc/self/ns/$kind)" = "$(eval echo \$HOST_$kind)" ] && echo "$kind of the host"
    done
    ls /proc/$$/fd; readlink /proc/$$/fd/0 | cut -d: -f1; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax
    touch /read-only 2>&1; touch /proc/sys/kernel/msgmax 2>&1; (echo written > /etc/mounted) 2>&1
    id; exit 9
"#;

/// One change of the stock configuration.
type Change = fn(&mut Value);

fn set(config: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    config.pointer_mut(parent).expect("its parent")[key] = value;
}

fn without_namespace(config: &mut Value, kind: &str) {
    let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != kind);
}

fn with_mount(config: &mut Value, mount: Value) {
    config["mounts"].as_array_mut().unwrap().push(mount);
}

/// What is compared.
const CHANGES: &[(&str, Change)] = &[
    ("nothing", |_| {}),
    ("user and groups", |config| {
        let user = json!({"uid": 1000, "gid": 50, "additionalGids": [7, 8], "umask": 0o27});
        set(config, "/process/user", user);
    }),
    ("an unknown user", |config| set(config, "/process/user", json!({"uid": 4711, "gid": 4712}))),
    ("capabilities", |config| {
        let caps = json!(["CAP_CHOWN", "CAP_NET_RAW", "CAP_KILL"]);
        let sets = json!({"bounding": caps, "permitted": caps, "effective": ["CAP_CHOWN"],
            "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]});
        set(config, "/process/capabilities", sets);
        set(config, "/process/user", json!({"uid": 1000, "gid": 1000}));
    }),
    ("no capabilities", |config| set(config, "/process/capabilities", json!({"bounding": []}))),
    ("new privileges", |config| set(config, "/process/noNewPrivileges", json!(false))),
    ("limits", |config| {
        let limits = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_STACK", "soft": 65536, "hard": 1048576}]);
        set(config, "/process/rlimits", limits);
    }),
    ("oom score", |config| set(config, "/process/oomScoreAdj", json!(300))),
    ("environment and directory", |config| {
        set(config, "/process/env", json!(["PATH=/bin", "A=b=c", "A=d", "EMPTY="]));
        set(config, "/process/cwd", json!("/tmp"));
    }),
    ("a directory that is not there", |config| set(config, "/process/cwd", json!("/made/by/the/runtime"))),
    ("a read-only root", |config| set(config, "/root/readonly", json!(true))),
    ("no new namespaces", |config| {
        for kind in ["pid", "network", "ipc", "uts", "cgroup"] {
            without_namespace(config, kind);
        }
        config.as_object_mut().unwrap().remove("hostname");
    }),
    ("kernel parameters", |config| {
        set(config, "/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "5000"}));
    }),
    ("mounts", |config| {
        with_mount(
            config,
            json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs",
            "options": ["size=1m", "mode=1700", "noexec", "nosuid"]}),
        );
        with_mount(
            config,
            json!({"destination": "/etc/mounted", "type": "bind", "source": "/etc/hostname",
            "options": ["bind", "ro"]}),
        );
        with_mount(
            config,
            json!({"destination": "/new/dir", "type": "bind", "source": "/etc",
            "options": ["rbind", "rprivate", "nodev", "noatime"]}),
        );
        with_mount(config, json!({"destination": "/dev/shm/in", "type": "tmpfs", "source": "x"}));
    }),
    ("devices", |config| {
        set(
            config,
            "/linux/devices",
            json!([
            {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 5, "gid": 6},
            {"path": "/dev/dir/null", "type": "c", "major": 1, "minor": 3},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o600}]),
        );
    }),
    ("masks", |config| {
        set(config, "/linux/maskedPaths", json!(["/etc/passwd", "/var", "/not/there"]));
        set(config, "/linux/readonlyPaths", json!(["/tmp", "/proc/sys", "/not/there"]));
    }),
    ("a user namespace", |config| {
        let map = json!([{"containerID": 0, "hostID": 0, "size": 2000}]);
        set(config, "/linux/uidMappings", map.clone());
        set(config, "/linux/gidMappings", map);
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    }),
    ("a filter", |config| {
        let rule = json!({"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5});
        set(config, "/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}));
    }),
];

/// The stock configuration with a change, in words that all of the peers understand.
fn changed<'t>(t: &'t Sandbox, name: &str, change: Change) -> Bundle<'t> {
    Bundle::new(t, name, LOOK).with(|config| {
        config["ociVersion"] = json!("1.0.2");
        config["process"]["env"] = json!(["PATH=/bin"]);
        change(config);
        let masked: Vec<_> = config["linux"]["maskedPaths"].as_array().into_iter().flatten().collect();
        let masked: Vec<_> = masked.iter().filter_map(|path| path.as_str()).collect();
        let masked = format!("MASKED={}", masked.join(" "));
        let env = config["process"]["env"].as_array_mut().unwrap();
        env.push(json!(masked));
        for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"] {
            let host = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            env.push(json!(format!("HOST_{kind}={}", host.display())));
        }
    })
}

#[track_caller]
fn compare(t: &Sandbox, tool: Tool) {
    let (boxr, peer) = (Runtime::boxr(t), Runtime::peer(t, tool));
    let mut differences = String::new();
    for (index, (name, change)) in CHANGES.iter().enumerate() {
        let bundle = changed(t, &format!("b{index}"), *change);
        let (ours, theirs) = (boxr.run(&bundle), peer.run(&bundle));
        assert!(theirs.status.code() == Some(9), "{name}: {}", theirs.story());
        let seen =
            |out: &Output| out.lines().into_iter().filter(|line| !is_own(tool, line)).collect::<Vec<_>>();
        if (seen(&ours), ours.status.code()) != (seen(&theirs), theirs.status.code()) {
            differences += &format!("with {name}: {}\n{}\n", ours.errors(), different(&ours, &theirs));
        }
    }
    assert!(differences.is_empty(), "not as with {}:\n{differences}", tool.program());
    assert_nothing_left(t);
}

/// What crun has as neither of the others: no home for a user without one, and flags at the devices of a user
/// namespace.
fn is_own(tool: Tool, line: &str) -> bool {
    let devices = ["full", "null", "random", "tty", "urandom", "zero"];
    let is_device =
        |name: &str| line.strip_prefix("/dev/").is_some_and(|rest| rest.starts_with(&format!("{name} ")));
    tool == Tool::Crun && (line == "HOME=/" || devices.into_iter().any(is_device))
}

/// The lines that only one of them has.
fn different(ours: &Output, theirs: &Output) -> String {
    let (ours, theirs) = (ours.lines(), theirs.lines());
    let only = |a: &[String], b: &[String], mark: &str| {
        let lines = a.iter().filter(|line| !b.contains(line));
        lines.map(|line| format!("  {mark} {line}\n")).collect::<String>()
    };
    only(&ours, &theirs, "boxr-oci:") + &only(&theirs, &ours, "the peer:")
}

fn a_process_sees_what_it_sees_with_runc(t: &Sandbox) {
    compare(t, Tool::Runc);
}

fn a_process_sees_what_it_sees_with_crun(t: &Sandbox) {
    compare(t, Tool::Crun);
}

/// Configurations that cannot be run.
const MISTAKES: &[(&str, Change)] = &[
    ("a command that is not there", |config| set(config, "/process/args", json!(["nosuch"]))),
    ("a path that is not there", |config| set(config, "/process/args", json!(["/nosuch"]))),
    ("a command that is a file", |config| set(config, "/process/args", json!(["/etc/passwd"]))),
    ("a command that is a directory", |config| set(config, "/process/args", json!(["/etc"]))),
    ("no command", |config| set(config, "/process/args", json!([]))),
    ("a relative directory", |config| set(config, "/process/cwd", json!("tmp"))),
    ("a source that is not there", |config| {
        with_mount(
            config,
            json!({"destination": "/m", "type": "bind", "source": "/nosuch", "options": ["bind"]}),
        );
    }),
    ("a type that is not there", |config| {
        with_mount(config, json!({"destination": "/m", "type": "nosuchfs", "source": "x"}));
    }),
    ("a limit that is none", |config| {
        set(config, "/process/rlimits", json!([{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}]));
    }),
    ("a parameter of the host's", |config| set(config, "/linux/sysctl", json!({"kernel.panic": "1"}))),
    ("a namespace that is not there", |config| {
        set(config, "/linux/namespaces/0/path", json!("/nosuch"));
    }),
    ("a namespace twice", |config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "pid"}));
    }),
    ("a root that is not there", |config| set(config, "/root/path", json!("/nosuch"))),
    ("a hostname of the host's", |config| without_namespace(config, "uts")),
    ("a hook that fails", |config| {
        config["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]});
    }),
];

fn mistakes_end_as_with_runc(t: &Sandbox) {
    let (boxr, peer) = (Runtime::boxr(t), Runtime::peer(t, Tool::Runc));
    let mut differences = String::new();
    let mut note = |what: &str, ours: &Output, theirs: &Output| {
        if ours.status != theirs.status {
            differences += &format!("{what}:\n{}\n{}\n", ours.story(), theirs.story());
        }
    };
    for (index, (name, change)) in MISTAKES.iter().enumerate() {
        let bundle = changed(t, &format!("b{index}"), *change);
        note(name, &boxr.run(&bundle), &peer.run(&bundle));
    }
    for words in [
        &["state", "nosuch"][..],
        &["start", "nosuch"],
        &["kill", "nosuch"],
        &["delete", "nosuch"],
        &["delete", "--force", "nosuch"],
        &["exec", "nosuch", "true"],
        &["exec", "nosuch"],
        &["pause", "nosuch"],
        &["resume", "nosuch"],
        &["ps", "nosuch"],
        &["state"],
        &["state", "a", "b"],
        &["run", "../up"],
        &["nosuchcommand"],
        &["--nosuchflag", "list"],
        &["list", "--nosuchflag"],
        &["list", "--quiet"],
        &["list", "--format", "json"],
        &["--log-format", "nosuch", "list"],
    ] {
        note(&words.join(" "), &boxr.command(words).run(), &peer.command(words).run());
    }
    assert!(differences.is_empty(), "{differences}");
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

fn answers_have_the_keys_of_runc(t: &Sandbox) {
    let answers = |runtime: &Runtime<'_>, name: &str| {
        let bundle = changed(t, name, |config| {
            set(config, "/process/args", json!(["sleep", "1000"]));
            config["annotations"] = json!({"an": "annotation"});
        });
        bundle.place(ID);
        let words = ["run", "--detach", "--bundle", bundle.path(), ID];
        let quiet = r#"exec "$@" >/dev/null 2>&1 </dev/null"#;
        runtime.command_by(&["sh", "-c", quiet, "sh"], &words).run().ok();
        let json = |words: &[&str]| -> Value {
            serde_json::from_str(&runtime.command(words).run().ok().text()).unwrap()
        };
        let state = json(&["state", ID]);
        let list = json(&["list", "--format", "json"]);
        let pids = json(&["ps", "--format", "json", ID]);
        assert_eq!(pids, json!([state["pid"]]));
        let table = runtime.command(&["list"]).run().ok().lines()[0].clone();
        let columns: Vec<_> = table.split_whitespace().map(str::to_owned).collect();
        runtime.command(&["kill", ID, "KILL"]).run().ok();
        let stopped = || json(&["state", ID]);
        wait_until("it has stopped", || stopped()["status"] == "stopped");
        let ended = stopped();
        runtime.command(&["delete", ID]).run().ok();
        (
            keys(&state),
            keys(&list[0]),
            keys(&ended),
            columns,
            ended["pid"].clone(),
            state["annotations"].clone(),
        )
    };
    let ours = answers(&Runtime::boxr(t), "ours");
    assert_eq!(ours, answers(&Runtime::peer(t, Tool::Runc), "theirs"));
}
