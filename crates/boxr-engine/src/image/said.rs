//! What was said that only a container of an image can have: everything is optional.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::options::{Accounts, ContainerOptions, Device, DeviceRule, Link, Seccomp};
use super::quota::LayerLimits;
use super::userns::UserIdsWord;
use crate::config::ConfigError;
use crate::config::overlay::overlay;
use crate::health::OnFailure;
use crate::secret::SecretOption;

/// `None` and an empty list: nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the setting of the same name says what each is")]
pub struct Said {
    pub entrypoint: Option<Vec<String>>,
    pub privileged: Option<bool>,
    pub health: SaidHealth,
    pub userns: Option<UserIdsWord>,
    pub userns_chown: Option<bool>,
    pub seccomp: Option<Seccomp>,
    pub apparmor: Option<String>,
    pub open_system_paths: Option<bool>,
    pub devices: Vec<Device>,
    pub secrets: Vec<SecretOption>,
    pub cdi: Vec<String>,
    pub volumes_from: Vec<String>,
    pub device_rules: Vec<DeviceRule>,
    pub sysctls: Vec<(String, String)>,
    pub shm_size: Option<u64>,
    pub hosts: Vec<(String, String)>,
    pub links: Vec<Link>,
    pub no_hosts: Option<bool>,
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    pub accounts: Accounts,
    pub chroot_dirs: Vec<PathBuf>,
    pub image_volume: Option<ImageVolume>,
    pub seccomp_of_image: Option<bool>,
    pub layer: LayerLimits,
}

/// What is done about directories that an image declares as volumes (podman's words).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageVolume {
    /// A volume without a name for each.
    Bind,
    /// A tmpfs for each.
    Tmpfs,
    /// Nothing: they are directories of the container.
    Ignore,
}

/// What was said of health checks; times are milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the setting of the same name says what each is")]
pub struct SaidHealth {
    pub none: Option<bool>,
    pub test: Option<Vec<String>>,
    pub interval: Option<u64>,
    pub timeout: Option<u64>,
    pub start_period: Option<u64>,
    pub start_interval: Option<u64>,
    pub retries: Option<u32>,
    pub on_failure: Option<OnFailure>,
}

impl SaidHealth {
    fn overlaid_by(self, flags: Self) -> Self {
        let mut file = self;
        overlay! { file, flags: none test interval timeout start_period start_interval retries on_failure; }
        file
    }
}

impl Said {
    /// What a file says where `flags` say nothing; lists are joined.
    #[must_use]
    pub fn overlaid_by(mut self, flags: Self) -> Self {
        self.health = self.health.overlaid_by(flags.health);
        let mut file = self;
        overlay! {
            file, flags: entrypoint privileged userns userns_chown seccomp apparmor open_system_paths shm_size no_hosts image_volume
            seccomp_of_image;
            devices secrets cdi volumes_from device_rules sysctls hosts links dns dns_search dns_options chroot_dirs
        }
        file.layer = file.layer.overlaid_by(flags.layer);
        let (mut accounts, said) = (file.accounts, flags.accounts);
        accounts.own |= said.own;
        accounts.passwd_entry = said.passwd_entry.or(accounts.passwd_entry);
        accounts.group_entry = said.group_entry.or(accounts.group_entry);
        accounts.host_users.extend(said.host_users);
        file.accounts = accounts;
        file
    }

    /// Refuses what a box without an image has no use for.
    ///
    /// # Errors
    /// [`ConfigError::Needs`]
    pub fn refuse(&self) -> Result<(), ConfigError> {
        let said = [
            (self.entrypoint.is_some(), "--entrypoint"),
            (self.privileged == Some(true), "--privileged"),
            (self.health != SaidHealth::default(), "a health check"),
            (self.userns.is_some(), "--userns auto, keep-id or nomap"),
            (self.seccomp.is_some(), "--security-opt seccomp"),
            (self.apparmor.is_some(), "--security-opt apparmor"),
            (self.open_system_paths == Some(true), "--security-opt systempaths"),
            (!self.devices.is_empty(), "--device"),
            (!self.device_rules.is_empty(), "--device-cgroup-rule"),
            (!self.sysctls.is_empty(), "--sysctl"),
            (!self.secrets.is_empty(), "--secret"),
            (!self.cdi.is_empty(), "a device by name"),
            (!self.volumes_from.is_empty(), "--volumes-from"),
            (self.shm_size.is_some(), "--shm-size"),
            (!self.accounts.is_empty(), "--passwd, --passwd-entry, --group-entry or --hostuser"),
            (!self.chroot_dirs.is_empty(), "--chrootdirs"),
            (self.image_volume.is_some(), "--image-volume"),
            (!self.layer.is_empty(), "--storage-opt"),
            (self.seccomp_of_image.is_some(), "--seccomp-policy"),
            (!self.hosts.is_empty(), "--add-host"),
            (!self.links.is_empty(), "--link"),
            (self.no_hosts == Some(true), "--no-hosts"),
        ];
        match said.iter().find(|(said, _)| *said) {
            Some((_, flag)) => {
                Err(ConfigError::Needs { one: (*flag).to_owned(), other: "a container of an image" })
            }
            None => Ok(()),
        }
    }

    /// Puts it into the options of a container.
    ///
    /// # Errors
    /// What excludes each other.
    pub fn apply(self, options: &mut ContainerOptions) -> Result<(), ConfigError> {
        let lines = [(!self.hosts.is_empty(), "--add-host"), (!self.links.is_empty(), "--link")];
        if self.no_hosts == Some(true)
            && let Some((_, other)) = lines.iter().find(|(said, _)| *said)
        {
            return Err(ConfigError::Conflict {
                one: "--no-hosts".to_owned(),
                other: (*other).to_owned(),
                why: "one leaves /etc/hosts as it is in the image",
                remedy: "",
            });
        }
        options.privileged = self.privileged.unwrap_or(false);
        options.seccomp = self.seccomp.unwrap_or_default();
        options.apparmor = self.apparmor;
        options.open_system_paths = self.open_system_paths.unwrap_or(false);
        options.devices = self.devices;
        options.secrets = self.secrets;
        options.cdi = self.cdi;
        options.volumes_from = self.volumes_from;
        options.device_rules = self.device_rules;
        options.sysctls = self.sysctls.into_iter().collect::<BTreeMap<_, _>>();
        options.shm_size = self.shm_size.filter(|size| *size > 0);
        options.accounts = self.accounts;
        options.chroot_dirs = self.chroot_dirs;
        options.layer = self.layer;
        options.naming.hosts = self.hosts;
        options.naming.links = self.links;
        options.naming.keeps_hosts = self.no_hosts.unwrap_or(false);
        options.naming.servers = self.dns;
        options.naming.search = self.dns_search;
        options.naming.options = self.dns_options;
        Ok(())
    }
}
