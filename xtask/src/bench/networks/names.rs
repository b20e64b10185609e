//! The resolver of a network beside aardvark-dns and dnsmasq: lookups for each second of the processor, and memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::NETWORK;
use crate::Outcome;
use crate::bench::Bench;
use crate::bench::measure::median;
use crate::bench::memory::private;
use crate::bench::report::{Report, heading};

/// Lookups in each turn.
const LOOKUPS: &str = "40000";
const ROUNDS: usize = 5;
/// Names that the servers know.
const CONTAINERS: usize = 10;
/// Where Debian has it.
const AARDVARK: &str = "/usr/lib/podman/aardvark-dns";

/// A name server.
struct Contender {
    name: &'static str,
    address: &'static str,
    port: &'static str,
    pid: i32,
    /// Started here, and ended by this.
    child: Option<std::process::Child>,
}

impl Drop for Contender {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let pid = rustix::process::Pid::from_raw(self.pid);
            pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            child.kill().and_then(|()| child.wait()).map(|_| ()).unwrap_or_default();
        }
    }
}

/// Measures and prints.
pub fn measure(bench: &Bench, image: &str, report: &mut Report) -> Outcome {
    let names: Vec<String> = (0..CONTAINERS).map(|number| format!("name{number}")).collect();
    for name in &names {
        bench.ask(&[
            "run",
            "-d",
            "--name",
            name,
            "--network",
            NETWORK,
            image,
            "/traffic",
            "serve",
            "9001",
        ])?;
    }
    let lock = bench.state.path().join("network/nets").join(NETWORK).join("resolver");
    let pid = std::fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    // It, and its standby.
    let pid = pid.split_whitespace().next().and_then(|pid| pid.parse().ok());
    let pid: i32 = pid.ok_or_else(|| format!("{}: no pid", lock.display()))?;
    let mut all = vec![Contender { name: "boxr", address: "10.90.0.1", port: "53", pid, child: None }];
    all.extend(aardvark(bench, &names)?);
    all.extend(dnsmasq(bench, &names)?);
    let mut costs: Vec<Vec<u64>> = vec![Vec::new(); all.len()];
    for _ in 0..ROUNDS {
        for (contender, costs) in all.iter().zip(&mut costs) {
            let before = processor_time(contender.pid)?;
            ask(&bench.program("traffic"), contender, LOOKUPS)?;
            costs.push(processor_time(contender.pid)? - before);
        }
    }
    let count: f64 = LOOKUPS.parse().unwrap_or(1.0);
    let rates: Vec<f64> =
        costs.into_iter().map(|costs| count / (median(costs).unwrap_or(1) as f64 / 1e9)).collect();
    heading(&format!(
        "names: {LOOKUPS} lookups of one of {CONTAINERS}, 16 under way; median of {ROUNDS} in turns"
    ));
    for (contender, rate) in all.iter().zip(&rates) {
        let (memory, dirty) = resident(contender.pid)?;
        println!(
            "{:<14} {:>10.0} lookups for a second of the processor; {memory} KiB private, {dirty} KiB of them written to",
            contender.name, rate
        );
    }
    if let Some((_, rate)) = all.iter().zip(&rates).find(|(contender, _)| contender.name == "aardvark-dns") {
        report.at_most("networks: lookups a second, aardvark-dns / boxr", rate / rates[0], 0.3334, "x");
    }
    let (memory, _) = resident(pid)?;
    report.at_most("networks: private memory of the resolver", memory as f64 / 1024.0, 1.5, " MiB");
    drop(all);
    let mut words = vec!["rm", "-f"];
    words.extend(names.iter().map(String::as_str));
    bench.ask(&words).map(|_| ())
}

fn resident(pid: i32) -> Result<(u64, u64), String> {
    private(rustix::process::Pid::from_raw(pid).ok_or("no pid")?)
}

/// Nanoseconds on a processor of all threads (the kernel's sched-stats.rst).
fn processor_time(pid: i32) -> Result<u64, String> {
    let tasks =
        std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| format!("process {pid}: {error}"))?;
    let time = |task: std::fs::DirEntry| -> Option<u64> {
        std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Ok(tasks.flatten().filter_map(time).sum())
}

fn ask(program: &Path, contender: &Contender, count: &str) -> Outcome {
    let mut command = Command::new(program);
    command.args(["ask", contender.address, contender.port, "name7", count]);
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", contender.name, String::from_utf8_lossy(&output.stderr)))
}

/// Starts a peer and waits for its first answer; `None`, and said, where it gives none.
fn start(
    bench: &Bench,
    name: &'static str,
    port: &'static str,
    command: &mut Command,
) -> Result<Option<Contender>, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else {
        println!("not compared with {name}: it is not installed");
        return Ok(None);
    };
    let pid = child.id().cast_signed();
    let contender = Contender { name, address: "127.0.0.1", port, pid, child: Some(child) };
    let program = bench.program("traffic");
    if (0..20).any(|_| ask(&program, &contender, "1").is_ok()) {
        return Ok(Some(contender));
    }
    println!("not compared with {name}: it does not answer here");
    Ok(None)
}

fn aardvark(bench: &Bench, names: &[String]) -> Result<Option<Contender>, String> {
    let dir: PathBuf = bench.dir.path().join("aardvark");
    std::fs::create_dir(&dir).map_err(|error| error.to_string())?;
    let mut text = "127.0.0.1\n".to_owned();
    for (number, name) in names.iter().enumerate() {
        text.push_str(&format!("{number:064} 127.0.1.{number}  {name}\n"));
    }
    std::fs::write(dir.join(NETWORK), text).map_err(|error| error.to_string())?;
    let mut command = Command::new(AARDVARK);
    command.arg("--config").arg(&dir).args(["--port", "5533", "run"]);
    let Some(mut contender) = start(bench, "aardvark-dns", "5533", &mut command)? else { return Ok(None) };
    // It may have gone to the background; then it has left its pid.
    let left =
        std::fs::read_to_string(dir.join("aardvark.pid")).ok().and_then(|text| text.trim().parse().ok());
    contender.pid = left.unwrap_or(contender.pid);
    Ok(Some(contender))
}

fn dnsmasq(bench: &Bench, names: &[String]) -> Result<Option<Contender>, String> {
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--no-hosts", "--no-resolv", "--port=5534", "--user=root"]);
    command.args(["--conf-file=/dev/null", "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file="]);
    for (number, name) in names.iter().enumerate() {
        command.arg(format!("--host-record={name},127.0.1.{}", number + 1));
    }
    start(bench, "dnsmasq", "5534", &mut command)
}
