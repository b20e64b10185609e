//! What machine this is, and what of cgroups boxes have on it: what `boxr info` tells.

use boxr_cgroup::{Controller, Host as Cgroups, Layout};
use rustix::system::{sysinfo, uname};

use crate::doctor;

/// This machine.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel's word for the processor: `x86_64`.
    pub machine: String,
    /// Processors that this process may use.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that nobody uses.
    pub memory_free: u64,
    /// Bytes of swap space.
    pub swap: u64,
    /// Bytes of it that nobody uses.
    pub swap_free: u64,
    /// Seconds since it was started.
    pub uptime: u64,
    /// What is installed on it.
    pub distribution: Distribution,
}

/// os-release(5).
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    /// `PRETTY_NAME`
    pub pretty: String,
    /// `ID`
    pub id: String,
    /// `VERSION_ID`
    pub version: String,
    /// `VERSION_CODENAME`
    pub codename: String,
}

impl Host {
    /// Looks.
    pub fn look() -> Self {
        let (system, info) = (uname(), sysinfo());
        let bytes = |units: u64| units.saturating_mul(u64::from(info.mem_unit));
        let cpus = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
        Self {
            name: system.nodename().to_string_lossy().into_owned(),
            kernel: system.release().to_string_lossy().into_owned(),
            machine: system.machine().to_string_lossy().into_owned(),
            cpus,
            memory: bytes(info.totalram),
            memory_free: bytes(info.freeram),
            swap: bytes(info.totalswap),
            swap_free: bytes(info.freeswap),
            uptime: u64::try_from(info.uptime).unwrap_or(0),
            distribution: Distribution::look(),
        }
    }
}

impl Distribution {
    fn look() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        let text = read("/etc/os-release").or_else(|| read("/usr/lib/os-release")).unwrap_or_default();
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let mut values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            values
                .next_back()
                .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
                .unwrap_or_default()
        };
        let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
        Self {
            pretty: or(value("PRETTY_NAME"), "Linux"),
            id: or(value("ID"), "linux"),
            version: value("VERSION_ID"),
            codename: value("VERSION_CODENAME"),
        }
    }
}

/// The cgroups that this user's boxes may have.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// 1 or 2; 0 where none is mounted.
    pub version: u8,
    /// Controllers that there are, by the kernel's names.
    pub controllers: Vec<String>,
    /// Those of [`Limits::USED`] that boxes cannot have, each with the reason.
    pub missing: Vec<(Controller, String)>,
}

impl Limits {
    /// Those that flags of `boxr run` need.
    pub const USED: [Controller; 4] =
        [Controller::Memory, Controller::Cpu, Controller::Cpuset, Controller::Pids];

    /// Looks.
    pub fn look() -> Self {
        let Ok(host) = Cgroups::detect() else { return Self::default() };
        let version = match host.layout() {
            Layout::Unified => 2,
            Layout::Hybrid | Layout::Legacy => 1,
            Layout::None => 0,
        };
        let mut controllers: Vec<String> =
            host.legacy.keys().map(ToString::to_string).filter(|name| name != "systemd").collect();
        if let Some(unified) = &host.unified {
            let offered = std::fs::read_to_string(unified.own.join("cgroup.controllers")).unwrap_or_default();
            controllers.extend(offered.split_whitespace().map(str::to_owned));
        }
        let missing = Self::USED.into_iter().filter_map(|controller| {
            doctor::why_controller_missing(controller).map(|finding| (controller, finding.detail))
        });
        Self { version, controllers, missing: missing.collect() }
    }

    /// Whether boxes can have this controller.
    pub fn has(&self, controller: Controller) -> bool {
        self.version > 0 && !self.missing.iter().any(|(missing, _)| *missing == controller)
    }

    /// Whether boxes can have any.
    pub fn has_any(&self) -> bool {
        Self::USED.into_iter().any(|controller| self.has(controller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_read_as_a_shell_would() {
        let text = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian 12'\n# ID=x\n";
        let found = Distribution::parse(text);
        assert_eq!(
            (found.pretty.as_str(), found.id.as_str(), found.version.as_str()),
            ("Debian 12", "debian", "12")
        );
        assert_eq!((Distribution::parse("").pretty.as_str(), found.codename.as_str()), ("Linux", ""));
    }

    #[test]
    fn this_machine_has_a_name_processors_and_memory() {
        let host = Host::look();
        assert!(!host.name.is_empty() && host.cpus > 0 && host.memory > host.memory_free && host.uptime > 0);
    }
}
