//! criu's requests and responses (images/rpc.proto of criu).

use super::options::Options;
use super::wire::{Fields, Malformed, Writer};

/// What is asked, and what is answered (`criu_req_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The answer to what was not understood.
    Empty = 0,
    /// Processes become files.
    Dump = 1,
    /// Files become processes.
    Restore = 2,
    /// Only memory becomes files, for a later dump that is the shorter for it.
    PreDump = 4,
    /// criu tells of a step, and waits.
    Notify = 6,
    /// What criu and the kernel can do.
    FeatureCheck = 9,
    /// Which criu it is.
    Version = 10,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Empty,
        Self::Dump,
        Self::Restore,
        Self::PreDump,
        Self::Notify,
        Self::FeatureCheck,
        Self::Version,
    ];

    fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i32 == number)
    }

    /// As criu's documentation names it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Empty => "EMPTY",
            Self::Dump => "DUMP",
            Self::Restore => "RESTORE",
            Self::PreDump => "PRE_DUMP",
            Self::Notify => "NOTIFY",
            Self::FeatureCheck => "FEATURE_CHECK",
            Self::Version => "VERSION",
        }
    }
}

/// What a kernel must have for some requests (`criu_features`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// It tells which pages were written to.
    MemoryTracking,
    /// Pages can be brought when they are looked at (userfaultfd(2)).
    LazyPages,
}

impl Feature {
    fn field(self) -> u32 {
        match self {
            Self::MemoryTracking => 1,
            Self::LazyPages => 2,
        }
    }
}

/// One request (`criu_req`).
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Which criu it is; another request follows.
    Version,
    /// Whether this can be had; another request follows.
    Check(Feature),
    /// [`Kind::Dump`], [`Kind::PreDump`] or [`Kind::Restore`].
    Work(Kind, &'a Options),
    /// A notification was heeded, or was not.
    Heeded(bool),
}

impl Request<'_> {
    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Writer::default();
        message.number(1, self.kind() as u64);
        match self {
            Self::Version => message.flag(4, true),
            Self::Check(feature) => {
                message.flag(4, true);
                message.message(5, |features| features.flag(feature.field(), true));
            }
            Self::Work(_, options) => message.message(2, |message| options.encode(message)),
            Self::Heeded(success) => message.flag(3, *success),
        }
        message.finish()
    }

    /// What the answer to it must be.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Version => Kind::Version,
            Self::Check(_) => Kind::FeatureCheck,
            Self::Work(kind, _) => *kind,
            Self::Heeded(_) => Kind::Notify,
        }
    }
}

/// A criu, by its number: 3.17.1 is 31701.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(number) = self;
        write!(f, "{}.{}", number / 10000, number / 100 % 100)?;
        match number % 100 {
            0 => Ok(()),
            sublevel => write!(f, ".{sublevel}"),
        }
    }
}

/// One response (`criu_resp`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// To what; `None` for one that is not known.
    pub kind: Option<Kind>,
    /// Whether it was done.
    pub success: bool,
    /// Pid of the first process that was restored.
    pub restored: Option<i32>,
    /// The step that criu tells of.
    pub script: Option<String>,
    /// The process it is about.
    pub script_pid: Option<i32>,
    /// Why it was not done (errno(3)).
    pub errno: i32,
    /// Why it was not done.
    pub message: Option<String>,
    /// Which criu it is.
    pub version: Version,
    /// What can be had.
    pub features: Vec<u32>,
}

impl Response {
    /// Reads what was received.
    ///
    /// # Errors
    /// It is no message.
    pub fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let mut response = Self::default();
        for field in Fields::of(message) {
            let (number, value) = field?;
            match number {
                1 => response.kind = value.signed().and_then(Kind::from_number),
                2 => response.success = value.flag().ok_or(Malformed)?,
                4 => response.restored = find(value.bytes(), 1)?,
                5 => response.read_notify(value.bytes().ok_or(Malformed)?)?,
                7 => response.errno = value.signed().ok_or(Malformed)?,
                8 => response.features = set_flags(value.bytes().ok_or(Malformed)?)?,
                9 => response.message = value.text(),
                10 => response.version = version(value.bytes().ok_or(Malformed)?)?,
                _ => {}
            }
        }
        Ok(response)
    }

    fn read_notify(&mut self, message: &[u8]) -> Result<(), Malformed> {
        for field in Fields::of(message) {
            match field? {
                (1, value) => self.script = value.text(),
                (2, value) => self.script_pid = value.signed(),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the answer names this feature as there.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature.field())
    }
}

fn find(message: Option<&[u8]>, wanted: u32) -> Result<Option<i32>, Malformed> {
    for field in Fields::of(message.ok_or(Malformed)?) {
        match field? {
            (number, value) if number == wanted => return Ok(value.signed()),
            _ => {}
        }
    }
    Ok(None)
}

fn set_flags(message: &[u8]) -> Result<Vec<u32>, Malformed> {
    let mut set = Vec::new();
    for field in Fields::of(message) {
        let (number, value) = field?;
        if value.flag() == Some(true) {
            set.push(number);
        }
    }
    Ok(set)
}

/// `criu_version`: major, minor and, in field 4, sublevel.
fn version(message: &[u8]) -> Result<Version, Malformed> {
    let part =
        |number| find(Some(message), number).map(|part| part.unwrap_or(0).clamp(0, 9999).cast_unsigned());
    let (major, minor, sublevel) = (part(1)?, part(2)?, part(4)?);
    Ok(Version(major * 10000 + minor * 100 + sublevel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_as_criu_reads_them() {
        assert_eq!(Request::Version.encode(), [1 << 3, 10, 4 << 3, 1]);
        assert_eq!(Request::Heeded(false).encode(), [1 << 3, 6, 3 << 3, 0]);
        let check = Request::Check(Feature::LazyPages).encode();
        assert_eq!(check, [1 << 3, 9, 4 << 3, 1, 5 << 3 | 2, 2, 2 << 3, 1]);
    }

    #[test]
    fn a_version_is_read_and_shown() {
        let mut message = Writer::default();
        message.number(1, 10);
        message.flag(2, true);
        message.message(10, |version| {
            version.number(1, 3);
            version.number(2, 17);
            version.number(4, 1);
        });
        let version = Response::decode(&message.finish()).unwrap().version;
        assert_eq!(version, Version(31701));
        assert_eq!((version.to_string(), Version(40000).to_string()), ("3.17.1".into(), "4.0".into()));
    }

    #[test]
    fn a_notification_is_read() {
        let mut message = Writer::default();
        message.number(1, 6);
        message.flag(2, true);
        message.message(5, |notify| {
            notify.bytes(1, b"post-restore");
            notify.signed(2, 77);
        });
        let response = Response::decode(&message.finish()).unwrap();
        assert_eq!(response.kind, Some(Kind::Notify));
        assert_eq!((response.script.as_deref(), response.script_pid), (Some("post-restore"), Some(77)));
    }

    #[test]
    fn a_refusal_is_read_and_noise_is_none() {
        let mut message = Writer::default();
        message.number(1, 1);
        message.flag(2, false);
        message.signed(7, 22);
        message.bytes(9, b"no luck");
        let response = Response::decode(&message.finish()).unwrap();
        assert_eq!((response.success, response.errno), (false, 22));
        assert_eq!(response.message.unwrap(), "no luck");
        assert_eq!(Response::decode(b"\x08"), Err(Malformed));
        assert_eq!(Response::decode(b"\x28\x01"), Err(Malformed), "a notification that is a number");
    }
}
