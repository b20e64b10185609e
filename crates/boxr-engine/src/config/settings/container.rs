//! Values that only containers of images have.

use boxr_sys::namespace::NamespaceKind;

use crate::config::raw::RawRun;
use crate::config::value::{Base, Invalid, Node, Value};
use crate::health::OnFailure;
use crate::image::{Seccomp, UserIdsWord};

/// A program, or a list in JSON; an empty word takes the image's away.
pub(super) fn entrypoint(node: &Node) -> Result<Vec<String>, Invalid> {
    match node.text()? {
        "" => Ok(Vec::new()),
        list if list.starts_with('[') => {
            serde_json::from_str(list).map_err(|error| node.invalid(error.to_string()))
        }
        program => Ok(vec![program.to_owned()]),
    }
}

/// The modes of every namespace, and those that say which ids an image's container has.
pub(super) fn userns(raw: &mut RawRun, node: &Node, base: &Base) -> Result<(), Invalid> {
    let word = match node.text() {
        Ok(text) => UserIdsWord::parse(text).map_err(|why| node.invalid(why))?,
        Err(_) => None,
    };
    raw.container.userns = word;
    if word.is_some() { Ok(()) } else { super::namespace(raw, node, base, NamespaceKind::User) }
}

/// Devices of the host by path, or by name.
pub(super) fn devices(raw: &mut RawRun, node: &Node, base: &Base) -> Result<(), Invalid> {
    let said = node.each(|node| node.text().map(str::to_owned))?;
    for text in said {
        match crate::cdi::is_name(&text) {
            true => raw.container.cdi.push(text),
            false => raw.container.devices.push(crate::config::grammar::device(&text, base)?),
        }
    }
    Ok(())
}

/// A line for the shell, a list in JSON for none of it, or `none`.
pub(super) fn health_command(raw: &mut RawRun, node: &Node) -> Result<(), Invalid> {
    let health = &mut raw.container.health;
    match node.text()? {
        "none" => health.none = Some(true),
        "" => return Err(node.invalid("no command")),
        // `[ -e /file ]` is no list, but test(1).
        line => match entrypoint(node) {
            Ok(list) if line.starts_with('[') => health.test = Some(list),
            _ => health.test = Some(crate::image::healthcheck::shell(line)),
        },
    }
    Ok(())
}

/// What is done about a box that is not well.
pub(super) fn on_failure(node: &Node) -> Result<OnFailure, Invalid> {
    match node.text()? {
        "none" => Ok(OnFailure::None),
        "kill" => Ok(OnFailure::Kill),
        "restart" => Ok(OnFailure::Restart),
        "stop" => Ok(OnFailure::Stop),
        _ => Err(node.invalid("no such choice")),
    }
}

/// Docker's words; between key and value stands `=`, in older scripts `:`.
pub(super) fn security_option(raw: &mut RawRun, node: &Node, base: &Base) -> Result<(), Invalid> {
    let text = node.text()?;
    let (key, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
    let said = &mut raw.container;
    match (key, value) {
        ("no-new-privileges", "" | "true") => raw.no_new_privs = Some(true),
        ("no-new-privileges", "false") => raw.no_new_privs = Some(false),
        ("seccomp", "unconfined") => said.seccomp = Some(Seccomp::Unconfined),
        ("seccomp", "builtin" | "default") => said.seccomp = Some(Seccomp::Default),
        ("seccomp", file) if !file.is_empty() => said.seccomp = Some(profile(node, file, base)?),
        ("apparmor", name) if !name.is_empty() => said.apparmor = Some(name.to_owned()),
        ("systempaths", "unconfined") => said.open_system_paths = Some(true),
        // Without SELinux there is none to give.
        ("label", "disable") => {}
        ("label", _) => return Err(node.invalid("labels of SELinux are not set by this version")),
        _ => return Err(node.invalid("no such option")),
    }
    Ok(())
}

/// As it is now: a start at another time has the same.
fn profile(node: &Node, file: &str, base: &Base) -> Result<Seccomp, Invalid> {
    let path = base.absolute(file)?;
    let text = std::fs::read_to_string(&path).map_err(|error| node.invalid(error.to_string()))?;
    crate::image::check_profile(&text).map_err(|why| node.invalid(why))?;
    Ok(Seccomp::Profile(text))
}

/// Kernel parameters, in any of sysctl(8)'s spellings.
pub(super) fn sysctls(node: &Node) -> Result<Vec<(String, String)>, Invalid> {
    let Value::Table(table) = &node.value else {
        return node.each(|node| sysctl(node.text()?));
    };
    let read = |(key, value): &(String, Node)| {
        let text = value.text_or_number().map_err(|error| value.at(error))?;
        sysctl(&format!("{key}={text}")).map_err(|error| value.at(error))
    };
    table.iter().map(read).collect()
}

fn sysctl(text: &str) -> Result<(String, String), Invalid> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !key.contains("..") => {
            Ok((key.replace('/', "."), value.to_owned()))
        }
        _ => Err(Invalid::new(text, "not NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(text: &str) -> Result<RawRun, Invalid> {
        let mut raw = RawRun::default();
        security_option(&mut raw, &Node::word(text), &Base("/here".into())).map(|()| raw)
    }

    #[test]
    fn security_options_in_dockers_words() {
        assert_eq!(option("no-new-privileges").unwrap().no_new_privs, Some(true));
        assert_eq!(option("no-new-privileges:false").unwrap().no_new_privs, Some(false));
        assert_eq!(option("seccomp=unconfined").unwrap().container.seccomp, Some(Seccomp::Unconfined));
        assert_eq!(option("apparmor=x").unwrap().container.apparmor.as_deref(), Some("x"));
        assert_eq!(option("label=disable").unwrap(), RawRun::default());
        for text in ["", "seccomp", "seccomp=/no/such/file", "seccomp=/dev/null", "label=type:x", "frob=1"] {
            assert!(option(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parameters_and_entrypoints() {
        assert_eq!(sysctl("net/ipv4/ip_forward=1"), Ok(("net.ipv4.ip_forward".into(), "1".into())));
        assert!(sysctl("x").is_err() && sysctl("=1").is_err() && sysctl("../x=1").is_err());
        assert_eq!(entrypoint(&Node::word("[\"a\", \"b\"]")).unwrap(), ["a", "b"]);
        assert_eq!(entrypoint(&Node::word("")).unwrap(), [""; 0]);
        assert!(entrypoint(&Node::word("[1]")).is_err());
    }
}
