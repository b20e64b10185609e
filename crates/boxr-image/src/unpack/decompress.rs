//! Compressed streams. What they are their first bytes say: registries are known to be wrong about it.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::oci::Compression;

/// The memory that a zstd stream may ask for, in bytes: what zstd(1) allows too.
const LARGEST_WINDOW: u64 = 128 << 20;

/// Decompresses what is read through it.
pub enum Decompressor<R: BufRead> {
    /// Not compressed.
    None(R),
    /// One gzip member or several.
    Gzip(Box<MultiGzDecoder<R>>),
    /// One zstd frame or several.
    Zstd(Box<Zstd<R>>),
}

impl<R: BufRead> std::fmt::Debug for Decompressor<R> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{:?}", self.compression())
    }
}

impl<R: BufRead> Decompressor<R> {
    /// Looks how the stream is compressed. `from` must be able to show at least four bytes at once.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn new(mut from: R) -> io::Result<Self> {
        let start = loop {
            match from.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                start => break start?,
            }
        };
        Ok(match start {
            [0x1f, 0x8b, ..] => Self::Gzip(Box::new(MultiGzDecoder::new(from))),
            // A frame, or one that is to be skipped (RFC 8878, section 3.1).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Self::Zstd(Box::new(Zstd::new(from)))
            }
            _ => Self::None(from),
        })
    }

    /// What it is.
    pub fn compression(&self) -> Compression {
        match self {
            Self::None(_) => Compression::None,
            Self::Gzip(_) => Compression::Gzip,
            Self::Zstd(_) => Compression::Zstd,
        }
    }

    /// What it is read from.
    pub fn into_inner(self) -> R {
        match self {
            Self::None(from) => from,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.from,
        }
    }
}

impl<R: BufRead> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(from) => from.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// zstd's frames, one after the other, those to be skipped skipped: so are images made whose files can
/// be fetched one by one.
pub struct Zstd<R> {
    from: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(from: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(LARGEST_WINDOW);
        Self { from, decoder, in_frame: false }
    }

    /// False when there is no further one.
    fn begin_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.from.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(&mut self.from) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.from).take(length), &mut io::sink())? != length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(failure(error)),
            }
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.in_frame = false;
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(said), Some(found)) if said != found => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "a zstd frame has the wrong checksum"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if !self.begin_frame()? {
                    return Ok(0);
                }
                self.in_frame = true;
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.decoder.is_finished() {
                self.end_frame()?;
                continue;
            }
            self.decoder
                .decode_blocks(&mut self.from, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(failure)?;
        }
    }
}

/// The error of the source stays what it was, where ruzstd lets it through.
fn failure(error: FrameDecoderError) -> io::Error {
    match error {
        FrameDecoderError::FailedToReadChecksum(error)
        | FrameDecoderError::FailedToDrainDecodebuffer(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
