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
