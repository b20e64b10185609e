//! Writing an archive: ustar, and a pax header before what ustar has no room for (POSIX.1-2017 `pax`; GNU tar's
//! manual, "Storing Sparse Files", version 1.0).
//!
//! The same entries make the same bytes, on every machine and at every time.

use std::io::{self, Read, Write};

use super::header::{Entry, Kind};
use super::pax::XATTR;
use super::{BLOCK, Segment};

/// Bytes that go through at once.
const BUFFER: usize = 128 * 1024;
/// The most that octal digits in 12 bytes can say.
const LARGEST: u64 = 0o77_777_777_777;
/// The same in 8 bytes.
const LARGEST_ID: u32 = 0o7_777_777;

/// An archive that is being written.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    buffer: Vec<u8>,
}

/// The fields of a header block that say what follows.
struct Block<'a> {
    letter: u8,
    name: &'a [u8],
    link: &'a [u8],
    mode: u32,
    owner: (u32, u32),
    size: u64,
    seconds: u64,
    device: (u32, u32),
}

impl<W: Write> Writer<W> {
    /// At its beginning.
    pub fn new(to: W) -> Self {
        Self { to, buffer: vec![0; BUFFER] }
    }

    /// Adds an entry. Of a file, as many bytes as it says it stores are read from `data`; of everything
    /// else, none.
    ///
    /// # Errors
    /// `data` ends too early ([`io::ErrorKind::UnexpectedEof`]), or it cannot be read or written.
    pub fn append(&mut self, entry: &Entry, data: impl Read) -> io::Result<()> {
        let name = directory_name(entry);
        let segments = entry.segments.as_deref().filter(|_| entry.kind == Kind::File);
        let map = segments.map(|segments| sparse_map(segments, entry.size));
        let stored = match (&map, entry.kind) {
            (Some(map), _) => map.len() as u64 + data_of(entry),
            (None, Kind::File) => entry.size,
            (None, _) => 0,
        };
        let records = records(entry, &name, stored);
        if !records.is_empty() {
            self.extended(&name, &records)?;
        }
        let shown = if map.is_some() { [b"GNUSparseFile.0/", last_part(&name)].concat() } else { name };
        self.block(&Block {
            letter: letter(entry.kind),
            name: &shown,
            link: &entry.link,
            mode: entry.mode,
            owner: (fitting(entry.uid), fitting(entry.gid)),
            size: if stored > LARGEST { 0 } else { stored },
            seconds: u64::try_from(entry.modified.seconds).ok().filter(|time| *time <= LARGEST).unwrap_or(0),
            device: entry.device,
        })?;
        if let Some(map) = &map {
            self.to.write_all(map)?;
        }
        self.data(data, stored - map.map_or(0, |map| map.len() as u64))?;
        self.pad(stored)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn data(&mut self, mut from: impl Read, length: u64) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            match from.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.to.write_all(&self.buffer[..read])?;
                    left -= read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn pad(&mut self, length: u64) -> io::Result<()> {
        let rest = usize::try_from(length % BLOCK as u64).unwrap_or(0);
        if rest == 0 { Ok(()) } else { self.to.write_all(&[0; BLOCK][rest..]) }
    }

    /// A pax header for the entry that follows.
    fn extended(&mut self, name: &[u8], records: &[u8]) -> io::Result<()> {
        self.block(&Block {
            letter: b'x',
            name: &[b"PaxHeaders.0/", last_part(name)].concat(),
            link: b"",
            mode: 0o644,
            owner: (0, 0),
            size: records.len() as u64,
            seconds: 0,
            device: (0, 0),
        })?;
        self.to.write_all(records)?;
        self.pad(records.len() as u64)
    }

    fn block(&mut self, fields: &Block<'_>) -> io::Result<()> {
        let mut block = [0u8; BLOCK];
        let (prefix, name) = split_name(fields.name);
        put(&mut block[..100], name);
        octal(&mut block[100..108], u64::from(fields.mode));
        octal(&mut block[108..116], u64::from(fields.owner.0));
        octal(&mut block[116..124], u64::from(fields.owner.1));
        octal(&mut block[124..136], fields.size);
        octal(&mut block[136..148], fields.seconds);
        block[156] = fields.letter;
        put(&mut block[157..257], fields.link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], u64::from(fields.device.0));
        octal(&mut block[337..345], u64::from(fields.device.1));
        put(&mut block[345..500], prefix);
        // The field of the sum counts as spaces.
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        octal(&mut block[148..155], sum);
        self.to.write_all(&block)
    }
}

fn letter(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharacterDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// A directory's name ends with a slash.
fn directory_name(entry: &Entry) -> Vec<u8> {
    let mut name = entry.name.clone();
    if entry.kind == Kind::Directory && !name.ends_with(b"/") {
        name.push(b'/');
    }
    name
}

fn last_part(name: &[u8]) -> &[u8] {
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    &last[..last.len().min(80)]
}

/// Prefix and name of a header block; what does not fit is cut, and stands in a pax header.
fn split_name(name: &[u8]) -> (&[u8], &[u8]) {
    if name.len() <= 100 {
        return (b"", name);
    }
    // The last slash but one at the end, so that something is left for the name.
    let slash = name[..name.len() - 1].iter().take(156).rposition(|byte| *byte == b'/');
    match slash {
        Some(at) if at > 0 && name.len() - at - 1 <= 100 => (&name[..at], &name[at + 1..]),
        _ => (b"", &name[..100]),
    }
}

/// Whether a header block has room for the name, and everybody would read the same there.
fn fits(name: &[u8]) -> bool {
    let (prefix, last) = split_name(name);
    let whole = last.len() + if prefix.is_empty() { 0 } else { prefix.len() + 1 };
    whole == name.len() && name.is_ascii()
}

fn fitting(id: u32) -> u32 {
    if id <= LARGEST_ID { id } else { 0 }
}

fn put(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

/// Octal digits with zeros before and one NUL after them.
fn octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let text = format!("{number:0digits$o}");
    put(&mut field[..digits], text.as_bytes());
    field[digits] = 0;
}

/// Bytes in the pieces of a sparse file.
fn data_of(entry: &Entry) -> u64 {
    entry.segments.iter().flatten().map(|segment| segment.length).sum()
}

/// The map before the data of a sparse file: decimal numbers in whole blocks.
fn sparse_map(segments: &[Segment], size: u64) -> Vec<u8> {
    // GNU tar takes the end of the last piece for the end of the file, so an empty one is there.
    let end = segments.last().map_or(0, |last| last.offset + last.length);
    let last = (end < size).then_some(Segment { offset: size, length: 0 });
    let mut map = format!("{}\n", segments.len() + last.iter().len()).into_bytes();
    for segment in segments.iter().chain(&last) {
        map.extend(format!("{}\n{}\n", segment.offset, segment.length).into_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

/// What the header block has no room for, as lines of a pax header.
fn records(entry: &Entry, name: &[u8], stored: u64) -> Vec<u8> {
    let mut records = Vec::new();
    let mut say = |key: &[u8], value: &[u8]| records.extend(record(key, value));
    if entry.segments.is_some() && entry.kind == Kind::File {
        say(b"GNU.sparse.major", b"1");
        say(b"GNU.sparse.minor", b"0");
        say(b"GNU.sparse.name", name);
        say(b"GNU.sparse.realsize", entry.size.to_string().as_bytes());
    } else if !fits(name) {
        say(b"path", name);
    }
    if entry.link.len() > 100 || !entry.link.is_ascii() {
        say(b"linkpath", &entry.link);
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if id > LARGEST_ID {
            say(key, id.to_string().as_bytes());
        }
    }
    if stored > LARGEST {
        say(b"size", stored.to_string().as_bytes());
    }
    let time = entry.modified;
    if time.nanoseconds > 0 || time.seconds < 0 || time.seconds.unsigned_abs() > LARGEST {
        say(b"mtime", time_text(time.seconds, time.nanoseconds).as_bytes());
    }
    let mut xattrs: Vec<_> = entry.xattrs.iter().collect();
    xattrs.sort_unstable();
    for (key, value) in xattrs {
        say(&[XATTR, key].concat(), value);
    }
    records
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// Seconds since 1970 with a fraction, as far as there is one.
fn time_text(seconds: i64, nanoseconds: u32) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let (sign, total) = (if total < 0 { "-" } else { "" }, total.unsigned_abs());
    let text = format!("{sign}{}.{:09}", total / 1_000_000_000, total % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::super::{Archive, Time};
    use super::*;

    fn write(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        for (entry, data) in entries {
            writer.append(entry, &data[..]).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Vec<(Entry, Vec<u8>)> {
        let mut archive = Archive::new(bytes);
        let mut all = Vec::new();
        while let Some(entry) = archive.next_entry().unwrap() {
            let (mut data, mut buffer) = (Vec::new(), [0; 1000]);
            loop {
                match archive.read_data(&mut buffer).unwrap() {
                    0 => break,
                    read => data.extend(&buffer[..read]),
                }
            }
            all.push((entry, data));
        }
        all
    }

    fn file(name: &str, data: &[u8]) -> (Entry, Vec<u8>) {
        (Entry { size: data.len() as u64, ..Entry::new(Kind::File, name, 0o644) }, data.to_vec())
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        let part =
            prop::collection::vec(prop_oneof![4 => b'a'..=b'z', 1 => 1..=255u8], 1..90).prop_map(|part| {
                part.into_iter().filter(|byte| *byte != b'/').chain([b'x']).collect::<Vec<u8>>()
            });
        prop::collection::vec(part, 1..6).prop_map(|parts| parts.join(&b'/'))
    }

    fn entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
        let kinds = [
            Kind::File,
            Kind::HardLink,
            Kind::Symlink,
            Kind::CharacterDevice,
            Kind::BlockDevice,
            Kind::Directory,
            Kind::Fifo,
        ];
        let numbers = (0..=0o7777u32, any::<u32>(), any::<u32>(), any::<i32>(), 0..1_000_000_000u32);
        let xattrs =
            prop::collection::btree_map("[a-z.]{1,20}", prop::collection::vec(any::<u8>(), 1..40), 0..3);
        let data = prop::collection::vec(any::<u8>(), 0..2000);
        (prop::sample::select(kinds.to_vec()), name(), name(), numbers, xattrs, data).prop_map(
            |(kind, name, link, (mode, uid, gid, seconds, nanoseconds), xattrs, data)| {
                let mut entry = Entry::new(kind, name, mode);
                (entry.uid, entry.gid) = (uid, gid);
                entry.modified = Time { seconds: seconds.into(), nanoseconds };
                entry.xattrs = xattrs.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect();
                if matches!(kind, Kind::CharacterDevice | Kind::BlockDevice) {
                    entry.device = (uid & 0xfff, gid & 0xfffff);
                }
                if matches!(kind, Kind::HardLink | Kind::Symlink) {
                    entry.link = link;
                }
                let data = if kind == Kind::File { data } else { Vec::new() };
                entry.size = data.len() as u64;
                (entry, data)
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(entries in prop::collection::vec(entry(), 0..5)) {
            let bytes = write(&entries);
            prop_assert_eq!(&write(&entries), &bytes);
            let mut read = read(&bytes);
            for (entry, _) in &mut read {
                if entry.kind == Kind::Directory {
                    prop_assert_eq!(entry.name.pop(), Some(b'/'));
                }
            }
            prop_assert_eq!(read, entries);
        }
    }

    #[test]
    fn holes_stay_holes() {
        let segments = vec![Segment { offset: 5000, length: 3 }, Segment { offset: 1 << 40, length: 2 }];
        let entry =
            Entry { size: 1 << 41, segments: Some(segments), ..Entry::new(Kind::File, "dir/sparse", 0o600) };
        let entries = [(entry, b"abcde".to_vec()), file("after", b"x")];
        let bytes = write(&entries);
        assert!(bytes.len() < 6000);
        let mut read = read(&bytes);
        let last = read[0].0.segments.as_mut().unwrap().pop();
        assert_eq!(last, Some(Segment { offset: 1 << 41, length: 0 }));
        assert_eq!(read, entries);
    }

    #[test]
    fn data_that_ends_too_early_is_an_error() {
        let mut writer = Writer::new(Vec::new());
        let (entry, _) = file("x", b"hello");
        assert_eq!(writer.append(&entry, &b"hell"[..]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn gnu_tar_reads_it() {
        let long = format!("{}/{}/f", "d".repeat(90), "e".repeat(90));
        let longer = format!("{}/{}", "a".repeat(120), "b".repeat(130));
        let sparse = Entry {
            size: 100_000,
            segments: Some(vec![Segment { offset: 99_000, length: 4 }]),
            ..Entry::new(Kind::File, "sparse", 0o600)
        };
        let link = Entry { link: longer.clone().into_bytes(), ..Entry::new(Kind::Symlink, "link", 0o777) };
        let old = Entry { modified: Time { seconds: -5, nanoseconds: 0 }, ..file("grüße", b"x").0 };
        let entries = [
            file(&long, b"hello"),
            file(&longer, b"you"),
            (sparse, b"data".to_vec()),
            (link, vec![]),
            (old, b"x".to_vec()),
        ];
        let dir = tempfile::tempdir().unwrap();
        let mut tar =
            Command::new("tar").args(["-x", "-C"]).arg(dir.path()).stdin(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&write(&entries)).unwrap();
        assert!(tar.wait().unwrap().success());
        let at = |name: &str| dir.path().join(name);
        assert_eq!(std::fs::read(at(&long)).unwrap(), b"hello");
        assert_eq!(std::fs::read(at(&longer)).unwrap(), b"you");
        assert_eq!(std::fs::read_link(at("link")).unwrap().to_str().unwrap(), longer);
        let sparse = std::fs::read(at("sparse")).unwrap();
        assert_eq!((sparse.len(), &sparse[99_000..99_004], sparse[98_999]), (100_000, &b"data"[..], 0));
        assert_eq!(std::os::unix::fs::MetadataExt::mtime(&std::fs::metadata(at("grüße")).unwrap()), -5);
    }
}
