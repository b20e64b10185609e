//! `boxr system boot-unit`: the unit of systemd's that starts boxes with the host, and stops them with it.

use std::fmt::Write;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::{Globals, Invocation};
use crate::report::{Report, io_text, write_stdout};
use crate::whole_file::WholeFile;

/// Its name.
const NAME: &str = "boxr-boot.service";

/// Carries out `boxr system boot-unit`: prints the unit, or with `--install` writes it where systemd looks.
///
/// # Errors
/// boxr's own path is not known; the file cannot be written.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let is_user = !rustix::process::geteuid().is_root();
    let program = program(&invocation)?;
    let text = unit(&program, &invocation.globals, is_user);
    if !invocation.switch("install") {
        write_stdout(&text)?;
        return Ok(0);
    }
    let path = place(is_user)?.join(NAME);
    let failed = |error: std::io::Error| {
        Report::new(format!("cannot write {}: {}", path.display(), io_text(&error))).status(1)
    };
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    let mut file = WholeFile::create(&path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.commit().map_err(failed)?;
    write_stdout(&format!("{}\n", path.display()))?;
    let (scope, linger) = if is_user { (" --user", "; loginctl enable-linger") } else { ("", "") };
    // What is left to the person, who may want it in an image of a system that does not run.
    let hint = format!("now: systemctl{scope} daemon-reload; systemctl{scope} enable {NAME}{linger}");
    drop(writeln!(std::io::stderr().lock(), "{hint}"));
    Ok(0)
}

/// The program that systemd is to run.
fn program(invocation: &Invocation) -> Result<PathBuf, Report> {
    if let Some(path) = invocation.value("program") {
        return Ok(PathBuf::from(path));
    }
    let unknown = |why: String| {
        Report::new(format!("where boxr is cannot be told: {why}"))
            .suggest("boxr system boot-unit --program /usr/local/bin/boxr")
    };
    let path = std::env::current_exe().map_err(|error| unknown(io_text(&error)))?;
    if path.is_file() { Ok(path) } else { Err(unknown(format!("{} is not a file", path.display()))) }
}

/// Where systemd looks for what an administrator, or a user, has written (systemd.unit(5)).
fn place(is_user: bool) -> Result<PathBuf, Report> {
    if !is_user {
        return Ok("/etc/systemd/system".into());
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
    let config =
        config.ok_or_else(|| Report::new("neither XDG_CONFIG_HOME nor HOME says where units are"))?;
    Ok(config.join("systemd/user"))
}

fn unit(program: &Path, globals: &Globals, is_user: bool) -> String {
    let mut boxr = word(&program.to_string_lossy());
    for (flag, path) in [("--root", &globals.root), ("--state", &globals.state)] {
        if let Some(path) = path {
            write!(boxr, " {flag} {}", word(&path.to_string_lossy())).unwrap_or_default();
        }
    }
    let target = if is_user { "default.target" } else { "multi-user.target" };
    let network = if is_user { "" } else { "Wants=network-online.target\nAfter=network-online.target\n" };
    format!(
        "[Unit]\n\
         Description=Boxes of boxr that start with the host\n\
         {network}\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         # Boxes have limits below this unit's cgroup.\n\
         Delegate=yes\n\
         ExecStart={boxr} start --filter should-start-on-boot=true\n\
         ExecStop={boxr} stop --shutdown --filter should-start-on-boot=true\n\
         TimeoutStartSec=infinity\n\
         TimeoutStopSec=3min\n\
         \n\
         [Install]\n\
         WantedBy={target}\n"
    )
}

/// A word of a command line of systemd's (systemd.service(5), "Command lines"; systemd.syntax(7), quoting).
fn word(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
    if is_plain { escaped } else { format!("\"{escaped}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_what_systemd_reads() {
        let globals = Globals { root: Some("/srv/a b%".into()), ..Globals::default() };
        let text = unit(Path::new("/usr/bin/boxr"), &globals, false);
        let start =
            "ExecStart=/usr/bin/boxr --root \"/srv/a b%%\" start --filter should-start-on-boot=true\n";
        assert!(text.contains(start), "{text}");
        assert!(text.contains("WantedBy=multi-user.target") && text.contains("After=network-online.target"));
        let text = unit(Path::new("/usr/bin/boxr"), &Globals::default(), true);
        assert!(text.contains("WantedBy=default.target") && !text.contains("network-online"), "{text}");
    }

    #[test]
    fn words_are_quoted() {
        assert_eq!(word("/a/b-1"), "/a/b-1");
        assert_eq!(word("/a \"b\"$c"), "\"/a \\\"b\\\"$$c\"");
    }
}
