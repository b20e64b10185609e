//! The layout of cgroups, and which controllers a box of this user can have.

use boxr_cgroup::{Controller, Host, Layout};

use super::{Finding, Verdict, text};

const AREA: &str = "cgroup";

/// Those that flags of `boxr run` need.
const USED: [Controller; 4] = [Controller::Cpu, Controller::Cpuset, Controller::Memory, Controller::Pids];

pub(super) fn probe() -> Vec<Finding> {
    let host = match Host::detect() {
        Ok(host) => host,
        Err(error) => return vec![Finding::new(AREA, "layout", Verdict::Limited, error.to_string())],
    };
    let (verdict, words) = match host.layout() {
        Layout::Unified => (Verdict::Ok, "version 2"),
        Layout::Hybrid => (Verdict::Ok, "version 1, with version 2 beside it"),
        Layout::Legacy => (Verdict::Limited, "version 1 only"),
        Layout::None => (Verdict::Limited, "none is mounted: boxes have no limits"),
    };
    let layout = Finding::new(AREA, "layout", verdict, words);
    std::iter::once(layout).chain(USED.map(|controller| of_controller(&host, controller))).collect()
}

/// Why a box of this user cannot have a controller; `None` when it can.
pub fn why_controller_missing(controller: Controller) -> Option<Finding> {
    let host = Host::detect().ok()?;
    Some(of_controller(&host, controller)).filter(|finding| finding.verdict != Verdict::Ok)
}

fn of_controller(host: &Host, controller: Controller) -> Finding {
    let name = controller.to_string();
    let found = |verdict, detail: String| Finding::new(AREA, &name, verdict, detail);
    if let Some(hierarchy) = host.legacy.get(&controller) {
        let own = &hierarchy.own;
        return match writable(own) {
            true => found(Verdict::Ok, format!("version 1, {}", own.display())),
            false => {
                found(Verdict::Limited, format!("version 1, and {} is not yours to write", own.display()))
            }
        };
    }
    let Some(unified) = &host.unified else {
        return found(Verdict::Limited, "no hierarchy that is mounted has it".to_owned());
    };
    let own = &unified.own;
    let offered = text(&own.join("cgroup.controllers").to_string_lossy()).unwrap_or_default();
    let has = offered.split_whitespace().any(|word| Some(word) == controller.unified_name());
    match (has, writable(own)) {
        (true, true) => found(Verdict::Ok, format!("delegated to {}", own.display())),
        (true, false) => found(Verdict::Limited, format!("{} is not yours to write", own.display()))
            .remedy("systemd-run --user --scope -p Delegate=yes boxr run ..."),
        (false, _) => found(Verdict::Limited, format!("not in cgroup.controllers of {}", own.display())),
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
