//! Sudden death around the network namespace of a user's own networks: of boxr at its calls, of the process that comes to
//! hold it, and of one that holds it already.

use std::os::unix::fs::PermissionsExt;

use boxr_testing::lab::{Lab, USER};
use boxr_testing::processes::descendants;
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};
use rustix::process::getppid;

use super::realm::User;
use super::rootless::{PASTA, SETPRIV, assert_nothing_left};
use super::{NET, ROOT};
use crate::crash::{Walk, steps_of_others, strace_in};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(boxr_killed_at_calls_of_a_users_start_leaves_no_realm, ROOT, NET, PASTA, SETPRIV, STRACE; deadline 600),
    test!(changes_of_a_running_box_killed_at_calls_can_be_asked_for_again, ROOT, NET, PASTA, SETPRIV, STRACE; deadline 600),
    test!(boxr_killed_at_calls_of_a_users_pod_leaves_nothing_of_it, ROOT, NET, PASTA, SETPRIV, STRACE; deadline 900),
    test!(a_keeper_killed_at_each_of_its_calls_leaves_no_realm, ROOT, NET, SETPRIV, STRACE; deadline 600),
    test!(a_realm_that_no_record_is_in_is_pruned, ROOT, NET, SETPRIV),
    test!(a_keeper_that_is_killed_before_its_helper_starts_is_replaced, ROOT, NET, PASTA, SETPRIV),
];

const STRACE: Need = Need::Tool(Tool::Strace);
/// So many calls of a walk are taken at most; `BOXR_WALK=all` takes all.
const MOST: usize = 40;

/// A user whose programs strace(1) follows.
#[track_caller]
fn traced(t: &Sandbox) -> User<'_> {
    let user = User::on(t, Lab::for_users());
    // It writes this as the user.
    std::fs::write(t.path("trace"), "").unwrap();
    std::fs::set_permissions(t.path("trace"), std::fs::Permissions::from_mode(0o666)).unwrap();
    user
}

impl User<'_> {
    /// Starts another program as the user.
    fn start(&self, program: &str) -> Cmd {
        let user = USER.to_string();
        let ids = ["--reuid", &user, "--regid", &user, "--clear-groups", program];
        self.lab.on_host("setpriv").args(ids).env("HOME", &self.home).env("XDG_RUNTIME_DIR", &self.home)
    }

    /// The words of a command line with the user's directories.
    fn words(&self, args: &[&str]) -> Vec<String> {
        let home = |name: &str| self.home.join(name).display().to_string();
        let dirs = ["--state".to_owned(), home("state"), "--root".to_owned(), home("root")];
        dirs.into_iter().chain(args.iter().map(|word| (*word).to_owned())).collect()
    }

    /// Whatever was killed: boxes are listed and removed, and nothing is left of them.
    #[track_caller]
    fn clean_up(&self) {
        self.boxr(&["ps", "-a"]).run().ok();
        self.boxr(&["pod", "ps"]).run().ok();
        self.boxr(&["pod", "rm", "--force", "--all"]).run().ok();
        self.boxr(&["rm", "--force", "--all"]).run().ok();
        // It sweeps up what whoever was killed has left.
        self.boxr(&["network", "prune", "-f"]).run().ok();
        assert_nothing_left(&self.home);
        assert!(!self.home.join("state/network/realm").exists());
        let keepers =
            || descendants(getppid().unwrap()).iter().filter(|one| one.comm == "boxr-realm").count();
        wait_until("no keeper is left", || keepers() == 0);
    }

    #[track_caller]
    fn make_network(&self, flags: &[&str]) {
        self.boxr(&["network", "create"]).args(flags).arg("shop").run().ok();
    }

    #[track_caller]
    fn end_with_nothing_left(self) {
        self.clean_up();
        self.lab.end(self.t);
    }
}

fn boxr_killed_at_calls_of_a_users_start_leaves_no_realm(t: &Sandbox) {
    let user = traced(t);
    let words = user.words(&[
        "run",
        "-d",
        "--name",
        "victim",
        "--network",
        "shop",
        "-p",
        "8080:80",
        "--",
        "sleep",
        "1000",
    ]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let most = if std::env::var_os("BOXR_WALK").is_some() { usize::MAX } else { MOST };
    let start = |program: &str| user.start(program);
    Walk { t, start: &start, most }.of(&words, || user.make_network(&[]), || user.clean_up());
    user.end_with_nothing_left();
}

fn boxr_killed_at_calls_of_a_users_pod_leaves_nothing_of_it(t: &Sandbox) {
    let user = traced(t);
    let start = |program: &str| user.start(program);
    let most = if std::env::var_os("BOXR_WALK").is_some() { usize::MAX } else { MOST / 4 };
    let create = ["pod", "create", "--name", "victim", "--network", "shop", "-p", "8080:80"];
    let member = ["run", "-d", "--pod", "victim", "--", "sleep", "1000"];
    let new_pod =
        ["run", "-d", "--pod", "new:victim", "--network", "shop", "-p", "8080:80", "--", "sleep", "1000"];
    let on_default =
        ["run", "-d", "--pod", "new:victim", "--network", "bridge", "-p", "8080:80", "--", "sleep", "1000"];
    for (before, killed) in [
        (&[][..], &create[..]),
        (&[&create[..]], &member),
        (&[], &new_pod),
        (&[], &on_default),
        (&[&create, &member], &["pod", "rm", "-f", "victim"]),
        (&[&create, &member], &["pod", "stop", "-t", "0", "victim"]),
    ] {
        let words = user.words(killed);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let prepare = || {
            user.make_network(&[]);
            before.iter().for_each(|args| drop(user.boxr(args).run().ok()));
        };
        Walk { t, start: &start, most }.of(&words, prepare, || user.clean_up());
    }
    user.end_with_nothing_left();
}

fn changes_of_a_running_box_killed_at_calls_can_be_asked_for_again(t: &Sandbox) {
    let user = traced(t);
    let start = |program: &str| user.start(program);
    let most = if std::env::var_os("BOXR_WALK").is_some() { usize::MAX } else { MOST / 4 };
    let prepare = || {
        user.make_network(&["--subnet", "10.5.0.0/24"]);
        user.boxr(&["network", "create", "--subnet", "10.6.0.0/24", "blue"]).run().ok();
        let run = ["run", "-d", "--name", "it", "--network", "shop", "-p", "8080:80", "--", "sleep", "1000"];
        user.boxr(&run).run().ok();
    };
    let listens = |port: &str| {
        let of_port = format!("sport = :{port}");
        !user.lab.on_host("ss").args(["-Htln", of_port.as_str()]).run().ok().text().is_empty()
    };
    for (change, done, has_eth1, has_port) in [
        (&["network", "connect", "blue", "it"][..], "already on", true, true),
        (&["network", "disconnect", "shop", "it"], "not on", false, true),
        (&["port", "add", "it", "8081:80"], "in use", false, true),
        (&["port", "rm", "it", "8080:80"], "no such port", false, false),
    ] {
        let words = user.words(change);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let check = || {
            // Where the box's own is told to be there, it is.
            user.boxr(&["network", "ls"]).run().ok();
            for line in user.boxr(&["port", "it"]).run().ok().lines() {
                let port = line.rsplit(':').next().unwrap().to_owned();
                assert!(listens(&port), "{change:?}: {line}");
            }
            let again = user.boxr(change).run();
            assert!(again.status.success() || again.errors().contains(done), "{change:?}: {again:?}");
            let seen = user.boxr(&["exec", "it", "ip", "-o", "-4", "addr"]).run().ok().text();
            assert_eq!(seen.contains("10.6.0."), has_eth1, "{change:?}: {seen}");
            assert_eq!(listens("8080"), has_port, "{change:?}");
            user.clean_up();
        };
        Walk { t, start: &start, most }.of(&words, prepare, check);
    }
    user.end_with_nothing_left();
}

fn a_keeper_killed_at_each_of_its_calls_leaves_no_realm(t: &Sandbox) {
    let user = traced(t);
    let words = user.words(&["run", "--network", "shop", "--", "true"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let start = |program: &str| user.start(program);
    // Without a helper, which does not like to be traced.
    let make = || user.make_network(&["--internal"]);
    make();
    let own = steps_of_others(t, &start, &words);
    user.clean_up();
    assert!(own.iter().any(|(name, _)| name == "setsid"), "{own:?}");
    for (name, count) in own {
        let inject = format!("inject={name}:signal=KILL:when={count}");
        make();
        strace_in(t, &start, &["-f", "-e", &inject], &words).run();
        eprintln!("killed at {name} {count}");
        user.clean_up();
    }
    user.end_with_nothing_left();
}

fn a_realm_that_no_record_is_in_is_pruned(t: &Sandbox) {
    let user = traced(t);
    user.make_network(&["--internal"]);
    user.boxr(&["run", "-d", "--network", "shop", "--", "sleep", "1000"]).run().ok();
    // As whoever is killed in between leaves it.
    let records = std::fs::read_dir(user.home.join("state/network/boxes")).unwrap();
    let records: Vec<_> = records.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(records.len(), 1);
    records.iter().for_each(|record| std::fs::remove_file(record).unwrap());
    user.boxr(&["rm", "--force", "--all"]).run().ok();
    assert!(user.home.join("state/network/realm").exists());
    user.end_with_nothing_left();
}

fn a_keeper_that_is_killed_before_its_helper_starts_is_replaced(t: &Sandbox) {
    let user = traced(t);
    user.make_network(&[]);
    // Beside the user's files: it notes that it was there.
    let bin = user.home.join("bin");
    user.start("mkdir").arg(&bin).run().ok();
    let fake = bin.join("pasta");
    let script = "#!/bin/sh\nfor keeper; do :; done\n\
                  mkdir \"$HOME/once\" 2>/dev/null && kill -9 \"$keeper\"\nPATH=/usr/bin:/bin:/usr/local/bin exec pasta \"$@\"\n";
    std::fs::write(&fake, script).unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", bin.display());
    let run = ["run", "-d", "--name", "it", "--network", "shop", "--", "sleep", "1000"];
    user.boxr(&run).env("PATH", &path).run().ok();
    assert!(user.home.join("once").exists());
    user.boxr(&["exec", "it", "cat", "/proc/net/route"]).run().ok().shows("eth0");
    user.end_with_nothing_left();
}
