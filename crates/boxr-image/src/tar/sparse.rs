//! Files with holes.

use super::number::{decimal, parse};
use super::{MOST_SEGMENTS, TarError, shown};

/// A piece of data in a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it is, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

/// The segments in a GNU header or in a block that continues it: pairs of numbers up to an empty one.
pub(super) fn gnu_segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    for pair in bytes.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let number = |field: &[u8]| parse(field).and_then(|number| u64::try_from(number).ok());
        segments.push(Segment { offset: number(&pair[..12])?, length: number(&pair[12..])? });
    }
    Some(segments)
}

/// The segments of pax's version 0: numbers with commas between.
pub(super) fn listed(text: &[u8]) -> Option<Vec<Segment>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let numbers: Option<Vec<u64>> = text.split(|byte| *byte == b',').map(decimal).collect();
    let numbers = numbers.filter(|numbers| numbers.len() % 2 == 0)?;
    Some(numbers.chunks_exact(2).map(|pair| Segment { offset: pair[0], length: pair[1] }).collect())
}

/// Checks that the segments follow each other within the file and have as much data as there is.
pub(super) fn check(name: &[u8], segments: &[Segment], size: u64, stored: u64) -> Result<(), TarError> {
    if segments.len() > MOST_SEGMENTS {
        return Err(TarError::TooLong { name: shown(name), what: "sparse map" });
    }
    let bad = || TarError::Field { name: shown(name), field: "sparse map" };
    let (mut end, mut total) = (0u64, 0u64);
    for segment in segments {
        let next = segment.offset.checked_add(segment.length).filter(|_| segment.offset >= end);
        end = next.filter(|next| *next <= size).ok_or_else(bad)?;
        // Cannot overflow: the segments do not overlap and end before `size`.
        total += segment.length;
    }
    if total == stored { Ok(()) } else { Err(bad()) }
}
