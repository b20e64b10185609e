//! `update`: other limits and another restart policy for a box, at once if it runs, and at every start from now on.

use boxr_cgroup::{Cgroup, DeviceDefaults};

use crate::events::{self, Action};
use crate::options::{Limits, Restart, Retention};
use crate::outcome::EngineError;
use crate::prepare::PrepareError;
use crate::resources;
use crate::store::{BoxDir, Wait};

/// Changes the limits that `change` has, and the policy; the others stay.
///
/// # Errors
/// [`EngineError::Wrong`] when it runs without a cgroup, or goes when it ends; what the kernel refuses. Then nothing
/// is noted.
pub fn update(dir: &BoxDir, change: &Limits, restart: Option<Restart>) -> Result<(), EngineError> {
    let state = super::current(dir)?;
    let Some(lock) = dir.lock(Wait::Yes)? else {
        return Err(EngineError::Wrong { name: state.name, is: "is gone".into() });
    };
    let mut record = lock.read_record()?;
    if let Some(policy) = restart {
        if record.options.retention == Retention::Ephemeral && policy != Restart::No {
            let is = "is removed when it ends (--rm), and cannot be started again then";
            return Err(EngineError::Wrong { name: state.name, is: is.into() });
        }
        record.options.restart = policy;
    }
    let limits = record.options.limits.changed_by(change);
    if super::running(&state).is_ok() && !change.is_empty() {
        let without = "runs without a cgroup that could have limits: restart it with them";
        let none = || EngineError::Wrong { name: state.name.clone(), is: without.into() };
        let mut cgroup = Cgroup::open(state.cgroup.as_ref().ok_or_else(none)?)?;
        let location =
            cgroup.update(&resources::of(change).map_err(PrepareError::from)?, DeviceDefaults::None)?.clone();
        lock.update_state(|state| state.cgroup = Some(location))?;
    }
    record.options.limits = limits;
    lock.replace_record(&record)?;
    events::note(dir.paths(), &state, Action::Update);
    Ok(())
}
