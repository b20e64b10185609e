//! Networks: what a bridge adds to a start, a hundred containers on one, traffic beside a bridge that was made by hand,
//! names beside aardvark-dns and dnsmasq, pods beside podman's.
//!
//! All of it in a network namespace of its own.

mod names;
mod pods;
mod traffic;

use std::process::Command;
use std::time::Duration;

use boxr_testing::images::{Image, Layer, Packing, Server, architecture};

use super::Bench;
use super::images::{Podman, run_with_network};
use super::measure::{self, median, median_wall};
use super::oci::apart_from_host;
use super::report::{Report, heading};
use super::start::{milliseconds, ratio};
use crate::Outcome;

/// Set in the process that has a network of its own.
const APART: &str = "BOXR_BENCH_NETWORKS";
/// Containers on one network.
const HUNDRED: usize = 100;
/// The network of the containers.
const NETWORK: &str = "bench";

/// Measures all.
pub fn run(bench: &Bench, report: &mut Report) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        println!("\nnetworks are not measured: that needs root");
        return Ok(());
    }
    if std::env::var_os(APART).is_none() {
        // podman keeps what it makes of namespaces in /run/netns, and finds some of it again only.
        let script =
            r#"ip link set lo up && mkdir -p /run/netns && mount -t tmpfs netns /run/netns && exec "$@""#;
        return apart_from_host(bench, "networks", &["--net", "--mount"], script, APART);
    }
    let server = Server::start();
    let image = server.put("small", "1", &small(bench)?);
    bench.ask(&["pull", "--quiet", &image])?;
    starts(bench, &image, report)?;
    pods::measure(bench, &image, report)?;
    bench.ask(&["network", "create", "--subnet", "10.90.0.0/16", NETWORK])?;
    let done = hundred(bench, &image, report)
        .and_then(|()| traffic::measure(bench, &image, report))
        .and_then(|()| names::measure(bench, &image, report));
    bench.ask(&["prune", "--force"]).map(|_| ()).and(done)?;
    bench.ask(&["network", "rm", NETWORK]).map(|_| ())
}

fn small(bench: &Bench) -> Result<Image, String> {
    let root = bench.dir.path().join("networked");
    std::fs::create_dir(&root).map_err(|error| error.to_string())?;
    for name in ["true", "traffic"] {
        std::fs::copy(bench.program(name), root.join(name)).map_err(|error| error.to_string())?;
    }
    let layer = Layer::of_dir(&root, Packing::Gzip);
    Ok(Image::new(architecture(), r#"{"Cmd":["/true"]}"#, vec![layer]))
}

/// What a bridge adds to `run --rm` of a static `true`.
fn starts(bench: &Bench, image: &str, report: &mut Report) -> Outcome {
    let run = |network: &str| bench.boxr(&["run", "--rm", "--network", network, image, "/true"]);
    let rounds = (bench.scale.rounds / 5).max(20);
    heading(&format!("a container with a static `true`; median of {rounds} in turns"));
    let added = added(&mut [run("none"), run("bridge")], "boxr", rounds)?;
    report.at_most("networks: a bridge adds to a start", added.as_secs_f64() * 1e3, 3.0, " ms");
    let Some(podman) = Podman::find(bench, image) else { return Ok(()) };
    let run = |network: &str| run_with_network(&podman, image, "/true", network);
    if let Err(error) = measure::once(&mut run("podman")) {
        println!("not compared with podman's bridge: {error}");
        return Ok(());
    }
    let others = self::added(&mut [run("none"), run("podman")], "podman", rounds)?;
    report.at_most("networks: what boxr's bridge adds / podman's", ratio(added, others), 0.05, "x");
    Ok(())
}

/// What the second command takes more than the first. Each engine by itself: the kernel takes the namespaces of one
/// start down while the next one runs.
fn added(commands: &mut [Command; 2], name: &str, rounds: usize) -> Result<Duration, String> {
    let samples = measure::in_turns(commands, rounds)?;
    let walls: Vec<Duration> = samples.iter().map(|samples| median_wall(samples)).collect();
    let added = walls[1].saturating_sub(walls[0]);
    println!(
        "{name:<8} without a network {:>10}, on a bridge {:>10}: {} more",
        milliseconds(walls[0]),
        milliseconds(walls[1]),
        milliseconds(added)
    );
    Ok(added)
}

/// Containers that run at once cost the same each, and leave nothing.
fn hundred(bench: &Bench, image: &str, report: &mut Report) -> Outcome {
    let name = |number: usize| format!("n{number}");
    let run = |number: usize| {
        let published = format!("{}:80", 20_000 + number);
        let words = [
            "run",
            "-d",
            "--name",
            &name(number),
            "--network",
            NETWORK,
            "-p",
            &published,
            image,
            "/traffic",
            "serve",
            "9001",
        ];
        measure::once(&mut bench.boxr(&words)).map(|sample| sample.wall)
    };
    // The first one makes the bridge.
    run(HUNDRED)?;
    let walls = (0..HUNDRED).map(run).collect::<Result<Vec<Duration>, _>>()?;
    let middle = |part: &[Duration]| median(part.iter().copied()).unwrap_or_default();
    let (first, last) = (middle(&walls[..20]), middle(&walls[HUNDRED - 20..]));
    heading(&format!("{HUNDRED} detached containers on one network, each with a port"));
    println!("median of the first 20 {}, of the last 20 {}", milliseconds(first), milliseconds(last));
    report.at_most("networks: last 20 / first 20 of 100 starts", ratio(last, first), 1.3, "x");
    let all: Vec<String> = (0..=HUNDRED).map(name).collect();
    let mut words = vec!["rm", "-f"];
    words.extend(all.iter().map(String::as_str));
    let removal = measure::once(&mut bench.boxr(&words))?.wall;
    println!("all removed in {}", milliseconds(removal));
    super::thousand::reap();
    report.at_most("networks: pairs, elements and leases left", left(bench)? as f64, 0.0, "");
    Ok(())
}

/// What is left of containers: pairs of devices, elements of maps, leases.
fn left(bench: &Bench) -> Result<usize, String> {
    let ask = |program: &str, words: &[&str]| -> Result<String, String> {
        let output =
            Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let pairs = ask("ip", &["-o", "link"])?.matches(": bx").count();
    let elements = ask("nft", &["list", "map", "inet", "boxr", "ports4"])?.matches("tcp .").count();
    let leases = bench.state.path().join("network/nets").join(NETWORK).join("leases");
    let leases = std::fs::read_dir(leases).map_or(0, Iterator::count);
    println!("left: {pairs} pairs, {elements} elements, {leases} leases");
    Ok(pairs + elements + leases)
}

/// The address of a container on the network.
fn address(bench: &Bench, name: &str) -> Result<String, String> {
    let template = format!("{{{{(index .NetworkSettings.Networks \"{NETWORK}\").IPAddress}}}}");
    let text = bench.ask(&["inspect", "-f", &template, name])?;
    Ok(text.trim().to_owned())
}
