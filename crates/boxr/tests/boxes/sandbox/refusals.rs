//! Refusals that explain themselves (issue 7, point 5).

use boxr_testing::{Need, Output, Sandbox, Test, test};

use super::{USERNS, sandbox};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(refusals_name_the_openings_that_would_have_allowed_them, USERNS),
    test!(what_fails_for_another_reason_is_not_told, USERNS),
    test!(a_sandbox_by_landlock_explains_its_refusals_and_ends_what_is_left, Need::Kernel(6, 12)),
];

/// A directory that the sandbox is shown read-only, and one that it is to work in.
fn places(t: &Sandbox) -> [String; 2] {
    for dir in ["project/.git/hooks", "project/hidden", "shared/one/deep", "shared/two", "shared/closed"] {
        std::fs::create_dir_all(t.path(dir)).unwrap();
    }
    for file in ["project/hidden/key", "project/.envrc", "shared/old", "shared/one/kept"] {
        std::fs::write(t.path(file), "as it was\n").unwrap();
    }
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    std::fs::set_permissions(t.path("shared/closed"), closed).unwrap();
    ["shared", "project"].map(|name| t.path(name).canonicalize().unwrap().to_str().unwrap().to_owned())
}

fn told(out: &Output) -> Vec<String> {
    let lines = out.errors();
    lines.lines().filter_map(|line| line.strip_prefix("boxr: ")).map(str::to_owned).collect()
}

fn refusals_name_the_openings_that_would_have_allowed_them(t: &Sandbox) {
    let [shared, project] = places(t);
    let script = format!(
        "touch {shared}/one/a {shared}/two/b; mkdir {shared}/c; rm {shared}/old; chmod 600 {shared}/one/kept; \
         echo x >.git/hooks/pre-commit; echo x >.envrc; cat hidden/key hidden/key; bash -c ': </dev/tcp/192.0.2.1/80'; \
         unshare -n true; echo new >.bashrc; echo own >file"
    );
    let flags =
        ["--explain-refusals", "--allow", &format!("{shared}:ro"), "--hide", &format!("{project}/hidden")];
    let expected = [
        format!("5 writes refused under {shared}: --allow {shared}"),
        format!("1 write refused to {project}/.envrc, which the host uses by itself later: --allow {project}/.envrc"),
        format!(
            "1 write refused to {project}/.git/hooks, which the host uses by itself later: --allow {project}/.git/hooks"
        ),
        format!("2 reads refused of {project}/hidden/key: --allow {project}/hidden/key:ro"),
        "1 connection refused to 192.0.2.1:80: --allow-net, or --allow-net HOST for a program that uses a proxy"
            .to_owned(),
        "refused by the filter of system calls, which nothing opens: unshare (1)".to_owned(),
    ];
    let out = sandbox(t, &flags, &script).run().ok();
    let lines = told(&out);
    for line in &expected {
        assert!(lines.contains(line), "{line}: {}", out.story());
    }
    // What was not there to be protected is named as ever.
    assert!(lines.iter().any(|line| line.contains(".bashrc was made in the sandbox")), "{}", out.story());
    assert_eq!(lines.len(), expected.len() + 1, "{}", out.story());
    // A record tells the same; with the openings nothing is refused.
    std::fs::remove_file(t.path("project/.bashrc")).unwrap();
    let recording = [&["--record", "../record.json"], &flags[1..]].concat();
    assert_eq!(told(&sandbox(t, &recording, &script).run().ok()), lines);
    let open = ["--explain-refusals", "--allow", &shared, "--allow", &format!("{project}/.envrc")];
    let script = format!(
        "set -e; touch {shared}/one/a; mkdir {shared}/c; rm {shared}/old; echo x >.envrc; cat hidden/key"
    );
    assert!(told(&sandbox(t, &open, &script).run().ok()).is_empty());
    t.run(["--explain-refusals", "--", "true"]).run().exits(125).blames("needs --sandbox");
    t.assert_nothing_left();
}

fn what_fails_for_another_reason_is_not_told(t: &Sandbox) {
    let [shared, _] = places(t);
    let script = format!(
        "touch {shared}/closed/x; rm {shared}/none; cat {shared}/none; mkdir {shared}; rmdir .git; cat </dev/null >/proc/version; \
         bash -c ': </dev/tcp/127.0.0.1/1'; ls {shared}/closed; touch {shared}/none/x; echo x >/dev/full; \
         cat /proc/mounts /proc/self/status /proc/thread-self/status /etc/mtab >/dev/null; true"
    );
    let out = sandbox(t, &["--explain-refusals", "--allow", &format!("{shared}:ro")], &script).run().ok();
    assert!(told(&out).is_empty(), "{}", out.story());
    assert!(out.errors().contains("Read-only file system"), "{}", out.story());
}

fn a_sandbox_by_landlock_explains_its_refusals_and_ends_what_is_left(t: &Sandbox) {
    let [shared, project] = places(t);
    let script = format!(
        "touch {shared}/x; cat {shared}/old; setsid sleep 1000 >/dev/null 2>&1 </dev/null & touch {project}/made"
    );
    let flags = ["--landlock", "--explain-refusals", "--allow-degraded=hooks"];
    let out = sandbox(t, &flags, &script).run().ok();
    let lines = told(&out);
    for line in [
        format!("1 write refused under {shared}: --allow {shared}"),
        format!("1 read refused of {shared}/old: --allow {shared}/old:ro"),
    ] {
        assert!(lines.contains(&line), "{line}: {}", out.story());
    }
    assert!(t.path("project/made").exists());
    t.assert_nothing_left();
}
