//! Flags of docker's and podman's `run` that few boxes need.

use boxr_testing::{Need, Sandbox, Test, Tool, test, wait_until};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(variables_are_taken_away_and_passed_on, Need::Tool(Tool::Busybox), OVERLAY),
    test!(users_of_the_host_and_unknown_ones_get_lines, Need::Tool(Tool::Busybox), OVERLAY, Need::ManyIds),
    test!(an_init_of_the_hosts_comes_first),
    test!(an_init_of_the_hosts_runs_a_container, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_time_zone_is_bound),
    test!(another_execution_domain),
    test!(scratch_places_of_a_read_only_root, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_becomes_of_an_images_volumes, Need::Tool(Tool::Busybox), OVERLAY),
    test!(directories_that_are_roots_know_names_too, Need::Tool(Tool::Busybox), OVERLAY),
    test!(an_image_brings_its_filter, Need::Tool(Tool::Busybox), OVERLAY),
    test!(only_some_streams_are_connected),
    test!(a_signal_that_is_not_passed_on_ends_boxr_alone),
    test!(annotations_are_kept),
    test!(checks_come_faster_at_the_start, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_platform_part_by_part, Need::Tool(Tool::Busybox), OVERLAY),
    test!(the_monitor_tells_its_pid),
    test!(what_has_no_meaning_here_is_said),
    test!(a_container_is_made_for_systemd, Need::Tool(Tool::Busybox), OVERLAY),
    test!(the_image_goes_with_the_box, Need::Tool(Tool::Busybox), OVERLAY),
];

fn variables_are_taken_away_and_passed_on(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Env":["A=image","B=image"]}"#);
    let show = [&name, "sh", "-c", "echo $A-$B-$C-$http_proxy"];
    let run = |flags: &[&str]| {
        let cmd = t.run(["-q", "--rm"]).args(flags).args(show).env("C", "mine");
        cmd.env("http_proxy", "http://proxy:3128").without_env("HTTP_PROXY").run().ok().text()
    };
    assert_eq!(run(&[]), "image-image--http://proxy:3128\n");
    assert_eq!(run(&["--http-proxy=false"]), "image-image--\n");
    assert_eq!(run(&["--unsetenv", "A", "--http-proxy=false"]), "-image--\n");
    assert_eq!(
        run(&["--unsetenv", "A", "-e", "A=said", "--env-host"]),
        "said-image-mine-http://proxy:3128\n"
    );
    let out =
        t.run(["--rm", "--unsetenv-all", "--http-proxy=false", &name, "/bin/sh", "-c", "echo $A-$B"]).run();
    out.ok().prints("-\n");
    let out = t.run(["--unsetenv", "C", "--", "sh", "-c", "echo ${C-none}"]).env("C", "mine").run();
    out.ok().prints("none\n");
    nothing_left(t);
}

fn users_of_the_host_and_unknown_ones_get_lines(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    let show = [&name, "sh", "-c", "tail -n 1 /etc/passwd; tail -n 1 /etc/group"];
    let run = |flags: &[&str]| t.run(["-q", "--rm"]).args(flags).args(show).run();
    let plain = run(&["-u", "77:78"]).ok();
    assert!(plain.text().starts_with("ann:"), "as docker: {}", plain.text());
    run(&["-u", "77:78", "--passwd"]).ok().prints("77:*:77:78:container user:/:/bin/sh\n78:x:78:77\n");
    let lines =
        ["--passwd-entry", "me:x:$UID:$GID:$NAME:$HOME:/bin/no", "--group-entry", "us:x:$GID:$USERLIST"];
    run(&[&["-u", "77:78", "-w", "/srv"], &lines[..]].concat())
        .ok()
        .prints("me:x:77:78:container user:/srv:/bin/no\nus:x:78:77\n");
    run(&["-u", "ann", "--passwd"]).ok().shows("ann:x:1000");
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let known: Vec<&str> = passwd.lines().last().unwrap().split(':').collect();
    let line = format!("{}:*:{}:{}:", known[0], known[2], known[3]);
    run(&["--hostuser", known[0]]).ok().shows(&line);
    run(&["--hostuser", "no-such-user"]).exits(125).blames("no-such-user");
    run(&["--passwd-entry", "x"]).exits(125).blames("--passwd-entry");
    t.run(["--hostuser", known[0], "--", "true"]).run().exits(125).blames("a container of an image");
    nothing_left(t);
}

/// A script that says what it was given, and runs it.
fn init(t: &Sandbox) -> String {
    let path = t.file("init", "#!/bin/sh\necho init $1 in $$\nshift\nexec \"$@\"\n");
    let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
    path
}

fn an_init_of_the_hosts_comes_first(t: &Sandbox) {
    let init = init(t);
    t.run(["--init-path", &init, "--", "echo", "ran"]).run().ok().prints("init -- in 1\nran\n");
    t.run(["--init-path", "/no/such", "--", "true"]).run().exits(125).blames("--init-path");
    t.assert_nothing_left();
}

fn an_init_of_the_hosts_runs_a_container(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    let init = init(t);
    t.run(["-q", "-d", "--name", "it", "--init-path", &init, &name, "sleep", "1000"]).run().ok();
    wait_until("it runs", || t.boxr(["logs", "it"]).run().text() == "init -- in 1\n");
    // Only the first process is behind it.
    t.boxr(["exec", "it", "echo", "beside"]).run().ok().prints("beside\n");
    t.boxr(["inspect", "-f", "{{.Path}}", "it"]).run().ok().prints("sleep\n");
    t.remove(["it"]);
    nothing_left(t);
}

fn a_time_zone_is_bound(t: &Sandbox) {
    if !std::path::Path::new("/usr/share/zoneinfo/Asia/Tokyo").exists() {
        t.run(["--tz", "Asia/Tokyo", "--", "date", "+%Z"]).run().exits(125).blames("--tz Asia/Tokyo");
        return;
    }
    t.run(["--tz", "Asia/Tokyo", "--", "date", "+%Z"]).without_env("TZ").run().ok().prints("JST\n");
    t.run(["--tz", "local", "--", "true"]).run().ok();
    for zone in ["Mars/Base", "../passwd", "/etc/passwd", ""] {
        t.run(["--tz", zone, "--", "true"]).run().exits(125).blames("--tz");
    }
    t.assert_nothing_left();
}

fn another_execution_domain(t: &Sandbox) {
    let show = ["--", "cat", "/proc/self/personality"];
    t.run(["--personality", "linux32"]).args(show).run().ok().prints("00000008\n");
    t.run(["--personality", "BSD", "--", "true"]).run().exits(125).blames("--personality BSD");
}

fn scratch_places_of_a_read_only_root(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    let script = "echo x >/tmp/x && echo x >/run/x && echo x >/var/tmp/x && cat /tmp/x; touch /x";
    let run = |flags: &[&str]| t.run(["-q", "--rm"]).args(flags).args([&name, "sh", "-c", script]).run();
    run(&["--read-only", "--read-only-tmpfs"]).exits(1).prints("x\n").blames("/x");
    // As docker: nothing at all can be written.
    run(&["--read-only"]).exits(1).prints("").blames("/tmp/x");
    nothing_left(t);
}

fn what_becomes_of_an_images_volumes(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Volumes":{"/data":{}}}"#);
    let kind = "grep ' /data ' /proc/mounts | cut -d ' ' -f 3";
    let run = |how: &str| t.run(["-q", "--rm", "--image-volume", how, &name, "sh", "-c", kind]).run();
    run("tmpfs").ok().prints("tmpfs\n");
    run("ignore").ok().prints("");
    assert_ne!(run("bind").ok().text(), "");
    run("other").exits(125).blames("--image-volume other");
    nothing_left(t);
}

fn directories_that_are_roots_know_names_too(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    let script = "cmp /etc/hosts /srv/root/etc/hosts && cat /srv/root/etc/hostname";
    let out =
        t.run(["-q", "--rm", "--hostname", "blue", "--chrootdirs", "/srv/root", &name, "sh", "-c", script]);
    out.run().ok().prints("blue\n");
    t.run(["--chrootdirs", "srv", &name, "true"]).run().exits(125).blames("--chrootdirs srv");
    nothing_left(t);
}

fn an_image_brings_its_filter(t: &Sandbox) {
    let profile = r#"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\"],
        \"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}]}"#
        .replace(['\n'], " ");
    let config = format!(r#"{{"Labels":{{"io.containers.seccomp.profile":"{profile}"}}}}"#);
    let (_server, name) = offered(t, &config);
    t.run(["-q", "--rm", &name, "mkdir", "/made"]).run().ok();
    t.run(["--rm", "--seccomp-policy", "default", &name, "mkdir", "/made"]).run().ok();
    t.run(["--rm", "--seccomp-policy", "image", &name, "mkdir", "/made"])
        .run()
        .exits(1)
        .blames("Function not implemented");
    nothing_left(t);
}

fn only_some_streams_are_connected(t: &Sandbox) {
    let script = ["--", "sh", "-c", "echo out; echo err >&2; exit 5"];
    let run = |flags: &[&str]| t.run(flags).args(script).run().exits(5);
    run(&["-a", "stdout"]).quiet().prints("out\n");
    assert_eq!(run(&["-a", "stderr"]).prints("").errors(), "err\n");
    let both = run(&["-a", "stdout", "-a", "stderr"]).prints("out\n");
    assert_eq!(both.errors(), "err\n");
    t.run(["-a", "stdin", "-a", "stdout", "-i", "--", "cat"]).stdin("typed\n").run().ok().prints("typed\n");
    t.run(["-a", "all", "--", "true"]).run().exits(125).blames("--attach all");
    t.run(["-d", "-a", "stdout", "--", "true"]).run().exits(125).blames("--attach");
    t.assert_nothing_left();
}

fn a_signal_that_is_not_passed_on_ends_boxr_alone(t: &Sandbox) {
    let mut running = t
        .run([
            "--sig-proxy=false",
            "--name",
            "it",
            "--",
            "sh",
            "-c",
            "trap 'echo got it' TERM; echo up; sleep 1000",
        ])
        .spawn();
    running.expect("up");
    running.signal(rustix::process::Signal::TERM);
    running.finish().exits(143);
    t.boxr(["inspect", "-f", "{{.State.Status}}", "it"]).run().ok().prints("running\n");
    t.remove(["it"]);
    t.assert_nothing_left();
}

fn annotations_are_kept(t: &Sandbox) {
    t.boxr(["create", "--name", "it", "--annotation", "org.example.a=b", "--", "true"]).run().ok();
    let format = "{{index .HostConfig.Annotations \"org.example.a\"}}";
    t.boxr(["inspect", "-f", format, "it"]).run().ok().prints("b\n");
    t.remove(["it"]);
}

fn checks_come_faster_at_the_start(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sleep","1000"]}"#);
    let check = ["--health-cmd", "true", "--health-interval", "1h", "--health-start-period", "1h"];
    t.run(["-q", "-d", "--name", "it"])
        .args(check)
        .args(["--health-start-interval", "50ms", &name])
        .run()
        .ok();
    let format = "{{.State.Health.Status}} {{len .State.Health.Log}}";
    wait_until("it is checked again and again", || {
        t.boxr(["inspect", "-f", format, "it"]).run().text() == "healthy 5\n"
    });
    t.remove(["it"]);
    nothing_left(t);
}

fn a_platform_part_by_part(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    let arch = boxr_testing::images::architecture();
    t.run(["-q", "--rm", "--os", "linux", "--arch", arch, &name, "true"]).run().ok();
    let out = t.run(["--rm", "--pull", "never", "--arch", "s390x", &name, "true"]).run();
    out.exits(125).blames("not for linux/s390x");
    let out = t.run(["--rm", "--platform", "linux", "--arch", "s390x", &name, "true"]).run();
    out.exits(125).blames("--platform");
    nothing_left(t);
}

fn the_monitor_tells_its_pid(t: &Sandbox) {
    let file = t.path("monitor");
    t.detached("it", ["--conmon-pidfile", file.to_str().unwrap(), "--", "sleep", "1000"]);
    let pid = std::fs::read_to_string(&file).unwrap();
    t.boxr(["inspect", "-f", "{{.Monitor.Pid}}", "it"]).run().ok().prints(&pid);
    t.remove(["it"]);
}

fn what_has_no_meaning_here_is_said(t: &Sandbox) {
    let out = t.run(["--runtime", "crun", "--", "true"]).run().ok();
    assert!(out.errors().contains("--runtime crun has no effect"), "{}", out.story());
    t.run(["--runtime", "boxr", "--disable-content-trust", "--", "true"]).run().ok().quiet();
    t.run(["--volume-driver", "local", "--isolation", "default", "--", "true"]).run().ok().quiet();
    for (flag, value) in [("--runtime", "runsc"), ("--volume-driver", "nfs"), ("--isolation", "hyperv")] {
        t.run([flag, value, "--", "true"]).run().exits(125).blames(flag);
    }
    t.run(["--disable-content-trust=false", "--", "true"]).run().exits(125).blames("notary");
    t.assert_nothing_left();
}

fn a_container_is_made_for_systemd(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Cmd":["sleep","1000"]}"#);
    // Nobody is given a cgroup of version 1, which is not safe to divide by others than the host's root.
    let is_root = rustix::process::geteuid().is_root();
    let userns = if is_root { &["--userns", "host"][..] } else { &[] };
    t.run(["-q", "-d", "--name", "it", "--systemd=always"]).args(userns).args([&name]).run().ok();
    let script = "cut -d ' ' -f 2,3 /proc/mounts | grep -E '^/(run|run/lock|tmp|var/log/journal) tmpfs'; tr '\\0' '\\n' </proc/1/environ | grep ^container=";
    let out = t.boxr(["exec", "it", "sh", "-c", script]).run().ok();
    let text = "/run tmpfs\n/run/lock tmpfs\n/tmp tmpfs\n/var/log/journal tmpfs\ncontainer=oci\n";
    assert_eq!(out.lines().into_iter().collect::<std::collections::BTreeSet<_>>().len(), 5, "{}", out.text());
    assert!(text.lines().all(|line| out.text().contains(line)), "{}", out.text());
    t.boxr(["inspect", "-f", "{{.Config.StopSignal}}", "it"]).run().ok().prints("RTMIN+3\n");
    if is_root {
        // It divides its cgroup: below the first hierarchy that there is.
        let divide = "dir=/sys/fs/cgroup; [ -e $dir/cgroup.procs ] || dir=$dir/systemd; [ -d $dir ] || exit 0; mkdir $dir/part && rmdir $dir/part";
        t.boxr(["exec", "it", "sh", "-c", divide]).run().ok();
    }
    t.remove(["it"]);
    t.boxr(["create", "--name", "it", &name, "/sbin/init"]).run().ok();
    t.boxr(["inspect", "-f", "{{.Config.StopSignal}}", "it"]).run().ok().prints("RTMIN+3\n");
    t.remove(["it"]);
    t.boxr(["create", "--name", "it", "--systemd=false", &name, "/sbin/init"]).run().ok();
    t.boxr(["inspect", "-f", "{{.Config.StopSignal}}", "it"]).run().ok().prints("SIGTERM\n");
    t.remove(["it"]);
    t.run(["--systemd=perhaps", &name, "true"]).run().exits(125).blames("--systemd perhaps");
    nothing_left(t);
}

fn the_image_goes_with_the_box(t: &Sandbox) {
    let (_server, name) = offered(t, "{}");
    t.boxr(["create", "-q", "--name", "user", &name, "true"]).run().ok();
    t.run(["--rmi", &name, "echo", "ran"]).run().ok().prints("ran\n");
    t.boxr(["image", "exists", &name]).run().ok();
    t.remove(["user"]);
    t.run(["--rmi", &name, "sh", "-c", "exit 3"]).run().exits(3);
    t.boxr(["images", "-q"]).run().ok().prints("");
    t.run(["--rmi", "-d", &name]).run().exits(125).blames("--rmi");
    t.run(["--rmi", "--", "true"]).run().exits(125).blames("--rmi");
    nothing_left(t);
}
