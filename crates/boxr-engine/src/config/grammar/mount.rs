//! Mounts: docker's `--mount`, `--volume` and `--tmpfs`, in the words of the OCI specification.

use std::path::{Path, PathBuf};

use super::glob;
use super::part;
use crate::config::value::{Base, Invalid, Node, Value, clean};
use crate::image::mounted;
use crate::options::{IdExtent, MountOption};
use crate::volume::owners::GIVE;
use crate::volume::{self, VolumeName};

/// Filesystems that a box may mount.
const KINDS: [&str; 7] = ["bind", "tmpfs", "proc", "sysfs", "mqueue", "devpts", "cgroup"];

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// Flags of a mount that may be said as they are.
const PLAIN: [&str; 18] = [
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "sync",
    "async",
    "noatime",
    "relatime",
    "strictatime",
    "nodiratime",
    "dirsync",
    "mand",
    "nomand",
    "nosymfollow",
];

/// `type=bind,src=S,dst=D,ro`: fields with commas between; a field with a comma is in double quotes.
pub fn mount(text: &str, base: &Base) -> Result<MountOption, Invalid> {
    let mut draft = Draft::default();
    for field in fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        draft.take(key, value).map_err(|error| Invalid::new(text, error.why))?;
    }
    draft.finish(base).map_err(|why| Invalid::new(text, why))
}

/// The same keys as a table of a file.
pub fn mount_table(node: &Node, base: &Base) -> Result<MountOption, Invalid> {
    let Value::Table(keys) = &node.value else {
        return mount(node.text()?, base);
    };
    let mut draft = Draft::default();
    for (key, value) in keys {
        let taken = match &value.value {
            Value::Bool(on) => draft.take(key, Some(if *on { "true" } else { "false" })),
            Value::List(_) if key == "options" => value
                .each(|node| {
                    let option = node.text()?;
                    Ok(option.to_owned())
                })
                .and_then(|options| options.iter().try_for_each(|option| draft.option(option))),
            _ => value.text_or_number().and_then(|text| draft.take(key, Some(&text))),
        };
        taken.map_err(|error| value.at(error))?;
    }
    draft.finish(base).map_err(|why| node.invalid(why))
}

/// The same, which may stand for several.
pub fn mounts(node: &Node, base: &Base) -> Result<Vec<MountOption>, Invalid> {
    let mount = mount_table(node, base)?;
    match mount.kind == glob::KIND {
        true => glob::expand(&mount).map_err(|why| node.invalid(why)),
        false => Ok(vec![mount]),
    }
}

/// A mount whose fields are still being read.
#[derive(Default)]
struct Draft {
    kind: Option<String>,
    source: Option<String>,
    /// The source was said before, and otherwise.
    earlier_source: Option<String>,
    destination: Option<PathBuf>,
    options: Vec<String>,
    subpath: Option<String>,
    shallow: bool,
}

impl Draft {
    fn take(&mut self, key: &str, value: Option<&str>) -> Result<(), Invalid> {
        match (key, value) {
            ("type", Some(kind)) => self.kind(kind),
            ("src" | "source", Some(source)) => {
                self.earlier_source = self.source.replace(source.to_owned());
                Ok(())
            }
            // For Docker Desktop, and the only driver.
            ("consistency", Some(_)) | ("volume-driver", Some("local")) => Ok(()),
            ("chown" | "U", value) => match value.map_or(Some(true), truth) {
                Some(true) => self.option(GIVE),
                Some(false) => Ok(()),
                None => Err(Invalid::new(key, format!("{key} is true or false"))),
            },
            ("idmap", None) => self.option("idmap"),
            ("idmap", Some(maps)) => self.option(&format!("idmap={maps}")),
            ("subpath" | "volume-subpath" | "image-subpath", Some(path)) => {
                self.subpath = Some(path.to_owned());
                Ok(())
            }
            ("volume-opt", Some(pair)) if pair.contains('=') => {
                self.options.push(format!("{}{pair}", volume::OPTION));
                Ok(())
            }
            ("volume-nocopy", value) => self.switch(key, value, volume::NO_COPY, "copy"),
            ("dst" | "destination" | "target", Some(path)) => {
                self.destination = Some(destination(path)?);
                Ok(())
            }
            ("ro" | "readonly", value) => self.switch(key, value, "ro", "rw"),
            ("rw" | "readwrite", value) => self.switch(key, value, "rw", "ro"),
            ("bind-nonrecursive", value) => {
                self.shallow =
                    truth(value.unwrap_or("true")).ok_or_else(|| Invalid::new(key, "true or false"))?;
                Ok(())
            }
            ("bind-propagation" | "propagation", Some(how)) if PROPAGATIONS.contains(&how) => {
                self.option(how)
            }
            ("bind-propagation" | "propagation", _) => {
                Err(Invalid::new(key, format!("{key} is one of {}", PROPAGATIONS.join(", "))))
            }
            ("tmpfs-size" | "size", Some(size)) => {
                let size = super::size(size)?;
                self.options.push(format!("size={size}"));
                Ok(())
            }
            ("tmpfs-mode" | "mode", Some(mode)) => {
                if mode.is_empty()
                    || mode.len() > 5
                    || !mode.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
                {
                    return Err(Invalid::new(key, format!("{key}={mode} is not an octal mode")));
                }
                self.options.push(format!("mode={mode}"));
                Ok(())
            }
            ("options", Some(options)) => options.split(',').try_for_each(|option| self.option(option)),
            (plain, None) if PLAIN.contains(&plain) || PROPAGATIONS.contains(&plain) => self.option(plain),
            (_, None) => Err(Invalid::new(key, format!("{key} is not a mount field, or needs a value"))),
            _ => Err(Invalid::new(key, format!("{key} is not a mount field"))),
        }
    }

    fn kind(&mut self, kind: &str) -> Result<(), Invalid> {
        const OWN: [&str; 3] = [volume::KIND, mounted::KIND, glob::KIND];
        if !OWN.contains(&kind) && !KINDS.contains(&kind) {
            let kinds = [&OWN[..], &KINDS[..]].concat().join(", ");
            return Err(Invalid::new(kind, format!("type is one of {kinds}")));
        }
        self.kind = Some(kind.to_owned());
        Ok(())
    }

    fn switch(&mut self, key: &str, value: Option<&str>, on: &str, off: &str) -> Result<(), Invalid> {
        match value.map_or(Some(true), truth) {
            Some(true) => self.option(on),
            Some(false) => self.option(off),
            None => Err(Invalid::new(key, format!("{key} is true or false"))),
        }
    }

    fn option(&mut self, option: &str) -> Result<(), Invalid> {
        let known = PLAIN.contains(&option)
            || PROPAGATIONS.contains(&option)
            || ["bind", "rbind", volume::NO_COPY, "copy", GIVE, "idmap"].contains(&option)
            || option.split_once('=').is_some_and(|(key, _)| {
                ["size", "mode", "uid", "gid", "nr_inodes", "newinstance", "ptmxmode", "hidepid"]
                    .contains(&key)
            });
        if let Some(maps) = option.strip_prefix("idmap=") {
            mount_maps(maps).map_err(|why| Invalid::new(option, why))?;
        } else if !known {
            return Err(Invalid::new(option, format!("{option} is not a mount option")));
        }
        self.options.push(option.to_owned());
        Ok(())
    }

    fn finish(mut self, base: &Base) -> Result<MountOption, String> {
        let kind = self.kind.unwrap_or_else(|| "bind".to_owned());
        let same_place = || (kind == glob::KIND).then(|| PathBuf::from("/"));
        let destination = self.destination.or_else(same_place).ok_or("dst is missing: where in the box")?;
        if kind == mounted::KIND {
            return part::image(self.source, self.earlier_source, destination, self.options, self.subpath);
        }
        if kind != volume::KIND && self.options.iter().any(|option| option.starts_with(volume::OPTION)) {
            return Err("volume-opt is for volumes".to_owned());
        }
        if let Some(path) = &self.subpath {
            if kind != volume::KIND || self.source.is_none() {
                return Err("subpath is for volumes that have a name, and for images".to_owned());
            }
            self.options.push(part::below("volume", path)?);
        }
        let owned = |option: &String| option == GIVE || option.starts_with("idmap");
        if !["bind", glob::KIND, volume::KIND].contains(&kind.as_str())
            && let Some(option) = self.options.iter().find(|option| owned(option))
        {
            return Err(format!("{option} is for binds and volumes, not for type={kind}"));
        }
        let copying = |option: &String| [volume::NO_COPY, "copy"].contains(&option.as_str());
        if kind != volume::KIND && self.options.iter().any(copying) {
            return Err(format!("only a volume is filled: {} is not for type={kind}", volume::NO_COPY));
        }
        self.options.retain(|option| option != "copy");
        if kind == volume::KIND {
            if let Some(name) = &self.source {
                VolumeName::parse(name).map_err(|error| error.to_string())?;
            }
            return Ok(MountOption { kind, source: self.source, destination, options: self.options });
        }
        if kind == "bind" || kind == glob::KIND {
            if let Some(source) = &self.source {
                let path = base.absolute(source).map_err(|error| error.why)?;
                self.source = Some(path.to_string_lossy().into_owned());
            }
            if self.source.is_none() {
                return Err("src is missing: what to bind".to_owned());
            }
            if !self.options.iter().any(|option| option == "bind" || option == "rbind") {
                self.options.insert(0, if self.shallow { "bind" } else { "rbind" }.to_owned());
            }
        } else if self.shallow {
            return Err(format!("bind-nonrecursive is for type=bind, not {kind}"));
        } else if self.source.is_none() {
            self.source = Some(kind.clone());
        }
        Ok(MountOption { kind, source: self.source, destination, options: self.options })
    }
}

/// `SRC:DST[:OPTS]`, where a SRC without a slash is a volume, or `DST` for one without a name.
pub fn volume(text: &str, base: &Base) -> Result<MountOption, Invalid> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, path, options) = match parts[..] {
        [source, path] => (source, path, ""),
        [source, path, options] => (source, path, options),
        [path] if path.starts_with('/') => ("", path, ""),
        [_] => return Err(Invalid::new(text, "not SRC:DST or SRC:DST:OPTS, nor a path in the box")),
        _ => return Err(Invalid::new(text, "more than three parts; --mount takes paths with a colon")),
    };
    if source.is_empty() && parts.len() > 1 {
        return Err(Invalid::new(text, "SRC is missing"));
    }
    let kind = if source.starts_with(['/', '.', '~']) { "bind" } else { volume::KIND };
    if kind == volume::KIND && source.contains('/') {
        return Err(Invalid::new(
            text,
            format!("a volume has no slash in its name; for a directory write ./{source}"),
        ));
    }
    let mut draft = Draft { kind: Some(kind.to_owned()), ..Draft::default() };
    draft.source = (!source.is_empty()).then(|| source.to_owned());
    draft.destination = Some(destination(path).map_err(|error| Invalid::new(text, error.why))?);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        if option == "O" {
            return Err(Invalid::new(
                text,
                "O: a bind has no overlay of its own; --mount type=volume keeps changes",
            ));
        }
        // Labels of SELinux, which this kernel would have to know.
        if ["z", "Z"].contains(&option) && !Path::new("/sys/fs/selinux/enforce").exists() {
            continue;
        }
        draft.option(option).map_err(|error| Invalid::new(text, error.why))?;
    }
    draft.finish(base).map_err(|why| Invalid::new(text, why))
}

/// `uids=DISK-BOX-SIZE[#...];gids=DISK-BOX-SIZE[#...]`: which ids on disk are shown as which of the host's.
///
/// # Errors
/// What is wrong with it.
pub fn mount_maps(text: &str) -> Result<(Vec<IdExtent>, Vec<IdExtent>), String> {
    let (mut uids, mut gids) = (Vec::new(), Vec::new());
    for part in text.split(';') {
        let (list, runs) = match part.split_once('=') {
            Some(("uids", runs)) => (&mut uids, runs),
            Some(("gids", runs)) => (&mut gids, runs),
            _ => return Err(format!("{part:?} is neither uids=... nor gids=...")),
        };
        for run in runs.split('#') {
            let numbers: Vec<u32> = run.split('-').filter_map(|number| number.parse().ok()).collect();
            match (numbers.as_slice(), run.split('-').count()) {
                (&[container, host, size], 3) if size > 0 => list.push(IdExtent { container, host, size }),
                _ => {
                    return Err(format!(
                        "{run:?} is not three numbers with - between, such as 0-100000-65536"
                    ));
                }
            }
        }
    }
    if uids.is_empty() || gids.is_empty() {
        return Err("both uids=... and gids=... are needed".to_owned());
    }
    Ok((uids, gids))
}

/// `DST[:OPTS]`; nosuid, nodev and noexec unless OPTS say otherwise.
pub fn tmpfs(text: &str) -> Result<MountOption, Invalid> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    let mut draft = Draft { kind: Some("tmpfs".to_owned()), ..Draft::default() };
    draft.destination = Some(destination(path).map_err(|error| Invalid::new(text, error.why))?);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let taken = match option.split_once('=') {
            Some((key @ ("size" | "mode"), value)) => draft.take(key, Some(value)),
            _ => draft.option(option),
        };
        taken.map_err(|error| Invalid::new(text, error.why))?;
    }
    for (safe, other) in [("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec")] {
        if !draft.options.iter().any(|option| option == safe || option == other) {
            draft.options.push(safe.to_owned());
        }
    }
    draft.finish(&Base(PathBuf::from("/"))).map_err(|why| Invalid::new(text, why))
}

/// Where in the box: absolute, and not the root itself.
fn destination(path: &str) -> Result<PathBuf, Invalid> {
    if !path.starts_with('/') {
        return Err(Invalid::new(path, format!("the place in the box is an absolute path, not {path:?}")));
    }
    let cleaned = clean(Path::new(path));
    if cleaned.parent().is_none() {
        return Err(Invalid::new(
            path,
            "nothing can be mounted over / of the box; --rootfs sets another root",
        ));
    }
    Ok(cleaned)
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// The fields of one CSV record (RFC 4180).
fn fields(text: &str) -> Result<Vec<String>, Invalid> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let Some(field) = fields.last_mut() else { break };
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    if quoted {
        return Err(Invalid::new(text, "a double quote is not closed"));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base() -> Base {
        Base(PathBuf::from("/here"))
    }

    fn made(kind: &str, source: &str, destination: &str, options: &[&str]) -> MountOption {
        MountOption {
            kind: kind.into(),
            source: Some(source.into()),
            destination: destination.into(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }

    #[test]
    fn docker_mounts() {
        let read = |text| mount(text, &base()).unwrap();
        assert_eq!(read("type=bind,src=/a,dst=/b,ro"), made("bind", "/a", "/b", &["rbind", "ro"]));
        assert_eq!(read("source=a,target=/b,readonly=true"), made("bind", "/here/a", "/b", &["rbind", "ro"]));
        assert_eq!(
            read("type=bind,src=/a,dst=/b,bind-propagation=rslave,bind-nonrecursive"),
            made("bind", "/a", "/b", &["bind", "rslave"])
        );
        assert_eq!(
            read("type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1777"),
            made("tmpfs", "tmpfs", "/t", &["size=67108864", "mode=1777"])
        );
        assert_eq!(read("type=proc,dst=/proc"), made("proc", "proc", "/proc", &[]));
        assert_eq!(read("type=bind,\"src=/a,b\",dst=/c"), made("bind", "/a,b", "/c", &["rbind"]));
    }

    #[test]
    fn wrong_mounts_say_what_is_wrong() {
        assert_eq!(volume("/a:/b:U", &base()).unwrap(), made("bind", "/a", "/b", &["rbind", "U"]));
        assert_eq!(mount("src=/a,dst=/b,chown", &base()).unwrap(), made("bind", "/a", "/b", &["rbind", "U"]));
        assert!(mount("type=tmpfs,dst=/b,chown", &base()).unwrap_err().why.contains("binds and volumes"));
        for (text, part) in [
            ("type=bind,dst=/b", "src is missing"),
            ("type=bind,src=/a", "dst is missing"),
            ("type=ext4,dst=/b", "type is one of"),
            ("type=volume,src=a/b,dst=/b", "no name of a volume"),
            ("type=bind,src=/a,dst=/b,volume-nocopy", "only a volume"),
            ("type=bind,src=/a,dst=b", "absolute"),
            ("type=bind,src=/a,dst=/x/..", "over /"),
            ("type=bind,src=/a,dst=/b,frob=1", "frob is not a mount field"),
            ("type=bind,src=/a,dst=/b,ro=maybe", "true or false"),
            ("type=bind,src=/a,dst=/b,\"x", "not closed"),
            ("", "not a mount field"),
        ] {
            let error = mount(text, &base()).unwrap_err();
            assert!(error.why.contains(part), "{text}: {}", error.why);
        }
    }

    #[test]
    fn volumes() {
        assert_eq!(volume("/a:/b", &base()).unwrap(), made("bind", "/a", "/b", &["rbind"]));
        assert_eq!(
            volume("./a:/b:ro,nosuid", &base()).unwrap(),
            made("bind", "/here/a", "/b", &["rbind", "ro", "nosuid"])
        );
        for (text, part) in [
            ("a", "SRC:DST"),
            ("a/b:/b", "./a/b"),
            ("-a:/b", "no name of a volume"),
            (":/b", "SRC is missing"),
            ("/a:b", "absolute"),
            ("/a:/b:O", "overlay"),
            ("/a:/b:idmap=uids=0-1", "three numbers"),
            ("/a:/b:idmap=uids=0-1-1", "both"),
            ("/a:/b:nocopy", "only a volume"),
            ("/a:/b:frob", "not a mount option"),
            ("/a:/b:ro:x", "three parts"),
        ] {
            let error = volume(text, &base()).unwrap_err();
            assert!(error.why.contains(part), "{text}: {}", error.why);
        }
    }

    #[test]
    fn volumes_of_boxrs_own() {
        let made = |source: Option<&str>, destination: &str, options: &[&str]| MountOption {
            source: source.map(str::to_owned),
            ..made(volume::KIND, "", destination, options)
        };
        assert_eq!(super::volume("data:/b", &base()).unwrap(), made(Some("data"), "/b", &[]));
        assert_eq!(
            super::volume("data:/b:ro,nocopy", &base()).unwrap(),
            made(Some("data"), "/b", &["ro", "nocopy"])
        );
        assert_eq!(super::volume("/b", &base()).unwrap(), made(None, "/b", &[]));
        assert_eq!(
            mount("type=volume,src=data,dst=/b,volume-nocopy=true,readonly", &base()).unwrap(),
            made(Some("data"), "/b", &["nocopy", "ro"])
        );
        assert_eq!(mount("type=volume,dst=/b,volume-nocopy=false", &base()).unwrap(), made(None, "/b", &[]));
    }

    #[test]
    fn tmpfs_is_careful_by_itself() {
        assert_eq!(tmpfs("/t").unwrap(), made("tmpfs", "tmpfs", "/t", &["nosuid", "nodev", "noexec"]));
        assert_eq!(
            tmpfs("/t:exec,size=1m").unwrap(),
            made("tmpfs", "tmpfs", "/t", &["exec", "size=1048576", "nosuid", "nodev"])
        );
        assert!(tmpfs("t").is_err() && tmpfs("/t:frob").is_err() && tmpfs("/t:size=x").is_err());
    }

    proptest! {
        #[test]
        fn binds_are_read_back(source in "(/[a-z ]{1,8}){1,3}", target in "(/[a-z]{1,8}){1,3}") {
            let read = mount(&format!("type=bind,src={source},dst={target}"), &base()).unwrap();
            prop_assert_eq!(&read, &volume(&format!("{source}:{target}"), &base()).unwrap());
            prop_assert_eq!(read, made("bind", &source, &target, &["rbind"]));
        }

        #[test]
        fn no_text_is_too_strange(text in ".*") {
            drop((mount(&text, &base()), volume(&text, &base()), tmpfs(&text)));
        }
    }
}
