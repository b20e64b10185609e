//! The table of system calls in `boxr-seccomp`: compared with, or made from, the kernel's headers.
//!
//! The source is Debian's package `linux-libc-dev` as of Linux 6.7, which has the headers of all
//! architectures in one place: `apt-get download linux-libc-dev && dpkg-deb -x linux-libc-dev_*.deb DIR`,
//! then `cargo xtask syscalls DIR/usr/lib/linux/uapi`. Names that newer kernels have given up stay
//! known through libseccomp, whose resolver (package `seccomp`) is asked for each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, top};

/// Columns of the table: its word, which is libseccomp's as well, and the header below the
/// directory of headers. A column without a header is libseccomp's alone.
const COLUMNS: [(&str, Option<&str>); 18] = [
    ("x86", Some("x86/asm/unistd_32.h")),
    ("x86_64", Some("x86/asm/unistd_64.h")),
    ("x32", Some("x86/asm/unistd_x32.h")),
    ("arm", Some("arm/asm/unistd-eabi.h")),
    ("aarch64", Some("arm64/asm/unistd_64.h")),
    ("loongarch64", Some("loongarch/asm/unistd_64.h")),
    ("m68k", Some("m68k/asm/unistd_32.h")),
    ("mips", Some("mips/asm/unistd_o32.h")),
    ("mips64", Some("mips/asm/unistd_n64.h")),
    ("mips64n32", Some("mips/asm/unistd_n32.h")),
    ("parisc", Some("parisc/asm/unistd_32.h")),
    ("parisc64", Some("parisc/asm/unistd_64.h")),
    ("ppc", Some("powerpc/asm/unistd_32.h")),
    ("ppc64", Some("powerpc/asm/unistd_64.h")),
    ("riscv64", Some("riscv/asm/unistd_64.h")),
    // Linux 7 has no 31-bit calls any more.
    ("s390", None),
    ("s390x", Some("s390/asm/unistd_64.h")),
    ("sh", Some("sh/asm/unistd_32.h")),
];
const S390: usize = 15;
const S390X: usize = 16;
const ARM: usize = 3;

/// System calls from here on have one number on all architectures.
const COMMON: u32 = 424;

type Numbers = [Option<u32>; COLUMNS.len()];
type Table = BTreeMap<String, Numbers>;

/// `cargo xtask syscalls [--write] HEADERS`
pub fn main(words: &[String]) -> Outcome {
    let (write, headers) = match words {
        [headers] => (false, headers),
        [flag, headers] if flag == "--write" => (true, headers),
        _ => return Err("usage: cargo xtask syscalls [--write] HEADERS".into()),
    };
    let mut table = from_headers(Path::new(headers))?;
    add_from_libseccomp(&mut table)?;
    add_common_to_s390(&mut table);
    let text = render(&table);
    let path = top().join("crates/boxr-seccomp/syscalls.tsv");
    if write {
        return std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()));
    }
    compare(&read(&path)?, &text)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn from_headers(dir: &Path) -> Result<Table, String> {
    let mut table = Table::new();
    for (column, (_, header)) in COLUMNS.iter().enumerate() {
        let Some(header) = header else { continue };
        let text = read(&dir.join(header))?;
        for (name, number) in text.lines().filter_map(definition) {
            table.entry(name.to_owned()).or_default()[column] = Some(number);
        }
    }
    for (name, number) in ARM_OWN {
        table.entry((*name).to_owned()).or_default()[ARM] = Some(*number);
    }
    Ok(table)
}

/// What `arm/asm/unistd.h` adds by other means than a plain number.
const ARM_OWN: &[(&str, u32)] = &[
    ("sync_file_range2", 341),
    ("breakpoint", 0xf_0001),
    ("cacheflush", 0xf_0002),
    ("usr26", 0xf_0003),
    ("usr32", 0xf_0004),
    ("set_tls", 0xf_0005),
    ("get_tls", 0xf_0006),
];

/// `#define __NR_read 0` and `#define __NR_read (__NR_Linux + 0)`: the number without its base.
fn definition(line: &str) -> Option<(&str, u32)> {
    let (name, value) = line.strip_prefix("#define __NR_")?.split_once(char::is_whitespace)?;
    let number = value.trim().trim_end_matches(')').rsplit(['+', ' ']).next()?;
    Some((name, number.parse().ok()?))
}

/// Adds what libseccomp knows and the headers do not; what both know is compared by a test of the crate.
fn add_from_libseccomp(table: &mut Table) -> Outcome {
    let header = PathBuf::from("/usr/include/seccomp-syscalls.h");
    let text = read(&header).map_err(|error| format!("{error} (apt-get install libseccomp-dev)"))?;
    let names: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#define __SNR_")?.split_whitespace().next())
        .collect();
    for name in names {
        for (column, (word, _)) in COLUMNS.iter().enumerate() {
            if table.get(name).is_none_or(|numbers| numbers[column].is_none())
                && let Some(number) = resolve(word, name)?
            {
                table.entry(name.to_owned()).or_default()[column] = Some(number);
            }
        }
    }
    Ok(())
}

/// The number of `name` by `scmp_sys_resolver`; `None` where the architecture, in itself or in
/// libseccomp, has no such call.
fn resolve(word: &str, name: &str) -> Result<Option<u32>, String> {
    let output = Command::new("scmp_sys_resolver")
        .args(["-a", word, name])
        .output()
        .map_err(|error| format!("scmp_sys_resolver: {error} (apt-get install seccomp)"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.trim().parse::<i64>().ok().and_then(|number| u32::try_from(number).ok());
    Ok(number.and_then(|number| number.checked_sub(base(word))))
}

/// What is added to each number on this architecture.
fn base(word: &str) -> u32 {
    match word {
        "x32" => 0x4000_0000,
        "mips" => 4000,
        "mips64" => 5000,
        "mips64n32" => 6000,
        _ => 0,
    }
}

fn add_common_to_s390(table: &mut Table) {
    for numbers in table.values_mut() {
        if numbers[S390X].is_some_and(|number| number >= COMMON) {
            numbers[S390] = numbers[S390].or(numbers[S390X]);
        }
    }
}

fn render(table: &Table) -> String {
    let words: Vec<_> = COLUMNS.iter().map(|(word, _)| *word).collect();
    let mut text = format!("name\t{}\n", words.join("\t"));
    for (name, numbers) in table {
        let cells = numbers.map(|number| number.map_or_else(|| "-".to_owned(), |number| number.to_string()));
        text.push_str(&format!("{name}\t{}\n", cells.join("\t")));
    }
    text
}

fn compare(stored: &str, made: &str) -> Outcome {
    let (stored, made): (BTreeSet<_>, BTreeSet<_>) = (stored.lines().collect(), made.lines().collect());
    let gone = stored.difference(&made).map(|line| format!("- {line}"));
    let new = made.difference(&stored).map(|line| format!("+ {line}"));
    let lines: Vec<_> = gone.chain(new).collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_and_without_a_base() {
        assert_eq!(definition("#define __NR_read 0"), Some(("read", 0)));
        assert_eq!(definition("#define __NR_listns (__NR_Linux + 470)"), Some(("listns", 470)));
        assert_eq!(definition("#define __NR_execveat (__X32_SYSCALL_BIT + 545)"), Some(("execveat", 545)));
        assert_eq!(definition("#define __NR_oops __NR_read"), None);
        assert_eq!(definition("#ifndef _ASM_UNISTD_32_H"), None);
    }

    #[test]
    fn a_changed_number_is_named() {
        assert_eq!(compare("read\t0\n", "read\t0\n"), Ok(()));
        assert_eq!(compare("read\t0\n", "read\t1\n"), Err("- read\t0\n+ read\t1".into()));
    }
}
