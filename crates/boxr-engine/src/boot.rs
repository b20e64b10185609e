//! In which boot and pid namespace process numbers mean something.

use rustix::fs::{CWD, Mode, OFlags};

/// The place process numbers are valid in. A pid written down elsewhere says nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// `/proc/sys/kernel/random/boot_id` (random(4)); empty where it cannot be read.
    pub boot_id: String,
    /// The caller's pid namespace, the number behind `/proc/self/ns/pid`; 0 where /proc
    /// is missing or shows another pid namespace's processes.
    pub pid_namespace: u64,
}

/// How a place written down compares with this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The same: its pids can be looked up.
    Here,
    /// An earlier boot: none of its processes lives.
    EarlierBoot,
    /// Another pid namespace of this boot, or not known: nothing can be said.
    Elsewhere,
}

impl Here {
    /// Looks. Five system calls; remember the result.
    pub fn look() -> Self {
        Self { boot_id: boot_id(), pid_namespace: pid_namespace() }
    }

    /// Compares with what was written down.
    pub fn compare(&self, boot_id: &str, pid_namespace: u64) -> Place {
        if self.boot_id.is_empty() || boot_id.is_empty() {
            return Place::Elsewhere;
        }
        if self.boot_id != boot_id {
            return Place::EarlierBoot;
        }
        if pid_namespace == 0 || pid_namespace != self.pid_namespace {
            return Place::Elsewhere;
        }
        Place::Here
    }
}

fn boot_id() -> String {
    let mut buffer = [0u8; 64];
    let read = rustix::fs::openat(
        CWD,
        c"/proc/sys/kernel/random/boot_id",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .and_then(|file| rustix::io::read(file, &mut buffer));
    let length = read.unwrap_or(0);
    String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
}

fn pid_namespace() -> u64 {
    rustix::fs::stat(c"/proc/self/ns/pid").map_or(0, |found| found.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_place_is_known() {
        let here = Here::look();
        assert_eq!(here.boot_id.len(), 36);
        assert_ne!(here.pid_namespace, 0);
        assert_eq!(here.compare(&here.boot_id, here.pid_namespace), Place::Here);
    }

    #[test]
    fn doubt_is_elsewhere() {
        let here = Here { boot_id: "a".into(), pid_namespace: 1 };
        assert_eq!(here.compare("b", 1), Place::EarlierBoot);
        assert_eq!(here.compare("a", 2), Place::Elsewhere);
        assert_eq!(here.compare("a", 0), Place::Elsewhere);
        assert_eq!(here.compare("", 1), Place::Elsewhere);
        let nowhere = Here { boot_id: String::new(), pid_namespace: 0 };
        assert_eq!(nowhere.compare("a", 0), Place::Elsewhere);
    }
}
