//! Compiled programs, kept in a directory.
//!
//! Reading a program is several times cheaper than compiling it, which in turn is cheap: for docker's
//! default profile about 30 µs against 115 µs in a new process on the machine this was written on, and 7 against
//! 54 once warm
//! (`cargo run --release -p boxr-seccomp --example cost FILE`). A start never depends on it: what cannot
//! be read or is not as it should be is compiled, and stored anew.
//!
//! A file is named by a hash of what it was made from. It holds that as a whole, so that two profiles
//! with one hash are not confused: the profile, the architecture, and the build of the compiler. What
//! the kernel offers does not change a program.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxSeccomp;
use rustix::fs::OFlags;

use crate::error::Error;
use crate::filter::{Filter, FilterFlags, Instruction};
use crate::hash::of_words;
use crate::{arch, syscalls};

/// How a filter was come by.
#[derive(Debug)]
pub enum Origin {
    /// Read from the directory.
    Stored,
    /// Compiled, and stored for the next time.
    Compiled,
    /// Compiled; it could not be stored.
    NotStored(std::io::Error),
}

/// What every file begins with; the number changes with the layout.
const MAGIC: [u8; 8] = *b"boxrbpf1";
/// Magic, checksum, length of the key, number of instructions, flags, whether it notifies.
const HEADER: usize = 32;
/// No honest file is larger.
const LARGEST: u64 = 1 << 20;
/// More files than this are thrown away before the next is stored: somebody makes profiles anew each time.
const MOST_FILES: usize = 256;

/// The compiled `profile`, from `dir` when it is there. The directory is made when it is not there.
///
/// # Errors
/// As [`crate::compile`]; never because of the directory.
pub fn compile(dir: &Path, profile: &LinuxSeccomp) -> Result<(Filter, Origin), Error> {
    with_key(dir, &key(profile), || crate::compile(profile))
}

/// The same of a profile that is always made alike, so that `name` says which it is: it is made only where the program
/// is not there. What goes into the making has to be in the name.
///
/// # Errors
/// As [`crate::compile`], and what `make` says; never because of the directory.
pub fn compile_named<E: From<Error>>(
    dir: &Path,
    name: &str,
    make: impl FnOnce() -> Result<LinuxSeccomp, E>,
) -> Result<(Filter, Origin), E> {
    let mut key = common();
    key.push(NAMED);
    key.extend(name.as_bytes());
    with_key(dir, &key, || Ok(crate::compile(&make()?)?))
}

fn with_key<E>(
    dir: &Path,
    key: &[u8],
    compile: impl FnOnce() -> Result<Filter, E>,
) -> Result<(Filter, Origin), E> {
    let path = dir.join(format!("{:016x}.bpf", of_words(key)));
    if let Some(filter) = read(&path, key) {
        return Ok((filter, Origin::Stored));
    }
    let filter = compile()?;
    let origin = match write(dir, &path, &encode(&filter, key)) {
        Ok(()) => Origin::Compiled,
        Err(error) => Origin::NotStored(error),
    };
    Ok((filter, origin))
}

/// What stands in a key where that of a profile has its default action, whose numbers are small.
const NAMED: u8 = u8::MAX;

/// What every key begins with.
fn common() -> Vec<u8> {
    let mut key = syscalls::BUILD.to_ne_bytes().to_vec();
    key.extend(arch::native().map_or(0, |arch| arch as u32).to_ne_bytes());
    key
}

/// All that a program depends on, without ambiguity.
fn key(profile: &LinuxSeccomp) -> Vec<u8> {
    let mut key = common();
    key.reserve(8192);
    let number = |key: &mut Vec<u8>, number: u64| key.extend(number.to_ne_bytes());
    let optional = |key: &mut Vec<u8>, value: Option<u64>| {
        key.push(u8::from(value.is_some()));
        number(key, value.unwrap_or(0));
    };
    key.push(profile.default_action() as u8);
    optional(&mut key, profile.default_errno_ret().map(u64::from));
    let arches = profile.architectures().as_deref().unwrap_or_default();
    number(&mut key, arches.len() as u64);
    arches.iter().for_each(|arch| number(&mut key, *arch as u64));
    optional(&mut key, profile.flags().as_ref().map(|flags| flags.len() as u64));
    profile.flags().iter().flatten().for_each(|flag| key.push(*flag as u8));
    for entry in profile.syscalls().iter().flatten() {
        key.push(entry.action() as u8);
        optional(&mut key, entry.errno_ret().map(u64::from));
        number(&mut key, entry.names().len() as u64);
        for name in entry.names() {
            key.extend((name.len() as u32).to_ne_bytes());
            key.extend(name.as_bytes());
        }
        let args = entry.args().as_deref().unwrap_or_default();
        number(&mut key, args.len() as u64);
        for arg in args {
            key.push(arg.op() as u8);
            number(&mut key, arg.index() as u64);
            number(&mut key, arg.value());
            optional(&mut key, arg.value_two());
        }
    }
    key
}

fn encode(filter: &Filter, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + key.len() + filter.program.len() * 8);
    bytes.extend(MAGIC);
    bytes.extend([0; 8]);
    bytes.extend((key.len() as u32).to_ne_bytes());
    bytes.extend((filter.program.len() as u32).to_ne_bytes());
    bytes.extend(filter.flags.bits().to_ne_bytes());
    bytes.extend(u32::from(filter.notifies).to_ne_bytes());
    bytes.extend(key);
    bytes.extend(filter.program.as_flattened());
    let sum = of_words(&bytes[16..]);
    bytes[8..16].copy_from_slice(&sum.to_ne_bytes());
    bytes
}

/// `None` for whatever is not exactly what [`encode`] makes of this key.
fn decode(bytes: &[u8], key: &[u8]) -> Option<Filter> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (key_length, count) = (word(16) as usize, word(20) as usize);
    let notifies = match word(28) {
        0 => false,
        1 => true,
        _ => return None,
    };
    let sound = header[..8] == MAGIC
        && header[8..16] == of_words(&bytes[16..]).to_ne_bytes()
        && key_length == key.len()
        && rest.len() == key_length + count * size_of::<Instruction>()
        && rest.starts_with(key);
    if !sound {
        return None;
    }
    let (program, _) = rest[key_length..].as_chunks::<8>();
    Some(Filter { program: program.to_vec(), flags: FilterFlags::from_bits(word(24)), notifies })
}

/// Reads a file that nobody else can have written.
fn read(path: &Path, key: &[u8]) -> Option<Filter> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let mine = metadata.is_file()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.mode() & 0o022 == 0
        && metadata.len() <= LARGEST;
    if !mine {
        return None;
    }
    let length = metadata.len() as usize;
    let mut bytes = vec![0; length];
    let mut file = file;
    file.read_exact(&mut bytes).ok()?;
    decode(&bytes, key)
}

/// Writes the file whole: it is there with all of its content, or not at all.
fn write(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
    let create = || File::options().write(true).create_new(true).mode(0o600).open(&temporary);
    make_room(dir)?;
    let mut file = match create() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            create()?
        }
        // Left by a process with this number that was killed.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_file(&temporary)?;
            create()?
        }
        other => other?,
    };
    let written = file.write_all(bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The failure above is what matters.
        std::fs::remove_file(&temporary).unwrap_or_default();
    }
    written
}

fn make_room(dir: &Path) -> std::io::Result<()> {
    let files = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?.collect::<Result<Vec<_>, _>>()?,
    };
    if files.len() < MOST_FILES {
        return Ok(());
    }
    for file in files {
        match std::fs::remove_file(file.path()) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use oci_spec::runtime::{LinuxSeccompAction, LinuxSyscallBuilder};

    use super::*;

    fn profile(name: &str) -> LinuxSeccomp {
        let mut profile = LinuxSeccomp::default();
        let entry = LinuxSyscallBuilder::default()
            .names(vec![name.to_owned()])
            .action(LinuxSeccompAction::ScmpActErrno)
            .build()
            .unwrap();
        profile.set_syscalls(Some(vec![entry]));
        profile
    }

    fn file(dir: &Path) -> PathBuf {
        let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    #[test]
    fn the_second_time_is_read() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("not/there/yet");
        let (first, origin) = compile(&dir, &profile("mkdir")).unwrap();
        assert!(matches!(origin, Origin::Compiled));
        let (second, origin) = compile(&dir, &profile("mkdir")).unwrap();
        assert!(matches!(origin, Origin::Stored));
        assert_eq!(first, second);
        assert_eq!(first, crate::compile(&profile("mkdir")).unwrap());
        assert_eq!(file(&dir).metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let (other, origin) = compile(&dir, &profile("rmdir")).unwrap();
        assert!(matches!(origin, Origin::Compiled));
        assert_ne!(first, other);
    }

    #[test]
    fn a_profile_with_a_name_is_made_once() {
        let top = tempfile::tempdir().unwrap();
        let make = |call: &'static str| move || Ok::<_, Error>(profile(call));
        let first = compile_named(top.path(), "one", make("mkdir")).unwrap().0;
        assert_eq!(first, crate::compile(&profile("mkdir")).unwrap());
        let (again, origin) =
            compile_named(top.path(), "one", || panic!("made again")).map_err(|error: Error| error).unwrap();
        assert!(matches!(origin, Origin::Stored) && again == first);
        let (other, origin) = compile_named(top.path(), "other", make("rmdir")).unwrap();
        assert!(matches!(origin, Origin::Compiled) && other != first);
        assert!(matches!(compile(top.path(), &profile("mkdir")).unwrap().1, Origin::Compiled));
    }

    #[test]
    fn every_damage_is_seen() {
        let top = tempfile::tempdir().unwrap();
        let expected = compile(top.path(), &profile("mkdir")).unwrap().0;
        let path = file(top.path());
        let good = std::fs::read(&path).unwrap();
        let damages = (0..good.len()).map(|index| {
            let mut bad = good.clone();
            bad[index] ^= 0x10;
            bad
        });
        let cuts = (0..good.len()).map(|length| good[..length].to_vec());
        let longer = std::iter::once([good.as_slice(), b"more"].concat());
        for bad in damages.chain(cuts).chain(longer) {
            std::fs::write(&path, &bad).unwrap();
            let (filter, origin) = compile(top.path(), &profile("mkdir")).unwrap();
            assert!(matches!(origin, Origin::Compiled));
            assert_eq!(filter, expected);
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_not_believed() {
        let top = tempfile::tempdir().unwrap();
        compile(top.path(), &profile("mkdir")).unwrap();
        let path = file(top.path());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o620)).unwrap();
        assert!(matches!(compile(top.path(), &profile("mkdir")).unwrap().1, Origin::Compiled));

        let elsewhere = tempfile::tempdir().unwrap();
        let real = elsewhere.path().join("file");
        std::fs::rename(&path, &real).unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        assert!(matches!(compile(top.path(), &profile("mkdir")).unwrap().1, Origin::Compiled));
        assert!(!path.is_symlink(), "it was replaced");
    }

    #[test]
    fn another_profile_below_the_same_name_is_not_taken() {
        let top = tempfile::tempdir().unwrap();
        compile(top.path(), &profile("mkdir")).unwrap();
        let mkdir = file(top.path());
        let bytes = std::fs::read(&mkdir).unwrap();
        std::fs::remove_file(&mkdir).unwrap();
        compile(top.path(), &profile("rmdir")).unwrap();
        std::fs::write(file(top.path()), bytes).unwrap();
        let (filter, origin) = compile(top.path(), &profile("rmdir")).unwrap();
        assert!(matches!(origin, Origin::Compiled));
        assert_eq!(filter, crate::compile(&profile("rmdir")).unwrap());
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let top = tempfile::tempdir().unwrap();
        for index in 0..MOST_FILES {
            std::fs::write(top.path().join(format!("{index}.bpf")), "").unwrap();
        }
        compile(top.path(), &profile("mkdir")).unwrap();
        file(top.path());
    }

    #[test]
    fn without_a_directory_it_still_works() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (filter, origin) = compile(&file.path().join("below"), &profile("mkdir")).unwrap();
        assert!(matches!(origin, Origin::NotStored(_)));
        assert_eq!(filter, crate::compile(&profile("mkdir")).unwrap());
    }
}
