//! musl instead of glibc, where it is installed (Debian: musl-dev).
//!
//! glibc asks the processor for its caches before `main`, with some 70 `cpuid` instructions. In a virtual
//! machine each of them is a trap: half of what a start of boxr takes. musl asks nothing. Rust's standard
//! library for glibc runs on it: musl keeps glibc's binary interface for what both have on x86-64, and what
//! it lacks `boxr_sys::musl` gives or another function stands for.

use std::path::{Path, PathBuf};

/// Where musl is: a directory, or `no` for glibc.
pub const VARIABLE: &str = "BOXR_MUSL";

/// Where distributions put musl's archive and its start files.
const PLACES: &[&str] = &[
    "usr/lib/x86_64-linux-musl",
    "usr/x86_64-linux-musl/lib64",
    "usr/x86_64-linux-musl/lib",
    "usr/lib/musl/lib",
    "usr/local/musl/lib",
];

/// What runs before and after `main`, and the library.
const FILES: &[&str] = &["crt1.o", "crti.o", "crtn.o", "libc.a"];

/// What the standard library asks for, and what there is for it.
const STANDS_FOR: &[(&str, &str)] = &[
    ("gnu_get_libc_version", "boxr_libc_version"),
    ("_dl_find_object", "boxr_find_object"),
    ("__res_init", "res_init"),
    // Large files have no names of their own in musl 1.2.4 and later: an off_t has 64 bits anyway.
    ("open64", "open"),
    ("openat64", "openat"),
    ("fstat64", "fstat"),
    ("stat64", "stat"),
    ("lstat64", "lstat"),
    ("fstatat64", "fstatat"),
    ("lseek64", "lseek"),
    ("ftruncate64", "ftruncate"),
    ("pread64", "pread"),
    ("pwrite64", "pwrite"),
    ("mmap64", "mmap"),
    ("readdir64", "readdir"),
    ("getrlimit64", "getrlimit"),
    ("setrlimit64", "setrlimit"),
    // musl has these; ours begin sooner (`boxr_sys::bytes`).
    ("memcpy", "boxr_memmove"),
    ("memmove", "boxr_memmove"),
    ("memcmp", "boxr_memcmp"),
    ("bcmp", "boxr_memcmp"),
];

/// What GCC's unwinder takes when it is there, and calls when it is not: glibc has it always.
const TAKEN_ALONG: &str = "pthread_once";

/// An installed musl.
#[derive(Debug, PartialEq, Eq)]
pub struct Musl {
    directory: PathBuf,
}

impl Musl {
    /// The one that `wanted`, the variable's value, names; when it is empty the one that is found below `root`.
    ///
    /// # Errors
    /// There is none where the variable says.
    pub fn find(wanted: &str, root: &Path) -> Result<Option<Self>, String> {
        match wanted {
            "no" => Ok(None),
            "" => Ok(PLACES.iter().find_map(|place| Self::of(&root.join(place)))),
            named => match Self::of(Path::new(named)) {
                Some(musl) => Ok(Some(musl)),
                None => {
                    Err(format!("{VARIABLE}={named}: this directory has not all of {}", FILES.join(", ")))
                }
            },
        }
    }

    fn of(directory: &Path) -> Option<Self> {
        let whole = FILES.iter().all(|file| directory.join(file).is_file());
        whole.then(|| Self { directory: directory.to_owned() })
    }

    /// Tells cargo to link it.
    pub fn link(&self) {
        println!("cargo::rerun-if-changed={}", self.directory.join("libc.a").display());
        for argument in self.arguments() {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }

    /// What the linker is told, by way of the C compiler.
    fn arguments(&self) -> Vec<String> {
        let files = FILES.iter().filter(|file| file.ends_with(".o"));
        let mut all = vec!["-nostartfiles".to_owned(), format!("-L{}", self.directory.display())];
        all.extend(files.map(|file| self.directory.join(file).display().to_string()));
        all.push(format!("-Wl,--undefined={TAKEN_ALONG}"));
        all.extend(STANDS_FOR.iter().map(|(asked, given)| format!("-Wl,--defsym={asked}={given}")));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        FILES.iter().for_each(|file| std::fs::write(directory.join(file), "").unwrap());
    }

    #[test]
    fn a_whole_one_is_found_where_distributions_put_it() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Musl::find("", root.path()), Ok(None));
        let place = root.path().join("usr/lib/musl/lib");
        install(&place);
        assert_eq!(Musl::find("", root.path()), Ok(Some(Musl { directory: place.clone() })));
        assert_eq!(Musl::find("no", root.path()), Ok(None));
        std::fs::remove_file(place.join("crt1.o")).unwrap();
        assert_eq!(Musl::find("", root.path()), Ok(None));
    }

    #[test]
    fn a_place_that_is_named_must_be_one() {
        let root = tempfile::tempdir().unwrap();
        let named = root.path().to_str().unwrap();
        assert!(Musl::find(named, Path::new("/")).unwrap_err().contains("crt1.o, crti.o, crtn.o, libc.a"));
        install(root.path());
        let musl = Musl::find(named, Path::new("/")).unwrap().unwrap();
        let arguments = musl.arguments();
        assert!(arguments.contains(&format!("-L{named}")) && arguments.contains(&format!("{named}/crt1.o")));
        // Without it a panic ends in SIGSEGV rather than with its reason.
        assert!(arguments.contains(&"-Wl,--undefined=pthread_once".to_owned()));
    }
}
