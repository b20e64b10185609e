//! `boxr info`: what machine this is, what boxr keeps on it, and what it can do there; docker's fields, and
//! podman's beside them.

mod docker;
mod pair;
mod podman;
mod text;

use std::borrow::Cow;

use boxr_engine::events::Journal;
use boxr_engine::host::{Host, Limits};
use boxr_engine::image::store_path;
use boxr_engine::paths::Paths;
use boxr_engine::store::{Contents, Store};
use boxr_image::registry::{Registries, RegistryEntry};
use boxr_image::store::Store as Images;
use rustix::fs::{Access, StatVfs};
use serde_json::Value;

use crate::boxes;
use crate::cli::Invocation;
use crate::format::condition;
use crate::format::template::{Object, Template};
use crate::report::{Report, tell, write_stdout};
use pair::Pair;

/// All that is told.
struct Facts {
    host: Host,
    limits: Limits,
    paths: Paths,
    rootless: bool,
    boxes: Counts,
    images: usize,
    storage: Storage,
    network: Network,
    seccomp: bool,
    registries: Vec<RegistryEntry>,
    warnings: Vec<String>,
}

/// Boxes, by what they do.
#[derive(Default)]
struct Counts {
    all: usize,
    running: usize,
    paused: usize,
    /// All others.
    stopped: usize,
}

/// The filesystem that everything lies on.
struct Storage {
    filesystem: &'static str,
    allocated: u64,
    used: u64,
}

/// How containers of images reach others.
enum Network {
    /// By bridges of the kernel.
    Kernel,
    /// By a helper without privilege.
    Helper(&'static str),
    /// They have the host's.
    Host,
}

/// Carries out `boxr info`.
///
/// # Errors
/// A template that cannot be used; a store that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let format = invocation.value("format").map(str::trim);
    let template = match format {
        None | Some("json" | "") => None,
        Some(text) => Some(Template::parse(text)?),
    };
    let facts = Facts::look(&invocation)?;
    let (docker, podman) = (docker::fields(&facts), podman::fields(&facts));
    match (template, format) {
        (Some(template), _) => {
            let mut text = String::new();
            template.render(&Both { docker: &docker, podman: &podman }, &mut text)?;
            write_stdout(&format!("{text}\n"))?;
        }
        (None, Some(_)) => {
            write_stdout(&format!("{}\n", Both { docker: &docker, podman: &podman }.all()))?;
        }
        (None, None) => {
            write_stdout(&text::lines(&facts))?;
            facts.warnings.iter().for_each(|warning| tell(&format!("WARNING: {warning}")));
        }
    }
    Ok(0)
}

impl Facts {
    fn look(invocation: &Invocation) -> Result<Self, Report> {
        let globals = &invocation.globals;
        let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
        let boxes = Counts::of(&boxes::open_store(globals)?)?;
        let images = Images::open(&store_path(&paths))?.images()?.len();
        let (host, limits) = (Host::look(), Limits::look());
        let storage = Storage::of(&paths);
        let (registries, trouble) = match Registries::of_user(None) {
            Ok(registries) => (registries.told(), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let seccomp = std::path::Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
        let mut warnings = warnings(&limits, &paths, seccomp);
        warnings.extend(trouble);
        Ok(Self {
            host,
            limits,
            rootless: !rustix::process::geteuid().is_root(),
            boxes,
            images,
            storage,
            network: Network::look(),
            seccomp,
            registries,
            warnings,
            paths,
        })
    }

    /// docker's word; boxes of who may not make cgroups have none.
    fn cgroup_driver(&self) -> &'static str {
        if self.limits.has_any() { "cgroupfs" } else { "none" }
    }

    /// docker's list.
    fn security_options(&self) -> Vec<&'static str> {
        let mut options = Vec::new();
        options.extend(self.seccomp.then_some("name=seccomp,profile=builtin"));
        options.extend(self.rootless.then_some("name=rootless"));
        // Every container that is told nothing else has ids of its own, as root or not.
        options.extend(["name=userns", "name=cgroupns"]);
        options
    }
}

impl Counts {
    fn of(store: &Store) -> Result<Self, Report> {
        let mut counts = Self::default();
        for entry in store.list()? {
            counts.all += 1;
            let state = match &entry.contents {
                Contents::Known { observed, .. } => condition::state(*observed),
                _ => "dead",
            };
            *match state {
                "running" | "restarting" => &mut counts.running,
                "paused" => &mut counts.paused,
                _ => &mut counts.stopped,
            } += 1;
        }
        Ok(counts)
    }
}

impl Storage {
    fn of(paths: &Paths) -> Self {
        let place = paths.data.ancestors().find(|path| path.exists()).unwrap_or(&paths.data);
        let filesystem = rustix::fs::statfs(place).map_or("unknown", |found| filesystem(found.f_type));
        let (allocated, used) = rustix::fs::statvfs(place).map_or((0, 0), |found: StatVfs| {
            let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
            (bytes(found.f_blocks), bytes(found.f_blocks.saturating_sub(found.f_bfree)))
        });
        Self { filesystem, allocated, used }
    }
}

/// docker's words for the numbers in `<linux/magic.h>`.
fn filesystem(magic: rustix::fs::FsWord) -> &'static str {
    match magic {
        0xef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0x6969 => "nfs",
        0xca45_1a4e => "bcachefs",
        0x00c0_ffee => "hostfs",
        _ => "unknown",
    }
}

impl Network {
    fn look() -> Self {
        match (boxr_engine::network::is_by_kernel(), boxr_network::helper_name()) {
            (true, _) => Self::Kernel,
            (false, Some(helper)) => Self::Helper(helper),
            (false, None) => Self::Host,
        }
    }
}

/// What a person may miss; docker's words where it has some.
fn warnings(limits: &Limits, paths: &Paths, seccomp: bool) -> Vec<String> {
    let mut warnings: Vec<String> = limits
        .missing
        .iter()
        .map(|(controller, why)| format!("No {controller} limit support: {why}"))
        .collect();
    if limits.version == 0 {
        warnings.push("No limit support: no cgroups are mounted".to_owned());
    }
    if !seccomp {
        warnings.push("No seccomp support: containers are not confined by a filter".to_owned());
    }
    let journal = Journal::of(paths);
    let writable = rustix::fs::access(journal.dir(), Access::WRITE_OK | Access::EXEC_OK);
    if writable.is_err_and(|errno| errno != rustix::io::Errno::NOENT) {
        warnings.push(format!("events cannot be written in {}", journal.dir().display()));
    }
    warnings
}

/// Fields of docker's, and podman's where docker has none of that name.
struct Both<'f> {
    docker: &'f Value,
    podman: &'f Pair,
}

impl Object for Both<'_> {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        let own = self.docker.as_object().and_then(|fields| fields.get(name));
        own.or_else(|| self.podman.go.as_object()?.get(name)).map(Cow::Borrowed)
    }

    fn all(&self) -> Value {
        let mut all = self.docker.clone();
        if let (Some(all), Some(more)) = (all.as_object_mut(), self.podman.json.as_object()) {
            all.extend(more.clone());
        }
        all
    }

    fn names(&self) -> Vec<&str> {
        self.docker.names().into_iter().chain(self.podman.go.names()).collect()
    }
}
