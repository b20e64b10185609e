//! What criu is told of a dump or a restore (`criu_opts` of images/rpc.proto; criu(8) has each as a flag).

use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::wire::Writer;

/// How criu treats cgroups (criu(8), `--manage-cgroups`; `criu_cg_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum CgroupMode {
    /// Not at all.
    Ignore = 0,
    /// Properties of those it makes.
    Soft = 3,
    /// Properties of all.
    Full = 4,
    /// All, and none may be there.
    Strict = 5,
    /// As criu has it.
    #[default]
    Default = 6,
}

/// A descriptor of criu's own that takes the place of something in the images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// What it replaces: `pipe:[4711]`, or the name of a namespace.
    pub key: String,
    /// Its number in criu.
    pub fd: RawFd,
}

/// A namespace that is joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedNamespace {
    /// As in /proc/PID/ns.
    pub kind: &'static str,
    /// The file that it is found by.
    pub path: PathBuf,
}

/// Options of one request. What is `None`, empty or false is not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are criu's own; criu(8) has each as a flag")]
pub struct Options {
    /// In boxr: criu opens /proc/PID/fd/N.
    pub images_dir_fd: RawFd,
    /// As `images_dir_fd`; logs and the socket of lazy pages go there.
    pub work_dir_fd: Option<RawFd>,
    /// The first process.
    pub pid: Option<i32>,
    pub log_file: &'static str,
    pub leave_running: bool,
    pub ext_unix_sk: bool,
    pub tcp_established: bool,
    pub tcp_skip_in_flight: bool,
    pub link_remap: bool,
    pub evasive_devices: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub auto_dedup: bool,
    pub lazy_pages: bool,
    pub track_mem: bool,
    pub orphan_pts_master: bool,
    /// The restored process is a child of boxr's, not of criu's.
    pub rst_sibling: bool,
    /// Address and port.
    pub page_server: Option<(String, u16)>,
    pub root: PathBuf,
    pub parent_img: Option<PathBuf>,
    pub cgroup_mode: CgroupMode,
    /// Controller and path below its root.
    pub cg_root: Vec<(String, String)>,
    pub inherit_fd: Vec<Inherited>,
    /// `mnt[KEY]:NAME`, `net[INODE]:NAME`…
    pub external: Vec<String>,
    pub join_ns: Vec<JoinedNamespace>,
    /// Bits of clone(2).
    pub empty_ns: u32,
    pub freeze_cgroup: Option<PathBuf>,
    /// In boxr; before criu 3.15 only.
    pub status_fd: Option<RawFd>,
    pub config_file: Option<String>,
    pub lsm_profile: Option<String>,
    pub lsm_mount_context: Option<String>,
}

/// criu's `-v4`: what is asked for when something failed.
const LOG_LEVEL: i32 = 4;

impl Options {
    /// Writes the message.
    pub fn encode(&self, message: &mut Writer) {
        message.signed(1, self.images_dir_fd);
        if let Some(pid) = self.pid {
            message.signed(2, pid);
        }
        message.signed(9, LOG_LEVEL);
        message.bytes(10, self.log_file.as_bytes());
        // Every request is worked on with notifications.
        message.flag(12, true);
        message.bytes(13, self.root.as_os_str().as_bytes());
        if let Some(fd) = self.work_dir_fd {
            message.signed(17, fd);
        }
        self.encode_switches(message);
        self.encode_memory(message);
        self.encode_host(message);
        let texts = [
            (51, self.config_file.as_deref()),
            (53, self.lsm_profile.as_deref()),
            (63, self.lsm_mount_context.as_deref()),
        ];
        for (field, text) in texts {
            if let Some(text) = text {
                message.bytes(field, text.as_bytes());
            }
        }
    }

    fn encode_switches(&self, message: &mut Writer) {
        let switches = [
            (3, self.leave_running),
            (4, self.ext_unix_sk),
            (5, self.tcp_established),
            (6, self.evasive_devices),
            (7, self.shell_job),
            (8, self.file_locks),
            (18, self.link_remap),
            (26, self.rst_sibling),
            (46, self.tcp_skip_in_flight),
            (50, self.orphan_pts_master),
        ];
        for (field, _) in switches.into_iter().filter(|(_, on)| *on) {
            message.flag(field, true);
        }
    }

    fn encode_memory(&self, message: &mut Writer) {
        if let Some((address, port)) = &self.page_server {
            message.message(11, |server| {
                server.bytes(1, address.as_bytes());
                server.number(2, u64::from(*port));
            });
        }
        if let Some(parent) = &self.parent_img {
            message.bytes(14, parent.as_os_str().as_bytes());
        }
        for (field, _) in
            [(15, self.track_mem), (16, self.auto_dedup), (48, self.lazy_pages)].iter().filter(|(_, on)| *on)
        {
            message.flag(*field, true);
        }
        if let Some(fd) = self.status_fd {
            message.signed(49, fd);
        }
    }

    /// What of the host takes the place of what is not in the images.
    fn encode_host(&self, message: &mut Writer) {
        // Before criu 2.0 the mode was only on or off.
        message.flag(24, self.cgroup_mode != CgroupMode::Ignore);
        message.number(34, self.cgroup_mode as u64);
        for (controller, path) in &self.cg_root {
            message.message(25, |root| {
                root.bytes(1, controller.as_bytes());
                root.bytes(2, path.as_bytes());
            });
        }
        for inherited in &self.inherit_fd {
            message.message(27, |fd| {
                fd.bytes(1, inherited.key.as_bytes());
                fd.signed(2, inherited.fd);
            });
        }
        for external in &self.external {
            message.bytes(37, external.as_bytes());
        }
        if self.empty_ns != 0 {
            message.number(38, u64::from(self.empty_ns));
        }
        for joined in &self.join_ns {
            message.message(39, |namespace| {
                namespace.bytes(1, joined.kind.as_bytes());
                namespace.bytes(2, joined.path.as_os_str().as_bytes());
            });
        }
        if let Some(cgroup) = &self.freeze_cgroup {
            message.bytes(44, cgroup.as_os_str().as_bytes());
        }
    }
}
