//! One entry's header.

use super::number::parse;
use super::sparse::{self, Segment};
use super::{BLOCK, TarError, shown};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of a file that came before; which, its link says.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds since 1970, rounded down.
    pub seconds: i64,
    /// And nanoseconds, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// An entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name as it stands there. Whatever it says, it has no NUL in it.
    pub name: Vec<u8>,
    /// What it links to; the same holds.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions, with the set-user-id, set-group-id and sticky bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When it was changed last.
    pub modified: Time,
    /// The length of the file, in bytes.
    pub size: u64,
    /// The data of a sparse file in the order of the archive; the rest is zeros. `None` if it is not one.
    pub segments: Option<Vec<Segment>>,
    /// The number of a device.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// An entry of root's with this name: made in 1970, empty, without attributes.
    pub fn new(kind: Kind, name: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self {
            name: name.into(),
            link: Vec::new(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            modified: Time::default(),
            size: 0,
            segments: None,
            device: (0, 0),
            xattrs: Vec::new(),
        }
    }
}

/// A header block whose checksum is right.
pub(super) struct Header<'b>(&'b [u8; BLOCK]);

impl<'b> Header<'b> {
    pub(super) fn new(block: &'b [u8; BLOCK]) -> Result<Self, TarError> {
        let said = parse(&block[148..156]).ok_or(TarError::Checksum)?;
        // The field itself counts as spaces. Some old programs took bytes as signed.
        let counted = |at: usize| if (148..156).contains(&at) { b' ' } else { block[at] };
        let unsigned: i64 = (0..BLOCK).map(|at| i64::from(counted(at))).sum();
        let signed: i64 = (0..BLOCK).map(|at| i64::from(counted(at) as i8)).sum();
        if said != unsigned && said != signed {
            return Err(TarError::Checksum);
        }
        Ok(Self(block))
    }

    /// The letter that says what it is.
    pub(super) fn letter(&self) -> u8 {
        self.0[156]
    }

    /// The length of what follows the header, in bytes.
    pub(super) fn size(&self) -> Result<u64, TarError> {
        self.number(124..136, "size")
    }

    /// GNU's sparse map in the header: its segments, whether more follow, and the file's length.
    pub(super) fn gnu_sparse(&self) -> Result<(Vec<Segment>, bool, u64), TarError> {
        let segments = sparse::gnu_segments(&self.0[386..482]).ok_or_else(|| self.bad("sparse map"))?;
        Ok((segments, self.0[482] != 0, self.number(483..495, "size")?))
    }

    fn is_ustar(&self) -> bool {
        &self.0[257..263] == b"ustar\0"
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = text(&self.0[345..500]);
        if self.is_ustar() && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
    }

    fn bad(&self, field: &'static str) -> TarError {
        TarError::Field { name: shown(&self.name()), field }
    }

    fn number<T: TryFrom<i64>>(
        &self,
        range: std::ops::Range<usize>,
        field: &'static str,
    ) -> Result<T, TarError> {
        let number = parse(&self.0[range]).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| self.bad(field))
    }

    /// The entry as far as this header says.
    pub(super) fn entry(&self) -> Result<Entry, TarError> {
        let name = self.name();
        let kind = match self.letter() {
            b'0' | 0 | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharacterDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(TarError::Kind { name: shown(&name), kind: char::from(other) }),
        };
        let is_device = matches!(kind, Kind::CharacterDevice | Kind::BlockDevice);
        let device = match is_device {
            true => (self.number(329..337, "device")?, self.number(337..345, "device")?),
            false => (0, 0),
        };
        Ok(Entry {
            link: text(&self.0[157..257]).to_vec(),
            kind,
            mode: self.number::<u32>(100..108, "mode")? & 0o7777,
            uid: self.number(108..116, "user id")?,
            gid: self.number(116..124, "group id")?,
            modified: Time { seconds: self.number(136..148, "time")?, nanoseconds: 0 },
            size: self.size()?,
            segments: None,
            device,
            xattrs: Vec::new(),
            name,
        })
    }
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}
