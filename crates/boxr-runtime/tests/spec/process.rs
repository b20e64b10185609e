//! `process`: environment, limits, and what is adjusted from outside.

use std::os::unix::fs::PermissionsExt;

use boxr_testing::{Need, Sandbox, Test, test};
use serde_json::json;

use super::BUNDLE;
use super::bundle::{Bundle, file};

pub const TESTS: &[Test] = &[
    test!(wrong_environments_are_refused, BUNDLE, Need::Root),
    test!(home_is_that_of_the_containers_passwd, BUNDLE, Need::Root),
    test!(a_passwd_that_is_no_file_gives_no_home, BUNDLE, Need::Root),
    test!(the_working_directory_is_made_and_entered, BUNDLE, Need::Root),
    test!(users_groups_and_umask, BUNDLE, Need::Root),
    test!(five_sets_of_capabilities, BUNDLE, Need::Root),
    test!(no_new_privileges, BUNDLE, Need::Root),
    test!(a_command_is_found_by_path, BUNDLE, Need::Root),
    test!(a_terminal_of_its_own_with_its_size, BUNDLE, Need::Root),
    test!(limits_are_set_last, BUNDLE, Need::Root),
    test!(a_limit_that_cannot_be_raised_says_what_is_needed, BUNDLE, Need::Root),
    test!(oom_score_is_set_also_in_a_user_namespace, BUNDLE, Need::Root),
];

fn wrong_environments_are_refused(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["env"] = json!(["PATH=/bin", "NOTHING"]);
    bundle.run(&["true"]).exits(125).blames("process.env[1]");
}

fn home_is_that_of_the_containers_passwd(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    file(&bundle.in_root("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nann:x:7:7::/home/ann:/bin/sh\n");
    let mut home = |uid: u32| {
        bundle.config["process"]["user"] = json!({ "uid": uid, "gid": uid });
        bundle.sh("echo $HOME").ok().word()
    };
    assert_eq!([home(0), home(7), home(8)], ["/root", "/home/ann", "/"]);
    bundle.config["process"]["env"] = json!(["PATH=/bin", "HOME=/said"]);
    bundle.sh("echo $HOME").ok().prints("/said\n");
}

/// The image decides what it is; the runtime neither waits for it nor reads the host's.
fn a_passwd_that_is_no_file_gives_no_home(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let passwd = bundle.in_root("etc/passwd");
    let fifo = |path: &std::path::Path| {
        std::process::Command::new("mkfifo").arg(path).status().unwrap();
    };
    std::fs::remove_file(&passwd).unwrap();
    fifo(&passwd);
    bundle.sh("echo $HOME").ok().prints("/\n");
    std::fs::remove_file(&passwd).unwrap();
    std::os::unix::fs::symlink("/proc/1/root/etc/passwd", &passwd).unwrap();
    bundle.sh("echo $HOME").ok().prints("/\n");
}

fn the_working_directory_is_made_and_entered(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["cwd"] = json!("/not/there/yet");
    bundle.run(&["pwd"]).ok().prints("/not/there/yet\n");
    // Root may enter it, the user may not.
    std::fs::create_dir(bundle.in_root("secret")).unwrap();
    std::fs::set_permissions(bundle.in_root("secret"), PermissionsExt::from_mode(0o700)).unwrap();
    bundle.config["process"]["cwd"] = json!("/secret");
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    bundle.run(&["pwd"]).ok().prints("/secret\n");
    bundle.config["process"]["cwd"] = json!("relative");
    bundle.run(&["true"]).exits(125).blames("process.cwd");
    bundle.config["process"]["cwd"] = json!("/etc/passwd");
    bundle.run(&["true"]).exits(125).blames("/etc/passwd");
}

fn users_groups_and_umask(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["user"] = json!({ "uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 0o27 });
    let out = bundle.sh("id -u; id -g; id -G; umask").ok();
    assert_eq!(out.lines(), ["5", "6", "6 7 8", "0027"]);
    bundle.user_namespace(0, 10);
    bundle.no_mount("/dev/mqueue");
    bundle.config["process"]["user"] = json!({ "uid": 10, "gid": 0 });
    bundle.run(&["true"]).exits(125).blames("process.user.uid");
    bundle.config["process"]["user"] = json!({ "uid": 0, "gid": 10 });
    bundle.run(&["true"]).exits(125).blames("process.user.gid");
}

fn five_sets_of_capabilities(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_CHOWN"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"]
    });
    bundle.config["process"]["user"] = json!({ "uid": 5, "gid": 5 });
    let out = bundle.run(&["grep", "^Cap", "/proc/self/status"]).ok();
    // Of a user who is not root, execve(2) leaves the ambient ones.
    let sets: Vec<_> = out.lines().iter().map(|line| line[8..].trim_start_matches('0').to_owned()).collect();
    assert_eq!(sets, ["20", "20", "20", "2021", "20"]);
    // Without being inheritable it cannot be ambient.
    bundle.config["process"]["capabilities"] =
        json!({ "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "ambient": ["CAP_KILL"] });
    bundle.run(&["grep", "^CapAmb", "/proc/self/status"]).ok().shows("CapAmb:\t0000000000000000");
    bundle.config["process"]["capabilities"] = json!({});
    bundle.config["process"]["user"] = json!({ "uid": 0, "gid": 0 });
    let out = bundle.run(&["grep", "^Cap", "/proc/self/status"]).ok();
    assert!(out.lines().iter().all(|line| line.ends_with("\t0000000000000000")), "{}", out.text());
    bundle.config["process"]["capabilities"] = json!({ "bounding": ["CAP_NO_SUCH", "CAP_KILL"] });
    bundle.run(&["true"]).ok().blames("CAP_NO_SUCH");
}

fn no_new_privileges(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let of = |bundle: &mut Bundle| bundle.run(&["grep", "NoNewPrivs", "/proc/self/status"]).ok().text();
    assert_eq!(of(&mut bundle), "NoNewPrivs:\t1\n");
    bundle.config["process"]["noNewPrivileges"] = json!(false);
    assert_eq!(of(&mut bundle), "NoNewPrivs:\t0\n");
}

fn a_terminal_of_its_own_with_its_size(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["terminal"] = json!(true);
    bundle.config["process"]["consoleSize"] = json!({ "height": 33, "width": 77 });
    let out = bundle.sh("stty size; tty; stat -c '%t' /dev/console; echo here > /dev/console").ok();
    // A terminal ends its lines with two characters.
    let text = out.text().replace('\r', "");
    assert_eq!(text.lines().collect::<Vec<_>>(), ["33 77", "/dev/pts/0", "88", "here"]);
}

fn a_command_is_found_by_path(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.run(&["no-such-command"]).exits(125).blames("no-such-command");
    bundle.config["process"]["args"] = json!([]);
    bundle.start_runner().exits(125).blames("process.args");
    bundle.config["process"].as_object_mut().unwrap().remove("args");
    bundle.start_runner().exits(125).blames("process.args");
    bundle.config.as_object_mut().unwrap().remove("process");
    bundle.start_runner().exits(125).blames("process");
}

/// A limit that would stop the runtime itself stops only the command.
fn limits_are_set_last(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["rlimits"] = json!([
        { "type": "RLIMIT_NOFILE", "hard": 5, "soft": 4 },
        { "type": "RLIMIT_FSIZE", "hard": 0, "soft": 0 },
        { "type": "RLIMIT_CORE", "hard": 8192, "soft": 4096 }
    ]);
    let out = bundle.sh("ulimit -n; ulimit -Hn; ulimit -f; ulimit -c; ulimit -Hc").ok();
    assert_eq!(out.lines(), ["4", "5", "0", "8", "16"]);
    bundle.config["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "hard": 1, "soft": 2 }]);
    bundle.run(&["true"]).exits(125).blames("process.rlimits[0]");
}

fn a_limit_that_cannot_be_raised_says_what_is_needed(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    let now = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let Some(now) = now else { return };
    bundle.config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "hard": now + 1, "soft": 64 }]);
    let may = std::fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| {
        let set = line.strip_prefix("CapEff:").map(|set| u64::from_str_radix(set.trim(), 16).unwrap());
        set.is_some_and(|set| set & 1 << 24 != 0)
    });
    if may {
        // Also from a user namespace, in which the right is gone.
        bundle.user_namespace(0, 65536);
        bundle.sh("ulimit -Hn").ok().prints(&format!("{}\n", now + 1));
    } else {
        bundle.run(&["true"]).exits(125).blames("CAP_SYS_RESOURCE");
    }
}

fn oom_score_is_set_also_in_a_user_namespace(t: &Sandbox) {
    let mut bundle = Bundle::new(t);
    bundle.config["process"]["oomScoreAdj"] = json!(321);
    bundle.sh("cat /proc/self/oom_score_adj").ok().prints("321\n");
    bundle.user_namespace(0, 65536);
    bundle.sh("cat /proc/self/oom_score_adj").ok().prints("321\n");
    bundle.config["process"]["oomScoreAdj"] = json!(1001);
    bundle.run(&["true"]).exits(125).blames("process.oomScoreAdj");
}
