//! The command line itself: help, mistakes, the stock configuration, completions.

use std::ffi::OsString;

use boxr_testing::{Cmd, Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(help_goes_to_stdout),
    test!(mistakes_are_named_and_nothing_is_printed),
    test!(words_that_are_not_utf8_are_refused),
    test!(stock_configuration_is_written_once),
    test!(values_that_cannot_be_are_named),
    test!(a_file_is_run),
    test!(a_file_that_cannot_be_is_placed),
    test!(the_json_of_old_is_run),
    test!(completions_are_shell),
    test!(a_reader_that_has_gone_ends_it_quietly),
    test!(colours_are_for_terminals),
    test!(debug_says_what_is_done),
];

fn help_goes_to_stdout(t: &Sandbox) {
    t.boxr([""; 0]).run().ok().quiet().shows("boxr run -- sh");
    t.boxr(["--help"]).run().ok().quiet().shows("Run boxes:");
    t.boxr(["--version"]).run().ok().quiet().shows("boxr version ");
    let help = t.boxr(["ps", "--help"]).run().ok().quiet().shows("Usage: boxr ps").text();
    t.boxr(["help", "ps"]).run().ok().quiet().prints(&help);
    t.boxr(["ps", "-h"]).run().ok().quiet().prints(&help);
    // In run, -h is docker's hostname.
    t.boxr(["run", "-h"]).run().exits(125).prints("").blames("-h needs a value");
}

fn mistakes_are_named_and_nothing_is_printed(t: &Sandbox) {
    for (words, told) in [
        (&["rnu", "--", "sh"][..], "the nearest command is run"),
        (&["run", "--hostnam", "x", "--", "sh"], "the nearest flag is --hostname"),
        (&["run", "-read-only", "--", "sh"], "the nearest flag is --read-only"),
        (&["ps", "-x"], "unknown flag -x"),
        (&["ps", "extra"], "unexpected argument extra"),
        (&["run", "-m"], "-m needs a value"),
        (&["run", "--rm=maybe", "--", "sh"], "--rm=maybe"),
        (&["stop"], "CONTAINER is missing, and so is --all"),
        (&["stop", "--all", "web"], "--all stands in place of CONTAINER"),
        (&["rename", "web"], "NAME is missing"),
        (&["completion", "tcsh"], "bash, zsh and fish"),
        (&["help", "frobnicate"], "unknown command frobnicate"),
        (&["build", "."], "buildah and BuildKit"),
    ] {
        t.boxr(words).run().exits(125).prints("").blames("error: ").blames(told).blames("try: ");
    }
}

fn words_that_are_not_utf8_are_refused(t: &Sandbox) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let word = OsStr::from_bytes(b"caf\xe9");
    t.boxr([OsStr::new("run"), OsStr::new("--"), word]).run().exits(125).prints("").blames("not UTF-8: caf");
}

fn stock_configuration_is_written_once(t: &Sandbox) {
    let file = t.path("box.toml");
    t.boxr([OsString::from("config"), file.clone().into()]).run().ok().quiet().prints("");
    let text = std::fs::read_to_string(&file).unwrap();
    t.boxr(["config"]).run().ok().quiet().prints(&text);
    t.boxr(["config", "-"]).run().ok().quiet().prints(&text);
    t.boxr([OsString::from("config"), file.clone().into()])
        .run()
        .exits(125)
        .blames("exists already")
        .blames("try: boxr config --force");
    t.boxr([OsString::from("config"), "--force".into(), file.clone().into()]).run().ok().quiet();
    std::fs::remove_file(&file).unwrap();
    let json = t.boxr(["config", "--format", "json"]).run().ok().quiet().text();
    assert!(json.contains("\"namespaces\": {"), "{json}");
    t.boxr(["config", "/no/such/directory/box.toml"]).run().exits(125).blames("ENOENT");
}

fn values_that_cannot_be_are_named(t: &Sandbox) {
    let long = "x".repeat(300);
    for (words, told) in [
        (&["--pid", "nwe"][..], "--pid nwe: no such mode"),
        (&["--net", "pid:x"], "--network pid:x"),
        (&["--ns", "pdi=new"], "pdi is not a kind of namespace"),
        (&["--memory", "12q"], "--memory 12q"),
        (&["--memory=1g", "--memory-swap=1m"], "memory and swap together are less"),
        (&["--name", ""], "empty"),
        (&["--name", "a/b"], "'/'"),
        (&["--name", &long], "300 bytes"),
        (&["--rootfs", "/"], "host's own root"),
        (&["--rootfs", "/no/such/directory"], "ENOENT"),
        (&["--rootfs", "/proc/self/exe"], "not a directory"),
        (&["--uts", "host", "-h", "x"], "try: --uts new"),
        (&["--rm", "--keep"], "cannot both be"),
        (&["-d", "--die-with-parent"], "cannot both be"),
        (&["-v", "/tmp:/x", "--tmpfs", "/x"], "two mounts at /x"),
        (&["--cap-add", "NET_ADMN"], "the nearest is NET_ADMIN"),
        (&["--ulimit", "nofile=2:1"], "above the hard one"),
        (&["--user", "no-such-user"], "not in /etc/passwd"),
        (&["--env-file", "/no/such/file"], "ENOENT"),
        (&["--stop-signal", "NOPE"], "no such signal"),
        (&["--timeout", "soon"], "not a time"),
    ] {
        t.run(words).args(["--", "true"]).run().exits(125).prints("").blames("error: ").blames(told);
    }
    t.run([""; 0]).run().exits(125).prints("").blames("no command to run");
}

fn a_file_is_run(t: &Sandbox) {
    let text = "args = [\"sh\", \"-c\", \"hostname; echo $COLOUR; pwd\"]\nhostname = \"blue\"\nworkdir = \"/tmp\"\n\
                [env]\nCOLOUR = \"red\"\n";
    let file = t.file("box.toml", text);
    t.run(["-f", &file]).run().ok().quiet().prints("blue\nred\n/tmp\n");
    // Flags and the words after -- beat the file.
    t.run(["-f", &file, "-h", "green", "-e", "COLOUR=grey"]).run().ok().prints("green\ngrey\n/tmp\n");
    t.run(["-f", &file, "--", "hostname"]).run().ok().prints("blue\n");
    t.run(["-f", "-"]).stdin(text).run().ok().prints("blue\nred\n/tmp\n");
    // The stock file runs as it is.
    let stock = t.boxr(["config"]).run().ok().text();
    let stock = t.file("stock.toml", stock);
    t.run(["-f", &stock]).stdin("echo $$\n").run().ok().prints("1\n");
    for file in ["box.toml", "stock.toml"] {
        std::fs::remove_file(t.path(file)).unwrap();
    }
}

fn a_file_that_cannot_be_is_placed(t: &Sandbox) {
    for (name, text, told) in [
        ("a.toml", "hostnam = \"x\"\n", "a.toml:1: unknown key hostnam"),
        ("b.toml", "\n[limits]\nmemroy = 1\n", "the nearest key is limits.memory"),
        ("c.toml", "detach = \"yes\"\n", "c.toml:1: detach \"yes\": a string where true or false"),
        ("d.toml", "args = [\n", "d.toml:"),
        ("e.json", "{\n\"args\": [\"sh\"],\n\"rot\": 1}", "e.json:3: unknown key rot"),
        ("f.json", "{\"args\": [1]}", "f.json:1: args 1: a whole number where a string is expected"),
        ("g.toml", "hostname = \"x\"\n", "g.toml has no args"),
    ] {
        let file = t.file(name, text);
        t.run(["-f", &file]).run().exits(125).prints("").blames(told);
        std::fs::remove_file(t.path(name)).unwrap();
    }
    t.run(["-f", "/no/such/box.toml"]).run().exits(125).blames("ENOENT").blames("try: boxr config");
    t.run(["-f", "/tmp"]).run().exits(125).blames("EISDIR");
}

fn the_json_of_old_is_run(t: &Sandbox) {
    let text = r#"{"namespaces":{"pid":true,"network":false,"mount":false,"uts":true,"ipc":false,"user":false,
        "cgroup":false},"detach":false,"args":["sh","-c","echo $$"]}"#;
    let file = t.file("box.json", text);
    if rustix::process::geteuid().is_root() {
        t.run(["-f", &file]).run().ok().quiet().prints("1\n");
    } else {
        // "user": false is a word: nobody else than root can do without a user namespace.
        t.run(["-f", &file]).run().exits(125).prints("").blames("--userns");
    }
    std::fs::remove_file(t.path("box.json")).unwrap();
}

fn completions_are_shell(t: &Sandbox) {
    let script = t.boxr(["completion", "bash"]).run().ok().quiet().text();
    Cmd::new("bash").arg("-n").stdin(script).run().ok().quiet();
    t.boxr(["completion", "zsh"]).run().ok().quiet().shows("#compdef boxr");
    t.boxr(["completion", "fish"]).run().ok().quiet().shows("complete -c boxr");
}

fn a_reader_that_has_gone_ends_it_quietly(t: &Sandbox) {
    let boxr = t.program().display();
    let script = format!("exec 3> >(:); wait $!; '{boxr}' help run >&3; echo $?");
    Cmd::new("bash").args(["-c", &script]).run().ok().quiet().prints("141\n");
    let script = format!("'{boxr}' help run >/dev/full");
    Cmd::new("bash").args(["-c", &script]).run().exits(125).blames("cannot write to stdout: No space left");
}

fn colours_are_for_terminals(t: &Sandbox) {
    let mut terminal = t.terminal(24, 80, &["ps", "--nope"]);
    terminal.expect("\x1b[1;31merror:");
    terminal.finish().exits(125);
}

fn debug_says_what_is_done(t: &Sandbox) {
    t.boxr(["--debug", "run", "--", "true"]).run().ok().prints("").blames("the box is {").blames("status 0");
    let log = t.path("log");
    t.boxr(["--log", log.to_str().unwrap(), "run", "--pid", "nwe", "--", "true"]).run().exits(125);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("run --pid=\"nwe\""), "{text}");
    assert!(text.lines().all(|line| line.starts_with("boxr[")), "{text}");
    std::fs::remove_file(log).unwrap();
    t.boxr(["run", "--", "true"]).run().ok().quiet();
}
