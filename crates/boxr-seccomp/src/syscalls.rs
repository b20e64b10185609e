//! Names and numbers of system calls: `syscalls.tsv`, packed by `build.rs`.

use crate::hash::fnv1a;

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// The place of a name in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row(pub u16);

/// How many rows there are.
pub(crate) const ROWS: usize = OFFSETS.len() - 1;

/// No such call, or an empty slot.
const NONE: u16 = u16::MAX;

/// Finds a name.
pub(crate) fn row(name: &str) -> Option<Row> {
    let mut slot = fnv1a(name.as_bytes()) as usize % SLOTS.len();
    loop {
        match SLOTS[slot] {
            NONE => return None,
            found if name_of(found) == name => return Some(Row(found)),
            _ => slot = (slot + 1) % SLOTS.len(),
        }
    }
}

/// The number in `column`, without the architecture's base.
pub(crate) fn number(column: &[u16; ROWS], row: Row) -> Option<u32> {
    match column[usize::from(row.0)] {
        NONE => None,
        // ARM's private calls (`__ARM_NR_BASE`).
        number if number >= 0xf000 => Some(0xf_0000 + u32::from(number - 0xf000)),
        number => Some(u32::from(number)),
    }
}

/// All names, sorted.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    (0..ROWS as u16).map(name_of)
}

fn name_of(row: u16) -> &'static str {
    let row = usize::from(row);
    &NAMES[usize::from(OFFSETS[row])..usize::from(OFFSETS[row + 1])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        for (index, name) in names().enumerate() {
            assert_eq!(row(name), Some(Row(index as u16)), "{name}");
        }
        assert_eq!(row(""), None);
        assert_eq!(row("reed"), None);
    }

    #[test]
    fn numbers_are_the_kernels() {
        let number = |column, name| number(column, row(name).unwrap());
        assert_eq!(number(&X86_64, "read"), Some(0));
        assert_eq!(number(&X86, "read"), Some(3));
        assert_eq!(number(&AARCH64, "read"), Some(63));
        assert_eq!(number(&AARCH64, "open"), None);
        assert_eq!(number(&ARM, "cacheflush"), Some(0xf_0002));
    }
}
