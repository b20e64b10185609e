//! What /proc says of one process that matters for namespaces.

use std::os::unix::fs::MetadataExt;

use boxr_sys::namespace::NamespaceKind;
use rustix::io::Errno;

use super::engines::{Container, container_of};
use super::find::read_link;
use super::mounts::{errno_of, parse_link};

/// A process and what it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its command line; the name of the thread where it has none, as lsns(8) does.
    pub command: String,
    /// Numbers of its namespaces, those that could be read.
    pub namespaces: Vec<(NamespaceKind, u64)>,
    /// Namespaces it has open.
    pub open: Vec<(NamespaceKind, u64)>,
    /// The container it is in, by its cgroup.
    pub container: Option<Container>,
}

/// Reads one process.
///
/// # Errors
/// `EACCES` or `EPERM` when the caller may not look at it; anything else: it has ended.
pub(super) fn read(pid: i32) -> Result<Process, Errno> {
    let mut namespaces = Vec::with_capacity(8);
    for kind in NamespaceKind::ALL {
        match read_link(&format!("/proc/{pid}/ns/{}", kind.proc_name())) {
            Ok(Some(found)) => namespaces.push(found),
            // A kernel without this kind, or a zombie, which has only some.
            Ok(None) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    let uid = std::fs::metadata(format!("/proc/{pid}")).map_err(|error| errno_of(&error))?.uid();
    // The rest is for people: what cannot be read is left out.
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let container = container_of(&cgroup);
    Ok(Process { pid, uid, command: command(pid), namespaces, open: open(pid), container })
}

fn command(pid: i32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&line).replace('\0', " ");
    if !text.trim().is_empty() {
        return text.trim_end().to_owned();
    }
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

fn open(pid: i32) -> Vec<(NamespaceKind, u64)> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let mut open: Vec<_> = links.filter_map(|link| parse_link(link.to_str()?)).collect();
    open.sort_unstable();
    open.dedup();
    open
}

/// Names of users by number, from /etc/passwd.
#[derive(Clone, Debug, Default)]
pub struct Users(std::collections::HashMap<u32, String>);

impl Users {
    /// Reads /etc/passwd; without one, users are shown by number.
    pub fn read() -> Self {
        Self::parse(&std::fs::read_to_string("/etc/passwd").unwrap_or_default())
    }

    /// Reads lines as passwd(5) describes them; the first name of a number counts.
    fn parse(text: &str) -> Self {
        let mut users = std::collections::HashMap::new();
        for line in text.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) {
                users.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        Self(users)
    }

    /// Name, or number.
    pub fn name(&self, uid: u32) -> String {
        self.0.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_or_numbers() {
        let users = Users::parse("root:x:0:0:r:/root:/bin/sh\ntoor:x:0:0::/:\nbroken\n");
        assert_eq!((users.name(0), users.name(7)), ("root".to_owned(), "7".to_owned()));
    }

    #[test]
    fn this_process_is_in_what_its_links_say() {
        let pid = std::process::id() as i32;
        let file = std::fs::File::open("/proc/self/ns/net").unwrap();
        let process = read(pid).unwrap();
        let expected = std::fs::read_link("/proc/self/ns/net").unwrap();
        let network = process.namespaces.iter().find(|(kind, _)| *kind == NamespaceKind::Network).unwrap();
        assert_eq!(expected.to_str().unwrap(), format!("net:[{}]", network.1));
        assert!(process.open.contains(network));
        drop(file);
    }
}
