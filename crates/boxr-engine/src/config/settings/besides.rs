//! What docker's and podman's users say of a container besides what it is.

use std::path::{Path, PathBuf};

use super::{BOOL, D, E, FILE, Setting, TIME, add, both, flag, put, same};
use crate::config::grammar;
use crate::config::raw::{RawRun, Stream};
use crate::config::value::{Base, Invalid, Node};
use crate::image::{ImageVolume, LayerLimits, SystemdMode, accounts};
use crate::options::MountOption;

/// Keys of no table come first.
pub(super) static SETTINGS: &[Setting] = &[
    same("env-host", BOOL, E("true"), |raw, node, _| put(&mut raw.env_host, node.boolean()?)),
    same("http-proxy", BOOL, E("false"), |raw, node, _| put(&mut raw.http_proxy, node.boolean()?)),
    same("unsetenv", "the name of a variable", E("[\"LS_COLORS\"]"), |raw, node, _| {
        add(&mut raw.unset_env, node.each(|node| node.text().map(str::to_owned))?)
    }),
    same("unsetenv-all", BOOL, E("true"), |raw, node, _| put(&mut raw.unset_all_env, node.boolean()?)),
    both(
        "annotations",
        "annotation",
        "KEY=VALUE; in a file a table or a list",
        E("{ \"org.example.team\": \"blue\" }"),
        |raw, node, _| add(&mut raw.annotations, super::labels(node)?),
    ),
    same("tz", "a time zone such as Europe/Paris, or local", E("\"local\""), |raw, node, _| {
        raw.mounts.push(time_zone(node)?);
        Ok(())
    }),
    same("personality", "LINUX or LINUX32", E("\"LINUX32\""), |raw, node, _| {
        match node.text()?.to_ascii_uppercase() {
            word if word == "LINUX" || word == "LINUX32" => put(&mut raw.personality, word),
            _ => Err(node.invalid("no such execution domain")),
        }
    }),
    same("init-path", "the path of a program", E("\"/usr/bin/catatonit\""), |raw, node, base| {
        let path = base.absolute(node.text()?)?;
        put(&mut raw.init_path, existing(node, path)?)
    }),
    same("requires", "names of boxes with commas between", E("[\"db\"]"), |raw, node, _| {
        let names =
            node.each(|node| node.text().map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>()))?;
        let names = names.concat();
        if names.iter().any(String::is_empty) {
            return Err(node.invalid("a name is missing"));
        }
        add(&mut raw.requires, names)
    }),
    same("link", "NAME or NAME:ALIAS of another container", E("[\"db:store\"]"), |raw, node, _| {
        add(&mut raw.container.links, node.each(|node| grammar::link(node.text()?))?)
    }),
    same("read-only-tmpfs", BOOL, E("true"), |raw, node, _| put(&mut raw.read_only_tmpfs, node.boolean()?)),
    same("conmon-pidfile", FILE, E("\"/run/monitor.pid\""), |raw, node, base| {
        put(&mut raw.monitor_pidfile, base.absolute(node.text()?)?)
    }),
    same("image-volume", "bind, anonymous, tmpfs or ignore", E("\"ignore\""), |raw, node, _| {
        put(&mut raw.container.image_volume, image_volume(node)?)
    }),
    same("storage-opt", "size=BYTES or inodes=N", E("[\"size=10G\"]"), |raw, node, _| {
        let said = node.each(layer_limit)?;
        raw.container.layer = said.into_iter().fold(raw.container.layer, LayerLimits::overlaid_by);
        Ok(())
    }),
    same("chrootdirs", "absolute paths with commas between", E("[\"/srv/chroot\"]"), |raw, node, _| {
        let dirs = node.each(chroots)?;
        add(&mut raw.container.chroot_dirs, dirs.concat())
    }),
    same("passwd", BOOL, E("true"), |raw, node, _| {
        raw.container.accounts.own = node.boolean()?;
        Ok(())
    }),
    same("passwd-entry", "a line of passwd(5)", E("\"me:x:$UID:$GID::$HOME:/bin/sh\""), |raw, node, _| {
        raw.container.accounts.own = true;
        put(&mut raw.container.accounts.passwd_entry, line(node)?)
    }),
    same("group-entry", "a line of group(5)", E("\"us:x:$GID:$USERLIST\""), |raw, node, _| {
        raw.container.accounts.own = true;
        put(&mut raw.container.accounts.group_entry, line(node)?)
    }),
    same("hostuser", "the name of a user of the host", E("[\"root\"]"), |raw, node, _| {
        let of_host = |node: &Node| accounts::of_host(node.text()?).map_err(|why| node.invalid(why));
        add(&mut raw.container.accounts.host_users, node.each(of_host)?)
    }),
    same("seccomp-policy", "default or image", E("\"image\""), |raw, node, _| match node.text()? {
        "default" => put(&mut raw.container.seccomp_of_image, false),
        "image" => put(&mut raw.container.seccomp_of_image, true),
        _ => Err(node.invalid("no such policy")),
    }),
    both("health.start-interval", "health-start-interval", TIME, E("\"1s\""), |raw, node, _| {
        put(&mut raw.container.health.start_interval, grammar::millis(&node.text_or_number()?)?)
    }),
    flag("attach", "stdin, stdout or stderr", |raw, node, _| {
        raw.attach.push(match node.text()?.to_ascii_lowercase().as_str() {
            "stdin" => Stream::Input,
            "stdout" => Stream::Output,
            "stderr" => Stream::Errors,
            _ => return Err(node.invalid("no such stream")),
        });
        Ok(())
    }),
    same("systemd", "true, always or false", D("\"true\""), |raw, node, _| {
        let text = match node.boolean() {
            Ok(on) => on.to_string(),
            Err(_) => node.text()?.to_owned(),
        };
        put(
            &mut raw.systemd,
            match text.as_str() {
                "true" => SystemdMode::Detected,
                "always" => SystemdMode::Always,
                "false" => SystemdMode::Never,
                _ => return Err(node.invalid("no such choice")),
            },
        )
    }),
    flag("sig-proxy", BOOL, |raw, node, _| put(&mut raw.signal_proxy, node.boolean()?)),
    flag("runtime", "boxr, runc or crun", runtime),
    flag("disable-content-trust", BOOL, |_, node, _| match node.boolean()? {
        true => Ok(()),
        false => Err(node.invalid("docker's notary has no client here; name an image by its digest instead")),
    }),
    flag("volume-driver", "local", |_, node, _| match node.text()? {
        "local" => Ok(()),
        _ => Err(node.invalid("other drivers are plugins of docker's daemon")),
    }),
    flag("isolation", "default", |_, node, _| match node.text()? {
        "default" => Ok(()),
        _ => Err(node.invalid("the others are of Windows")),
    }),
];

/// Runtimes that are programs like boxr itself are taken for it; those that promise another wall are not.
fn runtime(raw: &mut RawRun, node: &Node, _: &Base) -> Result<(), Invalid> {
    let word = node.text()?;
    match word.rsplit('/').next().unwrap_or(word) {
        "boxr" | "boxr-oci" => {}
        name @ ("runc" | "crun" | "youki" | "io.containerd.runc.v2") => {
            raw.note(format!("--runtime {name} has no effect: boxr is the runtime of its containers"));
        }
        _ => {
            return Err(
                node.invalid("boxr is the runtime of its containers, and has no walls of another kind")
            );
        }
    }
    Ok(())
}

fn existing(node: &Node, path: PathBuf) -> Result<PathBuf, Invalid> {
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        Ok(_) => Err(node.invalid("not a file")),
        Err(error) => Err(node.invalid(error.to_string())),
    }
}

/// The host's file of a time zone, in the container's place for its own (tzset(3)).
fn time_zone(node: &Node) -> Result<MountOption, Invalid> {
    let word = node.text()?;
    let path = match word {
        "local" => PathBuf::from("/etc/localtime"),
        name if name.starts_with('/') || name.split('/').any(|part| part == ".." || part.is_empty()) => {
            return Err(node.invalid("not the name of a time zone"));
        }
        name => Path::new("/usr/share/zoneinfo").join(name),
    };
    let found =
        std::fs::canonicalize(&path).map_err(|error| node.invalid(format!("{}: {error}", path.display())))?;
    Ok(MountOption {
        kind: "bind".to_owned(),
        source: Some(existing(node, found)?.to_string_lossy().into_owned()),
        destination: "/etc/localtime".into(),
        options: ["bind", "ro", "nosuid", "nodev", "noexec", "private"].map(str::to_owned).to_vec(),
    })
}

fn image_volume(node: &Node) -> Result<ImageVolume, Invalid> {
    match node.text()? {
        "bind" | "anonymous" => Ok(ImageVolume::Bind),
        "tmpfs" => Ok(ImageVolume::Tmpfs),
        "ignore" => Ok(ImageVolume::Ignore),
        _ => Err(node.invalid("no such choice")),
    }
}

fn layer_limit(node: &Node) -> Result<LayerLimits, Invalid> {
    let text = node.text()?;
    let number = match text.split_once('=') {
        Some(("size", value)) => (grammar::size(value)?, true),
        Some(("inodes", value)) => (value.parse().map_err(|_| node.invalid("not a number of files"))?, false),
        _ => return Err(node.invalid("not size=BYTES or inodes=N")),
    };
    match number {
        (0, _) => Err(node.invalid("the limit is 0")),
        (size, true) => Ok(LayerLimits { size: Some(size), inodes: None }),
        (inodes, false) => Ok(LayerLimits { size: None, inodes: Some(inodes) }),
    }
}

fn chroots(node: &Node) -> Result<Vec<PathBuf>, Invalid> {
    let one = |part: &str| match crate::config::clean_path(Path::new(part)) {
        path if path.is_absolute() && path.parent().is_some() => Ok(path),
        _ => Err(node.invalid("not an absolute path of the container")),
    };
    node.text()?.split(',').map(one).collect()
}

/// One line of a file that has a colon between its fields.
fn line(node: &Node) -> Result<String, Invalid> {
    match node.text()? {
        text if text.contains(':') && !text.contains('\n') => Ok(text.to_owned()),
        _ => Err(node.invalid("not one line with colons")),
    }
}
