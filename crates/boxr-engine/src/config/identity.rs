//! Who the command runs as: names and groups from /etc/passwd and /etc/group of the host.
//!
//! The files are read directly: a static binary asks no name service (ARCHITECTURE.md, "Dependencies").

use super::error::ConfigError;
use super::grammar::{Id, UserSpec};
use super::resolve::Caller;
use crate::options::{NamespaceMode, Root, User};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The user of a box, for what was said with `--user` and `--group-add`; `None` when nothing was.
pub(super) fn resolve(
    said: Option<&UserSpec>,
    added: &[Id],
    root: &Root,
    user_namespace: Option<&NamespaceMode>,
    caller: &Caller,
) -> Result<Option<User>, ConfigError> {
    let lookup = Lookup { root };
    let extra = added.iter().map(|id| lookup.group("group-add", id)).collect::<Result<Vec<u32>, _>>()?;
    if let Some(spec) = said {
        return lookup.user(spec, extra).map(Some);
    }
    if extra.is_empty() {
        return Ok(None);
    }
    let ids = caller.ids();
    let inherited = match user_namespace {
        Some(NamespaceMode::Host) => true,
        Some(_) => false,
        None => ids.uid == 0,
    };
    // Without --user the command is the caller, or root of a user namespace of its own.
    let (uid, gid, mut groups) = if inherited { (ids.uid, ids.gid, ids.groups) } else { (0, 0, Vec::new()) };
    groups.extend(extra);
    Ok(Some(User { uid, gid, groups: Some(groups) }))
}

/// The user of a further command in a box with this root, for what `--user` said.
///
/// # Errors
/// A name that is not in the host's files, or any name where the box has another root.
pub fn user(said: &UserSpec, root: &Root) -> Result<User, ConfigError> {
    Lookup { root }.user(said, Vec::new())
}

struct Lookup<'a> {
    root: &'a Root,
}

impl Lookup<'_> {
    fn user(&self, spec: &UserSpec, extra: Vec<u32>) -> Result<User, ConfigError> {
        // Who is said by numbers alone need not be there.
        let is_known = matches!((&spec.user, &spec.group), (Id::Number(_), Some(_)));
        let passwd = if *self.root == Root::Host && !is_known { table(PASSWD) } else { Vec::new() };
        let entry = passwd.iter().find(|fields| match &spec.user {
            Id::Number(uid) => field_number(fields, 2) == Some(*uid),
            Id::Name(name) => fields.first() == Some(name),
        });
        let uid =
            match (&spec.user, entry) {
                (Id::Number(uid), _) => *uid,
                (Id::Name(name), entry) => {
                    self.names_allowed("user", name)?;
                    entry.and_then(|fields| field_number(fields, 2)).ok_or_else(|| {
                        ConfigError::UnknownName { flag: "user", name: name.clone(), file: PASSWD }
                    })?
                }
            };
        let gid = match &spec.group {
            Some(group) => self.group("user", group)?,
            None => entry.and_then(|fields| field_number(fields, 3)).unwrap_or(0),
        };
        // A group that was named stands alone, as in docker; otherwise the user's own come along.
        let mut groups = match (&spec.group, entry.and_then(|fields| fields.first())) {
            (None, Some(name)) => memberships(name),
            _ => Vec::new(),
        };
        groups.extend(extra);
        Ok(User { uid, gid, groups: Some(groups) })
    }

    fn group(&self, flag: &'static str, id: &Id) -> Result<u32, ConfigError> {
        match id {
            Id::Number(gid) => Ok(*gid),
            Id::Name(name) => {
                self.names_allowed(flag, name)?;
                table(GROUP)
                    .iter()
                    .find(|fields| fields.first() == Some(name))
                    .and_then(|fields| field_number(fields, 2))
                    .ok_or_else(|| ConfigError::UnknownName { flag, name: name.clone(), file: GROUP })
            }
        }
    }

    fn names_allowed(&self, flag: &'static str, name: &str) -> Result<(), ConfigError> {
        match self.root {
            Root::Host => Ok(()),
            Root::Directory(_) | Root::Image(_) => {
                Err(ConfigError::NameWithRootfs { flag, name: name.to_owned() })
            }
        }
    }
}

/// The groups that list `name` as a member.
fn memberships(name: &str) -> Vec<u32> {
    table(GROUP)
        .iter()
        .filter(|fields| fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name)))
        .filter_map(|fields| field_number(fields, 2))
        .collect()
}

/// The lines of passwd(5) or group(5) as fields; a file that is not there has none.
fn table(file: &str) -> Vec<Vec<String>> {
    let text = std::fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(':').map(str::to_owned).collect())
        .collect()
}

fn field_number(fields: &[String], index: usize) -> Option<u32> {
    fields.get(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CallerIds;

    fn caller() -> Caller {
        Caller { ids: Some(CallerIds { uid: 0, gid: 0, groups: vec![7] }), ..Caller::default() }
    }

    fn spec(user: Id, group: Option<Id>) -> UserSpec {
        UserSpec { user, group }
    }

    #[test]
    fn nothing_said_is_nobody_in_particular() {
        assert_eq!(resolve(None, &[], &Root::Host, None, &caller()).unwrap(), None);
    }

    #[test]
    fn numbers_need_no_file() {
        let said = spec(Id::Number(54_321), Some(Id::Number(5)));
        let root = Root::Directory("/srv".into());
        let user = resolve(Some(&said), &[Id::Number(9)], &root, None, &caller()).unwrap().unwrap();
        assert_eq!(user, User { uid: 54_321, gid: 5, groups: Some(vec![9]) });
    }

    #[test]
    fn names_are_of_the_host() {
        let said = spec(Id::Name("root".into()), None);
        let user = resolve(Some(&said), &[], &Root::Host, None, &caller()).unwrap().unwrap();
        assert_eq!((user.uid, user.gid), (0, 0));
        let root = Root::Directory("/srv".into());
        let error = resolve(Some(&said), &[], &root, None, &caller()).unwrap_err();
        assert!(matches!(error, ConfigError::NameWithRootfs { .. }));
        let said = spec(Id::Name("no-such-user".into()), None);
        let error = resolve(Some(&said), &[], &Root::Host, None, &caller()).unwrap_err();
        assert!(matches!(error, ConfigError::UnknownName { flag: "user", .. }));
    }

    #[test]
    fn an_added_group_keeps_the_callers() {
        let user = resolve(None, &[Id::Number(9)], &Root::Host, None, &caller()).unwrap().unwrap();
        assert_eq!(user, User { uid: 0, gid: 0, groups: Some(vec![7, 9]) });
        let new = Some(&NamespaceMode::New);
        let user = resolve(None, &[Id::Number(9)], &Root::Host, new, &caller()).unwrap().unwrap();
        assert_eq!(user.groups, Some(vec![9]));
    }
}
