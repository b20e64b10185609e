//! The command line itself: help, mistakes, the stock configuration, completions.

use std::ffi::OsString;

use boxr_testing::{Cmd, Sandbox, Test, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(help_goes_to_stdout),
    test!(mistakes_are_named_and_nothing_is_printed),
    test!(words_that_are_not_utf8_are_refused),
    test!(stock_configuration_is_written_once),
    test!(completions_are_shell),
    test!(a_reader_that_has_gone_ends_it_quietly),
    test!(colours_are_for_terminals),
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
        (&["pull", "alpine"], "pull is not in this version"),
        (&["run", "--hostnam", "x", "--", "sh"], "the nearest flag is --hostname"),
        (&["run", "-read-only", "--", "sh"], "the nearest flag is --read-only"),
        (&["run", "-p", "80:80", "--", "sh"], "-p is not in this version"),
        (&["run", "--restart=always", "--", "sh"], "--restart is not in this version"),
        (&["ps", "-x"], "unknown flag -x"),
        (&["ps", "extra"], "unexpected argument extra"),
        (&["run", "-m"], "-m needs a value"),
        (&["run", "--rm=maybe", "--", "sh"], "--rm=maybe"),
        (&["stop"], "CONTAINER is missing, and so is --all"),
        (&["stop", "--all", "web"], "--all stands in place of CONTAINER"),
        (&["rename", "web"], "NAME is missing"),
        (&["completion", "tcsh"], "bash, zsh and fish"),
        (&["help", "frobnicate"], "unknown command frobnicate"),
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
