//! libseccomp, through a small program in C that is built when it is first needed.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use boxr_testing::{Need, Tool};
use oci_spec::runtime::{Arch, LinuxSeccomp};

use crate::interpreter::Program;
use crate::machine::{HOSTS, Host};
use crate::meaning;

/// Why libseccomp cannot be asked here.
pub fn missing() -> Option<String> {
    let cc = || Command::new("cc").arg("--version").stdout(Stdio::null()).status().is_err();
    let missing = Need::Tool(Tool::LibseccompDev).missing();
    missing.or_else(|| cc().then(|| "cc is not installed (apt-get install gcc)".into()))
}

/// How libseccomp orders its comparisons of numbers (`SCMP_FLTATR_CTL_OPTIMIZE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimize {
    List = 1,
    BinaryTree = 2,
}

fn helper() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let program = helper_path();
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-x", "c", "-", "-o"]).arg(&program).arg("-lseccomp").stdin(Stdio::piped());
        let mut cc = cc.spawn().unwrap();
        cc.stdin.take().unwrap().write_all(include_bytes!("libseccomp.c")).unwrap();
        assert!(cc.wait().unwrap().success(), "cc could not build libseccomp.c");
        program
    })
}

fn helper_path() -> PathBuf {
    std::env::temp_dir().join(format!("boxr-libseccomp-{}", std::process::id()))
}

/// Removes what [`helper`] built.
pub fn clean_up() {
    let program = helper_path();
    if program.exists() {
        std::fs::remove_file(program).unwrap();
    }
}

fn ask(commands: &str) -> Result<Vec<u8>, String> {
    let mut child = Command::new(helper())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let commands = commands.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(commands.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // A helper that refuses early reads no further.
    let written = writer.join().unwrap();
    if output.status.success() {
        written.unwrap();
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// The numbers of `name` on all architectures that libseccomp knows; negative where it knows none.
pub fn numbers(names: &[&str]) -> Vec<(Arch, Vec<i64>)> {
    let arches: Vec<Arch> =
        HOSTS.iter().flat_map(|host| std::iter::once(host.arch).chain(host.others.iter().copied())).collect();
    let mut commands = String::new();
    for arch in &arches {
        for name in names {
            commands.push_str(&format!("number {} {name}\n", *arch as u32));
        }
    }
    let text = String::from_utf8(ask(&commands).unwrap()).unwrap();
    let numbers: Vec<i64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers.len(), arches.len() * names.len());
    arches.into_iter().zip(numbers.chunks(names.len()).map(<[i64]>::to_vec)).collect()
}

/// libseccomp's program for `profile`, fed as runc feeds it.
pub fn compile(host: Host, profile: &LinuxSeccomp, optimize: Optimize) -> Result<Program, String> {
    let default = meaning::action(profile.default_action(), profile.default_errno_ret());
    let mut commands = format!("default {default}\n");
    let mut arches = vec![host.arch];
    arches.extend(profile.architectures().iter().flatten().filter(|arch| **arch != host.arch));
    for arch in arches {
        commands.push_str(&format!("arch {}\n", arch as u32));
    }
    commands.push_str(&format!("optimize {}\n", optimize as u32));
    for entry in profile.syscalls().iter().flatten() {
        let action = meaning::action(entry.action(), entry.errno_ret());
        for name in entry.names().iter().filter(|_| action != default) {
            for args in groups(entry.args().as_deref().unwrap_or_default()) {
                commands.push_str(&format!("rule {action} {name} {}", args.len()));
                for arg in args {
                    let (op, b) = (arg.op() as u32, arg.value_two().unwrap_or(0));
                    commands.push_str(&format!(" {} {op} {} {b}", arg.index(), arg.value()));
                }
                commands.push('\n');
            }
        }
    }
    ask(&commands).map(|bytes| Program::foreign(&bytes, host.order))
}

/// Comparisons of one argument twice are rules of their own.
fn groups(args: &[oci_spec::runtime::LinuxSeccompArg]) -> Vec<&[oci_spec::runtime::LinuxSeccompArg]> {
    let mut indexes: Vec<_> = args.iter().map(|arg| arg.index()).collect();
    indexes.sort_unstable();
    if indexes.windows(2).any(|pair| pair[0] == pair[1]) { args.chunks(1).collect() } else { vec![args] }
}
