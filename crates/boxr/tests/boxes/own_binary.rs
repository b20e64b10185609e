//! CVE-2019-5736 and its kin: a box does not write to the program that enters it.
//!
//! The attacker runs in a box that another copy of boxr looks after: its monitor would otherwise keep the
//! file busy. It has more rights than a box has by default.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, test, wait_until};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(cve_2019_5736_exec_of_proc_self_exe, BUSYBOX),
    test!(cve_2019_5736_exec_traced_by_root_of_the_box, BUSYBOX, Need::Root),
    test!(cve_2019_5736_run_of_proc_self_exe_beside_an_attacker, BUSYBOX),
    test!(cve_2019_5736_exec_in_any_process, BUSYBOX, Need::Root),
    test!(cve_2019_5736_the_entrypoint_is_boxr_itself, BUSYBOX),
    test!(cve_2019_5736_boxrs_init_is_a_copy, BUSYBOX, Need::Root),
    test!(cve_2019_5736_nothing_of_it_is_seen_in_the_box, BUSYBOX),
    test!(cve_2019_5736_what_is_read_once_is_read_once, BUSYBOX),
];

const BUSYBOX: Need = Need::Tool(Tool::Busybox);

/// A box named `attacker`, and a copy of boxr that it is after.
struct Attack<'t> {
    t: &'t Sandbox,
    copy: PathBuf,
    root: String,
}

impl<'t> Attack<'t> {
    fn begin(t: &'t Sandbox) -> Self {
        let copy = t.path("boxr-copy");
        std::fs::copy(t.program(), &copy).unwrap();
        let root = t.rootfs("root");
        t.probe(&t.path("root/probe"));
        script(t, "root/entry", "#!/proc/self/exe\n");
        let flags = ["--rootfs", &root, "--cap-add", "SYS_PTRACE", "--cap-add", "SYS_ADMIN"];
        let command = ["--", "/probe", "--as=overwrite-runtime", "/bin/busybox"];
        t.detached("attacker", flags.iter().chain(&command));
        let attack = Self { t, copy, root };
        wait_until("the attacker is ready", || attack.log().contains("ready"));
        attack
    }

    fn log(&self) -> String {
        self.t.boxr(["logs", "attacker"]).run().ok().text()
    }

    /// `boxr WORDS`, as the copy.
    fn copy(&self, words: &[&str]) -> Cmd {
        self.t.surrounded(Cmd::new(&self.copy)).args(self.t.globals()).args(words)
    }

    /// Gives the attacker chances until it takes one, and looks what came of it.
    fn end(self, words: &[&str]) {
        let mut last = String::new();
        for _ in 0..500 {
            last = self.copy(words).run().story();
            if self.log().contains("caught") {
                break;
            }
        }
        assert!(self.log().contains("caught"), "the attacker never saw boxr's program: {last}");
        wait_until("the attacker has tried", || self.log().lines().count() > 2);
        let intact = std::fs::read(&self.copy).unwrap() == std::fs::read(self.t.program()).unwrap();
        assert!(intact && self.log().contains("refused"), "boxr was overwritten: {}", self.log());
        self.t.remove(["attacker"]);
    }
}

fn script(t: &Sandbox, name: &str, text: &str) {
    std::fs::write(t.path(name), text).unwrap();
    std::fs::set_permissions(t.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn cve_2019_5736_exec_of_proc_self_exe(t: &Sandbox) {
    Attack::begin(t).end(&["exec", "attacker", "/entry"]);
}

/// The process that enters is boxr until it executes the command.
fn cve_2019_5736_exec_traced_by_root_of_the_box(t: &Sandbox) {
    Attack::begin(t).end(&["exec", "attacker", "true"]);
}

fn cve_2019_5736_run_of_proc_self_exe_beside_an_attacker(t: &Sandbox) {
    let attack = Attack::begin(t);
    let root = attack.root.clone();
    attack.end(&["run", "--pid", "container:attacker", "--rootfs", &root, "--", "/entry"]);
}

fn cve_2019_5736_exec_in_any_process(t: &Sandbox) {
    let attack = Attack::begin(t);
    let pid = t.boxr(["inspect", "-f", "{{.State.Pid}}", "attacker"]).run().ok().word();
    attack.end(&["exec", &format!("pid:{pid}"), "/entry"]);
}

fn cve_2019_5736_the_entrypoint_is_boxr_itself(t: &Sandbox) {
    let root = t.rootfs("root");
    script(t, "root/entry", "#!/proc/self/exe --version\n");
    t.run(["--rootfs", &root, "--", "/entry"]).run().ok().shows("boxr version");
}

/// It stays in the box for as long as that runs.
fn cve_2019_5736_boxrs_init_is_a_copy(t: &Sandbox) {
    let root = t.rootfs("root");
    let run =
        t.run(["--rootfs", &root, "--cap-add", "SYS_PTRACE", "--init", "--", "readlink", "/proc/1/exe"]);
    run.run().ok().prints("/\n");
}

fn cve_2019_5736_nothing_of_it_is_seen_in_the_box(t: &Sandbox) {
    let root = t.rootfs("root");
    let environment = |flags: &[&str]| {
        let out = t.run(flags).args(["--clear-env", "--", "env"]).run().ok();
        out.lines().into_iter().map(|line| line.split('=').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(environment(&["--rootfs", &root]), environment(&["--ipc", "new"]));
    let script = "cat /proc/self/cmdline | tr '\\0' ' '; ls /proc/self/fd | tr '\\n' ' '";
    let out = t.run(["--rootfs", &root, "--", "sh", "-c", script]).run().ok();
    assert!(out.text().starts_with("cat /proc/self/cmdline 0 1 2 "), "{}", out.story());
}

/// The program begins twice, and its input comes once.
fn cve_2019_5736_what_is_read_once_is_read_once(t: &Sandbox) {
    let root = t.rootfs("root");
    let file = format!("root = {root:?}\nargs = [\"echo\", \"from the file\"]\n");
    t.run(["-f", "-"]).stdin(file).run().ok().prints("from the file\n");
    let run = t.run(["--env-file", "/proc/self/fd/0", "--rootfs", &root, "--", "sh", "-c", "echo $A"]);
    run.stdin("A=once\n").run().ok().prints("once\n");
    let run = t.run(["-i", "--rootfs", &root, "--", "cat"]);
    run.stdin("to the command").run().ok().prints("to the command");
}
