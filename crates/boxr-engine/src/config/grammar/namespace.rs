//! Namespace modes: `new`, `host`, `container:NAME`, `pid:N`, `id:N`, `net:[N]`, a path.

use boxr_sys::namespace::NamespaceKind;

use crate::config::value::{Base, Invalid};
use crate::options::{JoinTarget, NamespaceMode};

/// The mode that `text` says for a namespace of `kind`.
pub fn mode(kind: NamespaceKind, text: &str, base: &Base) -> Result<NamespaceMode, Invalid> {
    match text {
        "new" | "private" => return Ok(NamespaceMode::New),
        "host" => return Ok(NamespaceMode::Host),
        // Docker's word for a network without devices.
        "none" if kind == NamespaceKind::Network => return Ok(NamespaceMode::New),
        _ => {}
    }
    target(kind, text, base).map(NamespaceMode::Join)
}

fn target(kind: NamespaceKind, text: &str, base: &Base) -> Result<JoinTarget, Invalid> {
    let invalid = |why: &str| Invalid::new(text, why);
    if text.starts_with('/') || text.starts_with("./") || text.starts_with("../") {
        return base.absolute(text).map(JoinTarget::Path);
    }
    if let Some((word, number)) = text.strip_suffix(']').and_then(|head| head.split_once(":[")) {
        if NamespaceKind::from_word(word) != Some(kind) {
            return Err(invalid(&format!("not a {kind} namespace, which would be {}:[N]", kind.proc_name())));
        }
        return inode(number).map(JoinTarget::Id).ok_or_else(|| invalid("the id is not a number"));
    }
    match text.split_once(':') {
        Some(("container", "")) => Err(invalid("the name of the box is missing")),
        Some(("container", name)) => Ok(JoinTarget::Container(name.to_owned())),
        Some(("pid", pid)) => match pid.parse::<i32>() {
            Ok(pid) if pid > 0 => Ok(JoinTarget::Pid(pid)),
            _ => Err(invalid("not the pid of a process")),
        },
        Some(("id", number)) => {
            inode(number).map(JoinTarget::Id).ok_or_else(|| invalid("the id is not a number"))
        }
        // Podman's spelling of a path.
        Some(("ns", path)) if path.starts_with('/') => base.absolute(path).map(JoinTarget::Path),
        // A bare word is most likely the name of a box.
        None if crate::names::check(text).is_ok() => {
            Err(invalid(&format!("no such mode; a box of this name would be container:{text}")))
        }
        _ => Err(invalid("no such mode")),
    }
}

fn inode(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| *number > 0)
}

/// Several modes: `pid=new,net=host`.
pub fn mode_list(text: &str, base: &Base) -> Result<Vec<(NamespaceKind, NamespaceMode)>, Invalid> {
    let mut modes: Vec<(NamespaceKind, NamespaceMode)> = Vec::new();
    for part in text.split(',') {
        let (word, said) = part.split_once('=').ok_or_else(|| Invalid::new(part, "not KIND=MODE"))?;
        let kind = NamespaceKind::from_word(word)
            .ok_or_else(|| Invalid::new(part, format!("{word} is not a kind of namespace")))?;
        if modes.iter().any(|(other, _)| *other == kind) {
            return Err(Invalid::new(text, format!("{kind} is said twice")));
        }
        modes.push((kind, mode(kind, said, base)?));
    }
    Ok(modes)
}

/// A mode as flags and files write it.
pub fn mode_text(mode: &NamespaceMode) -> String {
    match mode {
        NamespaceMode::New => "new".to_owned(),
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::Join(JoinTarget::Container(name)) => format!("container:{name}"),
        NamespaceMode::Join(JoinTarget::Pod) => "pod".to_owned(),
        NamespaceMode::Join(JoinTarget::Pid(pid)) => format!("pid:{pid}"),
        NamespaceMode::Join(JoinTarget::Path(path)) => path.display().to_string(),
        NamespaceMode::Join(JoinTarget::Id(id)) => format!("id:{id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::PathBuf;

    fn base() -> Base {
        Base(PathBuf::from("/here"))
    }

    fn net(text: &str) -> Result<NamespaceMode, Invalid> {
        mode(NamespaceKind::Network, text, &base())
    }

    #[test]
    fn each_form_is_read() {
        assert_eq!(net("new"), Ok(NamespaceMode::New));
        assert_eq!(net("private"), Ok(NamespaceMode::New));
        assert_eq!(net("none"), Ok(NamespaceMode::New));
        assert_eq!(net("host"), Ok(NamespaceMode::Host));
        let joined = |target| Ok(NamespaceMode::Join(target));
        assert_eq!(net("container:a:b"), joined(JoinTarget::Container("a:b".into())));
        assert_eq!(net("pid:12"), joined(JoinTarget::Pid(12)));
        assert_eq!(net("id:4026532281"), joined(JoinTarget::Id(4_026_532_281)));
        assert_eq!(net("net:[4026532281]"), joined(JoinTarget::Id(4_026_532_281)));
        assert_eq!(net("/run/netns/blue"), joined(JoinTarget::Path("/run/netns/blue".into())));
        assert_eq!(net("./blue"), joined(JoinTarget::Path("/here/blue".into())));
        assert_eq!(net("ns:/run/netns/blue"), joined(JoinTarget::Path("/run/netns/blue".into())));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(net("mnt:[1]").unwrap_err().why.contains("net:[N]"));
        for text in [
            "",
            "New",
            "bridge",
            "pid:",
            "pid:0",
            "pid:-1",
            "pid:x",
            "container:",
            "id:",
            "id:0",
            "net:[]",
            "x",
        ] {
            assert!(net(text).is_err(), "{text}");
        }
        assert!(mode(NamespaceKind::Pid, "none", &base()).is_err());
    }

    #[test]
    fn lists_name_each_kind_once() {
        let modes = mode_list("pid=new,net=host", &base()).unwrap();
        assert_eq!(
            modes,
            [(NamespaceKind::Pid, NamespaceMode::New), (NamespaceKind::Network, NamespaceMode::Host)]
        );
        for text in ["", "pid", "pid=", "pdi=new", "net=host,network=new", "pid=new,"] {
            assert!(mode_list(text, &base()).is_err(), "{text}");
        }
    }

    fn any_mode() -> impl Strategy<Value = NamespaceMode> {
        prop_oneof![
            Just(NamespaceMode::New),
            Just(NamespaceMode::Host),
            "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}".prop_map(|n| NamespaceMode::Join(JoinTarget::Container(n))),
            (1..i32::MAX).prop_map(|pid| NamespaceMode::Join(JoinTarget::Pid(pid))),
            (1..u64::MAX).prop_map(|id| NamespaceMode::Join(JoinTarget::Id(id))),
            "(/[a-z]{1,8}){1,4}".prop_map(|path| NamespaceMode::Join(JoinTarget::Path(path.into()))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(modes in proptest::collection::vec(any_mode(), 8)) {
            for (kind, mode) in NamespaceKind::ALL.into_iter().zip(modes) {
                prop_assert_eq!(super::mode(kind, &mode_text(&mode), &base()), Ok(mode));
            }
        }

        #[test]
        fn no_text_is_too_strange(text in ".*") {
            for kind in NamespaceKind::ALL {
                if let Err(error) = mode(kind, &text, &base()) {
                    prop_assert!(!error.why.is_empty());
                }
            }
            drop(mode_list(&text, &base()));
        }
    }
}
