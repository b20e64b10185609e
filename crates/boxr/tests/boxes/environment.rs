//! What the command starts with: environment, directory, mask.

use boxr_testing::{Need, Sandbox, Test, Tool, test};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    test!(the_callers_environment_goes_in),
    test!(flags_beat_files_beat_the_caller),
    test!(a_name_alone_passes_or_removes),
    test!(clear_env_leaves_path_only),
    test!(env_files_that_are_wrong_are_named),
    test!(the_command_starts_where_the_caller_is),
    test!(workdir_is_where_it_starts),
    test!(workdir_with_a_rootfs, Need::Tool(Tool::Busybox)),
    test!(a_workdir_that_is_not_there_is_named),
    test!(umask_is_the_callers_or_its_own),
    test!(arguments_arrive_as_they_are),
];

fn the_callers_environment_goes_in(t: &Sandbox) {
    t.sh("echo $GIVEN").env("GIVEN", "by the caller").run().ok().prints("by the caller\n");
}

fn flags_beat_files_beat_the_caller(t: &Sandbox) {
    let file = t.file("env", "# a comment\n\nA=file\nB=\"file\"\nC=file=with=equals\nD\n");
    let cmd = t.run(["--env-file", &file, "-e", "A=flag", "-e", "E=", "--", "sh", "-c"]);
    let cmd = cmd.arg("echo \"$A|$B|$C|$D|${E-unset}\"");
    cmd.env("A", "caller").env("D", "caller").run().ok().prints("flag|\"file\"|file=with=equals|caller|\n");
}

fn a_name_alone_passes_or_removes(t: &Sandbox) {
    let cmd = t.run(["--clear-env", "-e", "KEPT", "--", "/bin/sh", "-c", "echo $KEPT $GONE"]);
    cmd.env("KEPT", "kept").env("GONE", "gone").run().ok().prints("kept\n");
    let file = t.file("env", "UNSET_BY_NAME=x\n");
    let cmd =
        t.run(["--env-file", &file, "-e", "UNSET_BY_NAME", "--", "sh", "-c", "echo ${UNSET_BY_NAME-unset}"]);
    cmd.run().ok().prints("unset\n");
}

fn clear_env_leaves_path_only(t: &Sandbox) {
    let out = t.run(["--clear-env", "-e", "A=1", "--", "env"]).env("SECRET", "1").run().ok();
    let mut keys: Vec<_> =
        out.lines().iter().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect();
    keys.sort();
    assert_eq!(keys, ["A", "PATH"]);
}

fn env_files_that_are_wrong_are_named(t: &Sandbox) {
    t.run(["--env-file", "/no/such/file", "--", "true"]).run().exits(125).blames("/no/such/file");
    let file = t.file("env", "A=1\n=2\n");
    t.run(["--env-file", &file, "--", "true"]).run().exits(125).blames(&file).blames("2");
    t.run(["-e", "=x", "--", "true"]).run().exits(125).blames("=x");
}

fn the_command_starts_where_the_caller_is(t: &Sandbox) {
    let dir = t.path("a directory");
    std::fs::create_dir(&dir).unwrap();
    t.run(["--", "pwd"]).cwd(&dir).without_env("PWD").run().ok().prints(&format!("{}\n", dir.display()));
}

fn workdir_is_where_it_starts(t: &Sandbox) {
    t.run(["-w", "/usr", "--", "pwd"]).run().ok().prints("/usr\n");
    t.run(["--workdir", "/usr", "--", "sh", "-c", "cd ..; pwd"]).run().ok().prints("/\n");
}

fn workdir_with_a_rootfs(t: &Sandbox) {
    let root = t.rootfs("root");
    t.run(["--rootfs", &root, "--", "pwd"]).run().ok().prints("/\n");
    t.run(["--rootfs", &root, "-w", "/bin", "--", "pwd"]).run().ok().prints("/bin\n");
}

fn a_workdir_that_is_not_there_is_named(t: &Sandbox) {
    t.run(["-w", "/no/such/dir", "--", "true"]).run().exits(125).blames("/no/such/dir");
    t.assert_nothing_left();
}

fn umask_is_the_callers_or_its_own(t: &Sandbox) {
    t.run(["--umask", "0027", "--", "sh", "-c", "umask"]).run().ok().prints("0027\n");
    t.run(["--umask", "99", "--", "true"]).run().exits(125).blames("99");
}

fn arguments_arrive_as_they_are(t: &Sandbox) {
    let words = ["", " ", "a b", "--flag", "-d", "$HOME", "*", "\"", "'", "\\", "ü", "--"];
    let out = t.run(["--", "printf", "[%s]"]).args(words).run().ok();
    assert_eq!(out.text(), words.map(|word| format!("[{word}]")).concat());
}
