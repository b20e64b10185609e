//! Users and groups of a container, from its own /etc/passwd and /etc/group (passwd(5), group(5)).

use thiserror::Error;

use crate::options::User;

/// So much of a file is read, in bytes.
pub(crate) const LONGEST: u64 = 1 << 20;

/// A user or group that cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UserError {
    /// A name that is in no line.
    #[error("no {what} {name} in the container's {file}")]
    Unknown {
        /// `user` or `group`
        what: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// Neither a name nor a number.
    #[error("{0:?} is no user: give UID, UID:GID, NAME or NAME:GROUP")]
    Malformed(String),
    /// The file cannot be read.
    #[error("cannot read the container's {file}: {}", boxr_runtime::error::describe(*errno))]
    File {
        /// Which.
        file: &'static str,
        /// The system's reason.
        errno: rustix::io::Errno,
    },
}

pub(crate) const PASSWD: &str = "/etc/passwd";
pub(crate) const GROUP: &str = "/etc/group";

/// Reads a file of the container's; `None` when it has none.
pub(crate) type Read<'a> = dyn Fn(&str) -> Result<Option<Vec<u8>>, rustix::io::Errno> + 'a;

/// The lines of a file, as fields.
#[derive(Debug)]
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    fn read(read: &Read<'_>, file: &'static str) -> Result<Self, UserError> {
        let bytes = read(file).map_err(|errno| UserError::File { file, errno })?.unwrap_or_default();
        Ok(Self::parse(&bytes))
    }

    /// The lines of a file's text.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let fields = |line: &str| line.split(':').map(str::to_owned).collect();
        Self(text.lines().filter(|line| !line.starts_with('#')).map(fields).collect())
    }

    /// Whether a user or group is called so.
    pub fn has_name(&self, name: &str) -> bool {
        self.0.iter().any(|fields| fields.first().is_some_and(|field| field == name))
    }

    /// Whether a user or group has this number.
    pub fn has_number(&self, id: u32) -> bool {
        self.0.iter().any(|fields| number(fields, 2) == Some(id))
    }

    /// The first name of this number; the number where it has none.
    pub fn name(&self, id: u32) -> String {
        let line = self.0.iter().find(|fields| number(fields, 2) == Some(id));
        line.and_then(|fields| fields.first().cloned()).unwrap_or_else(|| id.to_string())
    }

    /// The line of the user or group `word`: one whose name it is, or else whose number.
    pub fn find(&self, word: &str) -> Option<&Vec<String>> {
        let by = |index: usize| {
            self.0.iter().find(move |fields| fields.get(index).is_some_and(|field| field == word))
        };
        by(0).filter(|fields| number(fields, 2).is_some()).or_else(|| by(2))
    }
}

fn number(fields: &[String], index: usize) -> Option<u32> {
    fields.get(index)?.parse().ok()
}

/// The highest id is the kernel's word for "unchanged".
fn id(word: &str) -> Option<u32> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if digits { word.parse().ok().filter(|id| *id != u32::MAX) } else { None }
}

/// The user that `said` means, with the groups it is a member of and those `added`. A group that is said stands
/// alone, as in docker.
///
/// # Errors
/// A name that is not there; a file that cannot be read.
pub(crate) fn resolve(said: &str, added: &[String], read: &Read<'_>) -> Result<User, UserError> {
    let (user, group) = match said.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (said, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let passwd = Table::read(read, PASSWD)?;
    let entry = passwd.find(user);
    let unknown = |what, name: &str, file| UserError::Unknown { what, name: name.to_owned(), file };
    let uid = entry.and_then(|fields| number(fields, 2)).or_else(|| id(user));
    let uid = uid.ok_or_else(|| unknown("user", user, PASSWD))?;
    let groups = Table::read(read, GROUP)?;
    let gid_of = |word: &str| {
        let known = groups.find(word).and_then(|fields| number(fields, 2));
        known.or_else(|| id(word)).ok_or_else(|| unknown("group", word, GROUP))
    };
    let gid = match group {
        Some(group) => gid_of(group)?,
        None => entry.and_then(|fields| number(fields, 3)).unwrap_or(0),
    };
    let mut more = match (group, entry.and_then(|fields| fields.first())) {
        (None, Some(name)) => members(&groups, name),
        _ => Vec::new(),
    };
    for word in added {
        more.push(gid_of(word)?);
    }
    more.retain(|more| *more != gid);
    more.dedup();
    Ok(User { uid, gid, groups: Some(more) })
}

/// The groups that list `name`.
fn members(groups: &Table, name: &str) -> Vec<u32> {
    let lists = |fields: &&Vec<String>| {
        fields.get(3).is_some_and(|members| members.split(',').any(|member| member.trim() == name))
    };
    groups.0.iter().filter(lists).filter_map(|fields| number(fields, 2)).collect()
}

/// Takes groups away that nobody has asked for and that do not exist in the user namespace of the process `pid`.
pub(crate) fn keep_mapped(user: &mut User, pid: i32) {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let (map, setgroups) = (read("gid_map"), read("setgroups"));
    let holds = |gid: u32| {
        map.lines().any(|line| {
            let mut numbers = line.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok());
            match (numbers.next(), numbers.nth(1)) {
                (Some(first), Some(size)) => gid.checked_sub(first).is_some_and(|offset| offset < size),
                _ => false,
            }
        })
    };
    if let Some(groups) = &mut user.groups {
        groups.retain(|gid| setgroups.trim() != "deny" && holds(*gid));
    }
}

/// Checks the form of what an image or a person says.
///
/// # Errors
/// [`UserError::Malformed`]
pub(crate) fn check(said: &str) -> Result<(), UserError> {
    let plausible = |part: &str| {
        !part.starts_with('-') && part.len() <= 256 && !part.contains([':', '\n', '\0', '/', ' '])
    };
    let (user, group) = said.split_once(':').unwrap_or((said, ""));
    if plausible(user) && plausible(group) { Ok(()) } else { Err(UserError::Malformed(said.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Result<Option<Vec<u8>>, rustix::io::Errno> {
        let text = match file {
            PASSWD => {
                "# x\nroot:x:0:0::/root:/bin/sh\nann:x:1000:100:Ann:/home/ann:/bin/sh\n7:x:70:70::/:\nbad\n"
            }
            _ => "root:x:0:root\nwheel:x:10:root,ann\nusers:x:100:\naudio:x:29:ann\n",
        };
        Ok(Some(text.into()))
    }

    fn user(said: &str, added: &[&str]) -> Result<(u32, u32, Vec<u32>), UserError> {
        let added: Vec<String> = added.iter().map(|&word| word.to_owned()).collect();
        resolve(said, &added, &read).map(|user| (user.uid, user.gid, user.groups.unwrap_or_default()))
    }

    #[test]
    fn names_and_numbers_are_the_containers() {
        assert_eq!(user("", &[]), Ok((0, 0, vec![10])));
        assert_eq!(user("ann", &[]), Ok((1000, 100, vec![10, 29])));
        assert_eq!(user("1000", &[]), Ok((1000, 100, vec![10, 29])));
        assert_eq!(user("ann:audio", &["wheel", "5"]), Ok((1000, 29, vec![10, 5])));
        assert_eq!(user("ann:", &[]), Ok((1000, 100, vec![10, 29])));
        assert_eq!(user("5000", &[]), Ok((5000, 0, vec![])));
        assert_eq!(user("5000:6000", &[]), Ok((5000, 6000, vec![])));
        assert_eq!(user("7", &[]), Ok((70, 70, vec![])), "a name of digits");
        assert!(matches!(user("bob", &[]), Err(UserError::Unknown { what: "user", .. })));
        assert!(matches!(user("ann:bob", &[]), Err(UserError::Unknown { what: "group", .. })));
        assert!(user("4294967295", &[]).is_err());
    }

    #[test]
    fn an_image_without_files_has_numbers() {
        let nothing = |_: &str| Ok(None);
        assert_eq!(resolve("5:6", &[], &nothing), Ok(User { uid: 5, gid: 6, groups: Some(vec![]) }));
        assert!(resolve("root", &[], &nothing).is_err());
        assert!(check("a:b:c").is_err() && check("-x").is_err() && check("a b").is_err());
        assert!(check("").is_ok() && check("1000:1000").is_ok() && check("www-data").is_ok());
    }
}
