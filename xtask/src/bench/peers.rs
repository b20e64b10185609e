//! The programs that boxr is compared with.

use std::process::Command;

use super::Bench;
use crate::{Outcome, top};

/// Compiles the programs of `bench/` with the C compiler that Rust links with anyway.
pub fn compile(bench: &Bench) -> Outcome {
    let sources: [(&str, &[&str]); 6] = [
        ("true", &["-static", "-nostdlib"]),
        ("hold", &["-static"]),
        ("floor", &["-static"]),
        ("lines", &["-static"]),
        ("traffic", &["-static"]),
        ("setrlimit", &["-shared", "-fPIC"]),
    ];
    for (name, flags) in sources {
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-o"]).arg(bench.program(name)).args(flags);
        cc.arg(top().join("bench").join(format!("{name}.c")));
        let status = cc.status().map_err(|error| format!("cc: {error}"))?;
        if !status.success() {
            return Err(format!("cc could not compile bench/{name}.c"));
        }
    }
    Ok(())
}

/// Who starts a box, and by which command.
pub struct Contender {
    /// Its name in the tables.
    pub name: &'static str,
    /// What starts the static `true` in new pid, uts and mount namespaces with a /proc of its own.
    pub command: Command,
}

/// boxr first, then its peers as far as they are installed and work here.
pub fn starters(bench: &Bench) -> Vec<Contender> {
    let program = bench.program("true");
    let make = |name: &'static str, words: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&program);
        Contender { name, command }
    };
    let mut boxr = bench.boxr(&["run", "--"]);
    boxr.arg(&program);
    let mut floor = Command::new(bench.program("floor"));
    floor.arg(&program);
    // What `unshare` and the floor cannot do for an ordinary user, they do in a user namespace.
    let unshare: &[&str] = if rustix::process::geteuid().is_root() {
        &["unshare", "-pfmu", "--mount-proc"]
    } else {
        &["unshare", "-rpfmu", "--mount-proc"]
    };
    let mut peers = vec![
        make(
            "bwrap",
            &["bwrap", "--unshare-pid", "--unshare-uts", "--dev-bind", "/", "/", "--proc", "/proc"],
        ),
        make("unshare", unshare),
        Contender { name: "floor (C)", command: floor },
        Contender { name: "no box at all", command: Command::new(&program) },
    ];
    peers.retain_mut(|peer| match super::measure::once(&mut peer.command) {
        Ok(_) => true,
        Err(error) => {
            println!("not compared with {}: {error}", peer.name);
            false
        }
    });
    peers.insert(0, Contender { name: "boxr run", command: boxr });
    peers
}
