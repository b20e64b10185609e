//! Packs `syscalls.tsv` into arrays without pointers: a name table with a hash index, and one column
//! of numbers for each architecture.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

#[path = "src/hash.rs"]
mod hash;

/// Slots of the hash index; a power of two, more than twice the names.
const SLOTS: usize = 2048;
/// No such call, or an empty slot.
const NONE: u16 = u16::MAX;
/// ARM's private calls start here; stored as if they started at 0xf000.
const ARM_PRIVATE: u32 = 0xf_0000;

fn main() {
    println!("cargo::rerun-if-changed=syscalls.tsv");
    println!("cargo::rerun-if-changed=src");
    let table = fs::read_to_string("syscalls.tsv").unwrap_or_else(|error| panic!("syscalls.tsv: {error}"));
    let mut lines = table.lines();
    let columns: Vec<_> = lines.next().unwrap_or_default().split('\t').skip(1).collect();
    let rows: Vec<Vec<_>> = lines.map(|line| line.split('\t').collect()).collect();
    let names: Vec<_> = rows.iter().map(|row| row[0]).collect();

    let mut out = String::new();
    let mut put = |name: &str, kind: &str, numbers: &[u16]| {
        let length = numbers.len();
        // Writing to a String cannot fail.
        writeln!(out, "pub(crate) static {name}: [{kind}; {length}] = {numbers:?};").unwrap_or_default();
    };
    put("OFFSETS", "u16", &offsets(&names));
    put("SLOTS", "u16", &slots(&names));
    for (index, column) in columns.iter().enumerate() {
        let numbers: Vec<_> = rows.iter().map(|row| packed(row[index + 1])).collect();
        put(&column.to_uppercase(), "u16", &numbers);
    }
    writeln!(out, "pub(crate) static NAMES: &str = {:?};", names.concat()).unwrap_or_default();
    writeln!(out, "pub(crate) const BUILD: u64 = {};", build_hash(&table)).unwrap_or_default();

    let dir = env::var("OUT_DIR").unwrap_or_else(|error| panic!("OUT_DIR: {error}"));
    let path = Path::new(&dir).join("table.rs");
    fs::write(&path, out).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn offsets(names: &[&str]) -> Vec<u16> {
    let mut offsets = vec![0];
    let mut end = 0;
    for name in names {
        end += name.len();
        offsets.push(u16::try_from(end).unwrap_or_else(|_| panic!("the names are too long")));
    }
    offsets
}

fn slots(names: &[&str]) -> Vec<u16> {
    assert!(names.len() * 2 < SLOTS, "enlarge SLOTS");
    let mut slots = vec![NONE; SLOTS];
    for (row, name) in names.iter().enumerate() {
        let mut slot = hash::fnv1a(name.as_bytes()) as usize % SLOTS;
        while slots[slot] != NONE {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = row as u16;
    }
    slots
}

fn packed(cell: &str) -> u16 {
    match cell.parse::<u32>() {
        Err(_) => NONE,
        Ok(number) if number < 0xf000 => number as u16,
        Ok(number) if (ARM_PRIVATE..ARM_PRIVATE + 0xfff).contains(&number) => {
            0xf000 + (number - ARM_PRIVATE) as u16
        }
        Ok(number) => panic!("{number} cannot be packed"),
    }
}

/// Changes with every change of the table or of the compiler: programs that another build has stored
/// are not used.
fn build_hash(table: &str) -> u64 {
    let entries = fs::read_dir("src").unwrap_or_else(|error| panic!("src: {error}"));
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().fold(hash::fnv1a(table.as_bytes()), |sum, path| {
        let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        sum.rotate_left(1) ^ hash::fnv1a(&text)
    })
}
