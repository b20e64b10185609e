//! A pull of ten layers.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use boxr_testing::images::{Image, Layer, Packing, Server, architecture};
use boxr_testing::processes::status_field;
use boxr_testing::wait_until;
use rustix::process::{Pid, Signal, kill_process};

use super::Podman;
use crate::Outcome;
use crate::bench::Bench;
use crate::bench::measure::median;
use crate::bench::report::{Report, heading};
use crate::bench::start::{milliseconds, ratio};

const LAYERS: u64 = 10;
/// Bytes of files in each.
const LAYER: usize = 30 << 20;
const ROUNDS: usize = 5;

/// Who pulls: how, and how the image goes again.
struct Puller {
    name: &'static str,
    pull: Command,
    forget: Command,
}

/// Measures pulls of an image that is not there yet, in turns.
pub fn measure(bench: &Bench, podman: Option<&Podman>, server: &Server, report: &mut Report) -> Outcome {
    let image = server.put("large", "1", &large());
    let containerd = Containerd::start(bench)?;
    let mut pullers = vec![Puller {
        name: "boxr",
        pull: bench.boxr(&["pull", "--quiet", &image]),
        forget: bench.boxr(&["rmi", "--force", &image]),
    }];
    pullers.extend(podman.map(|podman| Puller {
        name: "podman",
        pull: podman.command(&["pull", "--quiet", "--tls-verify=false", &image]),
        forget: podman.command(&["rmi", "--force", &image]),
    }));
    pullers.extend(containerd.as_ref().map(|containerd| Puller {
        name: "ctr",
        pull: containerd.ctr(&["image", "pull", "--plain-http", &image]),
        forget: containerd.ctr(&["image", "rm", "--sync", &image]),
    }));
    let mut walls = vec![Vec::new(); pullers.len()];
    let mut peaks = Vec::new();
    for round in 0..ROUNDS {
        for turn in 0..pullers.len() {
            let index = (round + turn) % pullers.len();
            let (wall, peak) = pull(&mut pullers[index])?;
            walls[index].push(wall);
            if index == 0 {
                peaks.push(peak);
            }
        }
    }
    let walls: Vec<Duration> = walls.into_iter().map(|walls| median(walls).unwrap_or_default()).collect();
    let peak = median(peaks).unwrap_or_default();
    heading(&format!(
        "pull of {LAYERS} layers, {} MiB; median of {ROUNDS} in turns",
        (LAYERS as usize * LAYER) >> 20
    ));
    for (puller, wall) in pullers.iter().zip(&walls) {
        println!("{:<16} {:>12} {:>7.2}", puller.name, milliseconds(*wall), ratio(walls[0], *wall));
        if puller.name != "boxr" {
            report.at_most(format!("pull: boxr / {}", puller.name), ratio(walls[0], *wall), 0.5, "x");
        }
    }
    println!("boxr at its peak: {peak} KiB");
    report.at_most("pull: peak memory", peak as f64 / 1024.0, 64.0, " MiB");
    Ok(())
}

/// How long it took, and the most memory that was seen, in KiB.
fn pull(puller: &mut Puller) -> Result<(Duration, u64), String> {
    let silent = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    };
    silent(&mut puller.forget);
    // It may not be there yet.
    puller.forget.status().map_err(|error| format!("{}: {error}", puller.name))?;
    silent(&mut puller.pull);
    rustix::fs::sync();
    let begin = Instant::now();
    let mut child = puller.pull.spawn().map_err(|error| format!("{}: {error}", puller.name))?;
    let pid = Pid::from_child(&child);
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        let seen = status_field(pid, "VmHWM").and_then(|text| text.split(' ').next()?.parse().ok());
        peak = peak.max(seen.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    };
    let wall = begin.elapsed();
    if status.success() { Ok((wall, peak)) } else { Err(format!("pull by {}: {status}", puller.name)) }
}

/// Files of many sizes, a third of them without anything to compress.
fn large() -> Image {
    let layers = (0..LAYERS).map(|number| {
        let mut numbers = Numbers(number + 1);
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let mut bytes = 0;
        while bytes < LAYER {
            let size = 200 + (numbers.next() % 80_000) as usize;
            let is_noise = numbers.next().is_multiple_of(3);
            let word = |numbers: &mut Numbers| if is_noise { numbers.next() } else { numbers.next() % 4000 };
            let contents =
                std::iter::repeat_with(|| word(&mut numbers).to_le_bytes()).flatten().take(size).collect();
            files.push((format!("usr/{number}/{}/{}", files.len() % 50, files.len()), contents));
            bytes += size;
        }
        let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (&**path, &**bytes)).collect();
        Layer::of_files(&files, Packing::Gzip)
    });
    Image::new(architecture(), r#"{"Cmd":["/true"]}"#, layers.collect())
}

/// The same numbers in every run (Marsaglia's xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A containerd of our own; it ends when this is dropped.
struct Containerd {
    process: Child,
    socket: PathBuf,
}

impl Containerd {
    /// `None` where there is none, which is said.
    fn start(bench: &Bench) -> Result<Option<Self>, String> {
        let dir = bench.dir.path().join("containerd");
        std::fs::create_dir(&dir).map_err(|error| error.to_string())?;
        let socket = dir.join("sock");
        let place = dir.display();
        let config = format!(
            "version = 2\nroot = \"{place}/root\"\nstate = \"{place}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{place}/sock\"\n"
        );
        std::fs::write(dir.join("config.toml"), config).map_err(|error| error.to_string())?;
        let mut command = Command::new("containerd");
        command.arg("--config").arg(dir.join("config.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(process) = command.spawn() else {
            println!("not compared with ctr: there is no containerd here");
            return Ok(None);
        };
        let containerd = Self { process, socket };
        wait_until("containerd listens", || {
            containerd.ctr(&["version"]).output().is_ok_and(|output| output.status.success())
        });
        Ok(Some(containerd))
    }

    fn ctr(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.socket).args(args);
        command
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let told =
            kill_process(Pid::from_child(&self.process), Signal::TERM).map_err(|errno| errno.to_string());
        if let Err(error) = told.and_then(|()| self.process.wait().map_err(|error| error.to_string())) {
            println!("containerd did not end: {error}");
        }
    }
}
