//! Which ids a container of an image has on the host, and why (user_namespaces(7)).

use boxr_sys::namespace::NamespaceKind;
use serde::{Deserialize, Serialize};

use super::options::ContainerOptions;
use super::ranges;
use crate::config::{ConfigError, grammar};
use crate::options::{IdExtent, IdMapping, NamespaceMode, Namespaces};

/// What `--userns` can say besides the modes of every namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserIdsWord {
    /// A range of its own, on which nobody else is.
    Auto,
    /// The caller's id is the same in the container.
    KeepId,
    /// The caller's id is not in the container.
    NoMap,
}

impl UserIdsWord {
    /// The word as it is written; `None` for another.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "keep-id" => Some(Self::KeepId),
            "nomap" => Some(Self::NoMap),
            _ => None,
        }
    }
}

/// Whose ids a container's are, for those who ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserIds {
    /// `auto`, `host`, `caller` (an ordinary user's own and subordinate ids), `map` or `joined`.
    pub mode: String,
    /// What asked for it.
    pub why: String,
}

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub said: Option<UserIdsWord>,
    pub namespaces: &'a Namespaces,
    pub mapping: &'a IdMapping,
    pub container: &'a ContainerOptions,
    /// Whether the caller has privilege over the host.
    pub privileged: bool,
}

/// The decision.
pub(crate) struct Decided {
    pub namespace: Option<NamespaceMode>,
    pub mapping: IdMapping,
    pub ids: UserIds,
}

/// Decides.
///
/// # Errors
/// What cannot be had.
pub(crate) fn decide(facts: Facts<'_>) -> Result<Decided, ConfigError> {
    let with = |namespace, mode: &str, why: &str| Decided {
        namespace,
        mapping: facts.mapping.clone(),
        ids: UserIds { mode: mode.to_owned(), why: why.to_owned() },
    };
    if let Some(word) = facts.said {
        return match (word, facts.privileged) {
            (UserIdsWord::Auto, true) => Ok(auto(&facts, "--userns auto")),
            (UserIdsWord::Auto, false) => Err(refused(
                "auto",
                "a range of its own is given out by root; an ordinary user's containers have the user's ids",
            )),
            (UserIdsWord::KeepId, true) => {
                Err(refused("keep-id", "it is for an ordinary user; root keeps its ids with host"))
            }
            (UserIdsWord::NoMap, true) => {
                Err(refused("nomap", "it is for an ordinary user; auto leaves root out"))
            }
            (UserIdsWord::KeepId, false) => Err(refused("keep-id", UNSHIFTED)),
            (UserIdsWord::NoMap, false) => Err(refused("nomap", UNSHIFTED)),
        };
    }
    match (&facts.namespaces.user, facts.mapping, facts.privileged) {
        (Some(NamespaceMode::Host), _, _) => Ok(with(Some(NamespaceMode::Host), "host", "--userns host")),
        (Some(NamespaceMode::Join(_)), _, true) => Err(refused(
            &facts.namespaces.user.as_ref().map(grammar::mode_text).unwrap_or_default(),
            "the files of an image would belong to nobody there",
        )),
        (Some(join @ NamespaceMode::Join(_)), _, false) => {
            Ok(with(Some(join.clone()), "joined", &grammar::mode_text(join)))
        }
        (_, IdMapping::Explicit { uids, .. }, false)
            if !root_is(uids, rustix::process::geteuid().as_raw()) =>
        {
            Err(ConfigError::Conflict {
                one: "--uidmap".to_owned(),
                other: "an image".to_owned(),
                why: UNSHIFTED,
                remedy: "--uidmap 0:$(id -u):1, and subordinate ids from 1 on",
            })
        }
        (_, IdMapping::Explicit { .. } | IdMapping::Caller, _) => {
            Ok(with(Some(NamespaceMode::New), "map", "--uidmap, --gidmap or --map-self"))
        }
        (Some(NamespaceMode::New), _, true) => Ok(auto(&facts, "--userns new")),
        (user, _, false) => Ok(with(user.clone(), "caller", "an ordinary user")),
        (None, _, true) => Ok(match wants_host(&facts) {
            Some(why) => with(Some(NamespaceMode::Host), "host", why),
            None => auto(&facts, "the default"),
        }),
    }
}

const UNSHIFTED: &str = "the files of an image belong to the caller's own ids, and no kernel shifts them for an \
                         ordinary user (mount_setattr(2), MOUNT_ATTR_IDMAP)";

fn refused(word: &str, why: &'static str) -> ConfigError {
    ConfigError::Conflict { one: format!("--userns {word}"), other: "an image".to_owned(), why, remedy: "" }
}

/// Root's files are the caller's, where the caller cannot shift them.
fn root_is(uids: &[IdExtent], caller: u32) -> bool {
    uids.iter().any(|one| one.container == 0 && one.host == caller)
}

/// What needs rights over something of the host's, which ids of a range of its own do not have.
fn wants_host(facts: &Facts<'_>) -> Option<&'static str> {
    let shares = |kind| facts.namespaces.get(kind) == Some(&NamespaceMode::Host);
    let joins = |kind| matches!(facts.namespaces.get(kind), Some(NamespaceMode::Join(_)));
    if facts.container.privileged {
        Some("--privileged")
    } else if shares(NamespaceKind::Network) {
        Some("the host's network")
    } else if shares(NamespaceKind::Pid) {
        Some("--pid host")
    } else if !facts.container.devices.is_empty() {
        Some("--device")
    } else if !facts.container.device_rules.is_empty() {
        Some("--device-cgroup-rule")
    } else if NamespaceKind::ALL.into_iter().any(joins) {
        Some("a namespace that is joined")
    } else {
        None
    }
}

/// The range itself is claimed when the container is made ([`ranges::claim`]); until then it stands for one.
fn auto(facts: &Facts<'_>, why: &str) -> Decided {
    let pool = ranges::Pool::of_host();
    Decided {
        namespace: Some(NamespaceMode::New),
        mapping: match facts.mapping {
            explicit @ IdMapping::Explicit { .. } => explicit.clone(),
            _ => pool.mapping(0, 1),
        },
        ids: UserIds { mode: "auto".to_owned(), why: why.to_owned() },
    }
}

/// The host's ids of root of such a container, if it has any.
pub(crate) fn root_of(mapping: &IdMapping) -> Option<(u32, u32)> {
    let IdMapping::Explicit { uids, gids } = mapping else { return None };
    let root = |extents: &[IdExtent]| extents.iter().find(|one| one.container == 0).map(|one| one.host);
    root(uids).zip(root(gids))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(change: impl FnOnce(&mut Namespaces, &mut ContainerOptions), privileged: bool) -> UserIds {
        let mut namespaces = crate::image::defaults::namespaces();
        namespaces.network = NamespaceMode::New;
        let mut container = ContainerOptions::default();
        change(&mut namespaces, &mut container);
        let facts = Facts {
            said: None,
            namespaces: &namespaces,
            mapping: &IdMapping::Root,
            container: &container,
            privileged,
        };
        decide(facts).unwrap().ids
    }

    #[test]
    fn who_needs_the_host_has_its_ids() {
        assert_eq!(decided(|_, _| (), true).mode, "auto");
        assert_eq!(decided(|_, _| (), false).mode, "caller");
        assert_eq!(decided(|_, container| container.privileged = true, true).why, "--privileged");
        let network = decided(|namespaces, _| namespaces.network = NamespaceMode::Host, true);
        assert_eq!((network.mode.as_str(), network.why.as_str()), ("host", "the host's network"));
        assert_eq!(decided(|namespaces, _| namespaces.pid = NamespaceMode::Host, true).why, "--pid host");
        let forced = |namespaces: &mut Namespaces, container: &mut ContainerOptions| {
            namespaces.user = Some(NamespaceMode::New);
            container.privileged = true;
        };
        assert_eq!(decided(forced, true).mode, "auto");
    }
}
