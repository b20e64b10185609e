//! What `inspect` prints: docker's keys where boxr has the thing, and boxr's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxr_engine::config::grammar::mode_text;
use boxr_engine::health::Health;
use boxr_engine::image::ContainerOptions;
use boxr_engine::logs::LogPlace;
use boxr_engine::options::{BoxOptions, IdMapping, NamespaceMode, Root, Tty, User};
use boxr_engine::record::{Exit, Record, State};
use boxr_engine::store::Observed;
use boxr_sys::namespace::NamespaceKind;
use serde::Serialize;
use serde_json::{Value, json};

use super::host::{host_config, mounts};
use super::value;
use crate::format::{condition, time};

/// A box.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct View {
    id: String,
    created: String,
    path: String,
    args: Vec<String>,
    state: StateView,
    image: String,
    log_path: String,
    name: String,
    /// The id of its pod; empty where it is a member of none.
    pod: String,
    restart_count: u32,
    driver: String,
    platform: String,
    /// Ids of what is started before it.
    dependencies: Vec<String>,
    graph_driver: Value,
    #[serde(rename = "ExecIDs")]
    exec_ids: Value,
    mount_label: &'static str,
    process_label: &'static str,
    app_armor_profile: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    mounts: Vec<Value>,
    host_config: Value,
    config: Value,
    network_settings: Value,
    namespaces: BTreeMap<&'static str, NamespaceView>,
    #[serde(skip_serializing_if = "Value::is_null")]
    user_ids: Value,
    monitor: Value,
    cgroup: Value,
    paths: PathsView,
    options: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StateView {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    /// In uninterruptible sleep, or its end not written down yet.
    unresponsive: bool,
    pid: i32,
    /// `null` where nobody saw it.
    exit_code: Option<u8>,
    error: String,
    started_at: String,
    finished_at: String,
    health: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NamespaceView {
    mode: String,
    /// The number that lsns(8) prints; `null` while the box does not run.
    id: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PathsView {
    state: PathBuf,
    data: Option<PathBuf>,
    log: Option<PathBuf>,
}

/// What a view is made of.
pub(super) struct Sources<'a> {
    pub state: &'a State,
    pub observed: Observed,
    /// `None` where it cannot be read.
    pub record: Option<&'a Record>,
    /// In the state root.
    pub dir: &'a Path,
    /// In the data root.
    pub data: Option<PathBuf>,
    /// Bytes on disk, if they were asked for.
    pub size: Option<u64>,
    /// What it has of networks.
    pub attachment: Option<boxr_network::Attachment>,
    /// Its links, in docker's words.
    pub links: Vec<String>,
}

/// Makes the view of a box.
pub(super) fn make(sources: Sources<'_>) -> View {
    let Sources { state, observed, record, dir, data, size, attachment, links } = sources;
    let standard = BoxOptions::default();
    let options = record.map_or(&standard, |record| &record.options);
    let has_log = options.log_to.driver.is_file();
    let log = data.as_deref().filter(|_| has_log).map(|data| LogPlace::of(data, &options.log_to).path());
    let pid = state.process.filter(|_| condition::is_up(observed)).map_or(0, |process| process.pid);
    let supervisor = state.supervisor;
    View {
        id: state.id.clone(),
        pod: state.pod.clone().unwrap_or_default(),
        created: time::rfc3339(state.created),
        path: options.args.first().cloned().unwrap_or_default(),
        args: options.args.get(1..).unwrap_or_default().to_vec(),
        state: state_view(state, observed, pid),
        image: match options.root.image() {
            Some(image) => image.id.to_string(),
            None => state.image.clone(),
        },
        log_path: log.as_ref().map_or_else(String::new, |path| path.display().to_string()),
        name: state.name.clone(),
        restart_count: state.again.count,
        driver: "boxr".to_owned(),
        platform: "linux".to_owned(),
        dependencies: options.requires.clone(),
        graph_driver: json!({"Name": "overlayfs", "Data": {}}),
        exec_ids: Value::Null,
        mount_label: "",
        process_label: "",
        app_armor_profile: options
            .container
            .iter()
            .find_map(|container| container.apparmor.clone())
            .unwrap_or_default(),
        size_rw: size,
        mounts: mounts(options, data.as_deref()),
        host_config: host_config(options, links),
        config: config(state, options),
        network_settings: super::networks::settings(attachment.as_ref()),
        namespaces: namespaces(options, pid),
        user_ids: user_ids(options),
        monitor: json!({
            "Pid": supervisor.map(|process| process.pid),
            "Running": supervisor.is_some_and(|process| process.is_alive()),
            "Monitored": state.monitored,
        }),
        cgroup: value(&state.cgroup),
        paths: PathsView { state: dir.to_owned(), data, log },
        options: record.map_or(Value::Null, |record| value(&record.options)),
    }
}

fn state_view(state: &State, observed: Observed, pid: i32) -> StateView {
    let status = condition::state(observed);
    let moment = |time: Option<i64>| time.map_or_else(|| time::NEVER.to_owned(), time::rfc3339);
    StateView {
        status,
        running: condition::is_up(observed),
        paused: status == "paused",
        restarting: status == "restarting",
        oom_killed: oom_killed(state),
        dead: false,
        unresponsive: matches!(observed, Observed::Unresponsive | Observed::Ending),
        pid,
        exit_code: match observed {
            Observed::Exited(Exit::Unknown) | Observed::Ending => None,
            Observed::Exited(exit) | Observed::Restarting(exit) => Some(exit.status()),
            _ => Some(0),
        },
        error: state.error.clone().unwrap_or_default(),
        started_at: moment(state.started),
        finished_at: moment(state.finished),
        health: health(state),
    }
}

/// How its health checks went; `null` where it has none.
fn health(state: &State) -> Value {
    let Some(health) = &state.health else { return Value::Null };
    let log: Vec<Value> = health
        .log
        .iter()
        .map(|check| {
            json!({
                "Start": time::rfc3339(check.start),
                "End": time::rfc3339(check.end),
                "ExitCode": check.exit,
                "Output": check.output,
            })
        })
        .collect();
    json!({ "Status": health.condition.word(), "FailingStreak": health.streak, "Log": log })
}

/// Whether the kernel has killed a process of it for want of memory, in its last run.
fn oom_killed(state: &State) -> bool {
    let Some(location) = &state.cgroup else { return state.oom_killed };
    let kills = boxr_cgroup::Cgroup::open(location).and_then(|cgroup| cgroup.oom_kills());
    kills.is_ok_and(|count| count.is_some_and(|count| count > 0))
}

/// By name; what is secret is nowhere.
fn secrets(options: &BoxOptions) -> Value {
    let of = |container: &ContainerOptions| {
        container
            .secrets
            .iter()
            .map(|one| json!({ "Name": one.secret, "ID": one.id, "Use": one.how }))
            .collect()
    };
    options.container.as_deref().map_or_else(|| json!([]), |container| Value::Array(of(container)))
}

fn config(state: &State, options: &BoxOptions) -> Value {
    let hostname = match (&options.hostname, &options.namespaces.uts) {
        (Some(name), _) => name.clone(),
        (None, NamespaceMode::New) if options.root.image().is_some() => {
            state.id.get(..12).unwrap_or(&state.id).to_owned()
        }
        (None, NamespaceMode::New) => state.name.clone(),
        (None, _) => String::new(),
    };
    let entrypoint = options.container.as_ref().map_or(0, |container| container.entrypoint.len());
    let user = match (&options.container, &options.user) {
        (Some(container), _) => container.user.clone(),
        (None, user) => user.as_ref().map(user_word).unwrap_or_default(),
    };
    json!({
        "Hostname": hostname,
        "Domainname": options.domainname.clone().unwrap_or_default(),
        "User": user,
        "Tty": state.tty || options.tty == Tty::Always,
        "OpenStdin": options.interactive,
        "AttachStdin": false,
        "AttachStdout": false,
        "AttachStderr": false,
        "ExposedPorts": exposed(options),
        "Healthcheck": options.container.as_ref().and_then(|container| container.health.as_ref()).map(healthcheck),
        "OnBuild": null,
        "Env": options.env,
        "Secrets": secrets(options),
        "Cmd": options.args.get(entrypoint..),
        "Image": state.image,
        "Entrypoint": options.container.as_ref().map(|container| &container.entrypoint),
        "WorkingDir": options.workdir.clone().unwrap_or_default(),
        "Labels": state.labels,
        "StopSignal": options.stop_signal.clone().unwrap_or_else(|| "SIGTERM".to_owned()),
        "StopTimeout": options.stop_timeout,
        "Rootfs": match &options.root {
            Root::Host => Path::new(""),
            Root::Directory(path) => path.as_path(),
            Root::Image(_) => Path::new(""),
        },
    })
}

/// Ports that the image or its caller says it listens on.
fn exposed(options: &BoxOptions) -> BTreeMap<String, Value> {
    let of_image = options.container.iter().flat_map(|container| container.ports.iter().cloned());
    let said = options.network.exposed.iter();
    let said =
        said.flat_map(|spec| spec.container.ports().map(|port| format!("{port}/{}", spec.protocol.name())));
    of_image.chain(said).map(|port| (port, json!({}))).collect()
}

/// In docker's words; times are nanoseconds.
fn healthcheck(health: &Health) -> Value {
    let test: Vec<&str> = match health.test.as_slice() {
        [shell, flag, line] if shell == "/bin/sh" && flag == "-c" => vec!["CMD-SHELL", line],
        words => ["CMD"].into_iter().chain(words.iter().map(String::as_str)).collect(),
    };
    let nanos = |millis: u64| millis.saturating_mul(1_000_000);
    json!({
        "Test": test,
        "Interval": nanos(health.interval),
        "Timeout": nanos(health.timeout),
        "StartPeriod": nanos(health.start_period),
        "StartInterval": nanos(health.start_interval),
        "Retries": health.retries,
    })
}

fn user_word(user: &User) -> String {
    format!("{}:{}", user.uid, user.gid)
}

/// Whose ids a container of an image has, and why.
fn user_ids(options: &BoxOptions) -> Value {
    let Some(container) = &options.container else { return Value::Null };
    let (uids, gids) = match &options.id_mapping {
        IdMapping::Explicit { uids, gids } => (value(uids), value(gids)),
        IdMapping::Root | IdMapping::Caller => (Value::Null, Value::Null),
    };
    json!({
        "Mode": container.user_ids.mode,
        "Why": container.user_ids.why,
        "Layers": container.user_ids.layers.as_ref().map(|shift| shift.contents),
        "UidMap": uids,
        "GidMap": gids,
    })
}

fn namespaces(options: &BoxOptions, pid: i32) -> BTreeMap<&'static str, NamespaceView> {
    NamespaceKind::ALL
        .into_iter()
        .map(|kind| {
            let mode = options.namespaces.get(kind).map_or_else(|| "auto".to_owned(), mode_text);
            (
                kind.word(),
                NamespaceView { mode, id: boxr_engine::status::namespace_id(pid, kind).filter(|_| pid != 0) },
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::template::Template;
    use crate::format::tests::state;
    use boxr_engine::record::FORMAT;

    fn view(observed: Observed) -> Value {
        let state = state();
        let mut options = BoxOptions {
            args: vec!["sleep".to_owned(), "1000".to_owned()],
            env: vec!["A=1".to_owned(), "B=2".to_owned()],
            workdir: Some("/tmp".into()),
            ..BoxOptions::default()
        };
        options.limits.memory = Some(1 << 20);
        options.limits.cpus_milli = Some(1500);
        let record = Record { format: FORMAT, id: state.id.clone(), options };
        let data = Some(PathBuf::from("/d"));
        let dir = Path::new("/s");
        value(make(Sources {
            state: &state,
            observed,
            record: Some(&record),
            dir,
            data,
            size: None,
            attachment: None,
            links: Vec::new(),
        }))
    }

    fn shown(template: &str) -> String {
        let mut text = String::new();
        Template::parse(template).unwrap().render(&view(Observed::Exited(Exit::Code(3))), &mut text).unwrap();
        text
    }

    #[test]
    fn what_scripts_ask_docker() {
        for (template, expected) in [
            ("{{.Name}} {{.State.Status}} {{.State.Running}} {{.State.ExitCode}}", "web exited false 3"),
            ("{{.State.Pid}} {{.State.OOMKilled}} {{.State.StartedAt}}", "0 false 0001-01-01T00:00:00Z"),
            ("{{.Created}}", "2026-01-02T03:04:05Z"),
            ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n"),
            ("{{join .Config.Cmd \" \"}} {{.Config.Hostname}} {{.Config.WorkingDir}}", "sleep 1000 web /tmp"),
            ("{{index .Config.Labels \"com.example.tier\"}}", "front"),
            ("{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", "1048576 1500000000"),
            ("{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.NetworkMode}}", "no host"),
            ("{{.LogPath}} {{json .Args}}", "/d/log [\"1000\"]"),
            ("{{.Namespaces.pid.Mode}} {{.Namespaces.user.Mode}}", "new auto"),
        ] {
            assert_eq!(shown(template), expected, "{template}");
        }
    }

    #[test]
    fn an_end_that_nobody_saw_has_no_number() {
        assert_eq!(view(Observed::Exited(Exit::Unknown))["State"]["ExitCode"], Value::Null);
        assert_eq!(view(Observed::Created)["State"]["ExitCode"], 0);
    }
}
