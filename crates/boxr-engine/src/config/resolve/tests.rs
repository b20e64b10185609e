use super::*;
use crate::config::{Base, CLEAN_PATH, Node, Setting};
use crate::options::Limits;
use crate::options::Retention;
use crate::options::{IdExtent, Tty, User};

fn caller() -> Caller {
    Caller {
        directory: "/home/me".into(),
        env: vec![("PATH".into(), "/bin".into()), ("HOME".into(), "/home/me".into())],
        ids: Some(CallerIds { uid: 1000, gid: 1000, groups: vec![1000] }),
    }
}

/// What flags say; a value of `true` is a switch where the setting is one.
fn said(flags: &[(&str, &str)]) -> RawRun {
    let mut raw = RawRun { args: Some(vec!["true".into()]), ..RawRun::default() };
    for (name, value) in flags {
        let setting = Setting::of_flag(name).unwrap_or_else(|| panic!("no setting for --{name}"));
        setting.set_flag(&mut raw, &Node::word(*value), &Base("/home/me".into())).unwrap();
    }
    raw
}

fn run(flags: &[(&str, &str)]) -> Result<Resolved, ConfigError> {
    resolve(said(flags), Purpose::Run, &caller())
}

fn options(flags: &[(&str, &str)]) -> BoxOptions {
    run(flags).unwrap().options
}

#[test]
fn defaults_of_a_host_command() {
    let resolved = run(&[]).unwrap();
    let expected = BoxOptions {
        args: vec!["true".into()],
        env: vec!["PATH=/bin".into(), "HOME=/home/me".into()],
        workdir: Some("/home/me".into()),
        ..BoxOptions::default()
    };
    assert_eq!(resolved, Resolved { options: expected, ..Resolved::default() });
}

#[test]
fn what_remains() {
    let kept = |flags: &[(&str, &str)]| options(flags).retention == Retention::Kept;
    assert!(!kept(&[]));
    assert!(kept(&[("keep", "true")]));
    assert!(kept(&[("rm", "false")]));
    assert!(kept(&[("detach", "true")]));
    assert!(!kept(&[("detach", "true"), ("rm", "true")]));
    assert!(!kept(&[("detach", "true"), ("keep", "false")]));
    let created = resolve(said(&[]), Purpose::Create, &caller()).unwrap();
    assert_eq!(created.options.retention, Retention::Kept);
    assert!(matches!(run(&[("rm", "true"), ("keep", "true")]), Err(ConfigError::Conflict { .. })));
    let ends = run(&[("detach", "true"), ("die-with-parent", "true")]);
    assert!(matches!(ends, Err(ConfigError::Conflict { .. })));
}

#[test]
fn namespaces_by_flag_list_and_share() {
    let one = options(&[("ns", "pid=host,net=new"), ("ipc", "new")]).namespaces;
    assert_eq!(
        (one.pid, one.network, one.ipc),
        (NamespaceMode::Host, NamespaceMode::New, NamespaceMode::New)
    );
    let web = NamespaceMode::Join(JoinTarget::Container("web".into()));
    let shared = options(&[("share", "web"), ("uts", "new")]).namespaces;
    assert_eq!(shared.uts, NamespaceMode::New);
    assert_eq!(shared.user, Some(web.clone()));
    assert_eq!(shared.time, web);
}

#[test]
fn clocks_and_maps_imply_their_namespaces() {
    let clocks = options(&[("monotonic", "-1.5")]);
    assert_eq!(clocks.namespaces.time, NamespaceMode::New);
    assert_eq!(clocks.monotonic_offset, Some(-1_500_000_000));
    let mapped = options(&[("uidmap", "0:1000:1")]);
    assert_eq!(mapped.namespaces.user, Some(NamespaceMode::New));
    let extent = vec![IdExtent { container: 0, host: 1000, size: 1 }];
    assert_eq!(mapped.id_mapping, IdMapping::Explicit { uids: extent.clone(), gids: extent });
    assert_eq!(options(&[("map-self", "true")]).id_mapping, IdMapping::Caller);
}

#[test]
fn what_excludes_each_other_is_named() {
    for (flags, part) in [
        (&[("hostname", "x"), ("uts", "host")][..], "--hostname and --uts host"),
        (&[("hostname", "x"), ("share", "web")], "--uts container:web"),
        (&[("monotonic", "1"), ("time-ns", "host")], "--monotonic and --time-ns host"),
        (&[("uidmap", "0:0:1"), ("userns", "host")], "--uidmap and --userns host"),
        (&[("map-self", "true"), ("userns", "host")], "--map-self and --userns host"),
        (&[("map-self", "true"), ("gidmap", "0:0:1")], "--map-self and --gidmap"),
        (&[("tmpfs", "/t"), ("mount-ns", "host")], "a mount and --mount-ns host"),
        (&[("read-only", "true"), ("mount-ns", "pid:1")], "--read-only and --mount-ns pid:1"),
        (&[("tmpfs", "/t"), ("volume", "/a:/t/")], "two mounts at /t"),
        (&[("memory-swap", "1m")], "needs --memory"),
        (&[("memory-swap", "1m"), ("memory", "2m")], "less than memory"),
        (&[("rootfs", "/")], "host's own root"),
        (&[("rootfs", "/proc/self/exe")], "not a directory"),
        (&[("rootfs", "/no/such/dir")], "cannot be used"),
        (&[("rootfs", "/usr"), ("workdir", "x")], "--workdir x and --rootfs"),
    ] {
        let error = run(flags).unwrap_err().to_string();
        assert!(error.contains(part), "{flags:?}: {error}");
    }
}

#[test]
fn no_command_is_an_error() {
    for args in [None, Some(Vec::new())] {
        let raw = RawRun { args, ..RawRun::default() };
        assert!(matches!(resolve(raw, Purpose::Run, &caller()), Err(ConfigError::NoCommand)));
    }
}

#[test]
fn limits_that_are_none() {
    let none = options(&[("memory", "0"), ("pids-limit", "-1"), ("cpu-shares", "0"), ("timeout", "0")]);
    assert!(none.limits.is_empty() && none.timeout.is_none());
    let some = options(&[("memory", "64m"), ("memory-swap", "-1"), ("cpus", "0.5"), ("pids-limit", "9")]);
    assert_eq!(
        some.limits,
        Limits {
            memory: Some(64 << 20),
            memory_swap: Some(-1),
            cpus_milli: Some(500),
            pids: Some(9),
            ..Limits::default()
        }
    );
}

#[test]
fn the_environment_is_built_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vars");
    std::fs::write(&file, "# comment\n\n  A=file\nB=\"quoted\"\nHOME\nGONE\n").unwrap();
    let env = options(&[("env-file", file.to_str().unwrap()), ("env", "A=flag"), ("env", "PATH=/x=y")]).env;
    assert_eq!(env, ["PATH=/x=y", "HOME=/home/me", "A=flag", "B=\"quoted\""]);
    let env = options(&[("clear-env", "true"), ("env", "HOME"), ("env", "NOT_SET")]).env;
    assert_eq!(env, [CLEAN_PATH, "HOME=/home/me"]);
    std::fs::write(&file, "A=1\nB C=2\n").unwrap();
    let error = run(&[("env-file", file.to_str().unwrap())]).unwrap_err();
    assert!(matches!(error, ConfigError::Line { line: 2, .. }), "{error}");
    std::fs::write(&file, b"A=1\nB=\xff\n").unwrap();
    let error = run(&[("env-file", file.to_str().unwrap())]).unwrap_err();
    assert!(matches!(error, ConfigError::Line { line: 2, .. }), "{error}");
    let error = run(&[("env-file", "/no/such/file")]).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
}

#[test]
fn relative_paths_begin_at_the_caller() {
    let made = options(&[("workdir", "src"), ("pidfile", "box.pid"), ("volume", "./a:/b")]);
    assert_eq!(made.workdir, Some("/home/me/src".into()));
    assert_eq!(made.pidfile, Some("/home/me/box.pid".into()));
    assert_eq!(made.mounts[0].source.as_deref(), Some("/home/me/a"));
    let other = options(&[("rootfs", "/usr")]);
    assert_eq!((other.root, other.workdir), (Root::Directory("/usr".into()), Some("/".into())));
}

#[test]
fn flags_beat_the_file_and_lists_are_joined() {
    let file = said(&[
        ("memory", "1g"),
        ("env", "A=file"),
        ("tmpfs", "/t"),
        ("keep", "true"),
        ("network", "new"),
        ("ulimit", "nofile=1"),
        ("tty", "false"),
        ("label", "a=1"),
    ]);
    let flags = said(&[
        ("memory", "2g"),
        ("env", "B=flag"),
        ("volume", "/v:/t"),
        ("rm", "true"),
        ("network", "host"),
        ("ulimit", "nofile=2"),
        ("label", "a=2"),
    ]);
    let made = resolve(file.overlaid_by(flags), Purpose::Run, &caller()).unwrap().options;
    assert_eq!(made.limits.memory, Some(2 << 30));
    assert!(made.env.ends_with(&["A=file".into(), "B=flag".into()]));
    assert_eq!(made.mounts.len(), 1);
    assert_eq!(made.mounts[0].kind, "bind");
    assert_eq!(made.retention, Retention::Ephemeral);
    assert_eq!(made.namespaces.network, NamespaceMode::Host);
    assert_eq!(made.ulimits.iter().map(|limit| limit.soft).collect::<Vec<_>>(), [2]);
    assert_eq!(made.tty, Tty::Never);
    assert_eq!(made.labels["a"], "2");
}

#[test]
fn users_are_looked_up() {
    let made = options(&[("user", "54321:7"), ("group-add", "9")]);
    assert_eq!(made.user, Some(User { uid: 54_321, gid: 7, groups: Some(vec![9]) }));
    assert!(matches!(run(&[("user", "no-such-user")]), Err(ConfigError::UnknownName { .. })));
}
