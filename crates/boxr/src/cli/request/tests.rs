use super::*;
use crate::cli::{Globals, lexer, table};
use boxr_engine::options::{NamespaceMode, Retention, Tty};

fn invocation(words: &[&str]) -> Invocation {
    let command = table::find(words[0]).unwrap();
    let words = words[1..].iter().map(|word| (*word).to_owned()).collect();
    let matches = lexer::lex(command.flags, command.order, words).unwrap();
    Invocation { command, globals: Globals::default(), matches }
}

fn read(words: &[&str]) -> Result<(BoxOptions, RunRequest), Report> {
    let caller = Caller { directory: "/here".into(), ..Caller::default() };
    let purpose = if words[0] == "create" { Purpose::Create } else { Purpose::Run };
    resolve(invocation(words), purpose, &caller, None)
}

#[test]
fn a_host_command() {
    let (options, request) =
        read(&["run", "-it", "--net", "new", "-m64m", "--rm=false", "--", "ls", "-l", "--rm"]).unwrap();
    assert_eq!(options.args, ["ls", "-l", "--rm"]);
    assert_eq!((options.interactive, options.tty), (true, Tty::Always));
    assert_eq!(options.namespaces.network, NamespaceMode::New);
    assert_eq!(options.limits.memory, Some(64 << 20));
    assert_eq!(options.retention, Retention::Kept);
    assert_eq!(request, RunRequest { detach_keys: vec![16, 17], ..RunRequest::default() });
}

#[test]
fn an_image_stands_before_the_dashes() {
    let word = |words: &[&str]| image_word(&invocation(words)).map(str::to_owned);
    for words in [&["run", "alpine"][..], &["run", "-it", "alpine", "sh"], &["create", "alpine", "--", "sh"]]
    {
        assert_eq!(word(words).as_deref(), Some("alpine"));
    }
    assert_eq!((word(&["run", "--", "alpine"]), word(&["run", "-f", "x"])), (None, None));
    let report = refuse_rootfs(&invocation(&["run", "--rootfs", "/x", "sh", "-l"]), "sh").unwrap_err();
    assert_eq!(report.tries, ["boxr run --rootfs /x -- sh -l"]);
}

#[test]
fn no_command_is_said() {
    assert!(read(&["run"]).unwrap_err().tries[0].contains("boxr run -- sh"));
    assert!(read(&["run", "-d", "--"]).is_err());
}

#[test]
fn values_that_cannot_be_are_named() {
    for (words, part) in [
        (&["run", "-m", "12q", "--", "x"][..], "--memory 12q"),
        (&["run", "--pid", "nwe", "--", "x"], "--pid nwe"),
        (&["run", "--name", "a/b", "--", "x"], "--name a/b"),
        (&["run", "--name", "", "--", "x"], "empty"),
        (&["run", "--name", &"x".repeat(300), "--", "x"], "the most"),
        (&["run", "--status-fd", "-1", "--", "x"], "--status-fd -1"),
        (&["run", "--security-opt", "frob=x", "--", "x"], "--security-opt frob=x"),
        (&["run", "--privileged", "--", "x"], "--privileged needs a container of an image"),
    ] {
        let report = read(words).unwrap_err();
        assert!(report.to_string().contains(part), "{report}");
        assert_eq!(report.status, 125);
    }
}

#[test]
fn a_file_gives_way_to_flags_and_words() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("box.toml");
    std::fs::write(&file, "args = [\"zsh\"]\nhostname = \"blue\"\ndetach = true\n").unwrap();
    let file = file.to_str().unwrap();
    let (options, request) = read(&["run", "-f", file]).unwrap();
    assert_eq!((options.args, request.detach), (vec!["zsh".to_owned()], true));
    let (options, request) =
        read(&["run", "-f", file, "--detach=false", "--hostname", "red", "--", "sh"]).unwrap();
    assert_eq!((options.args, request.detach), (vec!["sh".to_owned()], false));
    assert_eq!(options.hostname.as_deref(), Some("red"));
    let (options, request) = read(&["create", "-f", file]).unwrap();
    assert_eq!((options.retention, request.detach), (Retention::Kept, false));
}

#[test]
fn a_dry_run_explains() {
    let (_, request) = read(&["run", "--dry-run", "--", "x"]).unwrap();
    assert!(request.explain && request.dry_run);
}

#[test]
fn every_setting_has_a_flag_in_the_table_and_the_other_way() {
    let flags: Vec<&str> = table::RUN.flags().map(|flag| flag.long).collect();
    for setting in config::settings() {
        if let Some(flag) = setting.flag {
            assert!(flags.contains(&flag), "no --{flag}");
        }
    }
    for flag in table::SETTINGS
        .iter()
        .chain(table::LIMITS)
        .chain(table::AT_START)
        .chain(table::BESIDES)
        .chain(table::SANDBOX)
    {
        assert!(Setting::of_flag(flag.long).is_some(), "--{} has no setting", flag.long);
    }
}
