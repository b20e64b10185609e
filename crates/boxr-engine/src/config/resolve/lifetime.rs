//! How long a box is there, and what remains of it.

use super::{ContainerOptions, Purpose, conflict};
use crate::config::error::ConfigError;
use crate::config::raw::RawRun;
use crate::health::OnFailure;
use crate::image::Image;
use crate::options::Retention;

/// Whether what was said of its end goes together.
pub(super) fn check_lifetime(raw: &RawRun, detach: bool) -> Result<(), ConfigError> {
    if raw.rm == Some(true) && raw.keep == Some(true) {
        return Err(conflict("--rm", "--keep", "one removes the box when it ends, the other keeps it", ""));
    }
    if detach && raw.die_with_parent == Some(true) {
        return Err(conflict("--detach", "--die-with-parent", "boxr itself ends at once with --detach", ""));
    }
    Ok(())
}

/// Who is removed at the end is not started again.
pub(super) fn check_restart(raw: &RawRun, retention: Retention) -> Result<(), ConfigError> {
    if retention == Retention::Kept || raw.restart.is_none_or(|policy| policy.is_no()) {
        return Ok(());
    }
    let why = "a box that is removed when it ends cannot be started again";
    Err(conflict("--restart", "--rm", why, "--detach, or --keep in the foreground"))
}

/// Who restarts a box that boxr itself is in the foreground of would end that boxr, and with it the box.
pub(super) fn check_health_action(
    container: Option<&ContainerOptions>,
    retention: Retention,
) -> Result<(), ConfigError> {
    let action = container.and_then(|container| container.health.as_ref()).map(|health| health.on_failure);
    if action != Some(OnFailure::Restart) || retention == Retention::Kept {
        return Ok(());
    }
    let why = "the boxr in the foreground removes the box when it ends";
    Err(conflict("--health-on-failure restart", "--rm", why, "--detach, or leave --rm out"))
}

/// What remains of it.
pub(super) fn retention(raw: &RawRun, image: Option<&Image>, purpose: Purpose, detach: bool) -> Retention {
    let kept = match (raw.rm, raw.keep) {
        (Some(rm), _) => !rm,
        (None, Some(keep)) => keep,
        (None, None) => detach || purpose == Purpose::Create || image.is_some(),
    };
    if kept { Retention::Kept } else { Retention::Ephemeral }
}
