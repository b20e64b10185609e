//! What a person reads about flags and configuration files that cannot be used.

use boxr_engine::config::ConfigError;

use super::{Explain, Report, io_text};

impl Explain for ConfigError {
    fn report(&self) -> Report {
        let report = Report::new(self.to_string());
        match self {
            Self::Value { accepts, .. } => report.detail(format!("it takes {accepts}")),
            Self::UnknownKey { nearest: Some(nearest), .. } => {
                report.detail(format!("the nearest key is {nearest}")).suggest("boxr config")
            }
            Self::UnknownKey { .. } => report.suggest("boxr config"),
            Self::Read { file, source } => {
                Report::new(format!("cannot read {}: {}", file.display(), io_text(source)))
            }
            Self::Conflict { remedy, .. } if !remedy.is_empty() => report.suggest(*remedy),
            Self::Sandbox(error) if !error.remedy().is_empty() => report.suggest(error.remedy()),
            Self::Rootfs { path, why, source: Some(source) } => {
                Report::new(format!("--rootfs {}: {why}: {}", path.display(), io_text(source)))
            }
            Self::NameWithRootfs { flag, .. } => report.suggest(format!("--{flag} with a number")),
            Self::NoDirectory { source } => {
                Report::new(format!("cannot tell the current directory: {}", io_text(source)))
                    .detail("it was probably removed")
                    .suggest("cd / first")
            }
            _ => report,
        }
    }
}
