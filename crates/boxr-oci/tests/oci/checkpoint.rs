//! `checkpoint` and `restore`: what criu is asked, what becomes of its answers, and mistakes. With a criu
//! that only keeps what it hears ([`crate::fake_criu`]).

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use boxr_testing::{Cmd, Need, Output, Sandbox, Test, test, wait_until};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;

use crate::bundle::{Bundle, assert_nothing_left, oci};
use crate::fake_criu::FakeCriu;
use crate::life::{BUSYBOX, delete_when_stopped, state};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_checkpoint_asks_for_what_the_flags_say, BUSYBOX, Need::Root),
    test!(mounts_of_the_host_are_named, BUSYBOX, Need::Root),
    test!(a_checkpointed_container_is_gone_or_stays, BUSYBOX, Need::Root),
    test!(a_pre_dump_keeps_memory_only, BUSYBOX, Need::Root),
    test!(lazy_pages_tell_when_they_can_be_fetched, BUSYBOX, Need::Root),
    test!(a_restore_asks_for_what_the_flags_say, BUSYBOX, Need::Root),
    test!(a_restored_container_is_waited_for, BUSYBOX, Need::Root),
    test!(a_restored_container_is_left, BUSYBOX, Need::Root),
    test!(a_restored_terminal_goes_to_the_socket, BUSYBOX, Need::Root),
    test!(hooks_of_a_restore, BUSYBOX, Need::Root),
    test!(namespaces_that_are_shared, BUSYBOX, Need::Root),
    test!(a_refusal_is_explained, BUSYBOX, Need::Root),
    test!(a_criu_that_breaks_off, BUSYBOX, Need::Root),
    test!(a_criu_that_is_not_there, BUSYBOX, Need::Root),
    test!(containers_that_cannot_be_checkpointed, BUSYBOX, Need::Root),
    test!(images_that_are_none, BUSYBOX, Need::Root),
    test!(wrong_flags_are_named, BUSYBOX, Need::Root),
];

/// Starts a container that stays.
#[track_caller]
fn start(t: &Sandbox, bundle: &Bundle<'_>) {
    bundle.create("blue");
    oci(t, ["start", "blue"]).run().ok();
}

/// `boxr-oci --criu CRIU checkpoint --image-path images FLAGS… blue`
fn checkpoint(t: &Sandbox, criu: &str, flags: &[&str]) -> Cmd {
    let images = t.path("images");
    oci(t, ["--criu", criu, "checkpoint", "--image-path"]).arg(images).args(flags).arg("blue")
}

/// The same of a restore.
fn restore(t: &Sandbox, bundle: &Bundle<'_>, criu: &str, flags: &[&str]) -> Cmd {
    bundle.place("blue");
    let command = oci(t, ["--criu", criu, "restore", "--bundle", bundle.path(), "--image-path"]);
    command.arg(t.path("images")).args(flags).arg("blue")
}

/// Images as a checkpoint of a container with nothing but /dev/null would have left them.
#[track_caller]
fn make_images(t: &Sandbox) {
    std::fs::create_dir(t.path("images")).unwrap();
    std::fs::write(t.path("images/descriptors.json"), r#"["/dev/null","/dev/null","/dev/null"]"#).unwrap();
}

/// What flags become that checkpoint and restore have in common.
const ASKED_BY_BOTH: [&str; 5] =
    ["tcp_established=1", "ext_unix_sk=1", "shell_job=1", "file_locks=1", "auto_dedup=1"];

#[track_caller]
fn assert_asked(line: &str, options: &[&str]) {
    let words: Vec<_> = line.split(' ').collect();
    for option in options {
        assert!(words.contains(option), "{option} is not in {line}");
    }
}

#[track_caller]
fn assert_not_asked(line: &str, names: &[&str]) {
    for name in names {
        assert!(!line.contains(&format!(" {name}=")), "{name} is in {line}");
    }
}

fn a_checkpoint_asks_for_what_the_flags_say(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    start(t, &bundle);
    let pid = state(t, "blue")["pid"].clone();
    checkpoint(t, &criu.program(), &["--leave-running"]).run().ok().prints("");
    let requests = criu.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert_eq!(requests[0], "VERSION ");
    let images = format!("images_dir_fd={}", t.path("images").display());
    let root = format!("root={}", t.path("shared-root").display());
    let plain = [
        &images,
        &root,
        &format!("pid={pid}"),
        "log_file=dump.log",
        "log_level=4",
        "leave_running=1",
        "notify_scripts=1",
        "orphan_pts_master=1",
        "manage_cgroups=1",
        "manage_cgroups_mode=6",
        "config_file=/etc/criu/runc.conf",
    ];
    assert_asked(&requests[1], &plain);
    let unsaid = [
        "tcp_established",
        "ext_unix_sk",
        "shell_job",
        "file_locks",
        "auto_dedup",
        "lazy_pages",
        "ps",
        "work_dir_fd",
        "parent_img",
        "track_mem",
        "empty_ns",
        "link_remap",
        "rst_sibling",
    ];
    assert_not_asked(&requests[1], &unsaid);

    let work = t.path("work");
    let flags = [
        "--leave-running",
        "--work-path",
        work.to_str().unwrap(),
        "--tcp-established",
        "--ext-unix-sk",
        "--shell-job",
        "--file-locks",
        "--auto-dedup",
        "--link-remap",
        "--tcp-skip-in-flight",
        "--page-server",
        "[::1]:2700",
        "--manage-cgroups-mode",
        "ignore",
        "--empty-ns",
        "network",
    ];
    checkpoint(t, &criu.program(), &flags).run().ok();
    let work = format!("work_dir_fd={}", work.display());
    let asked = [
        &work,
        "link_remap=1",
        "tcp_skip_in_flight=1",
        "ps=::1,2700",
        "manage_cgroups=0",
        "manage_cgroups_mode=0",
        "empty_ns=1073741824",
    ];
    assert_asked(&criu.requests()[1], &[&ASKED_BY_BOTH[..], &asked].concat());
    oci(t, ["delete", "--force", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn mounts_of_the_host_are_named(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let data = t.file("data", "x");
    let bundle = Bundle::new(t, "b", "exec sleep 1000").with(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/opt/../data", "source": data, "options": ["bind"]}));
        config["linux"]["maskedPaths"] = json!(["/proc/version", "/proc/fs", "/no/such"]);
        config["annotations"] = json!({"org.criu.config": "/mine"});
    });
    start(t, &bundle);
    checkpoint(t, &criu.program(), &["--leave-running"]).run().ok();
    let requests = criu.requests();
    assert_asked(
        &requests[1],
        &["external=mnt[/data]:/data", "external=mnt[/proc/version]:/dev/null", "config_file=/mine"],
    );
    assert!(!requests[1].contains("/no/such") && !requests[1].contains("/proc/fs"), "{requests:?}");
    // Its standard descriptors are the host's.
    let outside = std::fs::read_to_string(t.path("images/outside.json")).unwrap();
    let outside: serde_json::Value = serde_json::from_str(&outside).unwrap();
    assert_eq!(outside[0]["path"], "/dev/null");
    assert_asked(&requests[1], &[&format!("external={}", outside[0]["key"].as_str().unwrap())]);
    oci(t, ["delete", "--force", "blue"]).run().ok();

    restore(t, &bundle, &criu.program(), &[]).run().exits(7);
    let request = criu.requests().pop().unwrap();
    let source = format!("external=mnt[/data]:{data}");
    let null = format!("inherit_fd={},/dev/null", outside[0]["key"].as_str().unwrap());
    assert_asked(&request, &[&source, "external=mnt[/dev/null]:/dev/null", &null]);
    assert_nothing_left(t);
}

fn a_checkpointed_container_is_gone_or_stays(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let log = t.path("log");
    let bundle = Bundle::new(t, "b", "exec sleep 1000").with(|config| {
        let script = format!("cat >/dev/null; echo poststop >> {}", log.display());
        config["hooks"] = json!({"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    });
    start(t, &bundle);
    checkpoint(t, &criu.program(), &["--leave-running"]).run().ok();
    assert_eq!(state(t, "blue")["status"], "running");
    assert!(!log.exists());
    oci(t, ["pause", "blue"]).run().ok();
    checkpoint(t, &criu.program(), &["--leave-running"]).run().ok();
    oci(t, ["resume", "blue"]).run().ok();
    checkpoint(t, &criu.program(), &[]).run().ok();
    assert_nothing_left(t);
    assert_eq!(std::fs::read_to_string(log).unwrap(), "poststop\n");
}

fn a_pre_dump_keeps_memory_only(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    start(t, &bundle);
    checkpoint(t, &criu.program(), &["--pre-dump"]).run().ok();
    assert_eq!(state(t, "blue")["status"], "running");
    let requests = criu.requests();
    assert_eq!(requests[1], "FEATURE_CHECK ");
    assert!(requests[2].starts_with("PRE_DUMP ") && !requests[2].contains("external="), "{requests:?}");
    assert_asked(&requests[2], &["track_mem=1"]);
    assert!(!t.path("images/descriptors.json").exists());

    std::fs::create_dir(t.path("images/before")).unwrap();
    checkpoint(t, &criu.program(), &["--parent-path", "before"]).run().ok();
    assert_asked(&criu.requests()[1], &["parent_img=before", "track_mem=1"]);
    assert_nothing_left(t);
}

fn lazy_pages_tell_when_they_can_be_fetched(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    start(t, &bundle);
    let run = |flags: &str| {
        let script = format!(
            "exec 5>{ready}; exec {program} --root {root} --criu {criu} checkpoint --leave-running \
             --image-path {images} --lazy-pages {flags} blue",
            ready = t.path("ready").display(),
            program = t.program().display(),
            root = t.layout().state.display(),
            criu = criu.program(),
            images = t.path("images").display(),
        );
        Cmd::new("sh").args(["-c", &script]).run()
    };
    run("--status-fd 5").ok();
    let requests = criu.requests();
    assert_eq!(requests[1], "FEATURE_CHECK ");
    assert_asked(&requests[2], &["lazy_pages=1"]);
    assert_not_asked(&requests[2], &["status_fd"]);
    assert_eq!(std::fs::read(t.path("ready")).unwrap(), b"\0");
    // An older one writes itself.
    criu.tell("version", "3 14 0");
    run("--status-fd 5").ok();
    assert!(criu.requests()[2].contains(" status_fd="));
    criu.forget("version");
    run("--status-fd 77").exits(1).blames("invalid --status-fd argument 77: Bad file descriptor");
    run("--status-fd 6 6</dev/null").exits(1).blames("invalid --status-fd argument 6: not writable");
    oci(t, ["delete", "--force", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn a_restore_asks_for_what_the_flags_say(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "true");
    make_images(t);
    restore(t, &bundle, &criu.program(), &[]).run().exits(7);
    let requests = criu.requests();
    assert_eq!((requests.len(), requests[0].as_str()), (2, "VERSION "));
    let images = format!("images_dir_fd={}", t.path("images").display());
    let root = format!("root={}", t.path("shared-root").display());
    let plain = [
        &images,
        &root,
        "log_file=restore.log",
        "rst_sibling=1",
        "evasive_devices=1",
        "notify_scripts=1",
        "orphan_pts_master=1",
        "manage_cgroups_mode=6",
    ];
    assert_asked(&requests[1], &plain);
    assert_not_asked(&requests[1], &["pid", "leave_running", "inherit_fd", "join_ns", "lsm_profile"]);
    // Where the container's processes are to be.
    let test = t.layout().state.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(requests[1].split(' ').any(|word| word.starts_with("cg_root=") && word.contains(test)));

    let work = t.path("work");
    let flags = [
        "--work-path",
        work.to_str().unwrap(),
        "--tcp-established",
        "--ext-unix-sk",
        "--shell-job",
        "--file-locks",
        "--auto-dedup",
        "--lazy-pages",
        "--manage-cgroups-mode=strict",
        "--empty-ns=network",
        "--lsm-profile",
        "apparmor:mine",
        "--lsm-mount-context",
        "context",
        "--no-pivot",
        "--no-subreaper",
    ];
    restore(t, &bundle, &criu.program(), &flags).run().exits(7);
    let work = format!("work_dir_fd={}", work.display());
    let asked = [
        &work,
        "lazy_pages=1",
        "manage_cgroups_mode=5",
        "empty_ns=1073741824",
        "lsm_profile=apparmor:mine",
        "lsm_mount_context=context",
    ];
    assert_asked(&criu.requests()[1], &[&ASKED_BY_BOTH[..], &asked].concat());
    criu.tell("version", "3 15 2");
    let old = "lsm-profile needs criu 3.16 or later, and this one is 3.15.2";
    restore(t, &bundle, &criu.program(), &["--lsm-profile=x:y"]).run().exits(1).blames(old);
    assert_nothing_left(t);
}

fn a_restored_container_is_waited_for(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "true");
    std::fs::create_dir(t.path("images")).unwrap();
    std::fs::write(t.path("images/descriptors.json"), r#"["pipe:[1]","pipe:[2]","/dev/null"]"#).unwrap();
    criu.tell("restored", "cat; exit 9");
    let pid_file = t.path("pid");
    let flags = ["--pid-file", pid_file.to_str().unwrap()];
    let out = restore(t, &bundle, &criu.program(), &flags).stdin("through").run().exits(9);
    out.prints("through");
    assert!(!pid_file.exists());
    let request = criu.requests().pop().unwrap();
    let pipes: Vec<_> = request.split(' ').filter(|word| word.starts_with("inherit_fd=")).collect();
    assert_eq!(pipes.len(), 2, "{request}");
    assert!(pipes[0].starts_with("inherit_fd=pipe:[1],pipe:["), "{request}");
    criu.tell("restored", "kill -KILL $$");
    restore(t, &bundle, &criu.program(), &[]).run().exits(137);
    assert_nothing_left(t);
}

fn a_restored_container_is_left(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "true");
    make_images(t);
    criu.tell("restored", "exec sleep 1000 >/dev/null 2>&1");
    let pid_file = t.path("pid");
    let flags = ["--detach", "--pid-file", pid_file.to_str().unwrap()];
    restore(t, &bundle, &criu.program(), &flags).run().ok();
    let seen = state(t, "blue");
    assert_eq!((seen["status"].as_str(), seen["bundle"].as_str()), (Some("running"), Some(bundle.path())));
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), seen["pid"].to_string());
    // In its cgroup: what ends it finds it there.
    let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", seen["pid"])).unwrap();
    assert!(cgroup.contains("-blue"), "{cgroup}");
    let taken = "container with given ID already exists";
    restore(t, &bundle, &criu.program(), &["--detach"]).run().exits(1).blames(taken);
    oci(t, ["kill", "blue", "KILL"]).run().ok();
    delete_when_stopped(t, "blue");
}

fn a_restored_terminal_goes_to_the_socket(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "true").with(|config| config["process"]["terminal"] = json!(true));
    make_images(t);
    criu.tell("terminal", "");
    criu.tell("restored", "exec sleep 1000 >/dev/null 2>&1");
    let socket = t.path("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let flags = ["--detach", "--console-socket", socket.to_str().unwrap()];
    restore(t, &bundle, &criu.program(), &flags).run().ok();
    let master = receive_descriptor(&listener.accept().unwrap().0);
    assert!(rustix::termios::isatty(&master));
    oci(t, ["delete", "--force", "blue"]).run().ok();
    let without = "cannot allocate tty if boxr-oci will detach without setting console socket";
    restore(t, &bundle, &criu.program(), &["--detach"]).run().exits(1).blames(without);
    assert_nothing_left(t);
}

fn receive_descriptor(socket: &UnixStream) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = [0; 64];
    recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.unwrap()
}

fn hooks_of_a_restore(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    make_images(t);
    let log = t.path("log");
    let hook = |end: &str| {
        let script = format!(
            "sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' >> {log}; echo >> {log}; {end}",
            log = log.display()
        );
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}])
    };
    let bundle = Bundle::new(t, "b", "true")
        .with(|config| config["hooks"] = json!({"prestart": hook(""), "createRuntime": hook("")}));
    criu.tell("restored", "echo $$");
    let out = restore(t, &bundle, &criu.program(), &[]).run().ok();
    let pid = out.text().trim().to_owned();
    let told = std::fs::read_to_string(&log).unwrap();
    assert_eq!(told.split_whitespace().collect::<Vec<_>>(), [&pid, &pid]);

    let bundle = bundle.with(|config| config["hooks"]["createRuntime"] = hook("echo bad luck; exit 3"));
    let out = restore(t, &bundle, &criu.program(), &[]).run().exits(1);
    out.blames("createRuntime hook #0 (/bin/sh) failed: exit status 3: bad luck");
    assert_nothing_left(t);
}

fn namespaces_that_are_shared(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "exec sleep 1000").with(|config| {
        config["linux"]["namespaces"] = json!([
            {"type": "mount"}, {"type": "pid"},
            {"type": "network", "path": "/proc/self/ns/net"}, {"type": "ipc", "path": "/proc/self/ns/ipc"},
        ]);
        config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "sysfs");
        config.as_object_mut().unwrap().remove("hostname");
    });
    start(t, &bundle);
    checkpoint(t, &criu.program(), &[]).run().ok();
    let network = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let kept = format!("external={}:extRootNetNS", network.replace("net:", "net"));
    assert_asked(&criu.requests()[1], &[&kept]);
    restore(t, &bundle, &criu.program(), &[]).run().exits(7);
    let asked = [&format!("inherit_fd=extRootNetNS,{network}"), "join_ns=ipc,/proc/self/ns/ipc"];
    assert_asked(&criu.requests()[1], &asked);
    criu.tell("version", "3 10 0");
    let old = "a network namespace given by its path needs criu 3.11 or later, and this one is 3.10";
    restore(t, &bundle, &criu.program(), &[]).run().exits(1).blames(old);
    assert_nothing_left(t);
}

fn a_refusal_is_explained(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    criu.tell("refuse", "");
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    start(t, &bundle);
    let log = t.path("images/dump.log");
    let words = format!(
        "boxr-oci checkpoint failed: criu failed: type DUMP errno 22: the first error; log file: {}",
        log.display()
    );
    let out = checkpoint(t, &criu.program(), &[]).run().exits(1).blames(&words);
    let out = out.blames("2:(00.2) Error (file.c:7): no luck");
    assert!(!out.errors().contains("fine"), "{}", out.story());
    assert_eq!(state(t, "blue")["status"], "running", "it goes on as before");
    criu.tell("lacks", "");
    let lacks = |flag, feature| {
        let out = checkpoint(t, &criu.program(), &[flag]).run().exits(1);
        out.blames(&format!("{flag} cannot be had: criu says that this kernel lacks {feature}"));
    };
    lacks("--pre-dump", "memory tracking (CONFIG_MEM_SOFT_DIRTY)");
    lacks("--lazy-pages", "userfaultfd(2) (CONFIG_USERFAULTFD)");
    oci(t, ["delete", "--force", "blue"]).run().ok();

    let out = restore(t, &bundle, &criu.program(), &["--work-path", "logs"]).cwd(t.path("b")).run().exits(1);
    out.blames("boxr-oci restore failed: criu failed: type RESTORE errno 22: the first error; log file: ")
        .blames("b/logs/restore.log")
        .blames("no luck");
    assert_nothing_left(t);
}

fn a_criu_that_breaks_off(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    start(t, &bundle);
    criu.tell("die", "");
    let died = "criu ended without an answer to VERSION (exit status: 3); `criu check` may say";
    checkpoint(t, &criu.program(), &[]).run().exits(1).blames(died);
    criu.forget("die");
    criu.tell("noise", "");
    let noise = "criu answered VERSION with something that is not understood";
    checkpoint(t, &criu.program(), &[]).run().exits(1).blames(noise);
    assert_eq!(state(t, "blue")["status"], "running");
    oci(t, ["delete", "--force", "blue"]).run().ok();

    make_images_again(t);
    restore(t, &bundle, &criu.program(), &[]).run().exits(1).blames(noise);
    criu.forget("noise");
    criu.tell("die", "");
    restore(t, &bundle, &criu.program(), &["--detach"]).run().exits(1).blames(died);
    assert_nothing_left(t);
}

/// Whatever a failed checkpoint has left there.
#[track_caller]
fn make_images_again(t: &Sandbox) {
    std::fs::remove_dir_all(t.path("images")).unwrap();
    make_images(t);
}

fn a_criu_that_is_not_there(t: &Sandbox) {
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    start(t, &bundle);
    let missing = |out: Output, name: &str| {
        out.blames(&format!("cannot run {name}: not found; checkpoint and restore need criu 3.0 or later"));
    };
    missing(checkpoint(t, "criu", &[]).env("PATH", "/no/such").run().exits(1), "criu");
    missing(checkpoint(t, "/no/criu", &[]).run().exits(1), "/no/criu");
    let data = t.file("data", "x");
    let denied = format!("cannot run {data}: Permission denied (EACCES)");
    checkpoint(t, &data, &[]).run().exits(1).blames(&denied);
    assert_eq!(state(t, "blue")["status"], "running");
    oci(t, ["delete", "--force", "blue"]).run().ok();
    make_images_again(t);
    missing(restore(t, &bundle, "criu", &[]).env("PATH", "").cwd("/").run().exits(1), "criu");
    assert_nothing_left(t);
}

fn containers_that_cannot_be_checkpointed(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let criu = criu.program();
    checkpoint(t, &criu, &[]).run().exits(1).blames("container does not exist");
    let bundle = Bundle::new(t, "b", "true");
    bundle.create("blue");
    let words = "container blue cannot be checkpointed in created state";
    checkpoint(t, &criu, &[]).run().exits(1).blames(words);
    oci(t, ["start", "blue"]).run().ok();
    wait_until("the container has stopped", || state(t, "blue")["status"] == "stopped");
    let words = "container blue cannot be checkpointed in stopped state";
    checkpoint(t, &criu, &[]).run().exits(1).blames(words);
    oci(t, ["delete", "blue"]).run().ok();
    assert!(!t.path("images").exists(), "nothing was made for it");

    let bundle = Bundle::new(t, "c", "exec sleep 1000");
    start(t, &bundle);
    t.file("images", "in the way");
    checkpoint(t, &criu, &[]).run().exits(1).blames("images: File exists (EEXIST)");
    checkpoint(t, &criu, &["--image-path", "/proc/images"])
        .run()
        .exits(1)
        .blames("make the directory /proc/images");
    assert_eq!(state(t, "blue")["status"], "running");
    oci(t, ["delete", "--force", "blue"]).run().ok();
    assert_nothing_left(t);
}

fn images_that_are_none(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "true");
    let run = || restore(t, &bundle, &criu.program(), &[]).run().exits(1);
    run().blames("images: No such file or directory (ENOENT)");
    std::fs::create_dir(t.path("images")).unwrap();
    run().blames("images/descriptors.json: No such file or directory (ENOENT)");
    std::fs::write(t.path("images/descriptors.json"), "[\"pipe").unwrap();
    run().blames("images/descriptors.json: EOF while parsing");
    make_images_again(t);
    std::fs::write(t.path("images/outside.json"), r#"[{"key":"file[1:2]","path":"/no/such"}]"#).unwrap();
    run().blames("cannot open what the container had open /no/such");
    assert!(criu.requests().is_empty());
    std::fs::remove_file(t.path("images/outside.json")).unwrap();
    let bundle = bundle.with(|config| config["root"]["path"] = json!("/no/such"));
    restore(t, &bundle, &criu.program(), &[]).run().exits(1).blames("/no/such");
    std::fs::remove_file(Path::new(bundle.path()).join("config.json")).unwrap();
    oci(t, ["restore", "-b", bundle.path(), "--image-path"])
        .arg(t.path("images"))
        .arg("blue")
        .run()
        .exits(1)
        .blames("config.json: No such file or directory");
    assert_nothing_left(t);
}

fn wrong_flags_are_named(t: &Sandbox) {
    let criu = FakeCriu::new(t);
    let bundle = Bundle::new(t, "b", "exec sleep 1000");
    start(t, &bundle);
    let cases: [(&[&str], &str); 6] = [
        (&["--manage-cgroups-mode", "hard"], "invalid manage-cgroups-mode value hard"),
        (&["--empty-ns", "pid"], "namespace pid is not supported"),
        (&["--page-server", "host"], "use --page-server ADDRESS:PORT"),
        (&["--parent-path", "/tmp"], "--parent-path must be relative"),
        (&["--parent-path", "none"], "--parent-path"),
        (&["--nope"], "flag provided but not defined: -nope"),
    ];
    for (flags, words) in cases {
        checkpoint(t, &criu.program(), flags).run().exits(1).blames(words);
    }
    assert_eq!(state(t, "blue")["status"], "running");
    oci(t, ["delete", "--force", "blue"]).run().ok();
    // How podman asks whether pods can be restored: containers/podman, pkg/checkpoint/crutils.
    let out = oci(t, ["restore", "--lsm-mount-context"]).run().exits(1);
    out.blames("flag needs an argument: -lsm-mount-context");
    oci(t, ["checkpoint", "--help"]).run().ok();
    assert_nothing_left(t);
}
