//! What a sandbox has refused, and which openings would have allowed it.
//!
//! A call is looked at while it waits, before it is carried out: whether what it is for lies on a mount that cannot be
//! written or is hidden, and whether the caller of boxr could do on the host what is asked for. Only then an opening is
//! named. What fails for another reason is not told of.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use boxr_sys::seccomp_listener::Notification;

use super::calls::{Says, says};
use super::deed::Deed;
use super::messages;
use super::openings::Openings;
use super::place::{Place, may_change, may_change_names};
use super::sight::Sight;
use crate::attempt::printable;

/// Different ones that are remembered of each kind, and told.
const MOST: usize = 1000;
const TOLD: usize = 20;

/// Counts by what would have to be opened.
type Counts<K> = BTreeMap<K, u64>;

/// All of it.
#[derive(Debug)]
pub(super) struct Refusals {
    openings: Openings,
    writes: Counts<PathBuf>,
    kept: Counts<PathBuf>,
    reads: Counts<PathBuf>,
    sockets: Counts<PathBuf>,
    addresses: Counts<SocketAddr>,
}

impl Refusals {
    pub fn new(openings: Openings) -> Self {
        Self {
            openings,
            writes: Counts::new(),
            kept: Counts::new(),
            reads: Counts::new(),
            sockets: Counts::new(),
            addresses: Counts::new(),
        }
    }

    /// Looks at a call that waits.
    pub fn look(&mut self, sight: &mut Sight, call: &Notification, name: &str) {
        let arguments = &call.arguments;
        match says(name) {
            Says::Opens { dir, path, flags } => {
                self.look_at(sight, call, (dir, path), Deed::of_flags(arguments[flags]));
            }
            Says::OpensBy { dir, path, how } => {
                let flags = sight.number_at(call, arguments[how]);
                self.look_at(sight, call, (Some(dir), path), Deed::of_flags(flags));
            }
            Says::Changes { dir, path } => self.look_at(sight, call, (dir, path), Deed::of_change(name)),
            Says::ChangesBoth { one, .. } => self.look_at(sight, call, one, Deed::of_change(name)),
            Says::Runs { dir, path } => self.look_at(sight, call, (dir, path), Deed::Read),
            Says::SpeaksTo { address, length } => {
                let said = sight.address(call, arguments[address], arguments[length]);
                said.iter().for_each(|said| self.speaks_to(call, said));
            }
            Says::SpeaksIn { messages: at, count } => {
                for message in messages::messages(call, arguments[at], count.map(|count| arguments[count])) {
                    let said = sight.address(call, message.address.0, message.address.1);
                    said.iter().for_each(|said| self.speaks_to(call, said));
                }
            }
            Says::ListensAt { .. } | Says::Nothing => {}
        }
    }

    fn look_at(&mut self, sight: &mut Sight, call: &Notification, path: (Option<usize>, usize), deed: Deed) {
        if deed == Deed::Nothing {
            return;
        }
        let Some(said) = sight.path(call, path.0, path.1) else { return };
        // What is hidden can perhaps not be looked at from here.
        let place = Place::of(call.pid, &said, deed.is_of_link());
        let path = place.as_ref().map_or(said.as_path(), |place| place.path.as_path());
        let is_missing = || place.as_ref().is_none_or(|place| !place.exists);
        let is_unread = || self.openings.is_hidden_by_landlock(path) || is_missing() && can_be_read(path);
        if self.openings.hides(path) || deed == Deed::Read && is_unread() {
            self.hidden(path, deed);
        } else if let Some(place) = place.filter(|place| self.is_refused(place, deed)) {
            self.written(&place, deed);
        }
    }

    fn hidden(&mut self, path: &Path, deed: Deed) {
        match (deed, path.symlink_metadata().is_ok()) {
            (Deed::Read, true) => count(&mut self.reads, path.to_owned()),
            (Deed::Write { changes: true, .. } | Deed::Edit, true) if may_change(path) => {
                count(&mut self.writes, path.to_owned());
            }
            _ => {}
        }
    }

    fn is_refused(&self, place: &Place, deed: Deed) -> bool {
        let wants = match deed {
            Deed::Write { makes, changes } => {
                if place.exists {
                    changes
                } else {
                    makes
                }
            }
            Deed::Make => !place.exists,
            Deed::Remove | Deed::Edit => place.exists,
            Deed::Nothing | Deed::Read => false,
        };
        wants && (place.read_only || self.openings.is_kept_by_landlock(&place.path))
    }

    /// A change that the mount does not allow. The opening is the file, or the directory where names come and go.
    fn written(&mut self, place: &Place, deed: Deed) {
        let names = !place.exists || matches!(deed, Deed::Make | Deed::Remove);
        let opening = if names { place.path.parent() } else { Some(place.path.as_path()) };
        let Some(opening) = opening.filter(|opening| opening.parent().is_some()) else { return };
        let possible = if names { may_change_names(opening) } else { may_change(opening) };
        match self.openings.protection_of(&place.path) {
            _ if !possible || opening.starts_with("/proc") || opening.starts_with("/dev") => {}
            Some(kept) => count(&mut self.kept, kept.to_owned()),
            None => count(&mut self.writes, opening.to_owned()),
        }
    }

    fn speaks_to(&mut self, call: &Notification, said: &str) {
        if let Ok(address) = said.parse::<SocketAddr>() {
            if self.openings.alone && !address.ip().to_canonical().is_loopback() {
                count(&mut self.addresses, address);
            }
            return;
        }
        let path = Path::new(said);
        let is_socket =
            |path: &Path| path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
        let inside = Path::new("/proc").join(call.pid.to_string()).join("root");
        let inside = inside.join(path.strip_prefix("/").unwrap_or(path));
        if path.is_absolute() && is_socket(path) && !is_socket(&inside) {
            count(&mut self.sockets, path.to_owned());
        }
    }

    /// A line each. `calls` are those that the filter has refused, by name.
    pub fn report(&self, calls: &Counts<&'static str>) -> Vec<String> {
        let mut lines = Vec::new();
        let writes = gathered(&self.writes);
        tell(&mut lines, &writes, |path, count| {
            let place = if path.is_dir() { "refused under" } else { "refused to" };
            let path = shown(path);
            format!("{count} {} {place} {path}: --allow {path}", many(count, "write"))
        });
        tell(&mut lines, &self.kept, |path, count| {
            let path = shown(path);
            format!(
                "{count} {} refused to {path}, which the host uses by itself later: --allow {path}",
                many(count, "write")
            )
        });
        tell(&mut lines, &self.reads, |path, count| {
            let path = shown(path);
            format!("{count} {} refused of {path}: --allow {path}:ro", many(count, "read"))
        });
        tell(&mut lines, &self.sockets, |path, count| {
            let path = shown(path);
            format!("{count} {} refused to {path}: --allow-socket {path}", many(count, "connection"))
        });
        tell(&mut lines, &self.addresses, |address, count| {
            format!(
                "{count} {} refused to {address}: --allow-net, or --allow-net HOST for a program that uses a proxy",
                many(count, "connection")
            )
        });
        if !calls.is_empty() {
            let calls: Vec<String> = calls.iter().map(|(name, count)| format!("{name} ({count})")).collect();
            lines.push(format!(
                "refused by the filter of system calls, which nothing opens: {}",
                calls.join(", ")
            ));
        }
        lines
    }
}

/// Whether the host has it for boxr's caller: then it is the sandbox that does not show it. /proc is the sandbox's own,
/// and what `self` is there (/proc/mounts, /etc/mtab) is not seen from here.
fn can_be_read(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    [Access::READ_OK, Access::EXEC_OK].into_iter().any(|how| access(path, how).is_ok())
        && !path.canonicalize().is_ok_and(|path| path.starts_with("/proc"))
}

fn count<K: Ord>(counts: &mut Counts<K>, key: K) {
    if counts.len() < MOST || counts.contains_key(&key) {
        *counts.entry(key).or_default() += 1;
    }
}

fn tell<K>(lines: &mut Vec<String>, counts: &Counts<K>, line: impl Fn(&K, u64) -> String) {
    lines.extend(counts.iter().take(TOLD).map(|(key, count)| line(key, *count)));
    if let Some(more) = counts.len().checked_sub(TOLD).filter(|more| *more > 0) {
        lines.push(format!("and {more} more of these"));
    }
}

fn many(count: u64, one: &str) -> String {
    if count == 1 { one.to_owned() } else { format!("{one}s") }
}

/// As a shell takes it for one word: whoever made the name has perhaps meant it to be copied there.
fn shown(path: &Path) -> String {
    let text = printable(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+@,=%".contains(letter);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Openings that have a directory in common, but for one at the top of the tree, are one: that directory.
fn gathered(writes: &Counts<PathBuf>) -> Counts<PathBuf> {
    let mut gathered = Counts::new();
    for (path, count) in writes {
        let known = gathered.keys().find_map(|known: &PathBuf| Some((known.clone(), common(known, path)?)));
        let Some((known, both)) = known else {
            gathered.insert(path.clone(), *count);
            continue;
        };
        let before = gathered.remove(&known).unwrap_or_default();
        *gathered.entry(both).or_default() += before + count;
    }
    gathered
}

/// The deepest directory that holds both, or is one of them.
fn common(one: &Path, other: &Path) -> Option<PathBuf> {
    let same = one.components().zip(other.components()).take_while(|(one, other)| one == other);
    let both: PathBuf = same.map(|(part, _)| part).collect();
    (both.components().count() > 2).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_word_of_a_shell() {
        for (path, expected) in [
            ("/usr/local/x-1.2", "/usr/local/x-1.2"),
            ("/a b --allow /", "'/a b --allow /'"),
            ("/$(x)'\n", "'/$(x)'\\''\\012'"),
        ] {
            assert_eq!(shown(Path::new(path)), expected);
        }
    }

    #[test]
    fn openings_are_gathered_below_the_top() {
        let counts = |paths: &[(&str, u64)]| -> Counts<PathBuf> {
            paths.iter().map(|(path, count)| (PathBuf::from(path), *count)).collect()
        };
        let writes = counts(&[
            ("/usr/local/bin", 1),
            ("/usr/local/share/man/man1", 2),
            ("/usr/local", 1),
            ("/usr/lib", 1),
            ("/etc", 1),
            ("/opt/x", 1),
            ("/opt/x/y", 1),
        ]);
        let expected = counts(&[("/usr/local", 4), ("/usr/lib", 1), ("/etc", 1), ("/opt/x", 2)]);
        assert_eq!(gathered(&writes), expected);
    }
}
