//! The worlds that tests run in (ARCHITECTURE.md, "Tests").

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use boxr_testing::Tool;
use tempfile::TempDir;

use super::programs::{Program, Programs};
use super::tally::Tally;
use crate::{Outcome, cargo, top};

/// Ids of the ordinary users: nobody's on a usual system.
const NAMED_UID: u32 = 64321;
const NAMELESS_UID: u32 = 64322;

/// Who and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// Whoever runs this command, with unit tests: root, where it is root.
    Root,
    /// An ordinary user with a name and subordinate ids; with unit tests where it runs this command.
    User,
    /// A user that /etc/passwd does not know, as in many CI jobs; the tests about users.
    Nameless,
    /// Root on a kernel with one cgroup tree of version 2, in User Mode Linux; the tests about limits.
    CgroupV2,
    /// Root on a machine that systemd runs, in User Mode Linux, with each of its layouts of cgroups; the
    /// tests about systemd.
    Systemd,
}

impl World {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Root, Self::User, Self::Nameless, Self::CgroupV2, Self::Systemd];

    /// Its name on the command line and in the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
            Self::Nameless => "nameless",
            Self::CgroupV2 => "cgroup2",
            Self::Systemd => "systemd",
        }
    }

    /// Why this machine cannot offer it; `None` when it can.
    pub fn missing(self) -> Option<String> {
        let root = rustix::process::geteuid().is_root();
        match self {
            Self::Root => (!root).then(|| "needs root".to_owned()),
            Self::User if !root => None,
            Self::User => cannot_mount(),
            Self::Nameless => (!root).then(|| "needs root, to become another user".to_owned()),
            Self::CgroupV2 if !uml().exists() => Some(".ci/uml/run is not there".into()),
            Self::CgroupV2 => {
                Tool::UserModeLinux.path().is_none().then(|| "user-mode-linux is not installed".to_owned())
            }
            Self::Systemd => Self::CgroupV2.missing().or_else(no_systemd_root),
        }
    }

    /// Runs what belongs into this world.
    pub fn run(self, programs: &Programs, filter: Option<&str>, tally: &mut Tally) -> Outcome {
        let root = rustix::process::geteuid().is_root();
        match self {
            Self::User if root => as_user(programs, &User::named(), filter, tally),
            Self::Root | Self::User => as_caller(programs, filter, tally),
            Self::Nameless => as_user(programs, &User::nameless(), filter.or(Some("users::")), tally),
            Self::CgroupV2 => in_uml(programs, filter, tally),
            Self::Systemd => under_systemd(programs, filter, tally),
        }
    }
}

/// All tests as they are, documentation's included.
fn as_caller(programs: &Programs, filter: Option<&str>, tally: &mut Tally) -> Outcome {
    for program in &programs.tests {
        let mut command = Command::new(&program.path);
        command.args(filter).current_dir(package_dir(program));
        tally.run(&label(program), command)?;
    }
    if filter.is_none() {
        let mut command = cargo();
        command.args(["test", "--quiet", "--workspace", "--doc"]).args(["--", "--format", "pretty"]);
        tally.run("documentation", command)?;
    }
    Ok(())
}

/// Where cargo runs a test program.
fn package_dir(program: &Program) -> PathBuf {
    let dir = top().join("crates").join(&program.package);
    if dir.exists() { dir } else { top().join(&program.package) }
}

fn label(program: &Program) -> String {
    format!("{}/{}", program.package, program.target)
}

/// A user that this command makes up.
struct User {
    uid: u32,
    /// The files of /etc that tell of it, or nothing.
    named: bool,
}

impl User {
    fn named() -> Self {
        Self { uid: NAMED_UID, named: true }
    }

    fn nameless() -> Self {
        Self { uid: NAMELESS_UID, named: false }
    }
}

/// The integration tests as another user. Programs are copied to where that user can read them,
/// and nothing on this machine changes: the names of the user stand in files that are mounted
/// over those of /etc in a mount namespace which ends with the tests.
fn as_user(programs: &Programs, user: &User, filter: Option<&str>, tally: &mut Tally) -> Outcome {
    let dir = tempfile::Builder::new().prefix("boxr-world-").tempdir().map_err(|error| error.to_string())?;
    let home = Home::make(&dir, user).map_err(|error| format!("{}: {error}", dir.path().display()))?;
    for program in programs.tests.iter().filter(|program| program.integration) {
        let mut command = home.command(user);
        command.arg(home.copy(&program.path)?).args(filter);
        if let Some(built) = programs.built.get(&program.package) {
            command.env("BOXR_TEST_BIN", home.copy(built)?);
        }
        tally.run(&label(program), command)?;
    }
    Ok(())
}

/// The directories of a made-up user, below a temporary one.
struct Home {
    dir: PathBuf,
}

impl Home {
    fn make(dir: &TempDir, user: &User) -> std::io::Result<Self> {
        let dir = dir.path().to_owned();
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755))?;
        for (name, mode) in [("home", 0o755), ("run", 0o700), ("tmp", 0o755)] {
            let path = dir.join(name);
            std::fs::create_dir(&path)?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode))?;
            chown(&path, Some(user.uid), Some(user.uid))?;
        }
        for name in ["bin", "etc"] {
            std::fs::create_dir(dir.join(name))?;
        }
        if user.named {
            write_names(&dir, user.uid)?;
        }
        Ok(Self { dir })
    }

    fn copy(&self, program: &Path) -> Result<PathBuf, String> {
        let to = self.dir.join("bin").join(program.file_name().unwrap_or_default());
        std::fs::copy(program, &to).map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(to)
    }

    /// A command that becomes the user and runs the words that follow.
    fn command(&self, user: &User) -> Command {
        let id = user.uid.to_string();
        let become_user =
            ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all", "--"];
        let mut command;
        if user.named {
            // sh(1): mounts each file of etc/ that the machine has too, then runs its arguments.
            let script = r#"for f in "$0"/etc/*; do t=/etc/${f##*/}; [ ! -e "$t" ] || mount --bind "$f" "$t"; done; exec "$@""#;
            command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "--", "sh", "-ec", script]).arg(&self.dir);
            command.args(become_user);
        } else {
            command = Command::new(become_user[0]);
            command.args(&become_user[1..]);
        }
        let home = self.dir.join("home");
        command.current_dir(&home).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", home).env("XDG_RUNTIME_DIR", self.dir.join("run"));
        command.env("TMPDIR", self.dir.join("tmp")).env("LANG", "C.UTF-8");
        command
    }
}

fn write_names(dir: &Path, uid: u32) -> std::io::Result<()> {
    let home = dir.join("home");
    let lines = [
        ("passwd", format!("boxrtest:x:{uid}:{uid}::{}:/bin/sh\n", home.display())),
        ("group", format!("boxrtest:x:{uid}:\n")),
        ("subuid", "boxrtest:1000000:65536\n".to_owned()),
        ("subgid", "boxrtest:1000000:65536\n".to_owned()),
    ];
    for (name, line) in lines {
        let known = std::fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default();
        std::fs::write(dir.join("etc").join(name), known + &line)?;
    }
    Ok(())
}

fn cannot_mount() -> Option<String> {
    let output = Command::new("unshare").args(["--mount", "--", "true"]).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

fn uml() -> PathBuf {
    top().join(".ci/uml/run")
}

/// The integration tests that a kernel of its own tells something new about: limits, those of pods too, what is
/// mounted in which way and how calls are watched, since that one is older than most.
const IN_UML: &[&str] = &[
    "limits::",
    "pods::images::",
    "rootfs::",
    "mounts::",
    "own_binary::",
    "sandbox::refusals::",
    "sandbox::explain",
    "records::",
    QUOTAS,
    WIRE,
];
/// Most kernels of virtual machines have no quotas.
const QUOTAS: &str = "quotas::";
const FOR_QUOTAS: &[&str] = &["-k", "overlay", "-k", "quota_v2", "-k", "loop"];
/// Nor ipvlan.
const WIRE: &str = "network::wire::";
const FOR_WIRE: &[&str] = &["-k", "veth", "-k", "nf_tables", "-k", "macvlan", "-k", "ipvlan"];

/// Those, and all of the crate that owns the limits, on a kernel of their own.
fn in_uml(programs: &Programs, filter: Option<&str>, tally: &mut Tally) -> Outcome {
    for program in &programs.tests {
        let filters: Vec<_> = match filter {
            Some(filter) => vec![Some(filter)],
            None if program.package == "boxr-cgroup" => vec![None],
            None if program.integration => IN_UML.iter().copied().map(Some).collect(),
            None => Vec::new(),
        };
        for filter in filters {
            let mut command = Command::new(uml());
            match filter {
                Some(filter) if filter.starts_with(QUOTAS) => command.args(FOR_QUOTAS),
                Some(filter) if filter.starts_with(WIRE) => command.args(FOR_WIRE),
                _ => &mut command,
            };
            command.arg("--").arg(&program.path).args(filter).current_dir(top());
            tally.run(&label(program), command)?;
        }
    }
    Ok(())
}

/// The root file system of the machine that systemd runs is made on first use.
fn no_systemd_root() -> Option<String> {
    let output = Command::new(top().join(".ci/uml/systemd-root")).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// The tests with `systemd` in their name; a filter chooses among them.
fn under_systemd(programs: &Programs, filter: Option<&str>, tally: &mut Tally) -> Outcome {
    for program in programs.tests.iter().filter(|program| program.integration) {
        let names: Vec<String> = names(program)?
            .into_iter()
            .filter(|name| name.contains("systemd") && filter.is_none_or(|filter| name.contains(filter)))
            .collect();
        // Booting takes longer than most tests.
        if names.is_empty() {
            continue;
        }
        for layout in ["unified", "hybrid"] {
            let mut command = Command::new(uml());
            command.args(["-s", layout, "-t", "120", "--"]).arg(&program.path).current_dir(top());
            command.arg(filter.unwrap_or("systemd"));
            tally.run(&format!("{} ({layout})", label(program)), command)?;
        }
    }
    Ok(())
}

/// The tests that a program has.
fn names(program: &Program) -> Result<Vec<String>, String> {
    let output = Command::new(&program.path).arg("--list").output();
    let output = output.map_err(|error| format!("{}: {error}", program.path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}
