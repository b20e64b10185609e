//! Throughput and requests: between two containers, and from the host to a published port; beside the same between two
//! network namespaces on a bridge that was made with ip(8), where the host asks the container's own address.

use std::process::{Command, Stdio};

use super::{NETWORK, address};
use crate::Outcome;
use crate::bench::Bench;
use crate::bench::measure::median;
use crate::bench::report::{Report, heading};

/// Turns, each of so many seconds for each figure.
const ROUNDS: usize = 7;
const SECONDS: &str = "0.5";

/// A bridge made by hand, with two containers that have no network of boxr's: only the way to their devices differs.
struct ByHand<'b> {
    bench: &'b Bench,
    /// First processes.
    pids: Vec<String>,
}

impl<'b> ByHand<'b> {
    fn make(bench: &'b Bench, image: &str) -> Result<Self, String> {
        let mut hand = Self { bench, pids: Vec::new() };
        sh("ip link add hand0 type bridge && ip addr add 10.91.0.1/24 dev hand0 && ip link set hand0 up")?;
        for number in [2, 3] {
            let name = format!("hand{number}");
            bench.ask(&[
                "run",
                "-d",
                "--name",
                &name,
                "--network",
                "none",
                image,
                "/traffic",
                "serve",
                "9000",
            ])?;
            let pid = pid_of(bench, &name)?;
            sh(&format!(
                "ip link add {name} master hand0 type veth peer name eth0 netns {pid} && ip link set {name} up \
                 && nsenter -t {pid} -n sh -c 'ip addr add 10.91.0.{number}/24 dev eth0; ip link set eth0 up'"
            ))?;
            hand.pids.push(pid);
        }
        Ok(hand)
    }
}

impl Drop for ByHand<'_> {
    fn drop(&mut self) {
        self.bench.ask(&["rm", "-f", "hand2", "hand3"]).map(|_| ()).unwrap_or_default();
        sh("ip link del hand0").unwrap_or_default();
    }
}

fn pid_of(bench: &Bench, name: &str) -> Result<String, String> {
    Ok(bench.ask(&["inspect", "-f", "{{.State.Pid}}", name])?.trim().to_owned())
}

fn sh(script: &str) -> Outcome {
    let status = Command::new("sh").args(["-ec", script]).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{script}: {status}")) }
}

/// Measures and prints all four, in turns.
pub fn measure(bench: &Bench, image: &str, report: &mut Report) -> Outcome {
    let program = bench.program("traffic").display().to_string();
    let server = ["run", "-d", "--name", "server", "--network", NETWORK, "-p", "8080:9000", image];
    bench.ask(&[&server[..], &["/traffic", "serve", "9000"]].concat())?;
    bench.ask(&[
        "run",
        "-d",
        "--name",
        "client",
        "--network",
        NETWORK,
        image,
        "/traffic",
        "serve",
        "9001",
    ])?;
    let to = address(bench, "server")?;
    let hand = ByHand::make(bench, image)?;
    // As `boxr exec` would, without its cost: the namespace alone.
    let inside = |pid: &str, mode: &str, to: &str| {
        let mut command = Command::new("nsenter");
        command.args(["-t", pid, "-n", "--", &program, mode, to, "9000", SECONDS]);
        command
    };
    let pid = pid_of(bench, "client")?;
    let on_host = |mode: &str, to: &str, port: &str| {
        let mut command = Command::new(&program);
        command.args([mode, to, port, SECONDS]);
        command
    };
    heading(&format!("traffic over TCP, median of {ROUNDS} in turns"));
    println!("{:<44} {:>12} {:>12} {:>7}", "", "boxr", "by hand", "ratio");
    for (mode, unit, scale) in [("stream", "Gbit/s", 8e-9), ("echo", "1000/s", 1e-3)] {
        let between = pair(inside(&pid, mode, &to), inside(&hand.pids[1], mode, "10.91.0.2"))?;
        let published = pair(on_host(mode, "127.0.0.1", "8080"), on_host(mode, "10.91.0.2", "9000"))?;
        for (what, (own, other)) in
            [("container to container", between), ("host to published port", published)]
        {
            println!(
                "{:<44} {:>12.2} {:>12.2} {:>7.2}",
                format!("{mode}, {what} ({unit})"),
                own * scale,
                other * scale,
                own / other
            );
            report.at_most(format!("networks: {mode}, {what}: by hand / boxr"), other / own, 1.15, "x");
        }
    }
    drop(hand);
    bench.ask(&["rm", "-f", "server", "client"]).map(|_| ())
}

/// The medians of both, in turns.
fn pair(mut own: Command, mut other: Command) -> Result<(f64, f64), String> {
    let (mut owns, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        owns.push(figure(&mut own)?);
        others.push(figure(&mut other)?);
    }
    let middle = |all: Vec<u64>| median(all).unwrap_or_default() as f64;
    Ok((middle(owns), middle(others)))
}

fn figure(command: &mut Command) -> Result<u64, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
