//! Errors of the store, of paths, of processes and of cgroups, told to a person.

use boxr_engine::paths::PathsError;
use boxr_engine::process::ProcessError;
use boxr_engine::secret::SecretError;
use boxr_engine::store::StoreError;
use boxr_engine::volume::VolumeError;

use super::{Explain, Report, errno_text, io_text};

impl Explain for VolumeError {
    fn report(&self) -> Report {
        let report = Report::new(self.to_string());
        match self {
            Self::Missing(name) => {
                report.suggest("boxr volume ls").suggest(format!("boxr volume create {name}"))
            }
            Self::InUse { name, users } => report
                .suggest(format!("boxr rm -f {}", users.join(" ")))
                .suggest(format!("boxr volume rm --force {name}")),
            _ => report,
        }
    }
}

impl Explain for SecretError {
    fn report(&self) -> Report {
        let report = Report::new(self.to_string());
        match self {
            Self::Missing(_) | Self::Ambiguous(_) => report.suggest("boxr secret ls"),
            Self::Exists(name) => report.suggest(format!("boxr secret create --replace {name} FILE")),
            _ => report,
        }
    }
}

impl Explain for StoreError {
    fn report(&self) -> Report {
        match self {
            Self::System { action, path, errno } => {
                Report::new(format!("cannot {action} {}: {}", path.display(), errno_text(*errno)))
            }
            Self::Full { action, path, errno } => {
                // The box's own directory has been removed meanwhile.
                let place = path.ancestors().skip(1).find(|path| path.is_dir()).unwrap_or(path);
                Report::new(format!("cannot {action} {}: {}", path.display(), errno_text(*errno)))
                    .suggest(format!("df -h {}", place.display()))
                    .suggest("boxr prune")
            }
            Self::InvalidName { name, reason } => {
                Report::new(format!("{name:?} cannot be the name of a box: {reason}"))
            }
            Self::NoPod { wanted } => Report::new(format!("no such pod: {wanted}")).suggest("boxr pod ps"),
            Self::NameInUse { name, what: "pod", holder } => {
                Report::new(format!("the name {name} is in use by pod {}", holder.short()))
                    .suggest(format!("boxr pod rm {name}"))
            }
            Self::NameInUse { name, holder, .. } => {
                Report::new(format!("the name {name} is in use by box {}", holder.short()))
                    .suggest(format!("boxr rm {name}"))
                    .suggest(format!("boxr rename {name} NEW"))
            }
            Self::IsPod { wanted } => Report::new(format!("{wanted} is a pod, not a box"))
                .suggest(format!("boxr pod inspect {wanted}"))
                .suggest(format!("boxr run --pod {wanted} -- COMMAND")),
            Self::NotFound { wanted, nearest } => {
                let report = Report::new(format!("no such box: {wanted}"));
                match nearest {
                    Some(nearest) => report.detail(format!("the nearest name is {nearest}")),
                    None => report.suggest("boxr ps --all"),
                }
            }
            Self::Ambiguous { prefix, candidates } => {
                let report = Report::new(format!("{prefix} is the beginning of {} ids", candidates.len()));
                candidates.iter().take(8).fold(report, |report, id| report.detail(id.as_str()))
            }
            Self::NoState { id } => Report::new(format!("box {} has no state", id.short()))
                .detail("it is being created, or its creation or removal was cut short")
                .suggest(format!("boxr rm {}", id.short())),
            Self::Damaged { path, reason } => {
                let report = Report::new(format!("{} is damaged: {reason}", path.display()));
                match path.parent().and_then(|dir| dir.file_name()).and_then(|id| id.to_str()) {
                    Some(id) => report.suggest(format!("boxr rm -f {}", id.get(..12).unwrap_or(id))),
                    None => report,
                }
            }
            Self::TooNew { path, format } => Report::new(format!(
                "{} was written by a newer boxr: it has format {format}, and this one knows formats up to {}",
                path.display(),
                boxr_engine::record::FORMAT
            )),
            Self::Volume(error) => error.report(),
            Self::Network(error) => error.report(),
            Self::Encode { .. } => Report::new(self.to_string()),
        }
    }
}

impl Explain for PathsError {
    fn report(&self) -> Report {
        match self {
            Self::Override { path, source } => {
                Report::new(format!("cannot use {} for boxr's files: {}", path.display(), io_text(source)))
            }
            Self::Unsafe { path, reason } => {
                Report::new(format!("{} is not safe to keep state in: {reason}", path.display()))
                    .suggest("boxr --state DIR")
            }
            Self::Fallback { path, source } => Report::new(format!(
                "cannot make the state directory {}: {}",
                path.display(),
                io_text(source)
            ))
            .suggest("boxr --state DIR"),
        }
    }
}

impl Explain for ProcessError {
    fn report(&self) -> Report {
        match self {
            Self::System { action, pid, errno } => {
                Report::new(format!("cannot {action} process {pid}: {}", errno_text(*errno)))
            }
            Self::Gone { .. } | Self::Another { .. } => Report::new(self.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_with_the_nearest_name() {
        let error = StoreError::NotFound { wanted: "wbe".into(), nearest: Some("web".into()) };
        assert_eq!(error.report().render(false), "error: no such box: wbe\n  the nearest name is web\n");
    }

    #[test]
    fn a_damaged_box_is_named_by_the_remedy() {
        let path = format!("/run/boxr/containers/{}/state.json", "ab".repeat(32)).into();
        let reason = serde_json::from_str::<u8>("x").unwrap_err();
        let report = StoreError::Damaged { path, reason }.report();
        assert_eq!(report.tries, ["boxr rm -f abababababab"]);
    }
}
