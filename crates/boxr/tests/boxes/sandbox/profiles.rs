//! Profiles of sandboxes, and a project's own.

use boxr_testing::{Cmd, Need, Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(profiles_are_listed_shown_and_edited),
    test!(a_profile_opens_what_it_says_and_flags_add_to_it, USERNS),
    test!(a_projects_profile_counts_only_as_it_was_approved, USERNS),
    test!(attack_a_command_cannot_open_its_own_sandbox, USERNS),
];

const USERNS: Need = Need::UserNamespaces;

fn config(t: &Sandbox, name: &str, text: &str) {
    let dir = t.layout().home.join(".config/boxr/sandbox");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(format!("{name}.toml")), text).unwrap();
}

fn run(t: &Sandbox, sandbox: &str, flags: &[&str], script: &str) -> Cmd {
    std::fs::create_dir_all(t.path("project")).unwrap();
    t.run([sandbox])
        .args(flags)
        .args(["--", "sh", "-c", script])
        .without_env("XDG_CONFIG_HOME")
        .cwd(t.path("project"))
}

fn profiles_are_listed_shown_and_edited(t: &Sandbox) {
    let boxr = |words: &[&str]| {
        t.boxr(words)
            .without_env("XDG_CONFIG_HOME")
            .without_env("VISUAL")
            .env("EDITOR", "sed -i s/agent/mine/")
    };
    let out = boxr(&["sandbox", "ls"]).run().ok();
    for name in ["agent", "cargo", "node", "python", "shell"] {
        assert!(
            out.lines().iter().any(|line| line.starts_with(name) && line.contains(" boxr ")),
            "{}",
            out.story()
        );
    }
    boxr(&["sandbox", "show", "agent"])
        .run()
        .ok()
        .shows("# agent (boxr)")
        .shows("# cargo (boxr)")
        .shows("crates.io:443");
    boxr(&["sandbox", "edit", "agent"]).run().ok();
    let own = t.layout().home.join(".config/boxr/sandbox/agent.toml");
    assert!(std::fs::read_to_string(&own).unwrap().contains("a coding mine"));
    boxr(&["sandbox", "ls"]).run().ok().shows("a coding mine");
    boxr(&["sandbox", "edit", "new"]).run().ok();
    boxr(&["sandbox", "show", "new"]).run().ok().shows("inherits = [\"shell\"]");
    std::fs::write(&own, "allow = 1\n").unwrap();
    for words in [&["show", "agent"][..], &["edit", "agent"]] {
        boxr(&[&["sandbox"], words].concat()).run().exits(125).blames("line 1");
    }
    for (words, what) in [
        (&["show", "none"][..], "there is none"),
        (&["show", "../x"], "no name of a profile"),
        (&["frob"], "frob"),
        (&["edit", "a/b"], "no name of a profile"),
    ] {
        let out = boxr(&[&["sandbox"], words].concat()).run();
        assert!(!out.status.success(), "{}", out.story());
        out.blames(what);
    }
}

fn a_profile_opens_what_it_says_and_flags_add_to_it(t: &Sandbox) {
    for name in ["one", "two"] {
        std::fs::write(t.layout().home.join(name), format!("{name}\n")).unwrap();
    }
    config(t, "base", "allow = [\"~/one:ro\", \"?~/missing\"]\nallow-env = [\"MY_TOKEN\"]\n");
    config(t, "mine", "inherits = [\"base\"]\nallow-net = [\"example.org\"]\n");
    let script = "cat ~/one; cat ~/two 2>/dev/null || echo none; echo $MY_TOKEN ${HTTP_PROXY-none}";
    run(t, "--sandbox=mine", &[], script)
        .env("MY_TOKEN", "t")
        .run()
        .ok()
        .prints("one\nnone\nt http://127.0.0.1:1080\n");
    let two = t.layout().home.join("two").to_str().unwrap().to_owned();
    run(t, "--sandbox=base", &["--allow", &two], script)
        .env("MY_TOKEN", "t")
        .run()
        .ok()
        .prints("one\ntwo\nt none\n");
    run(t, "--sandbox=none", &[], "true").run().exits(125).blames("boxr sandbox ls");
    config(t, "bad", "allow = [\"~/missing\"]\n");
    run(t, "--sandbox=bad", &[], "true").run().exits(125).blames("missing");
}

fn a_projects_profile_counts_only_as_it_was_approved(t: &Sandbox) {
    std::fs::create_dir_all(t.path("project")).unwrap();
    std::fs::create_dir(t.path("beside")).unwrap();
    std::fs::write(t.path("beside/file"), "beside\n").unwrap();
    let beside = t.path("beside").canonicalize().unwrap();
    // Below the home directory, it would be covered.
    std::fs::write(t.layout().home.join("seen"), "seen\n").unwrap();
    std::fs::write(t.path("project/.boxr.toml"), "allow = [\"~/seen:ro\", \"../beside\"]\n").unwrap();
    let script = format!("cat ~/seen; echo x >{}/made", beside.display());
    let out = run(t, "--sandbox", &[], &script).run().exits(125);
    out.blames("is not approved").blames("boxr sandbox approve");
    run(t, "--sandbox=default", &[], "cat ~/seen").run().exits(1);
    let approve = || t.boxr(["sandbox", "approve"]).cwd(t.path("project")).run();
    approve().ok().prints("allow = [\"~/seen:ro\", \"../beside\"]\n");
    run(t, "--sandbox", &[], &script).run().ok().prints("seen\n");
    assert!(t.path("beside/made").exists());
    std::fs::write(t.path("project/.boxr.toml"), "allow = [\"~/seen\"]\n").unwrap();
    run(t, "--sandbox", &[], "true").run().exits(125).blames("has changed");
    // Another project with the same words is another project.
    std::fs::create_dir(t.path("other")).unwrap();
    std::fs::write(t.path("other/.boxr.toml"), "allow = [\"~/seen:ro\", \"../beside\"]\n").unwrap();
    t.run(["--sandbox", "--", "true"]).cwd(t.path("other")).run().exits(125).blames("is not approved");
    std::fs::write(t.path("project/.boxr.toml"), "nonsense").unwrap();
    let out = approve();
    assert!(!out.status.success(), "{}", out.story());
    t.boxr(["sandbox", "approve", "/"]).run().blames(".boxr.toml");
    std::fs::remove_dir_all(t.layout().root.join("sandbox")).unwrap();
}

/// A command writes a profile for the next run of itself.
fn attack_a_command_cannot_open_its_own_sandbox(t: &Sandbox) {
    std::fs::write(t.layout().home.join("seen"), "seen\n").unwrap();
    let out = run(t, "--sandbox", &[], "echo 'allow = [\"~/seen\"]' >.boxr.toml; mkdir -p ~/.config/boxr/sandbox; echo >~/.config/boxr/sandbox/shell.toml").run().ok();
    out.blames(".boxr.toml was made in the sandbox");
    assert!(!t.layout().home.join(".config/boxr/sandbox/shell.toml").exists());
    run(t, "--sandbox", &[], "cat ~/seen").run().exits(125).blames("is not approved");
}
