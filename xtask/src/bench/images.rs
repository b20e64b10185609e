//! Images beside podman and containerd: a pull, a start, the way of what a container writes.
//!
//! The registry is one of the tests', on the loopback interface and on the same processors, for all alike.

mod logs;
mod pull;

use std::process::Command;
use std::time::Duration;

use boxr_testing::images::{Image, Layer, Packing, Server, architecture};

use super::Bench;
use super::measure::{self, median_wall};
use super::oci::{Bundle, apart_from_host, own_oci};
use super::report::{Report, heading};
use super::start::{milliseconds, ratio};
use crate::Outcome;

/// Set in the process that has a network of its own.
const APART: &str = "BOXR_BENCH_NETWORK";

/// podman, as it is called here: everything in directories of its own.
pub struct Podman {
    globals: Vec<String>,
}

impl Podman {
    /// `None` where it does not run a container here, which is said.
    pub fn find(bench: &Bench, image: &str) -> Option<Self> {
        for runtime in ["crun", "runc"] {
            let dir =
                |name: &str| bench.dir.path().join(super::guard::PODMAN).join(name).display().to_string();
            let globals = ["--runtime", runtime, "--storage-driver", "overlay", "--root", &dir("root")]
                .into_iter()
                .chain(["--runroot", &dir("run"), "--tmpdir", &dir("tmp")])
                .map(str::to_owned)
                .collect();
            let podman = Self { globals };
            let works = |mut command: Command| measure::once(&mut command).is_ok();
            if works(podman.command(&["pull", "--tls-verify=false", image]))
                && works(podman.run(image, "/true"))
            {
                return Some(podman);
            }
        }
        println!("not compared with podman: it does not run a container here");
        None
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(&self.globals).args(args);
        command
    }

    /// For pods, whose first container has limits that root without CAP_SYS_RESOURCE cannot set, unless others are
    /// the default.
    pub fn for_pods(&self, bench: &Bench, args: &[&str]) -> Command {
        let file = bench.dir.path().join("containers.conf");
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(1024);
        let limits =
            format!("[containers]\ndefault_ulimits = [\"nofile={files}:{files}\", \"nproc=1024:1024\"]\n");
        let mut command = self.command(args);
        // Without the file podman says what it cannot do.
        if std::fs::write(&file, limits).is_ok() {
            command.env("CONTAINERS_CONF", file);
        }
        command
    }

    /// `run --rm`; the limits are those that root without CAP_SYS_RESOURCE can set.
    fn run(&self, image: &str, program: &str) -> Command {
        run_with_network(self, image, program, "none")
    }
}

/// `podman run --rm` on a network.
pub fn run_with_network(podman: &Podman, image: &str, program: &str, network: &str) -> Command {
    let mut command = podman.command(&["run", "--rm", "--network", network]);
    // One that is killed on its way leaves its cgroup, which the guard removes there.
    command.arg(format!("--cgroup-parent=/{}", super::guard::cgroup()));
    command.args(["--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1024:2048", image, program]);
    command
}

/// Measures all.
pub fn run(bench: &Bench, report: &mut Report) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        println!("\nimages are not measured: that needs root");
        return Ok(());
    }
    if std::env::var_os(APART).is_none() {
        // Bridges and rules of containers are not the host's.
        let script = r#"ip link set lo up && exec "$@""#;
        return apart_from_host(bench, "images", &["--net"], script, APART);
    }
    let server = Server::start();
    let small = server.put("small", "1", &small(bench)?);
    bench.ask(&["pull", "--quiet", &small])?;
    let podman = Podman::find(bench, &small);
    starts(bench, podman.as_ref(), &small, report)?;
    logs::measure(bench, podman.as_ref(), &small, report)?;
    pull::measure(bench, podman.as_ref(), &server, report)
}

/// An image of the programs of `bench/`.
fn small(bench: &Bench) -> Result<Image, String> {
    let root = bench.dir.path().join("small");
    std::fs::create_dir(&root).map_err(|error| error.to_string())?;
    for name in ["true", "lines"] {
        std::fs::copy(bench.program(name), root.join(name)).map_err(|error| error.to_string())?;
    }
    let layer = Layer::of_dir(&root, Packing::Gzip);
    Ok(Image::new(architecture(), r#"{"Cmd":["/true"]}"#, vec![layer]))
}

fn starts(bench: &Bench, podman: Option<&Podman>, image: &str, report: &mut Report) -> Outcome {
    let bundle = Bundle::make(bench, "same-root", "/true", None)?;
    let mut oci = Command::new(own_oci()?);
    oci.arg("--root").arg(bench.state.path().join("same-root")).args([
        "run",
        "--bundle",
        &bundle.path,
        "same",
    ]);
    let mut commands = vec![bench.boxr(&["run", "--rm", image, "/true"]), oci];
    commands.extend(podman.map(|podman| podman.run(image, "/true")));
    let names = ["boxr run --rm", "boxr-oci run", "podman run --rm"];
    // podman takes long, and its figure is far away.
    let rounds = (bench.scale.rounds / 10).max(10);
    let samples = measure::in_turns(&mut commands, rounds)?;
    let walls: Vec<Duration> = samples.iter().map(|samples| median_wall(samples)).collect();
    heading(&format!("an image's container with a static `true`; median of {rounds} in turns"));
    println!("{:<16} {:>10} {:>7} {:>8}", "", "median", "ratio", "calls");
    for (index, wall) in walls.iter().enumerate() {
        let calls = measure::calls(&commands[index]).map_or("-".to_owned(), |calls| calls.all.to_string());
        let ratio = ratio(walls[0], *wall);
        println!("{:<16} {:>10} {ratio:>7.2} {calls:>8}", names[index], milliseconds(*wall));
    }
    report.at_most("images: boxr run --rm / boxr-oci run", ratio(walls[0], walls[1]), 2.0, "x");
    if let Some(podman) = walls.get(2) {
        report.at_most("images: boxr run --rm / podman run --rm", ratio(walls[0], *podman), 0.1, "x");
    }
    Ok(())
}
