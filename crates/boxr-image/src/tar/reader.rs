//! Reading an archive from its beginning to its end.

use std::io::{self, BufRead, Read};

use super::header::{Entry, Header};
use super::number::decimal;
use super::pax::{Extended, Sparse};
use super::sparse::{self, Segment};
use super::{BLOCK, LONGEST_GLOBAL, LONGEST_NAME, LONGEST_PAX, MOST_SEGMENTS, TarError, shown};

/// An archive that is being read.
#[derive(Debug)]
pub struct Archive<R> {
    from: R,
    /// Bytes of the present entry's data that were not read yet.
    left: u64,
    /// Bytes from there to the next header.
    padding: u64,
    /// What holds for all entries from here on.
    global: Extended,
}

impl<R: Read> Archive<R> {
    /// At its beginning.
    pub fn new(from: R) -> Self {
        Self { from, left: 0, padding: 0, global: Extended::default() }
    }

    /// What it is read from, somewhere in it or after it.
    pub fn into_inner(self) -> R {
        self.from
    }

    /// The next entry, whatever was read of the last one's data; `None` at the end.
    ///
    /// # Errors
    /// The archive cannot be read or used; then it must not be read on.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extended = self.global.clone();
        let (mut long_name, mut long_link) = (None, None);
        // There may be any number of headers before an entry, and all of what they say is kept.
        let mut room = LONGEST_PAX;
        loop {
            self.skip()?;
            let Some(block) = self.header_block()? else { return Ok(None) };
            let header = Header::new(&block)?;
            match header.letter() {
                b'L' => long_name = Some(self.long_name(&header)?),
                b'K' => long_link = Some(self.long_name(&header)?),
                b'x' => {
                    let bytes = self.take_data(&header, room, "extended header")?;
                    room -= bytes.len() as u64;
                    extended.add(&bytes)?;
                }
                b'g' => {
                    let bytes = self.take_data(&header, LONGEST_GLOBAL, "extended header")?;
                    self.global = Extended::default();
                    self.global.add(&bytes)?;
                    extended = self.global.clone();
                }
                // The name of a volume.
                b'V' => self.begin_data(header.size()?),
                _ => {
                    let mut entry = header.entry()?;
                    entry.name = long_name.unwrap_or(entry.name);
                    entry.link = long_link.unwrap_or(entry.link);
                    return self.finish(&header, entry, &extended).map(Some);
                }
            }
        }
    }

    /// Reads on in the data of the present entry; 0 at its end.
    ///
    /// # Errors
    /// The archive cannot be read, or ends here.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = read_some(&mut self.from, &mut buffer[..most])?;
        if read == 0 {
            return Err(TarError::CutShort);
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// What is at hand of the present entry's data, uncopied; nothing at its end. [`Archive::consume`] goes on.
    ///
    /// # Errors
    /// The archive cannot be read, or ends here.
    pub fn data(&mut self) -> Result<&[u8], TarError>
    where
        R: BufRead,
    {
        if self.left == 0 {
            return Ok(&[]);
        }
        loop {
            match self.from.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok([]) => return Err(TarError::CutShort),
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        // It is there: nothing is read again.
        let at_hand = self.from.fill_buf()?;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(at_hand.len());
        Ok(&at_hand[..most])
    }

    /// Goes beyond so many bytes of what [`Archive::data`] gave.
    pub fn consume(&mut self, bytes: usize)
    where
        R: BufRead,
    {
        self.from.consume(bytes);
        self.left -= (bytes as u64).min(self.left);
    }

    fn finish(
        &mut self,
        header: &Header<'_>,
        mut entry: Entry,
        extended: &Extended,
    ) -> Result<Entry, TarError> {
        use super::Kind;
        let stored = extended.size(&entry.name)?.unwrap_or(entry.size);
        let is_gnu_sparse = header.letter() == b'S';
        let mut map = extended.apply(&mut entry)?;
        // Before ustar a slash at the end was all that told a directory. A name that was too long for
        // the header may have been cut behind any of its slashes.
        if entry.kind == Kind::File && entry.name.ends_with(b"/") {
            entry.kind = Kind::Directory;
        }
        if entry.kind != Kind::File {
            // Some programs write a length for what has no data. Hard links never have any: so docker
            // and podman read them.
            self.begin_data(0);
            entry.size = 0;
            return Ok(entry);
        }
        if is_gnu_sparse {
            let (segments, more, size) = header.gnu_sparse()?;
            map = Sparse::Here(self.more_segments(&entry.name, segments, more)?);
            entry.size = size;
        }
        self.begin_data(stored);
        let segments = match map {
            Sparse::No => return Ok(entry),
            Sparse::Here(segments) => segments,
            Sparse::InData => self.map_in_data(&entry.name)?,
        };
        sparse::check(&entry.name, &segments, entry.size, self.left)?;
        entry.segments = Some(segments);
        Ok(entry)
    }

    fn begin_data(&mut self, size: u64) {
        self.left = size;
        self.padding = padding(size);
    }

    /// Goes to the next header.
    fn skip(&mut self) -> Result<(), TarError> {
        let length = self.left.checked_add(self.padding).ok_or(TarError::CutShort)?;
        (self.left, self.padding) = (0, 0);
        if length == 0 {
            return Ok(());
        }
        let skipped = io::copy(&mut (&mut self.from).take(length), &mut io::sink())?;
        if skipped == length { Ok(()) } else { Err(TarError::CutShort) }
    }

    /// `None` at the end: a block of zeros, or nothing more.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let read = read_full(&mut self.from, &mut block)?;
        match read {
            0 => Ok(None),
            BLOCK if block.iter().all(|byte| *byte == 0) => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => Err(TarError::CutShort),
        }
    }

    fn full_block(&mut self) -> Result<[u8; BLOCK], TarError> {
        let mut block = [0; BLOCK];
        if read_full(&mut self.from, &mut block)? == BLOCK { Ok(block) } else { Err(TarError::CutShort) }
    }

    /// The data of a header that belongs to the next entry.
    fn take_data(
        &mut self,
        header: &Header<'_>,
        limit: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, TarError> {
        let size = header.size()?;
        if size > limit {
            return Err(TarError::TooLong { name: shown(&header.name()), what });
        }
        self.begin_data(size);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let read = read_full(&mut self.from, &mut bytes)?;
        self.left = 0;
        if read == bytes.len() { Ok(bytes) } else { Err(TarError::CutShort) }
    }

    fn long_name(&mut self, header: &Header<'_>) -> Result<Vec<u8>, TarError> {
        let mut name = self.take_data(header, LONGEST_NAME + 1, "name")?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    /// The blocks that continue a GNU header's sparse map.
    fn more_segments(
        &mut self,
        name: &[u8],
        mut segments: Vec<Segment>,
        mut more: bool,
    ) -> Result<Vec<Segment>, TarError> {
        while more {
            let block = self.full_block()?;
            let next = sparse::gnu_segments(&block[..504]);
            segments.extend(next.ok_or_else(|| TarError::Field { name: shown(name), field: "sparse map" })?);
            if segments.len() > MOST_SEGMENTS {
                return Err(TarError::TooLong { name: shown(name), what: "sparse map" });
            }
            more = block[504] != 0;
        }
        Ok(segments)
    }

    /// Version 1.0 of pax's: decimal numbers, a line each, in blocks of their own before the data.
    fn map_in_data(&mut self, name: &[u8]) -> Result<Vec<Segment>, TarError> {
        let bad = || TarError::Field { name: shown(name), field: "sparse map" };
        let mut numbers = Vec::new();
        let mut line = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            self.left = self.left.checked_sub(BLOCK as u64).ok_or_else(bad)?;
            for byte in self.full_block()? {
                match byte {
                    b'\n' if wanted.is_none() => {
                        let count = decimal(&line).and_then(|count| usize::try_from(count).ok());
                        let count = count.filter(|count| *count <= MOST_SEGMENTS);
                        wanted = Some(count.ok_or_else(bad)? * 2);
                        line.clear();
                    }
                    b'\n' => {
                        numbers.push(decimal(&line).ok_or_else(bad)?);
                        line.clear();
                    }
                    digit if line.len() < 20 => line.push(digit),
                    _ => return Err(bad()),
                }
                if wanted.is_some_and(|wanted| numbers.len() == wanted) {
                    break;
                }
            }
        }
        Ok(numbers.chunks_exact(2).map(|pair| Segment { offset: pair[0], length: pair[1] }).collect())
    }
}

/// Bytes from the end of `size` to the next block.
fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn read_some(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Fills the buffer as far as there is something.
fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_some(from, &mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
