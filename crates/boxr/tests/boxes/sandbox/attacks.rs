//! Ways out of a sandbox that were found by trying.

use boxr_testing::{Cmd, Need, Sandbox, Test, test, wait_until};

use super::{USERNS, sandbox};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(attack_a_file_that_is_given_for_reading_is_not_written, USERNS),
    test!(attack_a_file_that_exec_is_given_for_reading_is_not_written, USERNS),
    test!(a_file_without_a_name_is_read_all_the_same, USERNS),
    #[cfg(target_arch = "x86_64")]
    test!(attack_the_command_does_not_outlive_boxr, USERNS),
    test!(attack_a_repository_that_is_elsewhere_or_in_modules_stays_as_it_is, USERNS),
    test!(attack_repositories_in_directories_below_stay_as_they_are, USERNS),
    test!(attack_a_repository_that_is_to_be_read_from_elsewhere_is_told, USERNS),
    test!(attack_a_device_that_is_given_for_reading_is_not_written, USERNS, Need::Root),
    test!(attack_what_the_kernel_tells_of_others_is_not_read, USERNS, Need::Root),
    test!(attack_a_file_that_never_ends_holds_up_no_other_sandbox, USERNS),
    test!(attack_sockets_are_those_of_the_internet_and_of_files, USERNS),
    test!(attack_mounts_swapped_while_it_starts_show_nothing, USERNS, Need::Root),
    test!(attack_a_filesystem_that_is_mounted_twice_shows_no_home, USERNS, Need::Root),
    test!(attack_fifos_hidden_in_a_kept_home_are_read_by_nobody, USERNS),
];

/// A descriptor keeps the mount that it was opened through, which is the host's.
fn attack_a_file_that_is_given_for_reading_is_not_written(t: &Sandbox) {
    let file = t.file("given", "first\nsecond\n");
    std::fs::create_dir_all(t.path("project")).unwrap();
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let run = |script: &str, redirections: &str| {
        let boxr = format!("{} {words} run --sandbox", t.program().display());
        let line = format!("read -r line; exec {boxr} {} -- sh -c '{script}'", redirections);
        t.surrounded(Cmd::new("sh"))
            .args(["-c", &format!("{{ {line}; }} <{file}")])
            .cwd(t.path("project"))
            .run()
    };
    let out = run("cat; echo evil >>/proc/self/fd/0; chmod 777 /proc/self/fd/0; : >/dev/stdin", "");
    assert_eq!(out.text(), "second\n", "it goes on where the caller was: {}", out.story());
    let out = run("echo evil >>/proc/self/fd/3; cat <&3", &format!("--preserve-fds 1 3<{file}"));
    assert_eq!(out.text(), "first\nsecond\n", "{}", out.story());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "first\nsecond\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_ne!(mode & 0o777, 0o777);
    // What is given for writing is written, as ever.
    let line = format!(
        "exec {} {words} run --sandbox -- sh -c 'echo said; echo more >>/dev/stdout' >>{file}",
        t.program().display()
    );
    t.surrounded(Cmd::new("sh")).args(["-c", &line]).cwd(t.path("project")).run().ok();
    assert!(std::fs::read_to_string(&file).unwrap().ends_with("said\nmore\n"));
    t.assert_nothing_left();
}

/// The same of one that enters a sandbox.
fn attack_a_file_that_exec_is_given_for_reading_is_not_written(t: &Sandbox) {
    let file = t.file("given", "first\nsecond\n");
    let mut running = sandbox(t, &["--name", "it"], "echo up; read end").spawn();
    running.expect("up");
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let exec = |redirection: &str, script: &str| {
        let boxr = format!("{} {words} exec -i", t.program().display());
        let line = format!("read -r line; exec {boxr} {redirection} it sh -c '{script}'");
        t.surrounded(Cmd::new("sh")).args(["-c", &format!("{{ {line}; }} <{file}")]).run()
    };
    let out = exec("", "cat; echo evil >>/proc/self/fd/0; chmod 777 /proc/self/fd/0; : >/dev/stdin");
    assert_eq!(out.text(), "second\n", "it goes on where the caller was: {}", out.story());
    let out = exec(&format!("--preserve-fds 1 3<{file}"), "echo evil >>/proc/self/fd/3; cat <&3");
    assert_eq!(out.text(), "first\nsecond\n", "{}", out.story());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "first\nsecond\n");
    exec("--preserve-fds 1 3</", "ls /proc/self/fd/3/").exits(125).blames("descriptor 3 is a directory");
    running.write("end\n");
    running.finish().ok();
    t.assert_nothing_left();
}

/// Such as what a shell has for a long here-document.
fn a_file_without_a_name_is_read_all_the_same(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let boxr = format!("{} {words} run --sandbox", t.program().display());
    let run = |script: &str| {
        let line = format!("exec 0<gone; rm gone; read -r line; exec {boxr} -- sh -c '{script}'");
        t.surrounded(Cmd::new("sh")).args(["-c", &line]).cwd(t.path("project")).run()
    };
    std::fs::write(t.path("project/gone"), "first\nsecond\n").unwrap();
    let out = run("cat; echo evil >>/proc/self/fd/0; cat /proc/self/fd/0");
    assert_eq!(out.text(), "second\nfirst\nsecond\n", "{}", out.story());
    // What is too large to be copied is refused. It begins with a line, as the shell reads that letter by letter.
    std::fs::write(t.path("project/gone"), "first\n").unwrap();
    let large = std::fs::File::options().write(true).open(t.path("project/gone")).unwrap();
    large.set_len((16 << 20) + 1).unwrap();
    run("true").exits(125).blames("cat FILE |");
    t.assert_nothing_left();
}

/// It could take back the signal that it gets when boxr ends, as it is its own to choose.
#[cfg(target_arch = "x86_64")]
fn attack_the_command_does_not_outlive_boxr(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    // prctl(PR_SET_PDEATHSIG), also with bits that the kernel does not look at.
    let perl = r#"print syscall(157, 1, 0), syscall(157, 0x100000001, 28); open F, ">started"; print F 1; close F; sleep 1000"#;
    let line = format!(
        "{} {words} run --sandbox -- perl -e '{perl}' & while ! [ -s started ]; do sleep 0.01; done; kill -KILL $!",
        t.program().display()
    );
    t.surrounded(Cmd::new("sh")).args(["-c", &line]).cwd(t.path("project")).run();
    wait_until("the sandbox has ended", || t.boxr(["ps", "-q"]).run().ok().text().is_empty());
    t.boxr(["prune", "-f"]).run();
}

/// Some families are in no network namespace, and all but four are code of the kernel's that few have looked at.
fn attack_sockets_are_those_of_the_internet_and_of_files(t: &Sandbox) {
    let perl = r#"use Socket; for $f (0 .. 47) { for $t (1, 2, 3, 5) { $k{$f} = 1 if socket(S, $f, $t, 0) } }
        print join(" ", sort { $a <=> $b } keys %k)"#;
    let out = sandbox(t, &[], &format!("perl -e '{perl}'")).run().ok();
    let families: Vec<String> = out.text().split_whitespace().map(str::to_owned).collect();
    assert!(
        families.iter().all(|family| ["1", "2", "10", "16"].contains(&family.as_str())),
        "{}",
        out.story()
    );
    assert!(families.contains(&"1".to_owned()) && families.contains(&"2".to_owned()), "{}", out.story());
}

/// Another process mounts over a hidden directory's parent and takes it off again, over and over.
fn attack_mounts_swapped_while_it_starts_show_nothing(t: &Sandbox) {
    for dir in ["project/sub/hidden", "decoy/hidden"] {
        std::fs::create_dir_all(t.path(dir)).unwrap();
    }
    std::fs::write(t.path("project/sub/hidden/key"), "secret\n").unwrap();
    std::fs::write(t.path("decoy/hidden/key"), "decoy\n").unwrap();
    std::fs::write(t.path("go"), "").unwrap();
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let hidden = t.path("project/sub/hidden").canonicalize().unwrap();
    let script = format!(
        "(while [ -e go ]; do mount --bind decoy project/sub; umount project/sub; done) & cd project; i=0; \
         while [ $i -lt 25 ]; do {} {words} run --sandbox --hide {} -- cat sub/hidden/key; i=$((i+1)); done; rm ../go; wait; echo end",
        t.program().display(),
        hidden.display()
    );
    let out = t.surrounded(Cmd::new("unshare")).args(["-m", "sh", "-c", &script]).cwd(t.path("")).run();
    assert!(out.text().contains("end") && !out.text().contains("secret"), "{}", out.story());
    t.assert_nothing_left();
}

/// A read-only mount refuses no FIFO: those of the session are covered, and in a kept home what is hidden cannot be
/// reached.
fn attack_fifos_hidden_in_a_kept_home_are_read_by_nobody(t: &Sandbox) {
    let dir = t.layout().home.join(".gnupg");
    std::fs::create_dir_all(&dir).unwrap();
    Cmd::new("mkfifo").arg(dir.join("fifo")).run().ok();
    let line = format!("timeout 5 sh -c \"echo x >{0}/fifo\"; cat {0}/fifo; echo end", dir.display());
    let out = sandbox(t, &["--home", "keep"], &line).run();
    assert_eq!(out.text(), "end\n", "{}", out.story());
    assert_eq!(out.errors().matches("ermission denied").count(), 2, "{}", out.story());
}

/// Where `.git` is a file it says whose hooks git runs; those of submodules are beneath it.
fn attack_a_repository_that_is_elsewhere_or_in_modules_stays_as_it_is(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    std::fs::write(t.path("project/.git"), "gitdir: /elsewhere\n").unwrap();
    let script = "echo gitdir: evil >.git; mv .git x; rm .git; mkdir evil; mv evil .git; cat .git";
    assert_eq!(sandbox(t, &[], script).run().text(), "gitdir: /elsewhere\n");
    std::fs::remove_file(t.path("project/.git")).unwrap();
    for module in ["a", "b/c", "a/modules/d"] {
        let dir = t.path("project/.git/modules").join(module);
        std::fs::create_dir_all(dir.join("hooks")).unwrap();
        std::fs::write(dir.join("HEAD"), "").unwrap();
        std::fs::write(dir.join("config"), "as it was\n").unwrap();
    }
    let script = "cd .git/modules; for m in a b/c a/modules/d; do echo x >$m/hooks/x; echo x >$m/config; rm -rf $m/config; mv $m moved; done; \
                  mv b moved; echo ok >a/index; cat a/index";
    assert_eq!(sandbox(t, &[], script).run().text(), "ok\n");
    for module in ["a", "b/c", "a/modules/d"] {
        let dir = t.path("project/.git/modules").join(module);
        assert_eq!(std::fs::read_to_string(dir.join("config")).unwrap(), "as it was\n", "{module}");
        assert_eq!(std::fs::read_dir(dir.join("hooks")).unwrap().count(), 0, "{module}");
    }
}

/// Submodules, and other clones: git runs their hooks too, and reads their settings.
fn attack_repositories_in_directories_below_stay_as_they_are(t: &Sandbox) {
    for dir in ["lib/.git/hooks", "clones/one/.git/hooks", "a/b/c/d/e/.git/hooks"] {
        std::fs::create_dir_all(t.path("project").join(dir)).unwrap();
    }
    std::fs::create_dir_all(t.path("project/vendor/sub")).unwrap();
    let modules = "[submodule \"deep\"]\n\tpath = a/b/c/d/e\n";
    for (file, text) in [
        ("lib/.git/config", "as it was\n"),
        ("clones/one/.git/config", "as it was\n"),
        ("a/b/c/d/e/.git/config", "as it was\n"),
        ("vendor/sub/.git", "as it was\n"),
        (".gitmodules", modules),
    ] {
        std::fs::write(t.path("project").join(file), text).unwrap();
    }
    let script = "for r in lib clones/one a/b/c/d/e; do echo x >$r/.git/hooks/x; echo x >$r/.git/config; mv $r/.git $r/moved; mv $r moved; done; \
        mv clones moved; mv a moved; echo x >vendor/sub/.git; rm vendor/sub/.git; mv vendor moved; \
        echo ok >lib/.git/index; echo ok >clones/one/file; cat lib/.git/index clones/one/file";
    let out = sandbox(t, &[], script).run();
    assert_eq!(out.text(), "ok\nok\n", "{}", out.story());
    for dir in ["lib/.git", "clones/one/.git", "a/b/c/d/e/.git"] {
        let dir = t.path("project").join(dir);
        assert_eq!(std::fs::read_to_string(dir.join("config")).unwrap(), "as it was\n", "{}", dir.display());
        assert_eq!(std::fs::read_dir(dir.join("hooks")).unwrap().count(), 0, "{}", dir.display());
    }
    assert_eq!(std::fs::read_to_string(t.path("project/vendor/sub/.git")).unwrap(), "as it was\n");
    // Where there is too much to be looked at, it is said.
    let explain = |t: &Sandbox| {
        let project = t.path("project");
        t.run(["--sandbox", "--explain", "--dry-run", "--", "true"]).cwd(project).run().ok().text().to_owned()
    };
    assert!(!explain(t).contains("were searched"), "{}", explain(t));
    for number in 0..300 {
        std::fs::create_dir(t.path("project/clones").join(number.to_string())).unwrap();
    }
    assert!(explain(t).contains("not all directories were searched for git repositories"), "{}", explain(t));
    let hooks = t.path("project/lib/.git/hooks").canonicalize().unwrap();
    let hooks = hooks.to_str().unwrap();
    sandbox(t, &["--allow", hooks], "echo x >lib/.git/hooks/post-merge").run().ok();
}

/// `.git/commondir` makes git read all settings from another directory, also where there was none.
fn attack_a_repository_that_is_to_be_read_from_elsewhere_is_told(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project/.git/worktrees/other")).unwrap();
    std::fs::create_dir_all(t.path("project/lib/.git")).unwrap();
    std::fs::write(t.path("project/.git/worktrees/other/commondir"), "../..\n").unwrap();
    let script = "echo ../evil >.git/worktrees/other/commondir; mv .git moved; mv .git/worktrees moved; \
        echo ../evil >.git/commondir; echo evil >.git/config.worktree; mkdir lib/.git/hooks; echo made";
    let out = sandbox(t, &[], script).run().ok();
    assert_eq!(out.text(), "made\n", "{}", out.story());
    for made in [".git/commondir", ".git/config.worktree", "lib/.git/hooks"] {
        let said = format!("project/{made} was made in the sandbox");
        assert!(out.errors().contains(&said), "{made}: {}", out.story());
    }
    let file = t.path("project/.git/worktrees/other/commondir");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "../..\n");
}

/// What the next sandbox in the directory reads may be a pipe by then, or as long as it likes.
fn attack_a_file_that_never_ends_holds_up_no_other_sandbox(t: &Sandbox) {
    sandbox(t, &[], "mkfifo .gitmodules").run().ok();
    let explained = t.run(["--sandbox", "--explain", "--", "echo", "ran"]).cwd(t.path("project")).run().ok();
    assert!(explained.errors().contains("not all directories were searched"), "{}", explained.story());
    let remade = "rm -f .gitmodules .boxr.toml; mkfifo .boxr.toml";
    sandbox(t, &["--sandbox=default"], remade).run().ok();
    sandbox(t, &[], "true").run().exits(125).blames(".boxr.toml: Invalid argument");
    std::fs::remove_file(t.path("project/.boxr.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", t.path("project/.boxr.toml")).unwrap();
    sandbox(t, &[], "true").run().exits(125).blames(".boxr.toml: Invalid argument");
    std::fs::remove_file(t.path("project/.boxr.toml")).unwrap();
    std::fs::File::create(t.path("project/.boxr.toml")).unwrap().set_len(1 << 40).unwrap();
    sandbox(t, &[], "true").run().exits(125).blames("EFBIG");
}

/// It has no mount of its own that would be read-only: by its name in /proc/self/fd it can be opened for writing.
fn attack_a_device_that_is_given_for_reading_is_not_written(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    // A null device by another number is none that boxr knows: the kernel's log.
    Cmd::new("mknod").arg(t.path("log")).args(["c", "1", "11"]).run().ok();
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let run = |flags: &str, redirection: &str| {
        let boxr = format!("{} {words} run --sandbox {flags}", t.program().display());
        let line = format!("exec {boxr} -- sh -c 'echo ran' {redirection}");
        t.surrounded(Cmd::new("sh")).args(["-c", &line]).cwd(t.path("project")).run()
    };
    run("", "<../log").exits(125).blames("standard input is a device");
    run("--preserve-fds 1", "3<../log").exits(125).blames("descriptor 3 is a device");
    for device in ["/dev/null", "/dev/zero", "/dev/urandom"] {
        run("", &format!("<{device}")).ok().prints("ran\n");
    }
}

/// Root owns what tracefs and debugfs show.
fn attack_what_the_kernel_tells_of_others_is_not_read(t: &Sandbox) {
    let script = "cat /sys/kernel/tracing/trace /sys/kernel/debug/tracing/trace; find /sys/kernel/debug /sys/kernel/tracing /sys/fs/pstore -type f; echo end";
    sandbox(t, &[], script).run().ok().prints("end\n");
}

/// As btrfs and ostree have it, or a bind mount.
fn attack_a_filesystem_that_is_mounted_twice_shows_no_home(t: &Sandbox) {
    for dir in ["project", "shared/all", "shared/home/x"] {
        std::fs::create_dir_all(t.path(dir)).unwrap();
    }
    let home = t.layout().home.canonicalize().unwrap();
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    std::fs::create_dir_all(home.join("work")).unwrap();
    for file in [".ssh/id", "private"] {
        std::fs::write(home.join(file), "secret\n").unwrap();
    }
    let shared = t.path("shared").canonicalize().unwrap();
    let words = t.globals().map(|word| word.to_str().unwrap().to_owned()).join(" ");
    let boxr = format!("{} {words} run --sandbox --allow {}:ro", t.program().display(), shared.display());
    let (work, above) = (home.parent().unwrap().display(), home.file_name().unwrap().to_str().unwrap());
    let script = format!(
        "mount --bind {work} {0}/all; mount --bind {1} {0}/home; cd project; \
         {boxr} -- sh -c 'cat {0}/all/{above}/private {0}/home/private {0}/home/.ssh/id; echo 1'; \
         {boxr} --home keep -- sh -c 'cat {0}/all/{above}/.ssh/id {0}/home/.ssh/id; cat {0}/home/private; echo 2'; \
         cd {0}/home/work; {boxr} -- sh -c 'echo made >made; cat ../private; cat made'; cd {0}/home; {boxr} -- true",
        shared.display(),
        home.display()
    );
    let out = t.surrounded(Cmd::new("unshare")).args(["-m", "sh", "-c", &script]).cwd(t.path("")).run();
    assert_eq!(out.text(), "1\nsecret\n2\nmade\n", "{}", out.story());
    assert!(out.errors().contains("by another name"), "{}", out.story());
    t.assert_nothing_left();
}
