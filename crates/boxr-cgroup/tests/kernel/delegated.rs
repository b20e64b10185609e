//! An ordinary user in a cgroup that was delegated to it, as systemd delegates one.
//!
//! The test runs its own binary again: root puts it into the cgroup and drops to the user, and
//! [`play`] is what it then does there. It needs version 2 with a memory controller.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use boxr_cgroup::{Controller, Error, Host, Layout, Need, Place, Request};

use crate::support::{Outcome, Test, ensure, resources, unique, words};

/// Set in the process that plays the user.
pub const ROLE: &str = "BOXR_CGROUP_ROLE";

pub const TESTS: &[Test] = &[
    ("delegated_alone", alone),
    ("delegated_with_a_shell", with_a_shell),
    ("delegated_with_a_shell_beside", with_a_sibling),
    ("not_delegated", not_delegated),
    ("delegated_container_beside", container_beside),
    ("not_delegated_container", container_without),
];

/// [`ROLE`] of who makes a container of the OCI runtime's kind.
const CONTAINER: &str = "container";

/// What the user does: one box with a limit, a process in it, its end.
pub fn play() -> ExitCode {
    let played = match std::env::var(ROLE).as_deref() {
        Ok(CONTAINER) => container(),
        _ => box_with_limit(),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            println!("remedy: {}", error.remedy().unwrap_or_default());
            ExitCode::from(match error {
                Error::Occupied { .. } => 3,
                Error::NotDelegated { .. } => 4,
                Error::Missing { .. } => 5,
                _ => 1,
            })
        }
    }
}

/// Where no cgroup may be made there is none without limits, and with limits an error.
fn container() -> Result<(), Error> {
    let host = Host::detect()?;
    let path = Path::new("boxr-test-inner");
    let request = Request { need: Need::IfPossible, ..Request::container("c", Place::Path(path)) };
    let free = host.plan(&request)?;
    let asked = resources(r#"{"memory":{"limit":67108864}}"#);
    let limited = host.plan(&Request { resources: Some(&asked), ..request })?;
    if free.is_empty() {
        println!("none");
    }
    for plan in [free, limited] {
        let group = plan.create()?;
        let Ok(mut child) = Command::new("sleep").arg("1000").spawn() else { return Err(Error::NotMounted) };
        group.add(child.id() as i32)?;
        if child.kill().and_then(|()| child.wait()).is_err() {
            return Err(Error::NotMounted);
        }
        group.remove()?;
    }
    Ok(())
}

fn box_with_limit() -> Result<(), Error> {
    let asked = resources(r#"{"memory":{"limit":67108864}}"#);
    let host = Host::detect()?;
    let group =
        host.plan(&Request { resources: Some(&asked), ..Request::new("boxr-test-inner") })?.create()?;
    let Ok(mut child) = Command::new("sleep").arg("1000").spawn() else { return Err(Error::NotMounted) };
    group.add(child.id() as i32)?;
    group.kill()?;
    if child.wait().is_err() {
        return Err(Error::NotMounted);
    }
    group.remove()
}

/// A cgroup that belongs to user 1000, removed at the end.
struct Delegated(PathBuf);

impl Delegated {
    /// `None` on hosts whose version 2 tree has no memory controller.
    fn new() -> Result<Option<Self>, String> {
        let host = Host::detect().map_err(words)?;
        if host.layout() != Layout::Unified {
            return Ok(None);
        }
        let mount = host.unified.ok_or("no v2")?.mount;
        std::fs::write(mount.join("cgroup.subtree_control"), "+memory").map_err(words)?;
        let this = Self(mount.join(unique()));
        std::fs::create_dir(&this.0).map_err(words)?;
        Ok(Some(this))
    }

    /// Makes the user its owner, as systemd does.
    fn give(&self, directory: &Path) -> Outcome {
        for name in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            std::os::unix::fs::chown(directory.join(name), Some(1000), Some(1000)).map_err(words)?;
        }
        Ok(())
    }

    /// Runs [`play`] as the user in `directory`; with `company` its shell stays there too.
    fn play(&self, directory: &Path, company: bool) -> Result<(Option<i32>, String), String> {
        self.play_role("user", directory, company)
    }

    fn play_role(
        &self,
        role: &str,
        directory: &Path,
        company: bool,
    ) -> Result<(Option<i32>, String), String> {
        let script = format!(
            "echo $$ > {}/cgroup.procs || exit 99; {} setpriv --reuid 1000 --regid 1000 --clear-groups \"$0\"{}",
            directory.display(),
            if company { "" } else { "exec" },
            if company { "; s=$?; true; exit $s" } else { "" }
        );
        let binary = std::env::current_exe().map_err(words)?;
        let output = Command::new("/bin/sh")
            .args([Path::new("-c"), Path::new(&script), &binary])
            .env(ROLE, role)
            .output()
            .map_err(words)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.code(), text + &String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for below in ["boxr-supervisor", "boxr", "scope/boxr-supervisor", "scope", ""] {
            let path = self.0.join(below);
            if path.exists() && std::fs::remove_dir(&path).is_err() {
                eprintln!("left behind: {}", path.display());
            }
        }
    }
}

/// boxr is the only process, as under `systemd-run --scope`: it steps aside.
fn alone() -> Outcome {
    let Some(delegated) = Delegated::new()? else { return no_place() };
    delegated.give(&delegated.0)?;
    let (status, text) = delegated.play(&delegated.0, false)?;
    ensure!(status == Some(0), "status {status:?}: {text}");
    Ok(())
}

/// Somebody else is there, and nothing above is ours: refused with the way out, nobody is moved.
fn with_a_shell() -> Outcome {
    let Some(delegated) = Delegated::new()? else { return no_place() };
    delegated.give(&delegated.0)?;
    let (status, text) = delegated.play(&delegated.0, true)?;
    ensure!(status == Some(3) && text.contains("systemd-run"), "status {status:?}: {text}");
    Ok(())
}

/// Somebody else is there, but the empty cgroup above is ours too: the box goes beside.
fn with_a_sibling() -> Outcome {
    let Some(delegated) = Delegated::new()? else { return no_place() };
    std::fs::write(delegated.0.join("cgroup.subtree_control"), "+memory").map_err(words)?;
    let scope = delegated.0.join("scope");
    std::fs::create_dir(&scope).map_err(words)?;
    delegated.give(&delegated.0)?;
    delegated.give(&scope)?;
    let (status, text) = delegated.play(&scope, true)?;
    ensure!(status == Some(0), "status {status:?}: {text}");
    Ok(())
}

fn not_delegated() -> Outcome {
    let Some(delegated) = Delegated::new()? else { return no_place() };
    let (status, text) = delegated.play(&delegated.0, false)?;
    ensure!(status == Some(4) && text.contains("systemd-run"), "status {status:?}: {text}");
    Ok(())
}

fn container_beside() -> Outcome {
    let Some(delegated) = Delegated::new()? else { return Ok(()) };
    let scope = delegated.0.join("scope");
    std::fs::create_dir(&scope).map_err(words)?;
    delegated.give(&delegated.0)?;
    delegated.give(&scope)?;
    let (status, text) = delegated.play_role(CONTAINER, &scope, true)?;
    ensure!(status == Some(0) && !text.contains("none"), "status {status:?}: {text}");
    Ok(())
}

fn container_without() -> Outcome {
    let Some(delegated) = Delegated::new()? else { return Ok(()) };
    let (status, text) = delegated.play_role(CONTAINER, &delegated.0, false)?;
    // Without a limit it goes without, with one it is told why it cannot have it.
    ensure!(status == Some(4) && text.contains("systemd-run"), "status {status:?}: {text}");
    Ok(())
}

/// Where version 1 has the controllers a user is given none: that is what has to be said.
fn no_place() -> Outcome {
    let host = Host::detect().map_err(words)?;
    ensure!(host.legacy.contains_key(&Controller::Memory), "neither version has a memory controller");
    let binary = std::env::current_exe().map_err(words)?;
    let output = Command::new("setpriv")
        .args(["--reuid", "1000", "--regid", "1000", "--clear-groups"])
        .arg(binary)
        .env(ROLE, "user")
        .output()
        .map_err(words)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(5) && text.contains("--memory"), "{:?}: {text}", output.status);
    Ok(())
}
