//! `boxr try`, `diff` and `apply` (issue 7, points 3 and "Bad input and attacks").

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test};
use rustix::process::Signal;

use crate::containers::OVERLAY;
use crate::crash::{stopped, strace};

pub mod shown;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(what_is_written_goes_aside, OVERLAY),
    test!(what_is_applied_is_what_was_tried, OVERLAY),
    test!(one_that_changes_nothing_leaves_nothing, OVERLAY),
    test!(the_answer_can_be_given_in_advance, OVERLAY),
    test!(a_person_is_asked, OVERLAY),
    test!(one_that_cannot_run_leaves_nothing, OVERLAY),
    test!(options_that_make_no_sense_are_refused),
    test!(single_paths_are_applied, OVERLAY),
    test!(files_that_changed_meanwhile_are_not_replaced, OVERLAY),
    test!(directories_and_files_take_each_others_place, OVERLAY),
    test!(any_name_will_do, OVERLAY),
    test!(links_planted_on_the_host_lead_nowhere, OVERLAY),
    test!(links_planted_by_the_command_lead_nowhere, OVERLAY),
    test!(boxrs_own_directories_are_not_shown, OVERLAY),
    test!(a_deep_tree_is_no_harm, OVERLAY),
    test!(a_killed_boxr_takes_its_try_along, OVERLAY),
    test!(an_apply_that_is_killed_goes_on, OVERLAY, Need::Tool(Tool::Strace); deadline 300),
    test!(a_try_that_is_kept_is_on_the_disk_when_it_says_so, OVERLAY, Need::Tool(Tool::Strace)),
    test!(an_apply_while_another_process_writes_loses_nothing_by_halves, OVERLAY),
    test!(what_is_written_at_the_last_moment_is_not_lost, OVERLAY, Need::Tool(Tool::Strace)),
    test!(a_prune_leaves_tries_alone, OVERLAY),
    test!(a_try_runs_once, OVERLAY),
    test!(a_full_disk_is_the_commands_trouble, Need::Root, OVERLAY),
    test!(mounts_beneath_have_changes_of_their_own, Need::Root, OVERLAY),
    test!(files_of_others_are_as_outside, Need::Unprivileged, OVERLAY),
    test!(directories_that_lead_to_mounts_can_be_written_to, Need::Unprivileged, OVERLAY),
];

/// Runs a script in the test's directory as a try called `it`, which is kept.
fn tried(t: &Sandbox, script: &str) -> boxr_testing::Output {
    t.boxr(["try", "--keep", "--name", "it", "--", "sh", "-c", script]).cwd(t.path("")).run()
}

fn host(t: &Sandbox, script: &str) -> boxr_testing::Output {
    Cmd::new("sh").args(["-ec", script]).cwd(t.path("")).run().ok()
}

/// All that there is: kind, mode, links, size, time and where links lead.
fn listed(t: &Sandbox, dir: &str) -> String {
    let form = r"%y %m %n %s %TY-%Tm-%Td.%TT %p %l\n";
    let find = ["-mindepth", "1", "(", "-type", "d", "-printf", r"%y %m %p\n", "-o", "-printf", form, ")"];
    let mut lines = Cmd::new("find").arg(dir).args(find).cwd(t.path("")).run().ok().lines();
    lines.sort_unstable();
    lines.join("\n")
}

fn lines_of(t: &Sandbox, args: &[&str]) -> String {
    let out = t.boxr(["diff", "it"]).args(args).cwd(t.path("")).run().ok();
    out.text()
}

const LITTER: &str = "echo more >>a/file; rm a/gone; mkdir -p n/m; echo new >n/m/z; ln -s z n/m/l; ln n/m/z n/hard; \
                      truncate -s 1M n/holes; echo end >>n/holes; chmod 711 b; rm -r b/c; chmod 600 b/mode; \
                      touch -d '2001-02-03 04:05:06.789' b/time; mkfifo n/pipe";
const BEFORE: &str = "mkdir -p a b/c; echo one >a/file; echo gone >a/gone; echo x >b/c/x; touch b/mode b/time; \
                      touch -d 2020-01-01 a/file";

fn what_is_written_goes_aside(t: &Sandbox) {
    host(t, BEFORE);
    let before = listed(t, ".");
    tried(t, &format!("{LITTER}; cat a/file; exit 3")).exits(3).prints("one\nmore\n").blames("boxr apply it");
    assert_eq!(listed(t, "."), before, "the host is as it was");
    let expected = "changed  ./a/file  4B -> 9B\n\
                    removed  ./a/gone  5B\n\
                    mode     ./b/  0755 -> 0711\n\
                    removed  ./b/c/  2B in it\n\
                    mode     ./b/mode  0644 -> 0600\n\
                    time     ./b/time\n\
                    created  ./n/\n\
                    created  ./n/hard  4B\n\
                    created  ./n/holes  1.05MB\n\
                    created  ./n/m/\n\
                    created  ./n/m/l  -> z\n\
                    created  ./n/m/z  the same file as ./n/hard\n\
                    created  ./n/pipe  pipe\n";
    assert_eq!(lines_of(t, &[]), expected);
    t.boxr(["ps", "-a", "--format", "{{.Names}} {{.State}}"]).run().ok().prints("it exited\n");
    t.boxr(["rm", "it"]).run().ok();
    assert_eq!(listed(t, "."), before);
}

fn what_is_applied_is_what_was_tried(t: &Sandbox) {
    host(t, &format!("mkdir real it; cd real; {BEFORE}; cd ../it; {BEFORE}"));
    host(t, &format!("cd real; {LITTER}"));
    tried(t, &format!("cd it; {LITTER}")).ok();
    t.boxr(["apply", "it"]).run().ok().blames("applied 13 of 13");
    let neutral = |text: String| {
        let lines = text.lines().map(|line| {
            // Only these have times that were set.
            let timed = line.contains("2001-") || line.contains("2020-");
            let mut words: Vec<&str> = line.split(' ').collect();
            if !timed && words.len() > 5 {
                words.remove(4);
            }
            words.join(" ")
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let [real, it] = ["real", "it"].map(|dir| neutral(listed(t, dir)).replace(&format!(" {dir}/"), " "));
    assert_eq!(real, it);
    let holes = std::fs::metadata(t.path("it/n/holes")).unwrap();
    assert!(holes.blocks() * 512 < holes.len(), "the hole is one");
    t.boxr(["ps", "-aq"]).run().ok().prints("");
    assert_eq!(std::fs::read_dir(t.layout().root.join("containers")).unwrap().count(), 0);
}

fn one_that_changes_nothing_leaves_nothing(t: &Sandbox) {
    host(t, "echo a >file");
    tried(t, "cat file >/dev/null; : >>file; echo x >new; rm new; exit 4")
        .exits(4)
        .blames("nothing has changed");
    t.boxr(["ps", "-aq"]).run().ok().prints("");
    assert_eq!(std::fs::read_dir(t.layout().root.join("containers")).unwrap().count(), 0);
}

fn the_answer_can_be_given_in_advance(t: &Sandbox) {
    let answered =
        |flag: &str, script: &str| t.boxr(["try", flag, "--", "sh", "-c", script]).cwd(t.path("")).run();
    answered("--apply", "echo 1 >one").ok().blames("applied 1 of 1");
    answered("--drop", "echo 2 >two").ok();
    answered("--apply", "echo 3 >three; exit 5").exits(5).blames("nothing is applied");
    host(t, "test -e one; ! test -e two; ! test -e three");
    t.boxr(["try", "--apply", "--drop", "--", "true"]).run().exits(125).blames("cannot both be");
    t.boxr(["rm", "-f", "--all"]).run().ok();
}

fn a_person_is_asked(t: &Sandbox) {
    let file = t.path("file");
    let script = format!("echo x >{}", file.display());
    for (key, is_there) in [("d", false), ("k", false), ("a", true)] {
        let mut terminal = t.terminal(24, 100, &["try", "--", "sh", "-c", &script]);
        terminal.expect("Apply, keep for later, drop");
        terminal.send("s\r");
        terminal.expect("+x");
        terminal.send(&format!("{key}\r"));
        terminal.finish().ok();
        assert_eq!(file.exists(), is_there, "{key}");
    }
    let kept = t.boxr(["ps", "-aq"]).run().ok().lines();
    assert_eq!(kept.len(), 1, "the one that was to be kept");
    t.boxr(["rm"]).args(kept).run().ok();
}

fn one_that_cannot_run_leaves_nothing(t: &Sandbox) {
    t.boxr(["try", "--", "/no/such/program"]).run().exits(127).blames("/no/such/program");
    t.boxr(["try", "-w", "/no/such/directory", "--", "true"]).run().exits(125).blames("/no/such/directory");
    t.boxr(["ps", "-aq"]).run().ok().prints("");
    let left = std::fs::read_dir(t.layout().root.join("containers")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

fn options_that_make_no_sense_are_refused(t: &Sandbox) {
    for (args, why) in [
        (vec!["--rootfs", "/tmp"], "unknown flag --rootfs"),
        (vec!["-d"], "unknown flag -d"),
        (vec!["--ns", "mnt=host"], "a try needs mounts of its own"),
        (vec!["--restart", "always"], "unknown flag --restart"),
    ] {
        t.boxr(["try"]).args(args).args(["--", "true"]).run().exits(125).blames(why);
    }
    t.boxr(["try"]).run().exits(125).blames("no command to run");
    t.boxr(["apply", "none"]).run().exits(1).blames("no such box: none");
    t.boxr(["create", "--name", "box", "--", "true"]).run().ok();
    t.boxr(["apply", "box"]).run().exits(1).blames("box box is no try");
    t.boxr(["diff", "-p", "box"]).run().exits(1).blames("for tries");
    t.boxr(["rm", "box"]).run().ok();
}

fn single_paths_are_applied(t: &Sandbox) {
    host(t, "mkdir a; echo 1 >a/one");
    tried(t, "echo 2 >>a/one; mkdir -p n/deep; echo 3 >n/deep/three; echo 4 >n/four; rm -r a; mkdir a; echo 5 >a/five").ok();
    t.boxr(["apply", "it", "none"]).cwd(t.path("")).run().exits(1).blames("has changed nothing at");
    t.boxr(["apply", "it", "n/deep"]).cwd(t.path("")).run().ok().blames("the rest is kept as it");
    host(t, "test \"$(cat n/deep/three)\" = 3; ! test -e n/four; test -e a/one; ! test -e a/five");
    assert_eq!(lines_of(t, &[]), "created  ./a/five  2B\nremoved  ./a/one  2B\ncreated  ./n/four  2B\n");
    t.boxr(["apply", "it", "a/five"]).cwd(t.path("")).run().ok();
    host(t, "test -e a/one; test -e a/five");
    assert_eq!(lines_of(t, &[]), "removed  ./a/one  2B\ncreated  ./n/four  2B\n");
    t.boxr(["apply", "it"]).run().ok();
    host(t, "test \"$(find . -type f | sort | tr '\\n' ' ')\" = './a/five ./n/deep/three ./n/four '");
}

fn files_that_changed_meanwhile_are_not_replaced(t: &Sandbox) {
    host(t, "echo 1 >one; echo 2 >two; echo 3 >three; mkdir dir; echo 4 >dir/four");
    tried(t, "echo try >one; echo try >two; echo try >three; echo try >new; rm -r dir; echo try >fine").ok();
    host(t, "echo mine >one; rm two; echo mine >new; echo mine >dir/five");
    let refused = t.boxr(["apply", "it"]).cwd(t.path("")).run().exits(1);
    let said = refused.errors();
    for (path, why) in [
        ("./one", "changed since the try ended"),
        ("./two", "removed since the try ended"),
        ("./new", "made since the try ended"),
        ("./dir/", "something in it changed"),
    ] {
        assert!(said.lines().any(|line| line.contains(path) && line.contains(why)), "{path}: {said}");
    }
    host(t, "test $(cat one) = mine; test $(cat three) = 3; ! test -e fine; test -e dir/four");
    t.boxr(["apply", "it", "three", "fine"]).cwd(t.path("")).run().ok();
    host(t, "test $(cat one) = mine; test $(cat three) = try; test $(cat fine) = try");
    t.boxr(["apply", "--force", "it"]).run().ok();
    host(t, "test \"$(cat one two new)\" = \"$(printf 'try\\ntry\\ntry')\"; ! test -e dir");
    // One that changes while the command runs.
    let script = "echo try >>three; echo ready; read -r line";
    let mut running = t.boxr(["try", "--name", "it", "--", "sh", "-c", script]).cwd(t.path("")).spawn();
    running.expect("ready");
    host(t, "echo mine >three");
    running.write("on\n");
    running.finish().ok();
    t.boxr(["apply", "it"]).run().exits(1).blames("changed while the try ran");
    t.boxr(["rm", "it"]).run().ok();
}

fn directories_and_files_take_each_others_place(t: &Sandbox) {
    let before =
        "mkdir -p one/below two; echo f >one/below/f; echo f >three; echo f >two/kept; ln -s two four";
    host(t, &format!("mkdir real it; cd real; {before}; cd ../it; {before}"));
    let change = "rm -r one; echo file >one; rm three; mkdir -p three/deep; echo d >three/deep/d; mv two two.old; mkdir two; \
                  echo new >two/new; rm four; mkdir four; echo x >four/x; rm -r two.old; mkdir two.old; rmdir two.old";
    host(t, &format!("cd real; {change}"));
    tried(t, &format!("cd it; {change}")).ok();
    t.boxr(["apply", "it"]).run().ok();
    let contents = |dir: &str| {
        let script = format!("cd {dir}; find . | sort; find . -type f | sort | xargs cat");
        Cmd::new("sh").args(["-c", &script]).cwd(t.path("")).run().ok().text()
    };
    assert_eq!(contents("real"), contents("it"));
}

fn any_name_will_do(t: &Sandbox) {
    let names = r#"printf 1 >"$(printf 'new\nline')"; printf 2 >"$(printf 'bad\377')"; printf 3 >"$(printf 'esc\033[31m')"; mkdir -- "-d $(printf '\t')"; printf 4 >"-d $(printf '\t')/x""#;
    let out = tried(t, names).ok().errors();
    for name in ["new\\012line", "bad\\377", "esc\\033[31m", "-d \\011/x"] {
        assert!(out.contains(name), "{name}: {out}");
    }
    assert!(!out.contains('\x1b'), "{out:?}");
    let json: serde_json::Value = serde_json::from_str(&lines_of(t, &["--json"])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 5);
    t.boxr(["diff", "-p", "it"]).run().ok().shows("+4");
    t.boxr(["apply", "it"]).run().ok();
    use std::os::unix::ffi::OsStrExt;
    let bad = t.path("").join(std::ffi::OsStr::from_bytes(b"bad\xff"));
    assert_eq!(std::fs::read(bad).unwrap(), b"2");
    assert_eq!(std::fs::read(t.path("new\nline")).unwrap(), b"1");
}

fn links_planted_on_the_host_lead_nowhere(t: &Sandbox) {
    host(t, "mkdir dir elsewhere; echo mine >elsewhere/file; echo old >dir/file");
    tried(t, "echo try >dir/file; echo try >dir/new; mkdir sub; echo x >sub/x").ok();
    host(t, "mv dir dir.old; ln -s elsewhere dir; ln -s elsewhere sub");
    t.boxr(["apply", "--force", "it"]).run();
    host(t, "test $(cat elsewhere/file) = mine; test $(ls elsewhere) = file");
    t.boxr(["rm", "-f", "it"]).run().ok();
}

fn links_planted_by_the_command_lead_nowhere(t: &Sandbox) {
    host(t, "mkdir dir elsewhere; echo mine >elsewhere/file; echo old >dir/file");
    // Through a link of its own the command changes files where they are.
    tried(t, "rm -r dir; ln -s elsewhere dir; echo try >dir/file; ln -s /etc/passwd elsewhere/p").ok();
    let lines = lines_of(t, &[]);
    assert!(lines.contains("changed  ./dir  directory -> symbolic link"), "{lines}");
    assert!(lines.contains("changed  ./elsewhere/file"), "{lines}");
    t.boxr(["apply", "it", "dir"]).cwd(t.path("")).run().ok();
    host(t, "test $(readlink dir) = elsewhere; test $(cat elsewhere/file) = mine; ! test -e dir.old");
    t.boxr(["apply", "it"]).cwd(t.path("")).run().ok();
    host(t, "test $(cat elsewhere/file) = try; test $(readlink elsewhere/p) = /etc/passwd");
}

fn boxrs_own_directories_are_not_shown(t: &Sandbox) {
    let (root, state) = (t.layout().root.display(), t.layout().state.display());
    let script =
        format!("ls -A {root} {state}; rm -rf {root} {state} 2>/dev/null; echo x >{root}/x; echo y >y");
    let out = tried(t, &script).ok();
    assert!(!out.text().contains("containers"), "{}", out.story());
    assert_eq!(lines_of(t, &[]), "created  ./y  2B\n");
    t.boxr(["apply", "it"]).run().ok();
    assert!(t.layout().root.join("containers").exists());
}

fn a_deep_tree_is_no_harm(t: &Sandbox) {
    // Deeper than there are descriptors, and many files in one directory.
    let script = "ulimit -n 64; i=0; p=d; while [ $i -lt 300 ]; do p=$p/d; i=$((i+1)); done; mkdir -p $p; echo deep >$p/f; \
                  mkdir many; cd many; seq 1 2000 | xargs touch";
    tried(t, script).ok();
    let apply = "ulimit -n 64; exec \"$@\"";
    let program = t.program().to_str().unwrap().to_owned();
    let cmd = t.surrounded(Cmd::new("sh")).args(["-c", apply, "sh", &program]).args(t.globals());
    cmd.args(["apply", "it"]).run().ok().blames("applied 2303 of 2303");
    host(t, "test $(find d -name f | wc -l) = 1; test $(ls many | wc -l) = 2000");
}

fn a_killed_boxr_takes_its_try_along(t: &Sandbox) {
    let script = "echo try >new; echo ready; sleep 1000";
    let mut running = t.boxr(["try", "--name", "it", "--", "sh", "-c", script]).cwd(t.path("")).spawn();
    running.expect("ready");
    t.boxr(["apply", "it"]).run().exits(1).blames("is running");
    running.signal(Signal::KILL);
    running.finish().killed_by(Signal::KILL);
    boxr_testing::wait_until("the command has ended", || {
        t.boxr(["ps", "-a", "--format", "{{.State}}"]).run().ok().text() == "exited\n"
    });
    assert_eq!(lines_of(t, &["new"]), "created  ./new  4B\n");
    t.boxr(["apply", "it", "new"]).cwd(t.path("")).run().ok();
    host(t, "test $(cat new) = try");
    t.boxr(["rm", "-f", "it"]).run().ok();
}

fn an_apply_that_is_killed_goes_on(t: &Sandbox) {
    let before = "mkdir -p a/b; echo 1 >one; echo 2 >a/two; echo 3 >a/b/three; mkdir four; echo 4 >four/4; echo 5 >five";
    let change = "echo x >>one; rm -r a/b; mkdir -p n/m; echo new >n/m/new; rm -r four; echo file >four; rm five; mkdir five; \
                  echo y >five/y; chmod 700 n";
    host(t, &format!("mkdir real; cd real; {before}; {change}"));
    let program = t.program().to_str().unwrap().to_owned();
    let mut kills = 0;
    for call in ["renameat,renameat2", "unlinkat", "mkdirat,linkat"] {
        for number in 1..=12 {
            host(t, &format!("rm -rf it; mkdir it; cd it; {before}"));
            tried(t, &format!("cd it; {change}")).ok();
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let words = ["-f", "-o", "/dev/null", "-e", &inject, &program];
            let cmd = t.surrounded(Cmd::new("strace")).args(words).args(t.globals());
            let out = cmd.args(["apply", "it"]).cwd(t.path("")).run();
            let whole = |file: &str, texts: &[&str]| {
                let found = std::fs::read_to_string(t.path("it").join(file));
                assert!(
                    found.as_ref().map_or(true, |text| texts.contains(&text.as_str())),
                    "{file}: {found:?}"
                );
            };
            whole("one", &["1\n", "1\nx\n"]);
            whole("n/m/new", &["new\n"]);
            let last = !out.errors().is_empty() && out.errors().contains("applied");
            let contents = |dir: &str| {
                let script = format!(
                    "cd {dir}; find . -printf '%y %m %P\\n' | sort; find . -type f | sort | xargs cat"
                );
                Cmd::new("sh").args(["-c", &script]).cwd(t.path("")).run().ok().text()
            };
            if contents("real") != contents("it") {
                kills += 1;
                t.boxr(["apply", "it"]).run().ok();
            }
            // One that was killed after its last change.
            t.boxr(["rm", "-f", "--all"]).run().ok();
            assert_eq!(contents("real"), contents("it"), "{call} {number}");
            if last {
                break;
            }
        }
    }
    assert!(kills > 10, "{kills} were broken off");
}

fn a_try_runs_once(t: &Sandbox) {
    tried(t, "echo x >file").ok();
    t.boxr(["start", "it"]).run().exits(1).blames("is a try");
    t.boxr(["rm", "it"]).run().ok();
}

/// A script with mounts that nobody else sees.
fn with_mounts(t: &Sandbox, script: &str) -> boxr_testing::Output {
    let program = t.program().to_str().unwrap().to_owned();
    let boxr = format!("'{program}' --state '{}'", t.layout().state.display());
    let words = ["-m", "--propagation", "private", "sh", "-ec", script];
    t.surrounded(Cmd::new("unshare")).args(words).env("BOXR", boxr).cwd(t.path("")).run()
}

/// Its overlays do not write to the disk at their end.
fn a_try_that_is_kept_is_on_the_disk_when_it_says_so(t: &Sandbox) {
    let strace = ["-f", "-s", "64", "-e", "trace=syncfs,write", "-e", "signal=none", "-o", "trace"];
    let globals = t.globals();
    let keep = ["try", "--keep", "--name", "it", "--", "sh", "-c", "echo x >file"];
    let traced =
        t.surrounded(Cmd::new("strace")).args(strace).arg("--").arg(t.program()).args(globals).args(keep);
    traced.cwd(t.path("")).run().ok();
    let trace = std::fs::read_to_string(t.path("trace")).unwrap();
    let at = |what: &str| trace.lines().position(|line| line.contains(what));
    let (synced, said) = (at("syncfs("), at("kept as it"));
    assert!(synced.is_some() && said.is_some() && synced < said, "{trace}");
    t.boxr(["rm", "it"]).run().ok();
}

/// Whoever reads sees whole files; what was written before an apply looks is a conflict, and what was written after it
/// has put a file there stays.
fn an_apply_while_another_process_writes_loses_nothing_by_halves(t: &Sandbox) {
    let long = |word: &str| word.repeat(1 << 16);
    for round in 0..4 {
        std::fs::write(t.path("file"), long("old ")).unwrap();
        std::fs::write(t.path("steady"), "old").unwrap();
        let script =
            "i=0; while [ $i -lt 65536 ]; do echo -n 'new '; i=$((i+1)); done >file; echo -n new >steady";
        tried(t, script).ok();
        std::fs::write(t.path("go"), "").unwrap();
        // Replaces it in one step, again and again.
        let writer = "while [ -e go ]; do cp theirs next; mv next file; done; echo end";
        std::fs::write(t.path("theirs"), long("own ")).unwrap();
        let mut writer = Cmd::new("sh").args(["-c", writer]).cwd(t.path("")).spawn();
        let applied = t.boxr(["apply", "it"]).cwd(t.path("")).run();
        std::fs::remove_file(t.path("go")).unwrap();
        writer.expect("end");
        writer.finish().ok();
        let found = std::fs::read_to_string(t.path("file")).unwrap();
        assert!(
            ["old ", "new ", "own "].iter().any(|word| found == long(word)),
            "round {round}: {}",
            found.len()
        );
        if found == long("new ") {
            applied.ok();
        } else if applied.errors().contains("since the try ended") {
            // A conflict keeps all of it in the try.
            assert_eq!(std::fs::read_to_string(t.path("steady")).unwrap(), "old", "round {round}");
        }
        t.boxr(["rm", "-f", "it"]).run();
        host(t, "rm -f file steady theirs next; test -z \"$(find . -name '.boxr-*')\"");
    }
}

/// strace stops the apply where the new file is beside its place, until somebody else has changed the old one.
fn what_is_written_at_the_last_moment_is_not_lost(t: &Sandbox) {
    host(t, "echo old >file; echo mine >theirs");
    tried(t, "echo try >file").ok();
    let flags = ["-f", "-e", "trace=linkat", "-e", "inject=linkat:signal=STOP:when=1"];
    let applying = strace(t, &flags, &["apply", "it"]).cwd(t.path("")).spawn();
    boxr_testing::wait_until("the file is beside its place", || stopped(t).is_some());
    host(t, &format!("mv theirs file; kill -CONT {}", stopped(t).unwrap()));
    applying.finish().exits(1).blames("file");
    host(t, "test $(cat file) = mine; test -z \"$(find . -name '.boxr-*')\"");
    t.boxr(["diff", "-p", "it"]).run().ok().shows("+try");
    t.boxr(["apply", "--force", "it"]).run().ok();
    host(t, "test $(cat file) = try");
}

/// Their changes are nowhere else.
fn a_prune_leaves_tries_alone(t: &Sandbox) {
    tried(t, "echo try >file").ok();
    t.run(["--keep", "--name", "other", "--", "true"]).run().ok();
    let id = t.boxr(["ps", "-a", "-q", "--no-trunc", "--filter", "name=other"]).run().ok().word();
    let pruned = t.boxr(["prune", "-f"]).run().ok();
    assert!(pruned.text().contains(&id), "{}", pruned.story());
    assert!(
        pruned.errors().contains("tries stay") && pruned.errors().contains(": it\n"),
        "{}",
        pruned.story()
    );
    t.boxr(["apply", "it"]).run().ok();
    host(t, "test $(cat file) = try");
}

fn a_full_disk_is_the_commands_trouble(t: &Sandbox) {
    let script = "mkdir small; mount -t tmpfs -o size=2m small small; echo old >file; BOXR=\"$BOXR --root $PWD/small\"; \
                  eval $BOXR try --keep --name it -- \"sh -c 'echo new >file; dd if=/dev/zero of=big bs=1M count=8 2>&1'\" || echo status $?; \
                  cat file; eval $BOXR apply it file; cat file; eval $BOXR rm -f it; umount small; rmdir small; ls";
    let out = with_mounts(t, script).ok();
    let text = out.text();
    assert!(
        text.contains("No space left on device") && text.contains("status 1\nold\nnew\n"),
        "{}",
        out.story()
    );
    assert!(text.ends_with("file\n"), "{text}");
}

fn mounts_beneath_have_changes_of_their_own(t: &Sandbox) {
    let script = "mkdir m r; mount -t tmpfs m m; mount -t tmpfs -o ro r r; echo old >m/file; mkdir m/dir; \
                  eval $BOXR --root '\"$PWD/../root\"' try --keep --name it -- \"sh -c 'echo more >>m/file; echo h >m/h; ln m/h m/dir/h2; \
                  truncate -s 1M m/holes; echo end >>m/holes; ln -s h m/l; rm -r m/dir/no; rmdir m 2>&1; touch r/x 2>&1; true'\"; \
                  cat m/file; eval $BOXR --root '\"$PWD/../root\"' apply it; cat m/file; stat -c %h m/dir/h2; readlink m/l; \
                  test $(du -k m/holes | cut -f1) -lt 1000; find m | wc -l";
    let out = with_mounts(t, script).ok();
    let text = out.text();
    assert!(text.contains("busy") && text.contains("Read-only file system"), "{}", out.story());
    assert!(text.ends_with("old\nold\nmore\n2\nh\n7\n"), "{}", out.story());
}

fn files_of_others_are_as_outside(t: &Sandbox) {
    let script = "id -u; stat -c %U /etc/passwd; touch /etc/passwd; touch /etc/new; touch /usr/new; touch /var/tmp/boxr-try-$$; echo x >file";
    let out = tried(t, script).ok();
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(out.lines(), [uid.to_string(), "nobody".to_owned()]);
    let lines = lines_of(t, &[]);
    assert!(lines.contains("created  ./file") && lines.contains("created  /var/tmp/boxr-try-"), "{lines}");
    assert!(!lines.contains("/etc") && !lines.contains("/usr"), "{lines}");
    assert!(
        !Path::new("/var/tmp")
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with("boxr-try-") })
    );
    t.boxr(["apply", "it", "file"]).cwd(t.path("")).run().ok();
    t.boxr(["rm", "it"]).run().ok();
}

fn directories_that_lead_to_mounts_can_be_written_to(t: &Sandbox) {
    let program = t.program().to_str().unwrap().to_owned();
    let [state, root] = [&t.layout().state, &t.layout().root].map(|path| path.display().to_string());
    let script = format!(
        "mkdir top; cd top; mkdir m dir; echo 1 >small; echo 2 >dir/two; mount -t tmpfs m m; echo 3 >m/three; \
         BOXR='{program} --state {state} --root {root}'; \
         $BOXR try --keep --name it -- sh -c 'echo x >>small; echo x >>dir/two; echo x >>m/three; echo new >new; rm small; echo y >small; mkdir d; echo z >d/z'; \
         cat small dir/two m/three; ls; $BOXR diff it; $BOXR apply it; cat small dir/two m/three; ls"
    );
    let words = ["-Um", "--map-current-user", "--keep-caps", "sh", "-ec", &script];
    let out = t.surrounded(Cmd::new("unshare")).args(words).cwd(t.path("")).run().ok();
    let expected = "1\n2\n3\ndir\nm\nsmall\nchanged  ./dir/two  2B -> 4B\ncreated  ./d/\ncreated  ./d/z  2B\nchanged  ./m/three  2B -> 4B\n\
                    created  ./new  4B\nchanged  ./small  2B -> 2B\ny\n2\nx\n3\nx\nd\ndir\nm\nnew\nsmall\n";
    let mut lines = out.lines();
    lines.sort_unstable();
    let mut expected: Vec<&str> = expected.lines().collect();
    expected.sort_unstable();
    assert_eq!(lines, expected, "{}", out.story());
}
