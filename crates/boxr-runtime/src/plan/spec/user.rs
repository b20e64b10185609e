//! `process.user` against the id maps.

use super::super::ProcessPlan;
use crate::error::Error;
use crate::idmap::IdMap;

pub(super) fn finish_user(
    process: &mut ProcessPlan,
    keep_user: bool,
    keep_groups: bool,
    idmap: Option<&IdMap>,
) -> Result<(), Error> {
    if keep_user {
        process.user = None;
    }
    let Some(user) = &mut process.user else { return Ok(()) };
    if keep_groups {
        user.groups = None;
    }
    let Some(map) = idmap else { return Ok(()) };
    if !map.has_uid(user.uid) {
        return Err(Error::field(
            "process.user.uid",
            format!("{} is not mapped in the user namespace", user.uid),
        ));
    }
    if !map.has_gid(user.gid) {
        return Err(Error::field(
            "process.user.gid",
            format!("{} is not mapped in the user namespace", user.gid),
        ));
    }
    if !map.allows_setgroups() {
        if user.groups.as_ref().is_some_and(|groups| !groups.is_empty()) {
            let why = "supplementary groups need a range of ids (subgid(5)); a single mapped id has none";
            return Err(Error::field("process.user.additionalGids", why));
        }
        user.groups = None;
    }
    Ok(())
}
