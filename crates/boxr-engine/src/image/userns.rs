//! Which ids a container of an image has on the host, and why (user_namespaces(7)).

use boxr_image::shift::{Contents, Shift};
use boxr_sys::namespace::NamespaceKind;
use serde::{Deserialize, Serialize};

use super::options::ContainerOptions;
use super::{keep, ranges};
use crate::config::{ConfigError, grammar};
use crate::options::{IdExtent, IdMapping, NamespaceMode, Namespaces};

/// Which number the caller has in a container, and how many there are in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepId {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Ids from here on are left out; `None`: as many as the caller has.
    pub size: Option<u32>,
}

impl KeepId {
    /// `uid=N,gid=N,size=N`, each optional.
    fn parse(text: &str) -> Result<Self, String> {
        use rustix::process::{getegid, geteuid};
        let mut keep = Self { uid: geteuid().as_raw(), gid: getegid().as_raw(), size: None };
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let number = value.parse::<u32>().ok().filter(|number| *number < u32::MAX);
            let number = number.ok_or_else(|| format!("{option:?} is not uid=N, gid=N or size=N"))?;
            match key {
                "uid" => keep.uid = number,
                "gid" => keep.gid = number,
                "size" => keep.size = Some(number),
                _ => return Err(format!("{key} is no option of keep-id: uid, gid and size are")),
            }
        }
        Ok(keep)
    }
}

/// What `--userns` can say besides the modes of every namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserIdsWord {
    /// A range of its own, on which nobody else is.
    Auto,
    /// The caller's id is the same in the container.
    KeepId(KeepId),
    /// The caller's id is not in the container.
    NoMap,
}

impl UserIdsWord {
    /// The word as it is written; `None` for another.
    ///
    /// # Errors
    /// What is wrong with its options.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        match text {
            "auto" => Ok(Some(Self::Auto)),
            "keep-id" => KeepId::parse("").map(|keep| Some(Self::KeepId(keep))),
            "nomap" => Ok(Some(Self::NoMap)),
            _ => match text.strip_prefix("keep-id:") {
                Some(options) => KeepId::parse(options).map(|keep| Some(Self::KeepId(keep))),
                None => Ok(None),
            },
        }
    }
}

/// Whose ids a container's are, for those who ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserIds {
    /// `auto`, `host`, `caller` (an ordinary user's own and subordinate ids), `keep-id`, `nomap`, `map` or `joined`.
    pub mode: String,
    /// What asked for it.
    pub why: String,
    /// How its layers' files get other owners than they have on disk, where the kernel cannot show them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Shift>,
}

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub said: Option<UserIdsWord>,
    pub namespaces: &'a Namespaces,
    pub mapping: &'a IdMapping,
    pub container: &'a ContainerOptions,
    /// Whether files may be copied (`--userns-chown`).
    pub may_copy: bool,
    /// Whether the caller has privilege over the host.
    pub privileged: bool,
}

/// The decision.
pub(crate) struct Decided {
    pub namespace: Option<NamespaceMode>,
    pub mapping: IdMapping,
    pub ids: UserIds,
    /// Who the command runs as, where nobody has said it.
    pub user: Option<String>,
}

/// Decides.
///
/// # Errors
/// What cannot be had.
pub(crate) fn decide(facts: Facts<'_>) -> Result<Decided, ConfigError> {
    let with = |namespace, mode: &str, why: &str| Decided {
        namespace,
        mapping: facts.mapping.clone(),
        ids: UserIds { mode: mode.to_owned(), why: why.to_owned(), layers: None },
        user: None,
    };
    if let Some(word) = facts.said {
        return match (word, facts.privileged) {
            (UserIdsWord::Auto, true) => Ok(auto(&facts, "--userns auto")),
            (UserIdsWord::Auto, false) => Err(refused(
                "auto",
                "a range of its own is given out by root; an ordinary user's containers have the user's ids",
            )),
            (UserIdsWord::KeepId(_), true) => {
                Err(refused("keep-id", "it is for an ordinary user; root keeps its ids with host"))
            }
            (UserIdsWord::NoMap, true) => {
                Err(refused("nomap", "it is for an ordinary user; auto leaves root out"))
            }
            (UserIdsWord::KeepId(keep), false) => keep_id(keep, facts.may_copy),
            (UserIdsWord::NoMap, false) => no_map(facts.may_copy),
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
        (_, mapping @ IdMapping::Explicit { .. }, false) => by_hand(mapping, facts.may_copy),
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

const UNSHIFTED: &str = "the files of an image belong to the caller's own ids, and before Linux 6.16 an ordinary user can \
                         give a container others only by copying them";
const NOT_OWN: &str = "its files would belong to ids that are not the caller's";
const NO_IDS: &str = "it needs subordinate ids, of which the caller has none in /etc/subuid and /etc/subgid, or newuidmap \
                      and newgidmap are missing";

/// The caller keeps his number.
fn keep_id(keep: KeepId, may_copy: bool) -> Result<Decided, ConfigError> {
    let mapping = keep::mapping(keep).ok_or_else(|| refused("keep-id", NO_IDS))?;
    let layers = layers(&mapping, may_copy, "--userns keep-id")?;
    Ok(Decided {
        namespace: Some(NamespaceMode::New),
        mapping,
        ids: UserIds { mode: "keep-id".to_owned(), why: "--userns keep-id".to_owned(), layers },
        user: Some(format!("{}:{}", keep.uid, keep.gid)),
    })
}

/// The caller has no number: his subordinate ids are all there is.
fn no_map(may_copy: bool) -> Result<Decided, ConfigError> {
    let mapping = keep::without_caller().ok_or_else(|| refused("nomap", NO_IDS))?;
    let layers = layers(&mapping, may_copy, "--userns nomap")?;
    Ok(Decided {
        namespace: Some(NamespaceMode::New),
        mapping,
        ids: UserIds { mode: "nomap".to_owned(), why: "--userns nomap".to_owned(), layers },
        user: None,
    })
}

/// A map of an ordinary user's.
fn by_hand(mapping: &IdMapping, may_copy: bool) -> Result<Decided, ConfigError> {
    if keep::lacks_caller(mapping) && !keep::is_callers(mapping) {
        return Err(ConfigError::Conflict {
            one: "--uidmap".to_owned(),
            other: "an image".to_owned(),
            why: NOT_OWN,
            remedy: "ids of the caller's own: $(id -u), and those of his lines in /etc/subuid and /etc/subgid",
        });
    }
    Ok(Decided {
        namespace: Some(NamespaceMode::New),
        mapping: mapping.clone(),
        ids: UserIds {
            mode: "map".to_owned(),
            why: "--uidmap or --gidmap".to_owned(),
            layers: layers(mapping, may_copy, "--uidmap")?,
        },
        user: None,
    })
}

/// Where files with other owners come from; `None` where none are needed.
fn layers(mapping: &IdMapping, may_copy: bool, flag: &str) -> Result<Option<Shift>, ConfigError> {
    let contents = if may_copy { Contents::Copied } else { Contents::Shared };
    match keep::shift(mapping, contents) {
        None => Ok(None),
        Some(shift) if may_copy || keep::shares_data() => Ok(Some(shift)),
        Some(_) => Err(ConfigError::Conflict {
            one: flag.to_owned(),
            other: "an image".to_owned(),
            why: UNSHIFTED,
            remedy: "--userns-chown, which copies them once for these ids",
        }),
    }
}

fn refused(word: &str, why: &'static str) -> ConfigError {
    ConfigError::Conflict { one: format!("--userns {word}"), other: "an image".to_owned(), why, remedy: "" }
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
    } else if !(facts.container.devices.is_empty() && facts.container.cdi.is_empty()) {
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
        ids: UserIds { mode: "auto".to_owned(), why: why.to_owned(), layers: None },
        user: None,
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
            may_copy: false,
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
