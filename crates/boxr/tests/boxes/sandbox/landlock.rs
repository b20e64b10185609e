//! `--landlock`: a sandbox without namespaces.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use boxr_testing::metadata::WAYS;
use boxr_testing::{Cmd, Need, Output, Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(landlock_gives_the_rules_of_files_without_a_namespace, Need::Kernel(6, 12)),
    test!(landlock_is_taken_where_user_namespaces_are_forbidden, Need::Kernel(6, 12), Need::UserNamespaces),
    test!(what_landlock_cannot_give_is_refused_by_name, Need::Kernel(6, 12)),
    test!(attack_sockets_signals_and_processes_are_out_of_reach_of_landlock, Need::Kernel(6, 12)),
    test!(attack_who_enters_it_has_its_rules, Need::Kernel(6, 12)),
    test!(attack_metadata_of_what_it_may_not_write_stays, Need::Kernel(6, 12)),
    test!(what_it_may_write_has_the_metadata_that_a_command_gives_it, Need::Kernel(6, 12)),
    test!(attack_daemons_end_without_a_pid_namespace, Need::Kernel(6, 12)),
];

fn sandbox(t: &Sandbox, flags: &[&str], script: &str) -> Cmd {
    let project = t.path("project");
    std::fs::create_dir_all(&project).unwrap();
    t.run(["--sandbox", "--landlock"]).args(flags).args(["--", "sh", "-c", script]).cwd(project)
}

fn landlock_gives_the_rules_of_files_without_a_namespace(t: &Sandbox) {
    let private = t.layout().home.join("private");
    std::fs::write(&private, "private\n").unwrap();
    let private = private.display();
    let script = format!(
        "cat {private}; ls /tmp; echo x >/tmp/x; touch /usr/x /etc/x; echo made >file; cat file; echo own >$TMPDIR/x; cat $TMPDIR/x; ls -A ~; echo y >~/y; cat ~/y; readlink /proc/self/ns/user; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status"
    );
    let out = sandbox(t, &[], &script).run();
    let own = std::fs::read_link("/proc/self/ns/user").unwrap();
    for part in [
        "made\nown\ny\n",
        own.to_str().unwrap(),
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(out.text().contains(part), "{part}: {}", out.story());
    }
    assert_eq!(out.errors().matches("Permission denied").count(), 5, "{}", out.story());
    // Shown and hidden parts of the home directory.
    std::fs::create_dir(t.layout().home.join(".ssh")).unwrap();
    std::fs::write(t.layout().home.join(".ssh/id"), "secret\n").unwrap();
    let out = sandbox(t, &["--home", "keep"], "cat ~/private ~/.ssh/id; touch ~/x").run();
    assert_eq!(out.text(), "private\n", "{}", out.story());
    t.assert_nothing_left();
}

/// A limit of no user namespaces at all, in one whose limit is its own.
fn landlock_is_taken_where_user_namespaces_are_forbidden(t: &Sandbox) {
    let project = t.path("project");
    std::fs::create_dir_all(&project).unwrap();
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let line = format!(
        "echo 0 >/proc/sys/user/max_user_namespaces && exec {} {words} run --sandbox -- sh -c 'touch file /usr/x; ls'",
        t.program().display()
    );
    let out = t
        .surrounded(Cmd::new("unshare"))
        .args(["-U", "--map-root-user", "sh", "-c", &line])
        .cwd(project)
        .run()
        .ok();
    assert_eq!(out.text(), "file\n", "{}", out.story());
    out.blames("no user namespaces here (user.max_user_namespaces is 0): Landlock");
}

fn what_landlock_cannot_give_is_refused_by_name(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project/.git/hooks")).unwrap();
    sandbox(t, &[], "true").run().exits(125).blames("--allow-degraded=hooks");
    sandbox(t, &["--allow-degraded", "hooks"], "touch .git/hooks/x").run().ok();
    let given = ["--allow-degraded", "hooks"];
    for (flags, what) in [
        (&["--allow-net", "example.org"][..], "without a network namespace"),
        (&["--allow-socket", "/dev/null"], "--allow-degraded=sockets"),
        (&["--tmpfs", "/opt"], "without a mount namespace"),
    ] {
        sandbox(t, &[&given, flags].concat(), "true").run().exits(125).blames(what);
    }
    t.run(["--landlock", "--", "true"]).run().exits(125).blames("--landlock needs --sandbox");
    t.assert_nothing_left();
}

fn attack_sockets_signals_and_processes_are_out_of_reach_of_landlock(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    let probe = t.probe(&t.path("project/probe"));
    let path = t.path("project/own.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let victim = Cmd::new("sleep").arg("1000").spawn();
    let pid = victim.pid().as_raw_nonzero();
    let script = format!(
        "{probe} --as=path-client {} 2>/dev/null || echo no socket; kill {pid} 2>/dev/null || echo no signal; \
         cat /proc/{pid}/environ 2>/dev/null || echo no environment; {probe} --as=exchange 127.0.0.1:1 </dev/null 2>/dev/null || echo no network",
        path.display()
    );
    // A socket in a directory that can be written is out of reach like any other: none can be made.
    let out = sandbox(t, &["--allow-degraded", "hooks"], &script).run().ok();
    assert_eq!(out.text(), "no socket\nno signal\nno environment\nno network\n", "{}", out.story());
    victim.signal(rustix::process::Signal::KILL);
    victim.finish();
    std::fs::remove_file(path).unwrap();
}

/// Runs the probe on a file, with its lines.
fn metadata(t: &Sandbox, flags: &[&str], path: &Path) -> Output {
    std::fs::create_dir_all(t.path("project")).unwrap();
    let probe = t.probe(&t.path("project/probe"));
    sandbox(t, flags, &format!("{probe} --as=metadata {}", path.display())).run().ok()
}

/// What metadata of a file is that a command could change.
fn known(path: &Path) -> (u32, u32, u32, i64, i64) {
    let found = path.metadata().unwrap();
    (found.mode(), found.uid(), found.gid(), found.mtime(), found.ctime_nsec())
}

fn attack_metadata_of_what_it_may_not_write_stays(t: &Sandbox) {
    let outside = t.path("outside");
    std::fs::create_dir(&outside).unwrap();
    let shown = outside.display().to_string();
    for path in [outside.join("file"), outside.clone()] {
        if path != outside {
            std::fs::write(&path, "x").unwrap();
        }
        let before = known(&path);
        // Hidden, and shown for reading.
        for flags in [&[][..], &["--allow", &format!("{shown}:ro")]] {
            let out = metadata(t, flags, &path);
            assert!(!out.text().contains(": done"), "{}", out.story());
            assert_eq!(out.text().lines().count(), WAYS + 1, "{}", out.story());
            assert!(out.errors().contains(&format!("--allow {}", path.display())), "{}", out.story());
            assert_eq!(known(&path), before);
        }
    }
    // By a link from where it may write; and who enters it is let change nothing.
    std::os::unix::fs::symlink(outside.join("file"), t.path("project/link")).unwrap();
    let before = known(&outside.join("file"));
    let out = sandbox(t, &[], "chmod 777 link; touch -d 2001-01-01 link; mv link own; chmod 777 own").run();
    assert_eq!(out.errors().matches("Operation not permitted").count(), 2, "{}", out.story());
    assert_eq!(known(&outside.join("file")), before);
    // Whoever wants it so may have it.
    metadata(t, &["--allow-degraded", "metadata", "--allow", &format!("{shown}:ro")], &outside.join("file"))
        .shows("chmod: done")
        .shows("futimens: done");
    t.assert_nothing_left();
}

fn what_it_may_write_has_the_metadata_that_a_command_gives_it(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    let file = t.path("project/file");
    std::fs::write(&file, "x").unwrap();
    for flags in [&[][..], &["--explain-refusals"], &["--record", t.path("record").to_str().unwrap()]] {
        let out = metadata(t, flags, &file);
        assert_eq!(out.text().matches(": done").count(), WAYS, "{}", out.story());
        assert_eq!(out.errors(), "", "{}", out.story());
        let (mode, .., modified, _) = known(&file);
        assert_eq!((mode & 0o7777, modified), (0o640, 1002));
    }
    // Also of what only has a name, of symbolic links, and in its own temporary directory.
    let script = "ln -s nowhere link && touch -h -d @5 link && stat -c %Y link && touch -d @6 $TMPDIR/x && chmod 711 $TMPDIR/x && \
                  stat -c '%a %Y' $TMPDIR/x && cp -p file copy && stat -c '%a %Y' copy; chmod 700 none";
    let out = sandbox(t, &[], script).run();
    assert_eq!(out.text(), "5\n711 6\n640 1002\n", "{}", out.story());
    assert!(out.errors().contains("No such file"), "{}", out.story());
    t.assert_nothing_left();
}

fn attack_daemons_end_without_a_pid_namespace(t: &Sandbox) {
    let script = "setsid sh -c 'sleep 1000 & setsid sleep 1000 & while :; do sleep 0.01; echo >alive; done' >/dev/null 2>&1 </dev/null & while ! [ -e alive ]; do sleep 0.01; done; echo left";
    sandbox(t, &[], script).run().ok().prints("left\n");
    t.assert_nothing_left();
}

/// Landlock's rules are no namespace that could be joined: who enters takes them on. So it is with the scope of
/// abstract sockets where a sandbox shares the host's network.
fn attack_who_enters_it_has_its_rules(t: &Sandbox) {
    let outside = t.path("outside");
    let mut running = sandbox(t, &["--name", "it"], "echo up; read end").spawn();
    running.expect("up");
    let script = format!("echo made >file; cat file; echo x >{}", outside.display());
    let out = t.boxr(["exec", "it", "sh", "-c", &script]).run();
    assert_eq!(out.text(), "made\n", "{}", out.story());
    assert!(out.errors().contains("Permission denied"), "{}", out.story());
    if rustix::process::geteuid().is_root() {
        t.boxr(["exec", "--privileged", "it", "sh", "-c", &script]).run().prints("made\n");
    }
    assert!(!outside.exists());
    running.write("end\n");
    running.finish().ok();
    t.assert_nothing_left();
}
