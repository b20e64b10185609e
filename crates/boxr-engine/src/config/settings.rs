//! Every setting of a box: its key in a file, its flag, what it accepts, and how it is read.
//!
//! A new flag of `boxr run` begins here; its name and help are in boxr's table of flags.

mod besides;
mod container;
mod limits;
mod networks;
mod sandbox;

use boxr_network::PortSpec;
use boxr_sys::namespace::NamespaceKind;

use super::grammar;
use super::raw::{RawRun, SaidPath};
use super::value::{Base, Invalid, Node, Value};
use crate::options::{Propagation, Tty};
use networks::{ip, namespace, network, parsed};

/// How the stock configuration file shows a setting. The text is valid TOML and valid JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stock {
    /// Its default.
    Default(&'static str),
    /// An example, as a comment: it has no default, or one that depends on the caller.
    Example(&'static str),
    /// Not at all: it is a flag only.
    Nothing,
}

/// One setting.
pub struct Setting {
    /// Its key in a file, with the table it is in; `None` for a flag only.
    pub key: Option<&'static str>,
    /// The long name of its flag; `None` for a key only.
    pub flag: Option<&'static str>,
    /// What it accepts, for errors: "a size such as 512m".
    pub accepts: &'static str,
    /// What the stock file shows.
    pub stock: Stock,
    /// Reads a value.
    pub set: fn(&mut RawRun, &Node, &Base) -> Result<(), Invalid>,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("key", &self.key).field("flag", &self.flag).finish_non_exhaustive()
    }
}

type Read = fn(&mut RawRun, &Node, &Base) -> Result<(), Invalid>;

/// A setting with a key and a flag.
const fn both(
    key: &'static str,
    flag: &'static str,
    accepts: &'static str,
    stock: Stock,
    set: Read,
) -> Setting {
    Setting { key: Some(key), flag: Some(flag), accepts, stock, set }
}

/// A setting whose key is its flag.
const fn same(name: &'static str, accepts: &'static str, stock: Stock, set: Read) -> Setting {
    both(name, name, accepts, stock, set)
}

/// A setting that only a flag can say.
const fn flag(flag: &'static str, accepts: &'static str, set: Read) -> Setting {
    Setting { key: None, flag: Some(flag), accepts, stock: Stock::Nothing, set }
}

/// Puts a value where it belongs.
fn put<T>(place: &mut Option<T>, value: T) -> Result<(), Invalid> {
    *place = Some(value);
    Ok(())
}

/// Adds values to those that were said before.
fn add<T>(list: &mut Vec<T>, values: Vec<T>) -> Result<(), Invalid> {
    list.extend(values);
    Ok(())
}

const BOOL: &str = "true or false";
const MODE: &str =
    "new, host, container:NAME, pid:N, id:N or a path; in a file also true (new) and false (host)";
const NETWORK: &str = "new, none, host, container:NAME, pid:N, id:N, a path or a network such as bridge; in a file also \
    true (new), false (host) and a list of networks";
const USERNS: &str = "new, host, container:NAME, pid:N, id:N or a path; with an image also auto and keep-id[:uid=N,gid=N,size=N]; in a file also true (new) and \
    false (host)";
const FILE: &str = "a path";
const TIME: &str = "a time such as 30s, 500ms or 1m30s";
const COUNT: &str = "a whole number";

use Stock::{Default as D, Example as E};

/// All settings, in the order of the stock file.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    [SETTINGS, besides::SETTINGS, limits::SETTINGS, sandbox::SETTINGS].into_iter().flatten()
}

/// What makes a box.
static SETTINGS: &[Setting] = &[
    Setting {
        key: Some("args"),
        flag: None,
        accepts: "a list of strings: the command and its arguments",
        stock: D("[\"sh\"]"),
        set: |raw, node, _| {
            let args = node.each(|node| node.text().map(str::to_owned))?;
            put(&mut raw.args, args)
        },
    },
    flag("entrypoint", "a program, or a JSON list of strings", |raw, node, _| {
        put(&mut raw.container.entrypoint, container::entrypoint(node)?)
    }),
    same("name", "a name of letters, digits, _, . and -", E("\"web\""), |raw, node, _| {
        let name = node.text()?;
        crate::names::check(name).map_err(|error| node.invalid(error.to_string()))?;
        put(&mut raw.name, name.to_owned())
    }),
    same("detach", BOOL, D("false"), |raw, node, _| put(&mut raw.detach, node.boolean()?)),
    same("interactive", BOOL, D("false"), |raw, node, _| put(&mut raw.interactive, node.boolean()?)),
    same("tty", "auto, true or false", D("\"auto\""), |raw, node, _| put(&mut raw.tty, tty(node)?)),
    same("hostname", "a host name of at most 64 characters", E("\"blue\""), |raw, node, _| {
        put(&mut raw.hostname, grammar::hostname(node.text()?)?)
    }),
    same("domainname", "a domain name of at most 64 characters", E("\"example.org\""), |raw, node, _| {
        put(&mut raw.domainname, grammar::hostname(node.text()?)?)
    }),
    same("workdir", FILE, E("\"/tmp\""), |raw, node, base| {
        let said = node.text()?;
        put(&mut raw.workdir, SaidPath { said: said.into(), absolute: base.absolute(said)? })
    }),
    both(
        "env",
        "env",
        "KEY=VALUE, or KEY for the caller's value; in a file a table or a list",
        E("{ \"LANG\": \"C.UTF-8\" }"),
        |raw, node, _| add(&mut raw.env, environment(node)?),
    ),
    same("env-file", "a path, or a list of paths", E("[\"box.env\"]"), |raw, node, base| {
        let files = node.each(|node| base.absolute(node.text()?))?;
        add(&mut raw.env_files, files)
    }),
    same(
        "env-merge",
        "KEY=VALUE, with ${NAME} for what there is",
        E("[\"PATH=/opt/bin:${PATH}\"]"),
        |raw, node, _| add(&mut raw.env_merge, node.each(merged)?),
    ),
    same("clear-env", BOOL, D("false"), |raw, node, _| put(&mut raw.clear_env, node.boolean()?)),
    both(
        "labels",
        "label",
        "KEY=VALUE; in a file a table or a list",
        E("{ \"team\": \"blue\" }"),
        |raw, node, _| add(&mut raw.labels, labels(node)?),
    ),
    same("label-file", "a path, or a list of paths", E("[\"box.labels\"]"), |raw, node, base| {
        let files = node.each(|node| base.absolute(node.text()?))?;
        add(&mut raw.label_files, files)
    }),
    both("root", "rootfs", "the path of a directory", E("\"/srv/alpine\""), |raw, node, base| {
        put(&mut raw.rootfs, base.absolute(node.text()?)?)
    }),
    same("read-only", BOOL, D("false"), |raw, node, _| put(&mut raw.read_only, node.boolean()?)),
    both(
        "volumes",
        "volume",
        "SRC:DST or SRC:DST:OPTS, such as ./src:/src:ro",
        D("[]"),
        |raw, node, base| add(&mut raw.mounts, node.each(|node| grammar::volume(node.text()?, base))?),
    ),
    both(
        "mounts",
        "mount",
        "type=bind|volume|image|tmpfs|glob|proc|sysfs|mqueue|devpts|cgroup,src=S,dst=D,... or, in a file, \
            a table of these keys",
        D("[]"),
        |raw, node, base| add(&mut raw.mounts, node.each(|node| grammar::mounts(node, base))?.concat()),
    ),
    same("tmpfs", "DST or DST:OPTS, such as /tmp:size=64m", D("[]"), |raw, node, _| {
        add(&mut raw.mounts, node.each(|node| grammar::tmpfs(node.text()?))?)
    }),
    same("propagation", "private, shared, slave or unchanged", D("\"private\""), |raw, node, _| {
        put(&mut raw.propagation, propagation(node)?)
    }),
    same("user", "UID or UID:GID", E("\"1000:1000\""), |raw, node, _| {
        put(&mut raw.user, grammar::user(&node.text_or_number()?)?)
    }),
    same("group-add", "a group", E("[\"100\"]"), |raw, node, _| {
        let groups = match node.value {
            Value::Integer(_) => vec![grammar::group(&node.text_or_number()?)?],
            _ => node.each(|node| grammar::group(&node.text_or_number()?))?,
        };
        add(&mut raw.group_add, groups)
    }),
    same("umask", "an octal number such as 022", E("\"022\""), |raw, node, _| {
        put(&mut raw.umask, grammar::umask(node.text()?)?)
    }),
    same("no-new-privs", BOOL, D("false"), |raw, node, _| put(&mut raw.no_new_privs, node.boolean()?)),
    flag(
        "security-opt",
        "no-new-privileges, seccomp=FILE, seccomp=unconfined, apparmor=PROFILE, label=disable or \
            systempaths=unconfined",
        container::security_option,
    ),
    same("privileged", BOOL, E("false"), |raw, node, _| put(&mut raw.container.privileged, node.boolean()?)),
    both(
        "devices",
        "device",
        "HOST, HOST:CONTAINER, HOST:CONTAINER:rwm or VENDOR/CLASS=NAME",
        E("[\"/dev/fuse\"]"),
        container::devices,
    ),
    both(
        "sysctls",
        "sysctl",
        "NAME=VALUE; in a file a table or a list",
        E("{ \"net.ipv4.ip_forward\": \"1\" }"),
        |raw, node, _| add(&mut raw.container.sysctls, container::sysctls(node)?),
    ),
    both(
        "health.cmd",
        "health-cmd",
        "a line for the shell, a JSON list of strings, or none",
        E("\"true\""),
        |raw, node, _| container::health_command(raw, node),
    ),
    both("health.interval", "health-interval", TIME, E("\"30s\""), |raw, node, _| {
        put(&mut raw.container.health.interval, grammar::millis(&node.text_or_number()?)?)
    }),
    both("health.timeout", "health-timeout", TIME, E("\"30s\""), |raw, node, _| {
        put(&mut raw.container.health.timeout, grammar::millis(&node.text_or_number()?)?)
    }),
    both("health.start-period", "health-start-period", TIME, E("\"5s\""), |raw, node, _| {
        put(&mut raw.container.health.start_period, grammar::millis(&node.text_or_number()?)?)
    }),
    both("health.retries", "health-retries", COUNT, E("3"), |raw, node, _| {
        put(&mut raw.container.health.retries, count(node, 1, 1000)?)
    }),
    both(
        "health.on-failure",
        "health-on-failure",
        "none, kill, restart or stop",
        E("\"kill\""),
        |raw, node, _| put(&mut raw.container.health.on_failure, container::on_failure(node)?),
    ),
    flag("no-healthcheck", BOOL, |raw, node, _| put(&mut raw.container.health.none, node.boolean()?)),
    same("shm-size", "a size such as 64m", E("\"64m\""), |raw, node, _| {
        put(&mut raw.container.shm_size, grammar::size(&node.text_or_number()?)?)
    }),
    same("add-host", "NAME:ADDRESS", E("[\"db:10.0.0.5\"]"), |raw, node, _| {
        add(&mut raw.container.hosts, node.each(|node| grammar::host(node.text()?))?)
    }),
    same("no-hosts", BOOL, E("false"), |raw, node, _| put(&mut raw.container.no_hosts, node.boolean()?)),
    same("dns", "the address of a name server", E("[\"10.0.0.1\"]"), |raw, node, _| {
        add(&mut raw.container.dns, node.each(|node| grammar::address(node.text()?))?)
    }),
    same("dns-search", "a domain, or . for none", E("[\"example.org\"]"), |raw, node, _| {
        add(&mut raw.container.dns_search, node.each(|node| grammar::resolver_word(node.text()?))?)
    }),
    same("dns-option", "an option of resolv.conf(5)", E("[\"ndots:1\"]"), |raw, node, _| {
        add(&mut raw.container.dns_options, node.each(|node| grammar::resolver_word(node.text()?))?)
    }),
    same("share", "a box, by name or id", E("\"web\""), |raw, node, _| match node.text()? {
        "" => Err(node.invalid("the name of the box is missing")),
        name => put(&mut raw.share, name.to_owned()),
    }),
    same("userns-chown", BOOL, D("false"), |raw, node, _| {
        put(&mut raw.container.userns_chown, node.boolean()?)
    }),
    same(
        "secret",
        "NAME[,type=mount|env,target=T,uid=N,gid=N,mode=OCTAL]",
        E("[\"key\"]"),
        |raw, node, _| {
            let read = |node: &Node| crate::secret::parse(node.text()?).map_err(|why| node.invalid(why));
            add(&mut raw.container.secrets, node.each(read)?)
        },
    ),
    flag("gpus", "all, a number, or device=NAME", |raw, node, _| {
        let names = crate::cdi::gpus(node.text()?).map_err(|why| node.invalid(why))?;
        add(&mut raw.container.cdi, names)
    }),
    same("sdnotify", "container, conmon, healthy or ignore", D("\"container\""), |raw, node, _| {
        match crate::notify::SdNotify::parse(node.text()?) {
            Some(how) => put(&mut raw.sdnotify, how),
            None => Err(node.invalid("no such choice")),
        }
    }),
    same("volumes-from", "NAME or NAME:ro", E("[\"data\"]"), |raw, node, _| {
        let names = node.each(|node| {
            let text = node.text()?;
            crate::volume::from::check(text).map_err(|why| node.invalid(why))?;
            Ok(text.to_owned())
        })?;
        add(&mut raw.container.volumes_from, names)
    }),
    same("map-self", BOOL, D("false"), |raw, node, _| put(&mut raw.map_self, node.boolean()?)),
    same("uidmap", "BOX:HOST or BOX:HOST:SIZE, numbers", E("[\"0:1000:1\"]"), |raw, node, _| {
        add(&mut raw.uid_map, node.each(|node| grammar::extent(node.text()?))?)
    }),
    same("gidmap", "BOX:HOST or BOX:HOST:SIZE, numbers", E("[\"0:1000:1\"]"), |raw, node, _| {
        add(&mut raw.gid_map, node.each(|node| grammar::extent(node.text()?))?)
    }),
    same("monotonic", "seconds, with a sign or a fraction", E("0"), |raw, node, _| {
        put(&mut raw.monotonic, grammar::offset(&node.text_or_number()?)?)
    }),
    same("boottime", "seconds, with a sign or a fraction", E("0"), |raw, node, _| {
        put(&mut raw.boottime, grammar::offset(&node.text_or_number()?)?)
    }),
    same("init", BOOL, D("false"), |raw, node, _| put(&mut raw.init, node.boolean()?)),
    same("rm", BOOL, E("true"), |raw, node, _| put(&mut raw.rm, node.boolean()?)),
    same("restart", "no, on-failure, on-failure:N, always or unless-stopped", D("\"no\""), |raw, node, _| {
        put(&mut raw.restart, grammar::restart(node.text()?)?)
    }),
    same("keep", BOOL, E("false"), |raw, node, _| put(&mut raw.keep, node.boolean()?)),
    same("die-with-parent", BOOL, D("false"), |raw, node, _| put(&mut raw.die_with_parent, node.boolean()?)),
    same("new-session", BOOL, D("false"), |raw, node, _| put(&mut raw.new_session, node.boolean()?)),
    same("timeout", "a time such as 90, 5m or 1h; 0 is never", D("0"), |raw, node, _| {
        put(&mut raw.timeout, grammar::seconds(&node.text_or_number()?)?)
    }),
    same("stop-signal", "a signal such as TERM, SIGHUP or 15", D("\"TERM\""), |raw, node, _| {
        let number = grammar::signal(&node.text_or_number()?)?;
        put(&mut raw.stop_signal, grammar::signal_name(number))
    }),
    same("stop-timeout", "a number of seconds", D("10"), |raw, node, _| {
        put(&mut raw.stop_timeout, count(node, 0, u32::MAX)?)
    }),
    same("oom-score-adj", "-1000 to 1000", E("0"), |raw, node, _| {
        let number = node.integer(-1000, 1000)?;
        put(&mut raw.oom_score_adj, i32::try_from(number).unwrap_or_default())
    }),
    same("preserve-fds", COUNT, D("0"), |raw, node, _| put(&mut raw.preserve_fds, count(node, 0, 1 << 20)?)),
    same(
        "detach-keys",
        "single characters or ctrl-X with commas between",
        D("\"ctrl-p,ctrl-q\""),
        |raw, node, _| put(&mut raw.detach_keys, grammar::detach_keys(node.text()?)?),
    ),
    same("pidfile", FILE, E("\"/run/box.pid\""), |raw, node, base| {
        put(&mut raw.pidfile, base.absolute(node.text()?)?)
    }),
    same("cidfile", FILE, E("\"/run/box.id\""), |raw, node, base| {
        put(&mut raw.cidfile, base.absolute(node.text()?)?)
    }),
    both("namespaces.pid", "pid", MODE, D("true"), |r, n, b| namespace(r, n, b, NamespaceKind::Pid)),
    both("namespaces.network", "network", NETWORK, D("false"), network),
    both("namespaces.mount", "mount-ns", MODE, D("true"), |r, n, b| namespace(r, n, b, NamespaceKind::Mount)),
    both("namespaces.uts", "uts", MODE, D("true"), |r, n, b| namespace(r, n, b, NamespaceKind::Uts)),
    both("namespaces.ipc", "ipc", MODE, D("false"), |r, n, b| namespace(r, n, b, NamespaceKind::Ipc)),
    both("namespaces.user", "userns", USERNS, E("true"), container::userns),
    both("namespaces.cgroup", "cgroupns", MODE, D("false"), |r, n, b| {
        namespace(r, n, b, NamespaceKind::Cgroup)
    }),
    both("namespaces.time", "time-ns", MODE, D("false"), |r, n, b| namespace(r, n, b, NamespaceKind::Time)),
    same(
        "publish",
        "[IP:][HOST:]PORT[/tcp|udp|sctp], such as 8080:80",
        E("[\"8080:80\"]"),
        |raw, node, _| {
            let ports = node.each(|node| parsed(&node.text_or_number()?))?;
            add(&mut raw.publish, ports)
        },
    ),
    same("publish-all", BOOL, D("false"), |raw, node, _| put(&mut raw.publish_all, node.boolean()?)),
    same("expose", "a port or a range, such as 80 or 53/udp", E("[\"80\"]"), |raw, node, _| {
        let ports: Vec<PortSpec> = node.each(|node| parsed(&node.text_or_number()?))?;
        if ports.iter().any(|port| port.host.is_some() || port.ip.is_some()) {
            return Err(node.invalid("only the box's own port is exposed; publish is for the host's"));
        }
        add(&mut raw.expose, ports)
    }),
    same("ip", "an address of the network", E("\"10.88.0.9\""), |raw, node, _| match ip(node.text()?)? {
        ip if ip.is_ipv4() => put(&mut raw.ip, ip),
        _ => Err(node.invalid("not an address of IPv4; --ip6 takes the others")),
    }),
    same("ip6", "an address of the network", E("\"fd00::9\""), |raw, node, _| match ip(node.text()?)? {
        ip if ip.is_ipv6() => put(&mut raw.ip6, ip),
        _ => Err(node.invalid("not an address of IPv6")),
    }),
    same(
        "mac-address",
        "six pairs of hexadecimal digits, the first of them even",
        E("\"02:42:0a:58:00:09\""),
        |raw, node, _| put(&mut raw.mac_address, parsed(node.text()?)?),
    ),
    same("network-alias", "a host name", E("[\"db\"]"), |raw, node, _| {
        add(&mut raw.network_alias, node.each(|node| grammar::hostname(node.text()?))?)
    }),
    flag("ns", "KIND=MODE,... such as pid=new,net=host", |raw, node, base| {
        for (kind, mode) in grammar::mode_list(node.text()?, base)? {
            raw.set_namespace(kind, mode);
        }
        Ok(())
    }),
    both(
        "ulimits",
        "ulimit",
        "NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024:4096; in a file a table or a list",
        E("{ \"nofile\": \"1024:4096\" }"),
        |raw, node, _| add(&mut raw.ulimits, ulimits(node)?),
    ),
    both("capabilities.add", "cap-add", "a capability such as NET_ADMIN, or ALL", D("[]"), |raw, node, _| {
        add(&mut raw.cap_add, node.each(|node| grammar::capability(node.text()?))?)
    }),
    both("capabilities.drop", "cap-drop", "a capability such as NET_RAW, or ALL", D("[]"), |raw, node, _| {
        add(&mut raw.cap_drop, node.each(|node| grammar::capability(node.text()?))?)
    }),
    Setting {
        key: Some("log.max-size"),
        flag: None,
        accepts: "a size such as 10m",
        stock: D("\"10m\""),
        set: |raw, node, _| put(&mut raw.log_max_size, log_size(node, &node.text_or_number()?)?),
    },
    Setting {
        key: Some("log.max-file"),
        flag: None,
        accepts: "a whole number from 1",
        stock: D("3"),
        set: |raw, node, _| put(&mut raw.log_max_files, count(node, 1, 1000)?),
    },
    both(
        "log.driver",
        "log-driver",
        "k8s-file, json-file, local, none, passthrough or journald",
        D("\"k8s-file\""),
        |raw, node, _| match crate::options::LogDriver::parse(node.text()?) {
            Some(driver) => put(&mut raw.log_driver, driver),
            None => Err(node.invalid("no such driver: the others are plugins of docker's daemon")),
        },
    ),
    flag("log-opt", "max-size=SIZE, max-file=N, path=FILE or tag=TEXT", |raw, node, base| {
        match node.text()?.split_once('=') {
            Some(("max-size", size)) => put(&mut raw.log_max_size, log_size(node, size)?),
            Some(("max-file", files)) => put(&mut raw.log_max_files, count(&Node::word(files), 1, 1000)?),
            Some(("path", path)) => put(&mut raw.log_path, base.absolute(path)?),
            Some(("tag", tag)) => put(&mut raw.log_tag, tag.to_owned()),
            _ => Err(node.invalid("no such option of the log")),
        }
    }),
];

fn tty(node: &Node) -> Result<Tty, Invalid> {
    match &node.value {
        Value::Bool(true) => Ok(Tty::Always),
        Value::Bool(false) => Ok(Tty::Never),
        Value::Text(text) | Value::Word(text) => match text.as_str() {
            "auto" => Ok(Tty::Auto),
            "true" | "always" | "1" => Ok(Tty::Always),
            "false" | "never" | "0" => Ok(Tty::Never),
            _ => Err(node.invalid("no such choice")),
        },
        _ => Err(node.wrong_type("true, false or a string")),
    }
}

fn propagation(node: &Node) -> Result<Propagation, Invalid> {
    match node.text()? {
        "private" => Ok(Propagation::Private),
        "shared" => Ok(Propagation::Shared),
        "slave" => Ok(Propagation::Slave),
        "unchanged" => Ok(Propagation::Unchanged),
        _ => Err(node.invalid("no such choice")),
    }
}

fn merged(node: &Node) -> Result<(String, String), Invalid> {
    match grammar::environment(node.text()?)? {
        (key, Some(value)) => Ok((key, value)),
        _ => Err(node.invalid("not KEY=VALUE")),
    }
}

fn environment(node: &Node) -> Result<Vec<(String, Option<String>)>, Invalid> {
    let Value::Table(table) = &node.value else {
        return node.each(|node| grammar::environment(node.text()?));
    };
    let read = |(key, value): &(String, Node)| {
        if key.is_empty() || key.contains(['=', '\0']) {
            return Err(value.at(Invalid::new(key, "not the name of a variable")));
        }
        let text = value.text_or_number().map_err(|error| value.at(error))?;
        Ok((key.clone(), Some(text)))
    };
    table.iter().map(read).collect()
}

fn labels(node: &Node) -> Result<Vec<(String, String)>, Invalid> {
    let Value::Table(table) = &node.value else {
        return node.each(|node| grammar::label(node.text()?));
    };
    let read = |(key, value): &(String, Node)| {
        let text = value.text_or_number().map_err(|error| value.at(error))?;
        grammar::label(&format!("{key}={text}"))
    };
    table.iter().map(read).collect()
}

fn ulimits(node: &Node) -> Result<Vec<crate::options::Ulimit>, Invalid> {
    let Value::Table(table) = &node.value else {
        return node.each(|node| grammar::ulimit(node.text()?));
    };
    let read = |(key, value): &(String, Node)| {
        value
            .text_or_number()
            .and_then(|text| grammar::ulimit(&format!("{key}={text}")))
            .map_err(|error| value.at(error))
    };
    table.iter().map(read).collect()
}

fn log_size(node: &Node, text: &str) -> Result<u64, Invalid> {
    match grammar::size(text)? {
        size if size < 4096 => Err(node.invalid("a log file has at least 4096 bytes")),
        size => Ok(size),
    }
}

fn count(node: &Node, least: u32, most: u32) -> Result<u32, Invalid> {
    let number = node.integer(i64::from(least), i64::from(most))?;
    u32::try_from(number).map_err(|_| node.invalid("too large"))
}

impl Setting {
    /// The setting of a flag, by its long name.
    pub fn of_flag(name: &str) -> Option<&'static Self> {
        settings().find(|setting| setting.flag == Some(name))
    }

    /// Reads what followed its flag.
    ///
    /// # Errors
    /// A value that cannot be used.
    pub fn set_flag(
        &'static self,
        raw: &mut RawRun,
        node: &Node,
        base: &Base,
    ) -> Result<(), super::ConfigError> {
        (self.set)(raw, node, base).map_err(|error| super::ConfigError::Value {
            origin: super::Origin::Flag(self.flag.unwrap_or_default()),
            value: error.value,
            why: error.why,
            // What a file takes besides is no help here.
            accepts: self.accepts.split("; in a file").next().unwrap_or_default(),
        })
    }
}
