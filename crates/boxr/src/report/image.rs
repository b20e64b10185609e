//! Errors about images, told to a person. Each says itself what was done and what would help.

use boxr_engine::cdi::CdiError;
use boxr_engine::image::ImageError;
use boxr_engine::own_ids::OwnIdsError;
use boxr_image::archive::ArchiveError;
use boxr_image::oci::PlatformError;
use boxr_image::pack::PackError;
use boxr_image::pull::PullError;
use boxr_image::push::PushError;
use boxr_image::reference::ReferenceError;
use boxr_image::registry::credentials::CredentialError;
use boxr_image::registry::{RegistriesError, RegistryError};
use boxr_image::rootfs::RootfsError;
use boxr_image::store::StoreError;
use boxr_image::unpack::UnpackError;
use rustix::io::Errno;

use super::{Explain, Report, errno_text, io_text};

/// The first line is what happened, the others explain it.
fn told(error: &dyn std::error::Error) -> Report {
    let text = error.to_string();
    let mut lines = text.lines();
    let report = Report::new(lines.next().unwrap_or_default());
    lines.fold(report, |report, line| report.detail(line.trim()))
}

macro_rules! told {
    ($($error:ty)*) => {
        $(impl Explain for $error {
            fn report(&self) -> Report {
                told(self)
            }
        })*
    };
}

told! { OwnIdsError RootfsError PlatformError ReferenceError RegistriesError RegistryError CredentialError }

impl Explain for ImageError {
    fn report(&self) -> Report {
        match self {
            Self::Store(error) => error.report(),
            Self::Rootfs(error) => told(error),
            Self::Filesystem { .. } => told(self)
                .detail(
                    "overlayfs needs extended attributes there: another filesystem, or Linux 6.6 for tmpfs",
                )
                .suggest("boxr --root DIR run IMAGE"),
            Self::Device { errno, .. } if *errno == Errno::NODEV => {
                told(self).detail("it is no device, nor a directory with any")
            }
            Self::Cdi(error) => error.report(),
            Self::NoIds => told(self)
                .detail("each container of root's has 65536 of its own, from the lines of `containers` in /etc/subuid and \
                         /etc/subgid, or 4096 times as many")
                .suggest("boxr prune")
                .suggest("boxr run --userns host IMAGE"),
            Self::Quota { errno: Errno::PERM | Errno::ACCESS, .. } => told(self)
                .detail("the kernel lets root of the host alone limit a directory (project quota)")
                .suggest("boxr run --read-only --tmpfs /tmp:size=100m IMAGE"),
            Self::Quota { errno: Errno::NOSYS | Errno::SRCH | Errno::OPNOTSUPP | Errno::NOTTY, .. } => told(self)
                .detail(
                    "the filesystem, or the kernel (Linux 5.14), counts no projects: xfs mounted with pquota does, and ext4 with \
                     the features project and quota (tune2fs) mounted with prjquota",
                )
                .suggest("boxr --root DIR run IMAGE"),
            Self::Part { .. }
            | Self::Quota { .. }
            | Self::NoProject
            | Self::Owners(_)
            | Self::User(_)
            | Self::File { .. }
            | Self::Device { .. }
            | Self::Seccomp(_)
            | Self::NoGateway(_) => told(self),
        }
    }
}

impl Explain for CdiError {
    fn report(&self) -> Report {
        let Self::Unknown { searched, known, broken, .. } = self else { return told(self) };
        let dirs: Vec<String> = searched.iter().map(|dir| dir.display().to_string()).collect();
        let mut report = told(self).detail(format!("looked for in {}", dirs.join(", ")));
        report = match known.is_empty() {
            true => report.detail("no device is described there"),
            false => report.detail(format!("described are {}", known.join(", "))),
        };
        for file in broken {
            report = report.detail(format!("not usable: {file}"));
        }
        report.suggest("boxr device ls")
    }
}

impl Explain for StoreError {
    fn report(&self) -> Report {
        match self {
            Self::System { action, path, errno } => {
                Report::new(format!("cannot {action} {}: {}", path.display(), errno_text(*errno)))
            }
            Self::Full { action, path, errno } => {
                Report::new(format!("cannot {action} {}: {}", path.display(), errno_text(*errno)))
                    .suggest(format!("df -h {}", path.parent().unwrap_or(path).display()))
                    .suggest("boxr image prune")
            }
            Self::Damaged { .. } | Self::Missing(_) => told(self).suggest("boxr store verify --repair"),
            other => told(other),
        }
    }
}

impl Explain for PullError {
    fn report(&self) -> Report {
        match self {
            Self::Registry(error) => error.report(),
            Self::Store(error) => error.report(),
            Self::Unpack { digest, source: UnpackError::System { action, name, errno } } => {
                let reason = errno_text(*errno);
                let report =
                    Report::new(format!("layer {}: cannot {action} {name:?}: {reason}", digest.short()));
                match *errno {
                    Errno::NOSPC | Errno::DQUOT => {
                        report.suggest("boxr system df").suggest("boxr image prune")
                    }
                    _ => report,
                }
            }
            other => told(other),
        }
    }
}

impl Explain for ArchiveError {
    fn report(&self) -> Report {
        match self {
            Self::Store(error) => error.report(),
            Self::Layer(error) => error.report(),
            Self::Read { what, source } => Report::new(format!("cannot read {what}: {}", io_text(source))),
            Self::Write(error) => Report::new(format!("cannot write the archive: {}", io_text(error))),
            other => told(other),
        }
    }
}

impl Explain for PushError {
    fn report(&self) -> Report {
        match self {
            Self::Registry(error) => error.report(),
            Self::Store(error) => error.report(),
            Self::Pack { digest, source } => {
                Report::new(format!("cannot compress layer {}: {}", digest.short(), io_text(source)))
            }
            other => told(other),
        }
    }
}

impl Explain for PackError {
    fn report(&self) -> Report {
        match self {
            Self::Write(error) => Report::new(format!("cannot write the archive: {}", io_text(error))),
            Self::System { action, name, errno } => {
                Report::new(format!("cannot {action} {name}: {}", errno_text(*errno)))
            }
            other => told(other),
        }
    }
}
