//! The layout of cgroups, and which controllers a box of this user can have.

use boxr_cgroup::{Controller, Host, Layout};

use super::{Finding, Verdict, text};

const AREA: &str = "cgroup";

/// Those that flags of `boxr run` need.
const USED: [Controller; 4] = [Controller::Cpu, Controller::Cpuset, Controller::Memory, Controller::Pids];

/// What gives a host with systemd one tree of version 2.
const UNIFIED: &str = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line";

fn limited(subject: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::lacking(AREA, subject, Verdict::Limited, detail, remedy)
}

pub(super) fn probe() -> Vec<Finding> {
    let host = match Host::detect() {
        Ok(host) => host,
        Err(error) => {
            return vec![limited("layout", error.to_string(), "cat /proc/self/mountinfo /proc/self/cgroup")];
        }
    };
    let layout = match host.layout() {
        Layout::Unified => Finding::ok(AREA, "layout", "version 2"),
        Layout::Hybrid => Finding::ok(AREA, "layout", "version 1, with version 2 beside it"),
        Layout::Legacy => limited("layout", "version 1 only", UNIFIED),
        Layout::None => limited(
            "layout",
            "none is mounted: boxes have no limits",
            "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        ),
    };
    std::iter::once(layout).chain(USED.map(|controller| of_controller(&host, controller))).collect()
}

/// Why a box of this user cannot have a controller; `None` when it can.
pub fn why_controller_missing(controller: Controller) -> Option<Finding> {
    let host = Host::detect().ok()?;
    Some(of_controller(&host, controller)).filter(|finding| finding.verdict != Verdict::Ok)
}

fn of_controller(host: &Host, controller: Controller) -> Finding {
    let name = controller.to_string();
    if let Some(hierarchy) = host.legacy.get(&controller) {
        let own = &hierarchy.own;
        return match writable(own) {
            true => Finding::ok(AREA, &name, format!("version 1, {}", own.display())),
            false => limited(
                &name,
                format!("version 1, and {} is not yours to write", own.display()),
                format!("sudo boxr run ..., or {UNIFIED}"),
            ),
        };
    }
    let Some(unified) = &host.unified else {
        return limited(
            &name,
            "no hierarchy that is mounted has it",
            format!("boot with cgroup_enable={name} on the kernel's command line"),
        );
    };
    let own = &unified.own;
    let offered = text(&own.join("cgroup.controllers").to_string_lossy()).unwrap_or_default();
    let has = offered.split_whitespace().any(|word| Some(word) == controller.unified_name());
    match (has, writable(own)) {
        (true, true) => Finding::ok(AREA, &name, format!("delegated to {}", own.display())),
        (true, false) => limited(
            &name,
            format!("{} is not yours to write", own.display()),
            "systemd-run --user --scope -p Delegate=yes boxr run ...",
        ),
        (false, _) => limited(
            &name,
            format!("not in cgroup.controllers of {}", own.display()),
            "sudo systemctl edit user@.service, to say: [Service] Delegate=cpu cpuset io memory pids",
        ),
    }
}

fn writable(directory: &std::path::Path) -> bool {
    rustix::fs::accessat(
        rustix::fs::CWD,
        directory,
        rustix::fs::Access::WRITE_OK,
        rustix::fs::AtFlags::EACCESS,
    )
    .is_ok()
}
