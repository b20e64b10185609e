//! /etc/passwd and /etc/group of a container with lines of its own (podman's `--passwd`, `--hostuser`): files that are
//! made anew at every start from those of the image, and bound over them.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::ImageError;
use super::options::Accounts;
use super::users::{GROUP, LONGEST, PASSWD, Read, Table};
use crate::options::User;

/// The text of a container's file, with the lines of the host's users.
///
/// # Errors
/// The image's cannot be read.
pub(crate) fn text(accounts: &Accounts, read: &Read<'_>, file: &str) -> Result<Option<Vec<u8>>, Errno> {
    let found = read(file)?;
    if file != PASSWD || accounts.host_users.is_empty() {
        return Ok(found);
    }
    let mut text = found.unwrap_or_default();
    let known = Table::parse(&text);
    let is_new = |line: &&String| line.split(':').next().is_some_and(|name| !known.has_name(name));
    let added: Vec<&String> = accounts.host_users.iter().filter(is_new).collect();
    added.into_iter().for_each(|line| append(&mut text, line));
    Ok(Some(text))
}

fn append(text: &mut Vec<u8>, line: &str) {
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(line.as_bytes());
    text.push(b'\n');
}

/// Writes the files below `dir`, and gives where each belongs.
///
/// # Errors
/// The image's files cannot be read, ours not be written.
pub(crate) fn write(
    dir: &Path,
    accounts: &Accounts,
    (user, home): (&User, &Path),
    read: &Read<'_>,
    owner: Option<(u32, u32)>,
) -> Result<Vec<(PathBuf, &'static str)>, ImageError> {
    let failed = |file: &str| {
        let path = PathBuf::from(file);
        move |errno| ImageError::File { action: "read", path, errno }
    };
    let mut passwd = text(accounts, read, PASSWD).map_err(failed(PASSWD))?.unwrap_or_default();
    let mut group = read(GROUP).map_err(failed(GROUP))?.unwrap_or_default();
    let is_unknown = !Table::parse(&passwd).has_number(user.uid);
    if accounts.own && is_unknown {
        append(&mut passwd, &passwd_line(accounts, user, home));
    }
    if accounts.own && !Table::parse(&group).has_number(user.gid) {
        append(&mut group, &group_line(accounts, user));
    }
    let mut bound = Vec::new();
    for (name, target, bytes) in [("passwd", PASSWD, passwd), ("group", GROUP, group)] {
        let path = dir.join(name);
        put(&path, &bytes, owner)?;
        bound.push((path, target));
    }
    Ok(bound)
}

fn passwd_line(accounts: &Accounts, user: &User, home: &Path) -> String {
    let (uid, gid, home) = (user.uid.to_string(), user.gid.to_string(), home.display().to_string());
    let Some(said) = &accounts.passwd_entry else {
        return format!("{uid}:*:{uid}:{gid}:container user:{home}:/bin/sh");
    };
    said.replace("$USERNAME", &uid)
        .replace("$UID", &uid)
        .replace("$GID", &gid)
        .replace("$NAME", "container user")
        .replace("$HOME", &home)
}

fn group_line(accounts: &Accounts, user: &User) -> String {
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    let Some(said) = &accounts.group_entry else { return format!("{gid}:x:{gid}:{uid}") };
    said.replace("$GROUPNAME", &gid).replace("$GID", &gid).replace("$USERLIST", &uid)
}

/// In place, as it may be bound into the container that is about to start again.
fn put(path: &Path, bytes: &[u8], owner: Option<(u32, u32)>) -> Result<(), ImageError> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o644).open(path);
    let written = opened.and_then(|mut file| file.write_all(bytes)).and_then(|()| match owner {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    });
    written.map_err(|error| ImageError::File {
        action: "write",
        path: path.to_owned(),
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    })
}

/// The line of a user of the host, as a container may have it: without a password, with a shell that it has.
///
/// # Errors
/// There is no such user, or the host's file cannot be read.
pub(crate) fn of_host(name: &str) -> Result<String, String> {
    let bytes = std::fs::read(PASSWD).map_err(|error| format!("cannot read {PASSWD}: {error}"))?;
    let length = usize::try_from(LONGEST).unwrap_or(usize::MAX);
    let table = Table::parse(bytes.get(..length).unwrap_or(&bytes));
    let fields = table.find(name).ok_or_else(|| format!("{PASSWD} of the host has no user {name}"))?;
    let field = |index: usize| fields.get(index).map(String::as_str).unwrap_or_default();
    Ok(format!("{}:*:{}:{}:{}:{}:/bin/sh", field(0), field(2), field(3), field(4), field(5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Result<Option<Vec<u8>>, Errno> {
        Ok((file == PASSWD).then(|| b"root:x:0:0::/root:/bin/sh".to_vec()))
    }

    #[test]
    fn unknown_users_get_a_line() {
        let accounts = Accounts { own: true, ..Accounts::default() };
        let user = User { uid: 5, gid: 6, groups: None };
        assert_eq!(passwd_line(&accounts, &user, Path::new("/srv")), "5:*:5:6:container user:/srv:/bin/sh");
        assert_eq!(group_line(&accounts, &user), "6:x:6:5");
        let said = Accounts {
            passwd_entry: Some("u$UID:x:$UID:$GID:$NAME:$HOME:/bin/false".into()),
            group_entry: Some("g$GID:x:$GID:$USERLIST".into()),
            ..accounts
        };
        assert_eq!(passwd_line(&said, &user, Path::new("/")), "u5:x:5:6:container user:/:/bin/false");
        assert_eq!(group_line(&said, &user), "g6:x:6:5");
    }

    #[test]
    fn users_of_the_host_come_after_those_of_the_image() {
        let host_users = vec!["ann:*:7:7::/:/bin/sh".into(), "root:*:9:9::/:/bin/sh".into()];
        let accounts = Accounts { host_users, ..Accounts::default() };
        let text = text(&accounts, &read, PASSWD).unwrap().unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "root:x:0:0::/root:/bin/sh\nann:*:7:7::/:/bin/sh\n");
        assert!(of_host("no-such-user").is_err() && of_host("root").unwrap().starts_with("root:*:0:0:"));
    }
}
