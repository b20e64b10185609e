//! Extended headers: `LENGTH KEY=VALUE` lines (POSIX.1-2017, `pax`).

use super::header::Entry;
use super::number::{decimal, time};
use super::sparse::{self, Segment};
use super::{LONGEST_NAME, MOST_XATTRS, TarError, shown};

/// Before the name of an extended attribute (star, GNU tar, docker).
pub(super) const XATTR: &[u8] = b"SCHILY.xattr.";

/// What extended headers say about the next entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Extended {
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where the map of a sparse file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sparse {
    /// There is none.
    No,
    /// It was in the header.
    Here(Vec<Segment>),
    /// Before the data (version 1.0).
    InData,
}

impl Extended {
    /// Adds the lines of one header.
    pub(super) fn add(&mut self, mut bytes: &[u8]) -> Result<(), TarError> {
        while !bytes.is_empty() {
            let (record, rest) = take_record(bytes)
                .ok_or_else(|| TarError::Field { name: String::new(), field: "extended header" })?;
            self.records.push(record);
            bytes = rest;
        }
        Ok(())
    }

    /// The last value of `key`. An empty value takes back what was said before.
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let (_, value) = self.records.iter().rev().find(|(known, _)| known == key)?;
        (!value.is_empty()).then_some(value.as_slice())
    }

    /// The length of what follows the entry's header, if it is said here.
    pub(super) fn size(&self, name: &[u8]) -> Result<Option<u64>, TarError> {
        self.number(name, b"size", "size")
    }

    fn number<T: TryFrom<u64>>(
        &self,
        name: &[u8],
        key: &[u8],
        field: &'static str,
    ) -> Result<Option<T>, TarError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = decimal(value).and_then(|number| T::try_from(number).ok());
        number.map(Some).ok_or_else(|| TarError::Field { name: shown(name), field })
    }

    /// Puts what is said here in place of what the header said.
    pub(super) fn apply(&self, entry: &mut Entry) -> Result<Sparse, TarError> {
        let name = entry.name.clone();
        if let Some(path) = self.get(b"path") {
            entry.name = path.to_vec();
        }
        if let Some(link) = self.get(b"linkpath") {
            entry.link = link.to_vec();
        }
        if let Some(uid) = self.number(&name, b"uid", "user id")? {
            entry.uid = uid;
        }
        if let Some(gid) = self.number(&name, b"gid", "group id")? {
            entry.gid = gid;
        }
        if let Some(size) = self.size(&name)? {
            entry.size = size;
        }
        if let Some(value) = self.get(b"mtime") {
            let modified = time(value);
            entry.modified = modified.ok_or_else(|| TarError::Field { name: shown(&name), field: "time" })?;
        }
        self.apply_xattrs(entry)?;
        self.sparse(entry)
    }

    fn apply_xattrs(&self, entry: &mut Entry) -> Result<(), TarError> {
        for (key, value) in &self.records {
            if let Some(name) = key.strip_prefix(XATTR).filter(|name| !name.is_empty() && !name.contains(&0))
            {
                entry.xattrs.retain(|(known, _)| known != name);
                if entry.xattrs.len() >= MOST_XATTRS {
                    return Err(TarError::TooLong { name: shown(&entry.name), what: "list of attributes" });
                }
                entry.xattrs.push((name.to_vec(), value.clone()));
            }
        }
        Ok(())
    }

    fn sparse(&self, entry: &mut Entry) -> Result<Sparse, TarError> {
        let name = entry.name.clone();
        let major: Option<u32> = self.number(&name, b"GNU.sparse.major", "sparse map")?;
        let size: Option<u64> = match self.number(&name, b"GNU.sparse.realsize", "size")? {
            None => self.number(&name, b"GNU.sparse.size", "size")?,
            size => size,
        };
        let map = match (major, self.get(b"GNU.sparse.map")) {
            (Some(1), _) => Sparse::InData,
            (_, Some(map)) => Sparse::Here(sparse::listed(map).ok_or_else(|| bad(&name))?),
            (None, None) if size.is_some() => Sparse::Here(self.sparse_pairs().ok_or_else(|| bad(&name))?),
            _ => return Ok(Sparse::No),
        };
        if let Some(real) = self.get(b"GNU.sparse.name") {
            entry.name = real.to_vec();
        }
        entry.size = size.ok_or_else(|| bad(&name))?;
        Ok(map)
    }

    /// Version 0.0: an offset and a length in lines of their own, over and over.
    fn sparse_pairs(&self) -> Option<Vec<Segment>> {
        let mut segments = Vec::new();
        let mut offset = None;
        for (key, value) in &self.records {
            match key.as_slice() {
                b"GNU.sparse.offset" => offset = Some(decimal(value)?),
                b"GNU.sparse.numbytes" => {
                    segments.push(Segment { offset: offset.take()?, length: decimal(value)? });
                }
                _ => {}
            }
        }
        Some(segments)
    }
}

fn bad(name: &[u8]) -> TarError {
    TarError::Field { name: shown(name), field: "sparse map" }
}

type Record = (Vec<u8>, Vec<u8>);

fn take_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let line = bytes.get(..length)?.get(space + 1..)?;
    let pair = line.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&pair[..equals], &pair[equals + 1..]);
    // A name with a NUL would be another one to the kernel.
    let is_name = matches!(key, b"path" | b"linkpath" | b"GNU.sparse.name");
    if key.is_empty() || is_name && (value.contains(&0) || value.len() as u64 > LONGEST_NAME) {
        return None;
    }
    Some(((key.to_vec(), value.to_vec()), &bytes[length..]))
}
