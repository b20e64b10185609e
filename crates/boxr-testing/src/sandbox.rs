//! What a test works with: its own directories, and boxr told to use them.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::command::Cmd;
use crate::registry::Programs;
use crate::rootfs;
use crate::terminal::Terminal;

/// The variable that tells the roles of a test program the directory of their test.
pub const DIR_VARIABLE: &str = "BOXR_TEST_DIR";

/// The directories of one test.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Where the test starts, and makes what it likes.
    pub work: PathBuf,
    /// boxr's `--state`.
    pub state: PathBuf,
    /// boxr's `--root`.
    pub root: PathBuf,
    /// `XDG_RUNTIME_DIR`
    pub runtime: PathBuf,
    /// `HOME`
    pub home: PathBuf,
}

impl Layout {
    /// The paths below `dir`.
    pub fn of(dir: &Path) -> Self {
        let [work, state, root, runtime, home] =
            ["work", "state", "root", "runtime", "home"].map(|name| dir.join(name));
        Self { work, state, root, runtime, home }
    }

    /// Makes them. `state` and `root` are left to boxr.
    pub fn make(dir: &Path) -> Self {
        // A box that runs as another user reaches files of the test, as it reaches /home.
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
        let layout = Self::of(dir);
        for dir in [&layout.work, &layout.runtime, &layout.home] {
            std::fs::create_dir(dir).unwrap();
        }
        std::fs::set_permissions(&layout.runtime, PermissionsExt::from_mode(0o700)).unwrap();
        layout
    }
}

/// The world of one test.
#[derive(Debug)]
pub struct Sandbox {
    programs: Programs,
    layout: Layout,
}

impl Sandbox {
    /// The sandbox that the supervisor made for this process.
    pub fn from_environment(programs: &Programs) -> Self {
        let dir = std::env::var_os(DIR_VARIABLE).expect("a test runs under its supervisor");
        Self { programs: programs.clone(), layout: Layout::of(Path::new(&dir)) }
    }

    /// `boxr ARGS…` with this test's state and data directories.
    pub fn boxr(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Cmd {
        self.surrounded(Cmd::new(&self.programs.boxr)).args(self.globals()).args(args)
    }

    /// `boxr run ARGS…`
    pub fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Cmd {
        self.boxr(["run"]).args(args)
    }

    /// `boxr run -- sh -c SCRIPT`
    pub fn sh(&self, script: &str) -> Cmd {
        self.run(["--", "sh", "-c", script])
    }

    /// Starts a detached box of this name and returns its id.
    #[track_caller]
    pub fn detached(&self, name: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        self.run(["-d", "--name", name]).args(args).run().ok().word()
    }

    /// Removes boxes, running or not.
    #[track_caller]
    pub fn remove(&self, names: impl IntoIterator<Item = impl AsRef<OsStr>>) {
        self.boxr(["rm", "-f"]).args(names).run().ok();
    }

    /// `boxr ARGS…` on a terminal of this many rows and columns.
    #[track_caller]
    pub fn terminal(&self, rows: u16, columns: u16, args: &[&str]) -> Terminal {
        let globals = self.globals().map(|word| word.to_string_lossy().into_owned());
        let program = self.programs.boxr.to_str().expect("UTF-8");
        let mut words = vec![program.to_owned()];
        words.extend(globals);
        words.extend(args.iter().map(|&arg| arg.to_owned()));
        Terminal::start(rows, columns, &words, |cmd| self.surrounded(cmd))
    }

    /// The built `boxr`.
    pub fn program(&self) -> &Path {
        &self.programs.boxr
    }

    /// The global flags that lead boxr to this test's directories.
    pub fn globals(&self) -> [std::ffi::OsString; 4] {
        let Layout { state, root, .. } = &self.layout;
        ["--state".into(), state.into(), "--root".into(), root.into()]
    }

    /// A command that sees this test's HOME and XDG directories.
    pub fn surrounded(&self, cmd: Cmd) -> Cmd {
        cmd.env("HOME", &self.layout.home)
            .env("XDG_RUNTIME_DIR", &self.layout.runtime)
            .env("XDG_DATA_HOME", self.layout.home.join("data"))
            .without_env(DIR_VARIABLE)
    }

    /// The directories.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A path in the directory the test works in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.layout.work.join(name)
    }

    /// Writes a file there and returns its path.
    #[track_caller]
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path.to_str().expect("UTF-8").to_owned()
    }

    /// A new root filesystem of busybox, which this test may change.
    #[track_caller]
    pub fn rootfs(&self, name: &str) -> String {
        let path = self.path(name);
        rootfs::build(&path);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Copies this test program to where a box can run it, for [`crate::probe`].
    #[track_caller]
    pub fn probe(&self, path: &Path) -> String {
        std::fs::copy(std::env::current_exe().unwrap(), path).unwrap();
        path.to_str().expect("UTF-8").to_owned()
    }

    /// Whether no box is left: nothing in state and data directories, nothing in `ps -a`.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        self.boxr(["ps", "-a", "-q"]).run().ok().prints("");
        for dir in [&self.layout.state, &self.layout.root] {
            let left = crate::leaks::files_below(dir);
            assert!(left.is_empty(), "left on disk: {left:?}");
        }
    }
}
