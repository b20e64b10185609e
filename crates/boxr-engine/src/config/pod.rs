//! Pods: what `boxr pod create` says, and what a member takes from its pod.

use std::collections::BTreeMap;

use boxr_sys::namespace::NamespaceKind;

use super::error::ConfigError;
use super::grammar::mode_text;
use super::limits;
use super::networks::{self, needs_network};
use super::raw::RawRun;
use super::resolve::{conflict, id_mapping, labels};
use crate::image::{ContainerOptions, Naming, UserIds, UserIdsWord, defaults};
use crate::options::{IdMapping, JoinTarget, NamespaceMode, Namespaces};
use crate::pod::{ExitPolicy, Owner, PodOptions};

/// What members share unless something else is said (podman-pod-create(1)).
const SHARED: [NamespaceKind; 3] = [NamespaceKind::Ipc, NamespaceKind::Network, NamespaceKind::Uts];

/// The kinds that a pod can share.
const SHAREABLE: [NamespaceKind; 5] = [
    NamespaceKind::Cgroup,
    NamespaceKind::Ipc,
    NamespaceKind::Network,
    NamespaceKind::Pid,
    NamespaceKind::Uts,
];

/// What only a pod has.
#[derive(Clone, Debug, Default)]
pub struct PodFlags {
    /// `--share`, as it was said.
    pub share: Option<String>,
    /// `--infra`
    pub infra: Option<bool>,
    /// `--infra-name`
    pub infra_name: Option<String>,
    /// `--exit-policy`
    pub exit_policy: ExitPolicy,
}

/// What a pod is. What its maker is to be told goes to `notes`.
///
/// # Errors
/// What excludes each other, and what is missing.
pub fn resolve_pod(
    raw: &RawRun,
    flags: PodFlags,
    notes: &mut Vec<String>,
) -> Result<PodOptions, ConfigError> {
    let infra = flags.infra.unwrap_or(true);
    let kinds = match (&flags.share, infra) {
        (Some(text), _) => shared_kinds(text)?,
        (None, true) => SHARED.to_vec(),
        (None, false) => Vec::new(),
    };
    if !infra && !kinds.is_empty() {
        let why = "nobody would keep the namespaces";
        return Err(conflict("--infra=false", "--share", why, "--share none"));
    }
    check_shared(raw, &kinds)?;
    let mut namespaces = defaults::namespaces();
    if let Some(mode) = raw.namespace(NamespaceKind::Network) {
        namespaces.network = mode.clone();
    }
    let network = match kinds.contains(&NamespaceKind::Network) {
        true => networks::resolve(raw, &mut namespaces, true, notes)?,
        false => Default::default(),
    };
    let share = kinds.iter().map(|kind| Ok((kind.word().to_owned(), owner(raw, *kind, &namespaces)?)));
    let (users, own_range) = users(raw)?;
    let container = &raw.container;
    Ok(PodOptions {
        share: share.collect::<Result<BTreeMap<_, _>, ConfigError>>()?,
        infra,
        infra_name: flags.infra_name,
        hostname: raw.hostname.clone(),
        network,
        naming: Naming {
            hosts: container.hosts.clone(),
            keeps_hosts: container.no_hosts.unwrap_or(false),
            servers: container.dns.clone(),
            search: container.dns_search.clone(),
            options: container.dns_options.clone(),
            ..Naming::default()
        },
        users,
        own_range,
        limits: limits::resolve(raw)?,
        sysctls: container.sysctls.iter().cloned().collect(),
        shm_size: container.shm_size.filter(|size| *size > 0),
        mounts: raw.mounts.clone(),
        restart: raw.restart.unwrap_or_default(),
        no_new_privileges: raw.no_new_privs.unwrap_or(false),
        exit_policy: flags.exit_policy,
        labels: labels(raw)?,
    })
}

/// `ipc,net`, `none`, or `+pid` for one more than usual.
fn shared_kinds(text: &str) -> Result<Vec<NamespaceKind>, ConfigError> {
    let (mut kinds, words) = match text.strip_prefix('+') {
        Some(more) => (SHARED.to_vec(), more),
        None => (Vec::new(), text),
    };
    for word in words.split(',').filter(|word| !word.is_empty() && *word != "none") {
        let kind = NamespaceKind::from_word(word).filter(|kind| SHAREABLE.contains(kind));
        let kind = kind.ok_or_else(|| ConfigError::Pod {
            flag: "--share",
            said: text.to_owned(),
            why: format!(
                "{word} is no namespace that a pod can share; there are cgroup, ipc, net, pid, uts and none"
            ),
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// What means nothing where members do not share the namespace.
fn check_shared(raw: &RawRun, kinds: &[NamespaceKind]) -> Result<(), ConfigError> {
    let network = needs_network(raw).or_else(|| raw.namespace(NamespaceKind::Network).map(|_| "--network"));
    let needs = [
        (network, NamespaceKind::Network, "--share net"),
        (raw.hostname.as_ref().map(|_| "--hostname"), NamespaceKind::Uts, "--share uts"),
        (raw.container.shm_size.map(|_| "--shm-size"), NamespaceKind::Ipc, "--share ipc"),
        (raw.namespace(NamespaceKind::Pid).map(|_| "--pid"), NamespaceKind::Pid, "--share pid"),
    ];
    match needs
        .into_iter()
        .find_map(|(flag, kind, other)| Some((flag?, kind, other)).filter(|_| !kinds.contains(&kind)))
    {
        Some((flag, _, other)) => Err(ConfigError::Needs { one: flag.to_owned(), other }),
        None => Ok(()),
    }
}

fn owner(raw: &RawRun, kind: NamespaceKind, namespaces: &Namespaces) -> Result<Owner, ConfigError> {
    let (mode, flag) = match kind {
        NamespaceKind::Network => (Some(&namespaces.network), "--network"),
        NamespaceKind::Pid => (raw.namespace(kind), "--pid"),
        _ => (None, ""),
    };
    match mode {
        None | Some(NamespaceMode::New) => Ok(Owner::Pod),
        Some(NamespaceMode::Host) => Ok(Owner::Host),
        Some(other) => {
            let why = "a pod has a namespace of its own, or the host's";
            Err(conflict(&format!("{flag} {}", mode_text(other)), "a pod", why, ""))
        }
    }
}

/// The ids of a user namespace of its own, and whether boxr gives them out.
fn users(raw: &RawRun) -> Result<(Option<IdMapping>, bool), ConfigError> {
    let privileged = boxr_runtime::capabilities::is_privileged().unwrap_or(false);
    let mapping = id_mapping(raw);
    if mapping != IdMapping::Root {
        return Ok((Some(mapping), false));
    }
    let refused =
        |word: &str, why: &'static str| Err(conflict(&format!("--userns {word}"), "a pod", why, ""));
    match (raw.container.userns, raw.namespace(NamespaceKind::User), privileged) {
        (Some(UserIdsWord::Auto), _, true) | (None, Some(NamespaceMode::New), true) => {
            Ok((Some(IdMapping::Root), true))
        }
        (Some(UserIdsWord::Auto), _, false) => refused(
            "auto",
            "a range of its own is given out by root; an ordinary user's pods have the user's ids",
        ),
        (Some(UserIdsWord::KeepId(_)), ..) => {
            refused("keep-id", "a pod has the caller's ids, or a range of its own")
        }
        (Some(UserIdsWord::NoMap), ..) => {
            refused("nomap", "a pod has the caller's ids, or a range of its own")
        }
        (None, Some(NamespaceMode::Join(target)), _) => {
            let mode = mode_text(&NamespaceMode::Join(target.clone()));
            refused(&mode, "a pod has a namespace of its own, or the host's")
        }
        (None, None | Some(NamespaceMode::Host | NamespaceMode::New), _) => Ok((None, false)),
    }
}

/// What a member takes from its pod, where nothing else was said; and what is not for it to say.
pub(super) fn apply(raw: &mut RawRun) -> Result<(), ConfigError> {
    let Some(pod) = raw.pod.clone() else { return Ok(()) };
    let other = format!("--pod {}", pod.name);
    if raw.share.is_some() {
        return Err(conflict("--share", &other, "each says whose namespaces the box joins", ""));
    }
    if pod.mode(NamespaceKind::Network).is_some() {
        let network = raw.namespace(NamespaceKind::Network).map(|_| "--network");
        if let Some(flag) = needs_network(raw).or(network) {
            let why = "networks and ports belong to the pod";
            return Err(conflict(flag, &other, why, "the same flag of boxr pod create"));
        }
    }
    let says_user = raw.namespace(NamespaceKind::User).is_some() || raw.container.userns.is_some();
    if pod.mode(NamespaceKind::User).is_some() && (says_user || id_mapping(raw) != IdMapping::Root) {
        return Err(conflict("--userns", &other, "all members of the pod have its ids", ""));
    }
    let options = pod.options;
    let taken: Vec<_> = raw.mounts.iter().map(|mount| mount.destination.clone()).collect();
    raw.mounts.extend(options.mounts.into_iter().filter(|mount| !taken.contains(&mount.destination)));
    raw.restart =
        raw.restart.or((!options.restart.is_no() && raw.rm != Some(true)).then_some(options.restart));
    raw.no_new_privs = raw.no_new_privs.or(options.no_new_privileges.then_some(true));
    let names = [
        (&mut raw.container.dns, options.naming.servers),
        (&mut raw.container.dns_search, options.naming.search),
        (&mut raw.container.dns_options, options.naming.options),
    ];
    for (mine, pods) in names {
        if mine.is_empty() {
            *mine = pods;
        }
    }
    Ok(())
}

/// The ids of a member of a pod with ids of its own.
pub(super) fn ids_of(
    raw: &RawRun,
    namespaces: &Namespaces,
    container: &mut ContainerOptions,
) -> Option<IdMapping> {
    let pod = raw.pod.as_ref()?;
    if namespaces.user != Some(NamespaceMode::Join(JoinTarget::Pod)) {
        return None;
    }
    container.user_ids =
        UserIds { mode: "pod".to_owned(), why: format!("--pod {}", pod.name), ..UserIds::default() };
    pod.options.users.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared() {
        use NamespaceKind::{Ipc, Network, Pid, Uts};
        assert_eq!(shared_kinds("net,pid").unwrap(), [Network, Pid]);
        assert_eq!(shared_kinds("+pid").unwrap(), [Ipc, Network, Uts, Pid]);
        assert_eq!(shared_kinds("none").unwrap(), []);
        assert_eq!(shared_kinds("").unwrap(), []);
        for text in ["foo", "net,mount", "user", "net,,x"] {
            assert!(shared_kinds(text).is_err(), "{text}");
        }
    }
}
