//! `boxr run --sandbox`: what an untrusted command gets, and what it tries.

pub mod attacks;
pub mod landlock;
pub mod limits;
pub mod profiles;
pub mod proxy;
pub mod refusals;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use boxr_testing::{Cmd, Need, Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_sandbox_writes_its_directory_and_nothing_else, USERNS),
    test!(empty_directories_are_one_filesystem_and_are_kept_apart, USERNS),
    test!(home_is_empty_or_kept_without_its_secrets_or_another_directory, USERNS),
    test!(openings_show_and_hide_paths, USERNS),
    test!(the_environment_has_no_secrets_but_what_is_passed, USERNS),
    test!(it_has_no_network_but_its_own_loopback, USERNS),
    test!(what_a_sandbox_is_not_is_refused, USERNS),
    test!(explain_shows_all_of_it, USERNS),
    test!(attack_dots_and_links_lead_nowhere, USERNS),
    test!(attack_a_link_put_there_while_it_starts_is_an_error, USERNS),
    test!(attack_a_writable_directory_that_contains_a_hidden_one, USERNS),
    test!(attack_sockets_of_the_session_are_out_of_reach, USERNS),
    test!(attack_abstract_sockets_are_out_of_reach, USERNS),
    #[cfg(target_arch = "x86_64")]
    test!(attack_terminal_injection_is_refused, USERNS),
    test!(attack_daemons_left_behind_end, USERNS),
    test!(attack_setuid_programs_gain_nothing, USERNS),
    test!(attack_hooks_profiles_and_boxr_toml_stay_as_they_are, USERNS),
    #[cfg(target_arch = "x86_64")]
    test!(attack_new_namespaces_keyrings_tracing_are_refused, USERNS),
    test!(attack_kernel_settings_of_root_are_read_only, USERNS),
    test!(attack_a_directory_as_standard_input_is_no_way_out, USERNS),
    test!(it_ends_with_its_parent, USERNS),
];

const USERNS: Need = Need::UserNamespaces;

/// `boxr run --sandbox FLAGS -- sh -c SCRIPT` in the directory `project`.
fn sandbox(t: &Sandbox, flags: &[&str], script: &str) -> Cmd {
    let project = t.path("project");
    std::fs::create_dir_all(&project).unwrap();
    t.run(["--sandbox"]).args(flags).args(["--", "sh", "-c", script]).cwd(project)
}

fn home(t: &Sandbox, name: &str) -> String {
    t.layout().home.join(name).to_str().unwrap().to_owned()
}

fn a_sandbox_writes_its_directory_and_nothing_else(t: &Sandbox) {
    let out = sandbox(t, &[], "pwd; id -u; echo x >file; ls -A ~ /tmp/x /run; touch /usr/x; touch /etc/x; echo y >/tmp/y; cat /tmp/y; readlink /dev/fd; echo z >/dev/null; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status").run();
    let uid = rustix::process::getuid().as_raw();
    let project = t.path("project").canonicalize().unwrap();
    let text = out.text();
    assert!(text.starts_with(&format!("{}\n{uid}\n", project.display())), "{}", out.story());
    for part in [
        "y\n/proc/self/fd\n",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(text.contains(part), "{part}: {}", out.story());
    }
    assert_eq!(out.errors().matches("Read-only file system").count(), 2, "{}", out.story());
    assert_eq!(std::fs::read_to_string(project.join("file")).unwrap(), "x\n");
    assert!(!Path::new("/tmp/y").exists());
    t.assert_nothing_left();
}

fn empty_directories_are_one_filesystem_and_are_kept_apart(t: &Sandbox) {
    let places = "/tmp /var/tmp /run ~";
    let script = format!(
        "stat -c %a {places} | xargs; stat -c %u {places} | uniq; stat -c %d {places} | uniq | wc -l; \
         echo a >/tmp/a; ls -A /var/tmp /run | grep -w a; ls /tmp/.. | grep -xc usr; \
         ln /tmp/a /var/tmp/b; mv /tmp/a /run/a && cat /run/a; ls -A /dev | xargs; stat -c %a /dev/shm"
    );
    let out = sandbox(t, &[], &script).run().ok();
    let uid = rustix::process::getuid().as_raw();
    let devices = "core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(
        out.text(),
        format!("1777 1777 755 700\n{uid}\n1\n1\na\n{devices}\n1777\n"),
        "{}",
        out.story()
    );
    out.blames("ross-device link");
    t.assert_nothing_left();
}

fn home_is_empty_or_kept_without_its_secrets_or_another_directory(t: &Sandbox) {
    std::fs::create_dir(home(t, ".ssh")).unwrap();
    for (path, text) in [(".ssh/id", "secret\n"), (".netrc", "secret\n"), ("notes", "known\n")] {
        std::fs::write(home(t, path), text).unwrap();
    }
    sandbox(t, &[], "ls -A ~; echo x >~/x && cat ~/x").run().ok().prints("x\n");
    let script = "cat ~/notes; cat ~/.ssh/id ~/.netrc; ls ~/.ssh; touch ~/x";
    let out = sandbox(t, &["--home", "keep"], script).run();
    assert_eq!(out.text(), "known\n", "{}", out.story());
    assert_eq!(out.errors().matches("Permission denied").count(), 3, "{}", out.story());
    std::fs::create_dir(t.path("other")).unwrap();
    let other = t.path("other").to_str().unwrap().to_owned();
    sandbox(t, &["--home", &other], "echo kept >~/x; ls -A ~").run().ok().prints("x\n");
    assert_eq!(std::fs::read_to_string(t.path("other/x")).unwrap(), "kept\n");
    assert!(!Path::new(&home(t, "x")).exists());
    // A secret that is opened by name is no secret.
    sandbox(t, &["--home", "keep", "--allow", &home(t, ".ssh/id:ro")], "cat ~/.ssh/id; ls -A ~/.ssh")
        .run()
        .ok()
        .prints("secret\nid\n");
}

fn openings_show_and_hide_paths(t: &Sandbox) {
    for dir in ["shared", "source"] {
        std::fs::create_dir(t.path(dir)).unwrap();
        std::fs::write(t.path(dir).join("file"), format!("{dir}\n")).unwrap();
    }
    let path = |name: &str| t.path(name).canonicalize().unwrap().to_str().unwrap().to_owned();
    let (shared, source) = (path("shared"), path("source"));
    let script = format!("cat {shared}/file {source}/file; echo new >{shared}/new; echo new >{source}/new");
    let out = sandbox(t, &["--allow", &shared, "--allow", &format!("{source}:ro")], &script).run();
    assert_eq!(out.text(), "shared\nsource\n", "{}", out.story());
    out.blames("Read-only");
    assert!(t.path("shared/new").exists() && !t.path("source/new").exists());
    let out =
        sandbox(t, &["--allow", &shared, "--hide", &format!("{shared}/file")], &format!("cat {shared}/file"))
            .run();
    out.exits(1).blames("Permission denied");
    for (flags, what) in [
        (&["--allow", "/no/such"][..], "/no/such"),
        (&["--hide", "/no/such"], "/no/such"),
        (&["--allow", "/"], "--allow /"),
        (&["--allow", shared.as_str(), "--hide", shared.as_str()], "allowed as well"),
    ] {
        sandbox(t, flags, "true").run().exits(125).blames(what);
    }
    t.run(["--allow", &shared, "--", "true"]).run().exits(125).blames("--allow needs --sandbox");
    t.assert_nothing_left();
}

fn the_environment_has_no_secrets_but_what_is_passed(t: &Sandbox) {
    let script = "echo ${PLAIN-none} ${GITHUB_TOKEN-none} ${AWS_PROFILE-none} ${DB_PASSWORD-none} ${SSH_AUTH_SOCK-none} ${MY_SECRET-none}";
    let run = |flags: &[&str]| {
        let mut cmd = sandbox(t, flags, script);
        for name in ["PLAIN", "GITHUB_TOKEN", "AWS_PROFILE", "DB_PASSWORD", "SSH_AUTH_SOCK", "MY_SECRET"] {
            cmd = cmd.env(name, "set");
        }
        cmd.run().ok().word()
    };
    assert_eq!(run(&[]), "set none none none none none");
    assert_eq!(run(&["--allow-env", "AWS_*", "-e", "GITHUB_TOKEN"]), "set set set none none none");
}

fn it_has_no_network_but_its_own_loopback(t: &Sandbox) {
    let out = sandbox(t, &[], "ls /sys/class/net >/dev/null; cat /proc/net/dev").run().ok();
    let devices: Vec<_> = out
        .lines()
        .iter()
        .skip(2)
        .filter_map(|line| line.split(':').next().map(|name| name.trim().to_owned()))
        .collect();
    assert!(
        devices.contains(&"lo".to_owned())
            && !devices.iter().any(|name| name.starts_with("eth") || name.starts_with("en")),
        "{}",
        out.story()
    );
    sandbox(t, &[], "cat /proc/net/route | wc -l").run().ok().prints("1\n");
}

fn what_a_sandbox_is_not_is_refused(t: &Sandbox) {
    for (flags, what) in [
        (&["--network", "host"][..], "namespace network"),
        (&["--userns", "host"], "namespace user"),
        (&["--cap-add", "SYS_ADMIN"], "--cap-add"),
        (&["-d"], "systemd-run --user boxr run --sandbox"),
        (&["--keep"], "--record FILE"),
        (&["--mount", "type=bind,src=/etc,dst=/mnt"], "--allow PATH:ro"),
        (&["-v", "/etc:/mnt"], "--allow"),
        (&["--user", "0"], "--user"),
        (&["--no-new-privs=false"], "--no-new-privs"),
        (&["-w", "/"], "the command could write all of it"),
        (&["-w", "/usr"], "the command could write all of it"),
        (&["--allow-degraded", "everything"], "no protection is called"),
    ] {
        sandbox(t, flags, "true").run().exits(125).blames(what);
    }
    t.run(["--sandbox", "--", "true"]).cwd(&t.layout().home).run().exits(125).blames("--home keep");
    sandbox(t, &[], "true").without_env("HOME").run().exits(125).blames("HOME");
    t.boxr(["create", "--sandbox", "--", "true"])
        .cwd(t.path("project"))
        .run()
        .exits(125)
        .blames("boxr run --sandbox");
    t.assert_nothing_left();
}

fn explain_shows_all_of_it(t: &Sandbox) {
    let out = sandbox(t, &["--explain", "--dry-run"], "true").run().ok();
    // Some kernels have none.
    let times = if std::fs::exists("/proc/self/ns/time").unwrap() { "new" } else { "the caller's" };
    for line in [
        "namespace network: new",
        &format!("namespace time: {times}"),
        "all that is there on / read-only nosuid nodev",
        "new tmpfs on /tmp",
        "capabilities: none",
        "no new privileges",
        "filter of system calls",
    ] {
        assert!(out.text().contains(line), "{line}: {}", out.story());
    }
}

fn attack_dots_and_links_lead_nowhere(t: &Sandbox) {
    std::fs::create_dir(t.path("project")).unwrap();
    std::fs::write(home(t, "private"), "private\n").unwrap();
    symlink(&t.layout().home, t.path("project/link")).unwrap();
    let dots = format!("{}../{}/private", "../".repeat(12), home(t, "").trim_start_matches('/'));
    let out = sandbox(
        t,
        &[],
        &format!("cat link/private; cat {dots}; echo x >../escaped; echo x >link/x; cat link/x"),
    )
    .run();
    assert_eq!(out.text(), "x\n", "what is behind the link is the sandbox's own home: {}", out.story());
    assert!(!Path::new(&home(t, "x")).exists() && !t.path("escaped").exists());
    // A directory that is named through a link is the one behind it, and shown there.
    std::fs::create_dir(t.path("real")).unwrap();
    symlink("real", t.path("alias")).unwrap();
    let real = t.path("real").canonicalize().unwrap();
    sandbox(t, &["--allow", t.path("alias").to_str().unwrap()], &format!("echo x >{}/x", real.display()))
        .run()
        .ok();
    assert!(t.path("real/x").exists());
}

/// Another process swaps a hidden directory's parent for a link, over and over: the sandbox sees the secret never, and
/// starts or says why not.
fn attack_a_link_put_there_while_it_starts_is_an_error(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project/sub/hidden")).unwrap();
    std::fs::write(t.path("project/sub/hidden/key"), "secret\n").unwrap();
    std::fs::create_dir_all(t.path("decoy/hidden")).unwrap();
    std::fs::write(t.path("decoy/hidden/key"), "decoy\n").unwrap();
    let script =
        "cd project; while [ -e ../go ]; do mv sub away; ln -s ../decoy sub; rm sub; mv away sub; done";
    std::fs::write(t.path("go"), "").unwrap();
    let mut swapper = Cmd::new("sh").args(["-c", script]).cwd(t.path("")).spawn();
    let hidden = t.path("project/sub/hidden").to_str().unwrap().to_owned();
    for _ in 0..25 {
        let out = sandbox(t, &["--hide", &hidden], "cat sub/hidden/key away/hidden/key").run();
        assert!(!out.text().contains("secret"), "{}", out.story());
    }
    std::fs::remove_file(t.path("go")).unwrap();
    swapper.close_stdin();
    swapper.finish();
    t.assert_nothing_left();
}

fn attack_a_writable_directory_that_contains_a_hidden_one(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project/in/hidden")).unwrap();
    std::fs::write(t.path("project/in/hidden/key"), "secret\n").unwrap();
    let hidden = t.path("project/in/hidden").to_str().unwrap().to_owned();
    let script = "cat in/hidden/key; mv in/hidden x; mv in moved; cat moved/hidden/key; cat x/key; ln moved/hidden/key y; rm -rf moved/hidden; chmod 777 moved/hidden; cat moved/hidden/key";
    let out = sandbox(t, &["--hide", &hidden], script).run();
    assert!(!out.text().contains("secret"), "{}", out.story());
    assert_eq!(std::fs::read_to_string(t.path("project/moved/hidden/key")).unwrap(), "secret\n");
}

/// dbus, ssh-agent, the systemd user manager, docker: sockets with a path, wherever it is.
fn attack_sockets_of_the_session_are_out_of_reach(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    std::fs::create_dir(t.path("elsewhere")).unwrap();
    let places = [
        t.layout().runtime.join("bus"),
        t.path("elsewhere/agent"),
        t.path("project/own.sock"),
        t.layout().home.join("agent"),
    ];
    let _listeners: Vec<_> = places.iter().map(|path| UnixListener::bind(path).unwrap()).collect();
    let probe = t.probe(&t.path("project/probe"));
    for place in &places {
        let place = place.canonicalize().unwrap();
        let place = place.to_str().unwrap();
        let connect = format!("{probe} --as=path-client {place} 2>/dev/null || echo refused");
        sandbox(t, &["--home", "keep"], &connect).run().ok().prints("refused\n");
        sandbox(t, &["--home", "keep", "--allow-socket", place], &connect).run().ok().prints("connected\n");
        sandbox(t, &["--allow", place], "true").run().exits(125).blames("--allow-socket");
    }
    places.iter().for_each(|place| std::fs::remove_file(place).unwrap());
}

/// X11 and dbus listen on names that no file tree has.
fn attack_abstract_sockets_are_out_of_reach(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    let probe = t.probe(&t.path("project/probe"));
    let name = format!("boxr-test-{}", std::process::id());
    let mut server = Cmd::new(&probe).args(["--as=abstract-server", &name]).spawn();
    server.expect("\n");
    let connect = format!("{probe} --as=abstract-client {name} 2>/dev/null || echo refused");
    sandbox(t, &[], &connect).run().ok().prints("refused\n");
    server.signal(rustix::process::Signal::KILL);
    server.finish();
}

#[cfg(target_arch = "x86_64")]
/// `TIOCSTI` and `TIOCLINUX`, also with bits that the kernel does not look at.
fn attack_terminal_injection_is_refused(t: &Sandbox) {
    let perl = r#"for $r (0x5412, 0x541c, 0x100005412, 0x70000541c) {
        $c = "x"; $f = syscall(16, 0, $r, $c); print $f == -1 && $! == 5 ? "refused " : "done: $! ";
    } $size = "x" x 64; syscall(16, 1, 0x5413, $size) == 0 and print "size""#;
    let out = sandbox(t, &["--tty"], &format!("perl -e '{perl}'")).run().ok();
    assert_eq!(out.text(), "refused refused refused refused size", "{}", out.story());
}

fn attack_daemons_left_behind_end(t: &Sandbox) {
    let out = sandbox(t, &[], "setsid sh -c 'while :; do sleep 0.01; echo >alive; done' >/dev/null 2>&1 </dev/null & while ! [ -e alive ]; do sleep 0.01; done; echo left").run().ok();
    assert_eq!(out.text(), "left\n");
    // The harness finds a process that outlives its test.
    t.assert_nothing_left();
}

fn attack_setuid_programs_gain_nothing(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    let own = t.path("project/id");
    std::fs::copy("/usr/bin/id", &own).unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o6755)).unwrap();
    let uid = rustix::process::getuid().as_raw();
    let out = sandbox(t, &[], "./id -u; for f in /usr/bin/su /usr/bin/passwd /usr/bin/mount /usr/bin/newgrp; do [ ! -u $f ] || findmnt -no OPTIONS -T $f; done; grep CapPrm /proc/self/status").run().ok();
    assert!(
        out.text().starts_with(&format!("{uid}\n")) && out.text().ends_with("CapPrm:\t0000000000000000\n"),
        "{}",
        out.story()
    );
    assert!(
        out.lines().iter().filter(|line| line.contains("relatime")).all(|line| line.contains("nosuid")),
        "{}",
        out.story()
    );
}

fn attack_hooks_profiles_and_boxr_toml_stay_as_they_are(t: &Sandbox) {
    for dir in ["project/.git/hooks", "project/.vscode"] {
        std::fs::create_dir_all(t.path(dir)).unwrap();
    }
    for file in [".git/config", ".bashrc", ".boxr.toml", ".vscode/tasks.json"] {
        std::fs::write(t.path("project").join(file), "as it was\n").unwrap();
    }
    let script = "for f in .git/hooks/pre-commit .git/config .bashrc .boxr.toml .vscode/tasks.json; do echo x >$f; done; \
        mv .git moved; rm -rf .git/hooks; mv .bashrc x; rm .boxr.toml; ln -sf /x .bashrc; echo ok >.git/index; cat .git/index";
    // Its .boxr.toml is one that nobody has approved.
    let out = sandbox(t, &["--sandbox=default"], script).run();
    assert_eq!(out.text(), "ok\n", "{}", out.story());
    for name in [".git/hooks/pre-commit", ".git/config", ".bashrc", ".boxr.toml"] {
        assert!(
            out.errors().contains(&format!("cannot create {name}: Read-only file system")),
            "{name}: {}",
            out.story()
        );
    }
    for file in [".git/config", ".bashrc", ".boxr.toml", ".vscode/tasks.json"] {
        assert_eq!(std::fs::read_to_string(t.path("project").join(file)).unwrap(), "as it was\n");
    }
    assert!(t.path("project/.git/hooks").is_dir());
    // What was not there is named when it has appeared.
    let out = sandbox(t, &["--sandbox=default"], "echo x >.envrc; mkdir .husky").run().ok();
    assert!(out.errors().contains(".envrc") && out.errors().contains(".husky"), "{}", out.story());
    let hooks = t.path("project/.git/hooks").to_str().unwrap().to_owned();
    sandbox(t, &["--sandbox=default", "--allow", &hooks], "echo x >.git/hooks/pre-commit").run().ok();
}

#[cfg(target_arch = "x86_64")]
fn attack_new_namespaces_keyrings_tracing_are_refused(t: &Sandbox) {
    // Numbers of x86-64: unshare, setns, clone with a user namespace, mount, open_tree, keyctl, add_key, bpf, io_uring_setup,
    // perf_event_open, userfaultfd, process_vm_readv, ptrace that attaches and seizes; the other way to ask for a
    // namespace, clone3, is not there at all.
    let perl = r#"for ([272, 0x10000000], [308, 0, 0], [56, 0x10000011, 0], [165, 0, 0, 0, 0, 0], [428, -100, 0, 1], [250, 0, -3, 0],
        [248, 0, 0, 0, 0, 0], [321, 0, 0, 0], [425, 1, 0], [298, 0, 0, 0, 0, 0], [323, 0], [310, 1, 0, 0, 0, 0, 0]) {
        $f = syscall(@$_[0], @$_[1..$#$_]); print "call @$_[0]: $f $!\n" unless $f == -1 && $! == 1;
    } for $r (16, 0x4206) { $f = syscall(101, $r, 1, 0, 0); print "ptrace $r: $f $!\n" unless $f == -1 && $! == 13; }
    $f = syscall(101, 0, 0, 0, 0); print "a debugger is refused: $!\n" if $f; syscall(435, 0, 0); print $! == 38 ? "end" : "clone3: $!""#;
    let out = sandbox(t, &[], &format!("unshare -U true; unshare -n true; perl -e '{perl}'")).run().ok();
    assert_eq!(out.text(), "end", "{}", out.story());
    assert_eq!(out.errors().matches("unshare failed").count(), 2, "{}", out.story());
}

/// Who is root of the host is the owner of what is below /proc/sys and /sys, capabilities or not.
fn attack_kernel_settings_of_root_are_read_only(t: &Sandbox) {
    let script = "for f in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sysrq-trigger /sys/kernel/mm/transparent_hugepage/enabled; do (echo h >$f) 2>/dev/null && echo wrote $f; done; echo end";
    sandbox(t, &[], script).run().ok().prints("end\n");
}

/// A descriptor of a directory leads around every mount that covers what is below it.
fn attack_a_directory_as_standard_input_is_no_way_out(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    std::fs::write(home(t, "private"), "private\n").unwrap();
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let line = format!(
        "exec {} {words} run --sandbox -- cat /dev/stdin/private </{}",
        t.program().display(),
        t.layout().home.display()
    );
    let out = t.surrounded(Cmd::new("sh")).args(["-c", &line]).cwd(t.path("project")).run().exits(125);
    out.blames("standard input is a directory");
}

fn it_ends_with_its_parent(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let line = format!(
        "{} {words} run --sandbox -- sh -c 'echo $$ >started; exec sleep 1000' & while ! [ -s started ]; do sleep 0.01; done; kill -KILL $$",
        t.program().display()
    );
    t.surrounded(Cmd::new("sh"))
        .args(["-c", &line])
        .cwd(t.path("project"))
        .run()
        .killed_by(rustix::process::Signal::KILL);
    boxr_testing::wait_until("the sandbox has ended", || t.boxr(["ps", "-q"]).run().ok().text().is_empty());
    t.boxr(["prune", "-f"]).run();
}
