//! What containers of images may do, and what they are told of their surroundings.

use boxr_testing::{Need, Sandbox, Test, Tool, test};

use super::containers::{OVERLAY, nothing_left, offered};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(a_container_may_do_what_dockers_may, Need::Tool(Tool::Busybox), OVERLAY),
    test!(capabilities_decide_on_calls, Need::Tool(Tool::Busybox), OVERLAY),
    test!(a_profile_of_ones_own, Need::Tool(Tool::Busybox), OVERLAY),
    test!(names_of_hosts_are_the_containers_own, Need::Tool(Tool::Busybox), OVERLAY),
    test!(views_of_the_kernel_are_narrowed, Need::Tool(Tool::Busybox), OVERLAY),
    test!(parameters_and_shared_memory, Need::Tool(Tool::Busybox), OVERLAY),
    test!(devices_are_given_one_by_one, Need::Tool(Tool::Busybox), OVERLAY),
    test!(no_device_of_the_host_can_be_made, Need::Tool(Tool::Busybox), OVERLAY),
    test!(privileged_is_everything, Need::Tool(Tool::Busybox), OVERLAY, Need::Root),
    test!(a_root_that_cannot_be_changed, Need::Tool(Tool::Busybox), OVERLAY),
    test!(an_init_reaps, Need::Tool(Tool::Busybox), OVERLAY),
    test!(what_only_images_have_is_said, Need::Tool(Tool::Busybox), OVERLAY),
];

/// Docker's fourteen.
const USUAL: &str = "CapBnd:\t00000000a80425fb\n";

fn a_container_may_do_what_dockers_may(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let rights = "grep -E 'CapBnd|Seccomp:|NoNewPrivs' /proc/self/status";
    let usual = format!("{USUAL}NoNewPrivs:\t0\nSeccomp:\t2\n");
    t.run(["-q", "--rm", &name, rights]).run().ok().prints(&usual);
    t.run(["-d", "--name", "it", &name, "sleep 1000"]).run().ok();
    t.boxr(["exec", "it", "sh", "-c", rights]).run().ok().prints(&usual);
    t.remove(["it"]);
    let more = t.run(["--rm", "--security-opt", "no-new-privileges", "--cap-drop", "ALL", &name, rights]);
    more.run().ok().prints("CapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n");
    nothing_left(t);
}

fn capabilities_decide_on_calls(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let mount = "mount -t tmpfs none /tmp && echo mounted";
    t.run(["-q", "--rm", &name, mount]).run().exits(1).blames("ermission denied");
    t.run(["--rm", "--cap-add", "SYS_ADMIN", &name, mount]).run().ok().prints("mounted\n");
    // Without a filter the capability alone decides.
    let status = "grep Seccomp: /proc/self/status";
    t.run(["--rm", "--security-opt", "seccomp=unconfined", &name, status]).run().ok().prints("Seccomp:\t0\n");
    t.run(["-d", "--name", "it", "--cap-add", "SYS_ADMIN", &name, "sleep 1000"]).run().ok();
    t.boxr(["exec", "it", "sh", "-c", mount]).run().ok().prints("mounted\n");
    t.remove(["it"]);
}

fn a_profile_of_ones_own(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28},
        {"names":["unlink","unlinkat"],"action":"SCMP_ACT_ERRNO","errnoRet":28,"includes":{"caps":["CAP_SYS_BOOT"]}}]}"#;
    let file = format!("seccomp={}", t.file("profile.json", profile));
    let script = "touch /x && rm /x && echo removed; mkdir /y";
    t.run(["-q", "--rm", "--security-opt", &file, &name, script])
        .run()
        .exits(1)
        .prints("removed\n")
        .blames("No space left on device");
    // It is kept with the container, not read again.
    t.run(["-d", "--name", "it", "--security-opt", &file, &name, "sleep 1000"]).run().ok();
    std::fs::remove_file(t.path("profile.json")).unwrap();
    t.boxr(["exec", "it", "mkdir", "/y"]).run().exits(1).blames("No space left on device");
    t.remove(["it"]);
    t.run(["--rm", "--security-opt", &file, &name, "true"]).run().exits(125).blames("No such file");
    let broken = format!("seccomp={}", t.file("broken.json", "{"));
    t.run(["--rm", "--security-opt", &broken, &name, "true"]).run().exits(125).blames("broken.json");
    t.run(["--rm", "--security-opt", "label=type:x", &name, "true"]).run().exits(125).blames("SELinux");
    nothing_left(t);
}

fn names_of_hosts_are_the_containers_own(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let flags = ["--network", "none", "--hostname", "blue", "--add-host", "db:10.0.0.5"];
    let dns = ["--dns", "10.0.0.1", "--dns-search", "example.org", "--dns-option", "ndots:2"];
    let script = "cat /etc/hostname /etc/hosts /etc/resolv.conf; echo 10.0.0.6 more >>/etc/hosts";
    t.run(["-q", "--name", "it"]).args(flags).args(dns).args([&name, script]).run().ok().prints(
        "blue\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.5\tdb\n127.0.1.1\tblue\n\
         search example.org\nnameserver 10.0.0.1\noptions ndots:2\n",
    );
    // Made anew at every start, and nothing of it is the image's or the container's.
    let again = t.boxr(["start", "-a", "it"]).run().ok().text();
    assert!(!again.contains("more"), "{again}");
    t.remove(["it"]);
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let shared = t.run(["--rm", "--network", "host", &name, "cat /etc/hosts"]).run().ok().text();
    assert!(shared.starts_with(hosts.trim_end()), "{shared}");
    t.run(["--rm", "--no-hosts", &name, "cat /etc/hosts"]).run().exits(1);
    t.run(["--rm", "--no-hosts", "--add-host", "a:1.2.3.4", &name, "true"])
        .run()
        .exits(125)
        .blames("--no-hosts");
    let nowhere = ["--rm", "--network", "none", "--add-host", "a:host-gateway", &name, "true"];
    t.run(nowhere).run().exits(125).blames("a:host-gateway");
    t.run(["--rm", "--add-host", "a:b", &name, "true"]).run().exits(125).blames("--add-host a:b");
    nothing_left(t);
}

fn views_of_the_kernel_are_narrowed(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "for path in /proc/kcore /proc/keys; do [ -e $path ] && cat $path | wc -c; done; \
                  ls /sys/firmware | wc -l; \
                  { touch /sys/x /sys/fs/cgroup/x; echo 1 >/proc/sys/kernel/shmmni; } 2>&1 | grep -c 'Read-only'";
    let seen = t.run(["-q", "--rm", &name, script]).run();
    assert_eq!(seen.lines().last().map(String::as_str), Some("3"), "{}", seen.story());
    assert!(seen.lines().iter().rev().skip(1).all(|line| line == "0"), "{}", seen.story());
    let open = ["--rm", "--security-opt", "systempaths=unconfined", &name, "grep -c ' /proc/' /proc/mounts"];
    t.run(open).run().exits(1).prints("0\n");
    // As /proc, so the view of cgroups begins at the container's own.
    t.run(["--rm", &name, "cut -d: -f3 /proc/self/cgroup | sort -u"]).run().ok().prints("/\n");
}

fn parameters_and_shared_memory(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let flags = ["--rm", "--network", "none", "--shm-size", "1m", "--sysctl", "net.core.somaxconn=99"];
    let script = "cat /proc/sys/net/core/somaxconn; df -k /dev/shm | tail -n 1 | awk '{print $2}'";
    t.run(["-q"]).args(flags).args([&name, script]).run().ok().prints("99\n1024\n");
    t.run(["--rm", "--network", "host", "--sysctl", "net.core.somaxconn=99", &name, "true"])
        .run()
        .exits(125)
        .blames("net.core.somaxconn");
    t.run(["--rm", "--ulimit", "nofile=64:64", &name, "ulimit -n"]).run().ok().prints("64\n");
    nothing_left(t);
}

fn devices_are_given_one_by_one(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    t.run(["-q", "--rm", "--device", "/dev/zero:/dev/nothing", &name, "head -c 3 /dev/nothing | wc -c"])
        .run()
        .ok()
        .prints("3\n");
    t.run(["--rm", &name, "ls /dev"]).run().ok().prints(
        "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n",
    );
    t.run(["--rm", "--device", "/dev/no-such-device", &name, "true"])
        .run()
        .exits(125)
        .blames("--device /dev/no-such-device: No such file");
    t.run(["--rm", "--device", "/etc/passwd", &name, "true"]).run().exits(125).blames("it is no device");
    t.run(["--rm", "--device", "vendor.com/gpu=all", &name, "true"])
        .run()
        .exits(125)
        .blames("no device vendor.com/gpu=all is described");
    nothing_left(t);
}

fn no_device_of_the_host_can_be_made(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "mknod /made c 1 11 2>/dev/null; cat /made; echo $?";
    t.run(["-q", "--rm", &name, script]).run().ok().prints("1\n");
    t.run(["--rm", "--cap-drop", "MKNOD", &name, script]).run().ok().prints("1\n");
}

fn privileged_is_everything(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "grep Seccomp: /proc/self/status; mount -t tmpfs none /tmp && echo mounted; \
                  [ -e /dev/kmsg ] && echo device; grep -c ' /proc/' /proc/mounts";
    t.run(["-q", "--rm", "--privileged", &name, script])
        .run()
        .exits(1)
        .prints("Seccomp:\t0\nmounted\ndevice\n0\n");
    t.run(["-d", "--name", "it", "--privileged", &name, "sleep 1000"]).run().ok();
    t.boxr(["exec", "it", "mount", "-t", "tmpfs", "none", "/tmp"]).run().ok();
    t.boxr(["inspect", "-f", "{{.HostConfig.Privileged}}", "it"]).run().ok().prints("true\n");
    t.remove(["it"]);
    nothing_left(t);
}

fn a_root_that_cannot_be_changed(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    let script = "touch /x 2>/dev/null || echo refused; touch /tmp/x && cat /etc/hostname | wc -l";
    t.run(["-q", "--rm", "--read-only", "--tmpfs", "/tmp", &name, script]).run().ok().prints("refused\n1\n");
}

fn an_init_reaps(t: &Sandbox) {
    let (_server, name) = offered(t, r#"{"Entrypoint":["sh","-c"]}"#);
    t.run(["-q", "--rm", "--init", &name, "echo $$; exit 5"]).run().exits(5).prints("2\n");
    t.run(["-d", "--init", "--name", "it", &name, "sleep 1000"]).run().ok();
    t.boxr(["stop", "it"]).run().ok();
    t.boxr(["wait", "it"]).run().ok().prints("143\n");
    t.remove(["it"]);
}

fn what_only_images_have_is_said(t: &Sandbox) {
    for flags in
        [&["--privileged"][..], &["--device", "/dev/null"], &["--dns", "10.0.0.1"], &["--shm-size", "1m"]]
    {
        let refused = t.run(flags).args(["--", "true"]).run().exits(125);
        refused.blames(&format!("{} needs a container of an image", flags[0]));
    }
}
