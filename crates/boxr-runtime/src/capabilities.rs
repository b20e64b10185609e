//! The five capability sets of a process (capabilities(7)).

use rustix::io::Errno;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use crate::error::{At, Step, StepError};

/// Every capability without its `CAP_`, in the order of its number (`<linux/capability.h>`).
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What docker leaves to root in a container, without MKNOD (as podman): a box need not have a
/// cgroup that keeps it from devices.
const CONTAINER_DEFAULT: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// A set of capabilities, bit N for number N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);

    /// Every capability that boxr knows by name.
    pub const fn all() -> Self {
        Self((1 << NAMES.len()) - 1)
    }

    /// The default of a container with a root of its own.
    pub fn container_default() -> Self {
        CONTAINER_DEFAULT.iter().fold(Self::NONE, |set, name| match Self::named(name) {
            Some(one) => set.union(one),
            None => set,
        })
    }

    /// From the bits that /proc/PID/status has in hexadecimal.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The capability with this name, with or without `CAP_`, in any case.
    pub fn named(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let number = NAMES.iter().position(|known| *known == bare)?;
        Some(Self(1 << number))
    }

    /// What the calling process may use now, and what its bounding set leaves.
    ///
    /// # Errors
    /// capget(2).
    pub fn of_caller() -> Result<Self, Errno> {
        Ok(Self(rustix::thread::capabilities(None)?.effective.bits() & Self::all().0))
    }

    /// `CAP_SYS_ADMIN`
    pub const SYS_ADMIN: Self = Self(1 << 21);

    /// Both together.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// This one less `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Their names, `CAP_` included.
    pub fn names(self) -> Vec<String> {
        self.numbers().filter_map(|n| NAMES.get(n)).map(|name| format!("CAP_{name}")).collect()
    }

    fn numbers(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |n| self.0 & (1 << n) != 0)
    }
}

/// Whether the caller may make namespaces and mounts as it is (`CAP_SYS_ADMIN`).
///
/// # Errors
/// capget(2).
pub fn is_privileged() -> Result<bool, Errno> {
    Ok(rustix::thread::capabilities(None)?.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Whether the caller is in another user namespace than the machine's first: root there, as that of
/// rootless podman's, is an ordinary user to the machine.
///
/// # Errors
/// readlink(2).
pub fn is_in_user_namespace() -> Result<bool, Errno> {
    // The first one's number is the kernel's PROC_USER_INIT_INO, which never changes.
    let target = rustix::fs::readlink("/proc/self/ns/user", Vec::new())?;
    Ok(target.as_bytes() != b"user:[4026531837]")
}

/// The five sets of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// Upper bound for execve(2).
    pub bounding: Capabilities,
    /// In force.
    pub effective: Capabilities,
    /// Can be put in force.
    pub permitted: Capabilities,
    /// Kept over execve(2) of a file with the same.
    pub inheritable: Capabilities,
    /// Kept over execve(2) of any file.
    pub ambient: Capabilities,
}

impl Sets {
    /// The same three sets that matter, nothing inheritable: what root of a container has.
    pub fn uniform(set: Capabilities) -> Self {
        Self { bounding: set, effective: set, permitted: set, ..Self::default() }
    }

    /// Drops everything outside the bounding set for later execs. Must come before ids change.
    pub(crate) fn limit_bounding(&self) -> Result<(), StepError> {
        for number in Capabilities::all().without(self.bounding).numbers() {
            let one = CapabilitySet::from_bits_retain(1 << number);
            match rustix::thread::remove_capability_from_bounding_set(one) {
                // A kernel that does not know the capability has nothing to drop.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(errno) => {
                    return Err(StepError::new(Step::Capabilities, name_of(number), errno));
                }
            }
        }
        Ok(())
    }

    /// What is left of the caller's when it changes from root to another user (capabilities(7)).
    pub(crate) fn after_setuid() -> Result<Self, StepError> {
        let now = rustix::thread::capabilities(None).at(Step::Capabilities, "of the caller")?;
        Ok(Self { inheritable: Capabilities(now.inheritable.bits()), ..Self::default() })
    }

    /// These and `more`, permitted and in force.
    pub(crate) fn with(&self, more: Capabilities) -> Self {
        Self { effective: self.effective.union(more), permitted: self.permitted.union(more), ..*self }
    }

    /// Puts the sets in force, after ids have changed. A capability the caller itself lacks
    /// cannot be given and is refused by the kernel with `EPERM`.
    pub(crate) fn apply(&self) -> Result<(), StepError> {
        self.put_in_force()?;
        for number in self.ambient.numbers() {
            let one = CapabilitySet::from_bits_retain(1 << number);
            rustix::thread::configure_capability_in_ambient_set(one, true)
                .at(Step::Capabilities, format!("ambient {}", name_of(number)))?;
        }
        Ok(())
    }

    /// Only what capset(2) sets.
    pub(crate) fn put_in_force(&self) -> Result<(), StepError> {
        let bits = |set: Capabilities| CapabilitySet::from_bits_retain(set.0);
        let sets = CapabilitySets {
            effective: bits(self.effective),
            permitted: bits(self.permitted),
            inheritable: bits(self.inheritable),
        };
        rustix::thread::set_capabilities(None, sets).at(Step::Capabilities, self.effective)
    }
}

/// Keeps permitted capabilities over the change of ids that follows.
pub(crate) fn keep_over_setuid() -> Result<(), StepError> {
    rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::KEEP_CAPS)
        .or_else(|_| rustix::thread::set_keep_capabilities(true))
        .at(Step::Capabilities, "keep over the change of user")
}

impl std::fmt::Display for Capabilities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            set if *set == Self::all() => f.write_str("all"),
            set if *set == Self::NONE => f.write_str("none"),
            set => f.write_str(&set.names().join(" ")),
        }
    }
}

fn name_of(number: usize) -> String {
    NAMES.get(number).map_or_else(|| number.to_string(), |name| format!("CAP_{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_spelling() {
        let chown = Capabilities::named("CHOWN");
        assert!(chown.is_some());
        assert_eq!(chown, Capabilities::named("cap_chown"));
        assert_eq!(Capabilities::named("CAP_SYS_ADMIN"), Some(Capabilities(1 << 21)));
        assert_eq!(Capabilities::named("CHECKPOINT_RESTORE"), Some(Capabilities(1 << 40)));
        assert_eq!(Capabilities::named("NOPE"), None);
    }

    #[test]
    fn the_container_default_is_dockers_without_device_nodes() {
        let set = Capabilities::container_default();
        assert_eq!(set.names().len(), 13);
        assert!(Capabilities::named("MKNOD").is_some_and(|node| !set.contains(node)));
    }
}
