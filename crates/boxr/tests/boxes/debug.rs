//! A shell with tools in a container that has none.

use boxr_testing::processes::namespace;
use boxr_testing::wait::{PATIENCE, wait_for};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::{Pid, getpid};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_container_without_a_shell_gets_one, Need::Tool(Tool::Busybox), OVERLAY),
    test!(tools_come_from_an_image, Need::Tool(Tool::Busybox), OVERLAY),
    test!(it_joins_everything_but_the_mounts_and_leaves_nothing, Need::Tool(Tool::Busybox), OVERLAY),
    test!(it_ends_as_its_command_does, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_terminal_is_its_own, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_box_of_the_hosts_files_can_be_looked_into, Need::Tool(Tool::Busybox)),
    test!(the_container_does_not_reach_the_tools, Need::Tool(Tool::Busybox), OVERLAY),
    test!(links_of_the_tools_lead_nowhere, Need::Tool(Tool::Busybox), OVERLAY),
    test!(
        a_container_of_podmans_by_its_pid,
        Need::Root,
        Need::Tool(Tool::Podman),
        Need::Tool(Tool::Runc),
        Need::Tool(Tool::Busybox)
    ),
    test!(what_cannot_be_debugged_is_said, Need::Tool(Tool::Busybox), OVERLAY),
];

/// An image of one program, which is no shell, and a container of it that runs.
fn without_shell(t: &Sandbox, more: &[&str]) {
    let root = t.rootfs("less");
    std::fs::create_dir_all(format!("{root}/data/deep")).unwrap();
    let tar = t.path("less.tar").display().to_string();
    Cmd::new("tar").args(["-C", &root, "-cf", &tar, "bin/busybox", "data"]).run().ok();
    let changes = ["--change", "ENTRYPOINT [\"/bin/busybox\"]", "--change", "WORKDIR /data/deep"];
    t.boxr(["import"]).args(changes).args([&tar, "less"]).run().ok();
    t.run(["-d", "--name", "it", "--network", "none", "-e", "SAID=so", "-e", "LD_PRELOAD=/evil.so"])
        .args(more)
        .args(["less", "sleep", "1000"])
        .run()
        .ok();
}

fn gone(t: &Sandbox) {
    t.remove(["it"]);
    nothing_left(t);
    // Files of an ordinary user's images belong to ids that only boxr has.
    t.boxr(["image", "prune", "-af"]).run().ok();
}

fn pid_of(t: &Sandbox) -> Pid {
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", "it"]).run().ok().word();
    Pid::from_raw(pid.parse().unwrap()).unwrap()
}

fn a_container_without_a_shell_gets_one(t: &Sandbox) {
    without_shell(t, &["--hostname", "small"]);
    t.boxr(["exec", "it", "sh"]).run().exits(127);
    let debug = |script: &str| t.boxr(["debug", "it", "sh", "-c", script]).run().ok().quiet();
    debug("pwd; ls /target; ls /target/bin")
        .prints("/target/data/deep\nbin\ndata\ndev\netc\nproc\nsys\nbusybox\n");
    debug("hostname; echo $SAID.$LD_PRELOAD.$HOME; id -u").prints("small\nso../root\n0\n");
    debug("cat /proc/1/cmdline | tr '\\0' ' '; grep -c small /etc/hosts")
        .prints("/bin/busybox sleep 1000 1\n");
    debug("echo x >/target/data/x; echo y >/gone; [ -c /dev/null ] && [ -c /dev/ptmx ] && cat /gone")
        .prints("y\n");
    // What was done on purpose is there, and nothing else: the tools went with the command.
    t.boxr(["debug", "it", "cat", "/target/data/x"]).run().ok().prints("x\n");
    t.boxr(["debug", "it", "cat", "/gone"]).run().exits(1);
    let changes = t.boxr(["diff", "it"]).run().ok().lines();
    assert!(changes.contains(&"A /data/x".to_owned()), "{changes:?}");
    let strange =
        |line: &&String| ["target", "gone", "root", "busybox"].iter().any(|word| line.contains(word));
    assert_eq!(changes.iter().find(strange), None, "{changes:?}");
    t.boxr(["debug", "-e", "MORE=1", "-w", "/target", "it", "sh", "-c", "echo $MORE; pwd"])
        .run()
        .ok()
        .prints("1\n/target\n");
    gone(t);
}

fn tools_come_from_an_image(t: &Sandbox) {
    without_shell(t, &[]);
    let (_server, name) =
        offered(t, r#"{"Cmd":["sh","-c","echo by default; exit 5"],"Env":["PATH=/bin:/own"]}"#);
    // It is fetched; its user is not who runs it.
    t.boxr(["debug", "--tools", &name, "it"]).run().exits(5).prints("by default\n");
    let debug = |words: &[&str]| t.boxr(["debug", "--tools", &name, "it"]).args(words).run();
    debug(&["sh", "-c", "echo $PATH; id -un; cat /proc/1/cmdline | tr '\\0' ' '"])
        .ok()
        .prints("/bin:/own\nroot\n/bin/busybox sleep 1000 ");
    debug(&["sh", "-c", "touch /new /home/ann/new && ls /target/bin"]).ok().prints("busybox\n");
    debug(&["ls", "/new"]).exits(1);
    t.boxr(["debug", "--pull", "never", "--tools", "nothing:here", "it"])
        .run()
        .exits(125)
        .blames("nothing:here");
    // Nothing of it keeps the image.
    t.boxr(["rmi", &name]).run().ok();
    gone(t);
}

fn it_joins_everything_but_the_mounts_and_leaves_nothing(t: &Sandbox) {
    without_shell(t, &[]);
    let own = t.path("").parent().unwrap().to_owned();
    let first = pid_of(t);
    let mut running = t.boxr(["debug", "it", "sh", "-c", "echo here; exec sleep 1000"]).spawn();
    running.expect("here");
    let top = t.boxr(["top", "it", "-o", "pid,args"]).run().ok().lines();
    let line = top.iter().find(|line| line.ends_with("sleep 1000") && !line.contains("busybox")).unwrap();
    let pid = Pid::from_raw(line.split_whitespace().next().unwrap().parse().unwrap()).unwrap();
    for kind in ["pid", "net", "ipc", "uts", "user", "cgroup"] {
        assert_eq!(namespace(pid, kind), namespace(first, kind), "{kind}");
    }
    let mount = namespace(pid, "mnt");
    assert!(mount != namespace(first, "mnt") && mount != namespace(getpid(), "mnt"));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(own.to_str().unwrap()), "{mounts}");
    // It goes with the container.
    t.remove(["it"]);
    running.finish().exits(137);
    nothing_left(t);
    t.boxr(["image", "prune", "-af"]).run().ok();
}

fn it_ends_as_its_command_does(t: &Sandbox) {
    without_shell(t, &[]);
    let debug = |words: &[&str]| t.boxr(["debug", "it"]).args(words).run();
    debug(&["sh", "-c", "exit 7"]).exits(7);
    debug(&["sh", "-c", "kill -9 $$"]).exits(137);
    debug(&["no-such-tool"]).exits(127).blames("no-such-tool: command not found");
    debug(&["/etc/hosts"]).exits(126);
    t.boxr(["debug", "it", "cat"]).stdin("through\n").run().ok().prints("through\n");
    t.boxr(["debug", "it", "--", "echo", "x"]).run().ok().prints("x\n");
    let text = t.boxr(["debug", "it", "sh", "-c", "grep CapEff /proc/self/status"]).run().ok().text();
    let held = u64::from_str_radix(text.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    let has = |bit: u32| held & (1 << bit) != 0;
    // CAP_SYS_PTRACE, and neither CAP_MKNOD nor CAP_SYS_ADMIN.
    assert!(has(19) && !has(27) && !has(21), "{held:x}");
    t.boxr(["debug", "--cap-add", "nonsense", "it"]).run().exits(125).blames("nonsense");
    let more = t.boxr(["debug", "--cap-add", "sys_admin", "it", "grep", "CapEff", "/proc/self/status"]);
    let text = more.run().ok().text();
    let held = u64::from_str_radix(text.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    assert!(held & (1 << 21) != 0, "{held:x}");
    assert_eq!(
        t.boxr(["events", "--no-stream", "-f", "event=exec_die", "--format", "{{.ContainerExitCode}}"])
            .run()
            .ok()
            .lines()[0],
        "7"
    );
    gone(t);
}

fn a_terminal_is_its_own(t: &Sandbox) {
    without_shell(t, &[]);
    let mut terminal = t.terminal(30, 100, &["debug", "it"]);
    terminal.send("tty; stty size; ls /target/dev/pts; exit 4\n");
    terminal.expect("/dev/pts/0");
    terminal.expect("30 100");
    let output = terminal.finish();
    output.exits(4);
    gone(t);
}

fn a_box_of_the_hosts_files_can_be_looked_into(t: &Sandbox) {
    t.detached("it", ["-w", "/", "--", "sleep", "1000"]);
    let here = t.file("here", "it is\n");
    t.boxr(["debug", "it", "cat", &format!("/target{here}")]).run().ok().prints("it is\n");
    t.boxr(["debug", "it", "sh", "-c", "ls /proc/1/exe >/dev/null; cat /proc/1/comm; pwd"])
        .run()
        .ok()
        .prints("sleep\n/target\n");
    t.remove(["it"]);
}

/// The container's own processes look at whatever comes into their pid namespace.
fn the_container_does_not_reach_the_tools(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sh"]}"#);
    // A round that begins once the shell is there has been at it when the next one begins. Nothing is written to
    // `mem`: to one whose process has ended the kernel writes 0 bytes, again and again for an `echo` that goes on.
    let attack = ">/stolen; >/round; while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || { \
                  cat $p/root/secret $p/cwd/secret $p/environ $p/fd/0; ( : >$p/mem ) && cat $p/cmdline; } >>/stolen 2>/dev/null; done; echo >>/round; done";
    t.run(["-q", "-d", "--name", "it", "--network", "none", &name, "sh", "-c", attack]).run().ok();
    let script = "echo hidden >/secret; cd /; echo in; read go; cat /secret";
    let mut running =
        t.boxr(["debug", "-e", "WORD=hidden", "--tools", &name, "it", "sh", "-c", script]).spawn();
    running.expect("in\n");
    let rounds = || {
        let text = t.boxr(["exec", "it", "wc", "-l", "/round"]).run();
        text.text().split(' ').next().and_then(|word| word.parse::<u32>().ok())
    };
    let first = wait_for("it begins", PATIENCE, rounds);
    wait_until("it was attacked", || rounds() > Some(first + 5));
    running.write("go\n");
    running.finish().ok().prints("in\nhidden\n");
    let stolen = || t.boxr(["exec", "it", "grep", "-q", "hid[d]en", "/stolen"]).run();
    stolen().exits(1);
    // What has no more rights than the container is reached in just this way.
    t.boxr(["exec", "-d", "it", "sh", "-c", "sleep 1000; : hidden"]).run().ok();
    wait_until("its own processes are reached", || stolen().status.success());
    gone(t);
}

/// Links in place of what is mounted on.
fn links_of_the_tools_lead_nowhere(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sleep","1000"]}"#);
    t.run(["-q", "-d", "--name", "it", "--network", "none", &name]).run().ok();
    let root = t.rootfs("bad");
    for name in ["target", "etc"] {
        let path = format!("{root}/{name}");
        std::fs::remove_dir_all(&path).unwrap_or_default();
        std::os::unix::fs::symlink(t.path("outside"), &path).unwrap();
    }
    std::fs::create_dir(t.path("outside")).unwrap();
    let tar = t.path("bad.tar").display().to_string();
    Cmd::new("tar").args(["-C", &root, "-cf", &tar, "bin", "target", "etc"]).run().ok();
    t.boxr(["import", &tar, "bad"]).run().ok();
    t.boxr(["debug", "--tools", "bad", "it", "true"])
        .run()
        .exits(125)
        .blames("cannot debug it")
        .blames("target");
    assert_eq!(std::fs::read_dir(t.path("outside")).unwrap().count(), 0);
    gone(t);
}

fn a_container_of_podmans_by_its_pid(t: &Sandbox) {
    let root = t.rootfs("less");
    let tar = t.path("less.tar").display().to_string();
    Cmd::new("tar").args(["-C", &root, "-cf", &tar, "bin/busybox"]).run().ok();
    let podman = |words: &[&str]| {
        let dir = |name: &str| t.path(name).display().to_string();
        let roots =
            ["--root", &dir("podman"), "--runroot", &dir("podman-run"), "--tmpdir", &dir("podman-tmp")];
        Cmd::new("podman")
            .args(["--runtime", "runc", "--storage-driver", "vfs"])
            .args(roots)
            .args(words)
            .run()
    };
    podman(&["import", &tar, "less"]).ok();
    let limits = ["--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1024:2048"];
    let run = [
        &["run", "-d", "--name", "it", "--network", "none", "--hostname", "theirs", "-e", "SAID=so"],
        &limits[..],
    ]
    .concat();
    podman(&[&run[..], &["less", "/bin/busybox", "sleep", "1000"]].concat()).ok();
    let pid = podman(&["inspect", "-f", "{{.State.Pid}}", "it"]).ok().word();
    let script = "hostname; echo $SAID; cat /proc/1/cmdline | tr '\\0' ' '; ls /target/bin; pwd";
    let expected = "theirs\nso\n/bin/busybox sleep 1000 busybox\n/target\n";
    t.boxr(["debug", &format!("pid:{pid}"), "sh", "-c", script]).run().ok().prints(expected);
    t.boxr(["debug", &pid, "sh", "-c", script]).run().ok().prints(expected);
    // With its rules about devices.
    let of = |process: &str| std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
    let cgroup = t.boxr(["debug", &pid, "cat", "/target/proc/self/cgroup"]).run().ok().text();
    assert_eq!(cgroup.lines().count(), of(&pid).lines().count());
    let devices = |text: &str| {
        text.lines().find(|line| line.contains(":devices:") || line.starts_with("0::")).map(str::to_owned)
    };
    assert!(devices(&cgroup).is_some());
    podman(&["rm", "-f", "-t", "0", "it"]).ok();
}

fn what_cannot_be_debugged_is_said(t: &Sandbox) {
    t.boxr(["debug", "nobody"]).run().exits(125).blames("no such box: nobody");
    t.boxr(["debug", "pid:0"]).run().exits(125).blames("pid:0: not the pid of a process");
    t.boxr(["debug", "pid:4194305"]).run().exits(125).blames("4194305");
    t.boxr(["debug"]).run().exits(125).blames("CONTAINER");
    without_shell(t, &[]);
    t.boxr(["pause", "it"]).run().ok();
    t.boxr(["debug", "it", "true"]).run().exits(125).blames("is paused").blames("boxr unpause it");
    t.boxr(["unpause", "it"]).run().ok();
    t.boxr(["stop", "-t", "0", "it"]).run().ok();
    let stopped = t.boxr(["debug", "it", "true"]).run().exits(125);
    stopped.blames("box it is not running").blames("boxr start it");
    gone(t);
}
