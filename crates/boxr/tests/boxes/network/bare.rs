//! A kernel without nf_tables, which a filter of system calls pretends to be.

use boxr_testing::lab::{FAR_AWAY, Lab};
use boxr_testing::{Cmd, Need, Sandbox, Test, Tool, leaks, test};
use rustix::process::Signal;

use super::rootless::{PASTA, SETPRIV, assert_nothing_left};
use super::{BUSYBOX, NET, ROOT, site};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(without_nf_tables_there_is_a_clear_word_and_nothing_left, ROOT, NET, BUSYBOX, PYTHON),
    test!(a_user_behind_pasta_needs_no_nf_tables, ROOT, NET, BUSYBOX, PASTA, SETPRIV, PYTHON),
];

const PYTHON: Need = Need::Tool(Tool::Python);

/// Refuses sockets of `NETLINK_NETFILTER` with an error of one's choice, and runs a command.
const WITHOUT: &str = r#"
import ctypes, os, platform, struct, sys
number, architecture = {"x86_64": (41, 0xC000003E), "aarch64": (198, 0xC00000B7)}[platform.machine()]
# seccomp_data: nr, arch, ip, six arguments of 8 bytes; BPF_LD|ABS, BPF_JMP|JEQ, BPF_RET.
load = lambda at: (0x20, 0, 0, at)
equal = lambda value, otherwise: (0x15, 0, otherwise, value)
program = [load(4), equal(architecture, 7), load(0), equal(number, 5), load(16), equal(16, 3),
           load(32), equal(12, 1), (0x06, 0, 0, 0x00050000 | int(sys.argv[1])), (0x06, 0, 0, 0x7FFF0000)]
code = b"".join(struct.pack("HBBI", *one) for one in program)
held = ctypes.create_string_buffer(code)
filter = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(held))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(filter), 0, 0):
    raise OSError(ctypes.get_errno(), "prctl")
os.execvp(sys.argv[2], sys.argv[2:])
"#;

/// `EPROTONOSUPPORT`, as socket(2) says where the kernel has no nfnetlink.
const NO_PROTOCOL: &str = "93";

/// The command where that is the kernel.
fn without(lab: &Lab, words: &[String]) -> Cmd {
    lab.on_host("python3").args(["-c", WITHOUT, NO_PROTOCOL]).args(words)
}

/// The words of `boxr ARGS…`.
fn boxr(t: &Sandbox, args: &[&str]) -> Vec<String> {
    let globals = t.globals().map(|word| word.into_string().unwrap());
    let program = t.program().to_str().unwrap().to_owned();
    [program].into_iter().chain(globals).chain(args.iter().map(|word| (*word).to_owned())).collect()
}

/// No device, no lease, no record of a container.
#[track_caller]
fn assert_bare(t: &Sandbox, lab: &Lab) {
    let links = lab.on_host("ip").args(["-o", "link"]).run().ok().text();
    assert!(!links.contains("boxr") && !links.contains(": bx"), "{links}");
    let left = leaks::files_below(&t.layout().state.join("network"));
    let is_hint =
        |path: &std::path::Path| path.ends_with("resolver") || path.to_string_lossy().contains("/last");
    let left: Vec<_> = left.iter().filter(|path| !is_hint(path)).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn without_nf_tables_there_is_a_clear_word_and_nothing_left(t: &Sandbox) {
    let lab = Lab::new();
    let run = |args: &[&str]| t.surrounded(without(&lab, &boxr(t, args))).run();
    run(&["network", "create", "blue"]).ok();
    for flags in [&["--network", "bridge"][..], &["--network", "blue"], &["-p", "8080:80"]] {
        for more in [&[][..], &["-d"]] {
            let words = [&["run", "--rm"][..], more, flags, &["--", "true"]].concat();
            let failed = run(&words);
            failed.exits(125).blames("try: modprobe nf_tables");
            assert_bare(t, &lab);
        }
    }
    run(&["pod", "create", "--name", "shop", "--network", "blue", "-p", "8080:80"]).ok();
    run(&["pod", "start", "shop"]).exits(125).blames("--network none");
    assert_bare(t, &lab);
    run(&["pod", "rm", "shop"]).ok();
    run(&["run", "--network", "none", "--", "true"]).ok();
    run(&["run", "--network", "host", "--", "true"]).ok();
    run(&["doctor", "network"]).shows("modprobe nf_tables");
    run(&["network", "rm", "blue"]).ok();
    assert_bare(t, &lab);
    lab.end(t);
}

fn a_user_behind_pasta_needs_no_nf_tables(t: &Sandbox) {
    let lab = Lab::for_users();
    let home = lab.home(t);
    let server = lab.serve(80, &site(t, "far"));
    let words = |args: &[&str]| -> Vec<String> {
        lab.as_user(t, &home).into_iter().chain(args.iter().map(|word| (*word).to_owned())).collect()
    };
    let run =
        |args: &[&str]| without(&lab, &words(args)).env("HOME", &home).env("XDG_RUNTIME_DIR", &home).run();
    let url = format!("http://{FAR_AWAY}/who");
    run(&["run", "--network", "bridge", "--", "busybox", "wget", "-q", "-O", "-", &url]).ok().prints("far");
    run(&["network", "create", "blue"]).ok();
    run(&["run", "--network", "blue", "--", "true"]).exits(125).blames("try: modprobe nf_tables");
    assert_nothing_left(&home);
    run(&["network", "rm", "blue"]).ok();
    server.signal(Signal::TERM);
    server.finish();
    lab.end(t);
}
