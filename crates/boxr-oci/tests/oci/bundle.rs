//! Bundles that tests make, and the runtime that is told to run them.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use boxr_testing::{Cmd, Sandbox};
use serde_json::{Value, json};

/// A bundle of busybox below a test's directory.
pub struct Bundle<'t> {
    t: &'t Sandbox,
    dir: PathBuf,
    /// config.json; written by [`Bundle::write`].
    pub config: Value,
}

/// `boxr-oci ARGS…` with the test's own root directory.
pub fn oci<'a>(t: &Sandbox, args: impl IntoIterator<Item = &'a str>) -> Cmd {
    t.surrounded(Cmd::new(t.program())).args(["--root".as_ref(), t.layout().state.as_os_str()]).args(args)
}

/// Nothing may be left of any container.
#[track_caller]
pub fn assert_nothing_left(t: &Sandbox) {
    oci(t, ["list", "-q"]).run().ok().prints("");
    // Compiled filters are kept for the next container.
    let filters = t.layout().state.join("@seccomp");
    if filters.exists() {
        std::fs::remove_dir_all(filters).unwrap();
    }
    let left = boxr_testing::leaks::files_below(&t.layout().state);
    assert!(left.is_empty(), "left on disk: {left:?}");
}

impl<'t> Bundle<'t> {
    /// The bundle `name`, which runs `sh -c SCRIPT`.
    #[track_caller]
    pub fn new(t: &'t Sandbox, name: &str, script: &str) -> Self {
        let dir = t.path(name);
        std::fs::create_dir(&dir).unwrap();
        // One root for all bundles of a test: it is never written to.
        let shared = t.path("shared-root");
        if !shared.exists() {
            t.rootfs("shared-root");
        }
        symlink(&shared, dir.join("rootfs")).unwrap();
        oci(t, ["spec"]).arg("--bundle").arg(&dir).run().ok();
        let text = std::fs::read_to_string(dir.join("config.json")).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", script]);
        config["root"] = json!({"path": shared});
        config["process"].as_object_mut().unwrap().remove("rlimits");
        if !rustix::process::geteuid().is_root() {
            make_rootless(&mut config);
        }
        let bundle = Self { t, dir, config };
        bundle.write();
        bundle
    }

    /// Writes config.json as it is now.
    #[track_caller]
    pub fn write(&self) {
        std::fs::write(self.dir.join("config.json"), serde_json::to_vec_pretty(&self.config).unwrap())
            .unwrap();
    }

    /// Changes config.json.
    #[track_caller]
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self.write();
        self
    }

    /// Its directory.
    pub fn path(&self) -> &str {
        self.dir.to_str().expect("UTF-8")
    }

    /// Gives the container a cgroup that no other test's has.
    #[track_caller]
    pub fn place(&self, id: &str) {
        let path = self.dir.join("config.json");
        // Tests of damaged files have theirs.
        let there = std::fs::read(&path).unwrap_or_default();
        if !serde_json::from_slice::<Value>(&there).is_ok_and(|config| config.is_object()) {
            return;
        }
        let test = self.t.layout().state.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let mut config = self.config.clone();
        if rustix::process::geteuid().is_root() && config["linux"]["cgroupsPath"].is_null() {
            config["linux"]["cgroupsPath"] = json!(format!("{test}-{id}"));
        }
        std::fs::write(path, serde_json::to_vec(&config).unwrap()).unwrap();
    }

    /// `boxr-oci COMMAND --bundle DIR FLAGS… ID`
    #[track_caller]
    pub fn command(&self, command: &str, flags: &[&str], id: &str) -> Cmd {
        self.place(id);
        oci(self.t, [command, "--bundle", self.path()]).args(flags).arg(id)
    }

    /// `boxr-oci run ID`
    pub fn run(&self, id: &str) -> Cmd {
        self.command("run", &[], id)
    }

    /// `boxr-oci create ID`, with output to nowhere: the container has it until its end.
    #[track_caller]
    pub fn create(&self, id: &str) {
        self.create_with(&[], id);
    }

    /// The same with flags before the command.
    #[track_caller]
    pub fn create_with(&self, globals: &[&str], id: &str) {
        self.create_by(Cmd::new("sh"), globals, id);
    }

    /// The same by this shell, which may have variables.
    #[track_caller]
    pub fn create_by(&self, sh: Cmd, globals: &[&str], id: &str) {
        self.place(id);
        let script = r#"exec "$@" >/dev/null 2>err </dev/null"#;
        let out = self
            .t
            .surrounded(sh)
            .args(["-c", script, "sh"])
            .arg(self.t.program())
            .args(["--root".as_ref(), self.t.layout().state.as_os_str()])
            .args(globals)
            .args(["create", "--bundle", self.path(), id])
            .run();
        let said = std::fs::read_to_string(self.t.path("err")).unwrap_or_default();
        assert!(out.status.success(), "{} {said}", out.story());
    }
}

/// A user namespace in which only the caller is mapped, and nothing that needs more.
fn make_rootless(config: &mut Value) {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let linux = &mut config["linux"];
    linux["uidMappings"] = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
    linux["gidMappings"] = json!([{"containerID": 0, "hostID": gid, "size": 1}]);
    linux["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    linux.as_object_mut().unwrap().remove("resources");
    for mount in config["mounts"].as_array_mut().unwrap() {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "gid=5");
        }
    }
}
