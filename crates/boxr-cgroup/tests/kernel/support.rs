//! What the tests share: boxes with a name of their own that are removed when a test ends,
//! also by a failure.

use std::io::Write;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use boxr_cgroup::{Cgroup, Host, Place, Request, Unit};
use oci_spec::runtime::LinuxResources;

/// What a test returns: its failure in words.
pub type Outcome = Result<(), String>;
/// A test and its name.
pub type Test = (&'static str, fn() -> Outcome);

/// Fails with words when a condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition { return Err(format!($($words)+)); }
    };
}
pub(crate) use ensure;

/// Any error as words.
pub fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A name that no other test, in no other process, has.
pub fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("boxr-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The specification's resources from JSON.
pub fn resources(json: &str) -> LinuxResources {
    match serde_json::from_str(json) {
        Ok(resources) => resources,
        Err(error) => panic!("{json}: {error}"),
    }
}

/// A cgroup that is emptied and removed at the end of the test.
pub struct TestGroup(pub Cgroup);

impl TestGroup {
    /// A box with these limits on this host.
    pub fn new(json: &str) -> Result<Self, String> {
        Self::on(&Host::detect().map_err(words)?, json)
    }

    /// A box with these limits on what `host` says there is.
    pub fn on(host: &Host, json: &str) -> Result<Self, String> {
        let resources = resources(json);
        let name = unique();
        let request = Request { resources: Some(&resources), ..Request::new(&name) };
        let plan = host.plan(&request).map_err(words)?;
        Ok(Self(plan.create().map_err(words)?))
    }

    /// A container in a scope of systemd's, with `shell` as its first process.
    pub fn scope(unit: &Unit, json: &str, shell: &mut Shell) -> Result<Self, String> {
        let resources = resources(json);
        let request =
            Request { resources: Some(&resources), ..Request::container("c", Place::Scope(unit.clone())) };
        Self::adopting(&request, shell)
    }

    /// The same for any request.
    pub fn adopting(request: &Request<'_>, shell: &mut Shell) -> Result<Self, String> {
        let host = Host::detect().map_err(words)?;
        let mut this = Self(host.plan(request).map_err(words)?.create().map_err(words)?);
        ensure!(this.waits_for_process() && this.clone_into_fd().is_none(), "made without a process");
        this.0.adopt(shell.pid()).map_err(words)?;
        shell.go()?;
        Ok(this)
    }

    /// The text of a file of the box, wherever its controller is.
    pub fn read(&self, controller: &str, file: &str) -> Result<String, String> {
        let location = self.0.location();
        let directory = location.legacy.get(controller).or(location.unified.as_ref());
        let path = directory.ok_or_else(|| format!("no directory for {controller}"))?.join(file);
        std::fs::read_to_string(&path)
            .map(|text| text.trim().to_owned())
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Every directory of the box.
    pub fn directories(&self) -> Vec<PathBuf> {
        let location = self.0.location();
        location.unified.iter().chain(location.legacy.values()).cloned().collect()
    }
}

impl Deref for TestGroup {
    type Target = Cgroup;
    fn deref(&self) -> &Cgroup {
        &self.0
    }
}

impl Drop for TestGroup {
    fn drop(&mut self) {
        let killed = match self.0.kill() {
            // It came to nothing before it had a cgroup.
            Err(boxr_cgroup::Error::NoCgroup { .. }) => Ok(()),
            other => other,
        };
        let removed = killed.and_then(|()| self.0.remove_within(std::time::Duration::from_secs(5)));
        if let Err(error) = removed {
            eprintln!("left behind: {:?}: {error}", self.0.location());
        }
    }
}

/// A shell that waits for a line before it runs its script, so that it can be put into a box first.
pub struct Shell(Child);

impl Shell {
    /// Starts it, waiting.
    pub fn waiting(script: &str) -> Result<Self, String> {
        Command::new("/bin/sh")
            .args(["-c", &format!("read -r go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
            .map_err(words)
    }

    /// Starts it and lets it run in `group`.
    pub fn running(script: &str, group: &TestGroup) -> Result<Self, String> {
        let mut shell = Self::waiting(script)?;
        group.add(shell.pid()).map_err(words)?;
        shell.go()?;
        Ok(shell)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// Lets it run.
    pub fn go(&mut self) -> Outcome {
        self.0.stdin.take().ok_or("already running")?.write_all(b"go\n").map_err(words)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<std::process::ExitStatus, String> {
        self.0.wait().map_err(words)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) && self.0.kill().is_ok() {
            self.0.wait().map(drop).unwrap_or_default();
        }
    }
}

/// Whether `pid` is in the cgroup `directory`.
pub fn is_in(pid: i32, directory: &std::path::Path) -> bool {
    std::fs::read_to_string(directory.join("cgroup.procs"))
        .is_ok_and(|text| text.lines().any(|line| line == pid.to_string()))
}

/// The directory that boxes at the root of a hierarchy share stays in normal life; here it goes,
/// unless somebody else uses it.
pub fn remove_shared_directory() {
    let Ok(host) = Host::detect() else { return };
    for hierarchy in host.legacy.values().chain(&host.unified) {
        if std::fs::remove_dir(hierarchy.mount.join("boxr")).is_err() {
            continue;
        }
    }
}
