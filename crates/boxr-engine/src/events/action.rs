//! docker's words for what happens, and podman's beside them.

/// What happened to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Files were copied out of a box.
    ArchivePath,
    /// Somebody watches a box's output.
    Attach,
    /// An image was made of a box.
    Commit,
    /// A box came to a network.
    Connect,
    /// Something was made.
    Create,
    /// An image is gone.
    Delete,
    /// A box, a volume or a network is gone.
    Destroy,
    /// Whoever watched a box has left it.
    Detach,
    /// The first process of a box has ended.
    Die,
    /// A box left a network.
    Disconnect,
    /// A command was made to be run in a box.
    ExecCreate,
    /// Whoever ran a command has left it.
    ExecDetach,
    /// It has ended.
    ExecDie,
    /// It runs.
    ExecStart,
    /// The files of a box were written to an archive.
    Export,
    /// Files were copied into a box.
    ExtractToDir,
    /// A box has become healthy or unhealthy.
    HealthStatus,
    /// An image was made of an archive of files.
    Import,
    /// A signal was sent to the first process.
    Kill,
    /// Images came from an archive.
    Load,
    /// A box has a volume before it.
    Mount,
    /// The kernel has killed a process of a box for want of memory.
    Oom,
    /// The processes of a box are frozen.
    Pause,
    /// An image was fetched.
    Pull,
    /// An image was sent to a registry.
    Push,
    /// A pod is gone.
    Remove,
    /// A box has another name.
    Rename,
    /// A box was stopped and started.
    Restart,
    /// An image was written to an archive.
    Save,
    /// The first process of a box runs.
    Start,
    /// A box was stopped by somebody.
    Stop,
    /// An image has a name more.
    Tag,
    /// A box goes on.
    Unpause,
    /// An image has a name less.
    Untag,
    /// A box has other limits.
    Update,
}

impl Action {
    /// All.
    pub const ALL: [Self; 35] = [
        Self::ArchivePath,
        Self::Attach,
        Self::Commit,
        Self::Connect,
        Self::Create,
        Self::Delete,
        Self::Destroy,
        Self::Detach,
        Self::Die,
        Self::Disconnect,
        Self::ExecCreate,
        Self::ExecDetach,
        Self::ExecDie,
        Self::ExecStart,
        Self::Export,
        Self::ExtractToDir,
        Self::HealthStatus,
        Self::Import,
        Self::Kill,
        Self::Load,
        Self::Mount,
        Self::Oom,
        Self::Pause,
        Self::Pull,
        Self::Push,
        Self::Remove,
        Self::Rename,
        Self::Restart,
        Self::Save,
        Self::Start,
        Self::Stop,
        Self::Tag,
        Self::Unpause,
        Self::Untag,
        Self::Update,
    ];

    /// docker's word (docs.docker.com, docker system events; moby's api/types/events), and podman's of pods
    /// (podman-events(1)).
    pub fn word(self) -> &'static str {
        match self {
            Self::ArchivePath => "archive-path",
            Self::Attach => "attach",
            Self::Commit => "commit",
            Self::Connect => "connect",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Destroy => "destroy",
            Self::Detach => "detach",
            Self::Die => "die",
            Self::Disconnect => "disconnect",
            Self::ExecCreate => "exec_create",
            Self::ExecDetach => "exec_detach",
            Self::ExecDie => "exec_die",
            Self::ExecStart => "exec_start",
            Self::Export => "export",
            Self::ExtractToDir => "extract-to-dir",
            Self::HealthStatus => "health_status",
            Self::Import => "import",
            Self::Kill => "kill",
            Self::Load => "load",
            Self::Mount => "mount",
            Self::Oom => "oom",
            Self::Pause => "pause",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Restart => "restart",
            Self::Save => "save",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Tag => "tag",
            Self::Unpause => "unpause",
            Self::Untag => "untag",
            Self::Update => "update",
        }
    }

    /// The words that mean this when somebody asks for it: docker's own, and podman's and docker's older ones.
    pub fn words_for(wanted: &str) -> &'static [&'static str] {
        match wanted {
            "died" => &["die"],
            "exited" => &["die"],
            "remove" => &["destroy", "delete"],
            "exec_died" => &["exec_die"],
            "exec" => &["exec_start"],
            "copy" => &["archive-path", "extract-to-dir"],
            "loadFromArchive" | "loadfromarchive" => &["load"],
            _ => &[],
        }
    }

    /// Whether a person waits for a box to start meanwhile: then the length of the journal is not looked at.
    pub(super) fn is_of_a_start(self) -> bool {
        matches!(self, Self::Create | Self::Attach | Self::Connect | Self::Mount | Self::Start)
    }
}
