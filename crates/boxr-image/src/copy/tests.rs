//! The rules, and those who would lead out.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::pack::Holes;
use crate::tar::{Entry, Kind, Writer};

fn base(dir: &Path) -> Base {
    Base::Root(File::open(dir).unwrap().into())
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn copy(from: &Base, source: &str, to: &Base, target: &str) -> Result<Laid, CopyError> {
    let source = Source::find(from, source.as_bytes(), false)?;
    let target_path = target.as_bytes();
    let into = Target::find(to, target_path)?.takes(source.is_directory(), target_path)?;
    let (bytes, _) = send(&source, Holes::Kept, Vec::new())?;
    lay(bytes.as_slice(), &into, Owners::Callers, Clash::Refused)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn directories_and_files_go_where_docker_puts_them() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    write(&from.join("d/sub/file"), "deep");
    write(&from.join("d/one"), "one");
    fs::hard_link(from.join("d/one"), from.join("d/two")).unwrap();
    fs::create_dir_all(to.join("there")).unwrap();
    write(&to.join("file"), "old");
    let go = |source: &str, target: &str| copy(&base(&from), source, &base(&to), target);
    go("/d", "/there").unwrap();
    assert_eq!(read(&to.join("there/d/sub/file")), "deep");
    go("/d/.", "/there").unwrap();
    assert_eq!(read(&to.join("there/two")), "one");
    go("d", "new").unwrap();
    go("d/", "new2/").unwrap();
    go("d/.", "new3").unwrap();
    for new in ["new", "new2", "new3"] {
        assert_eq!(read(&to.join(new).join("sub/file")), "deep", "{new}");
        let of =
            |name: &str| std::os::unix::fs::MetadataExt::ino(&fs::metadata(to.join(new).join(name)).unwrap());
        assert_eq!(of("one"), of("two"));
    }
    go("d/one", "file").unwrap();
    assert_eq!(read(&to.join("file")), "one");
    go("d/one", "renamed").unwrap();
    go("d/one", "there/").unwrap();
    assert_eq!(read(&to.join("renamed")), "one");
    assert!(matches!(go("d/one", "nowhere/"), Err(CopyError::NoDirectory(_))));
    assert!(matches!(go("d/one", "no/where"), Err(CopyError::NoDirectory(_))));
    assert!(matches!(go("d", "file"), Err(CopyError::OntoFile(_))));
    assert!(matches!(go("d/one/.", "x"), Err(CopyError::NotADirectory(_))));
    assert!(matches!(go("none", "x"), Err(CopyError::Missing(_))));
    // Neither takes the other's place.
    write(&from.join("e/x/y"), "");
    write(&to.join("e/x"), "kept");
    assert!(matches!(go("e/.", "e"), Err(CopyError::Overwrite { .. })));
    assert_eq!(read(&to.join("e/x")), "kept");
    let left =
        fs::read_dir(&to).unwrap().any(|entry| entry.unwrap().file_name().as_bytes().starts_with(b".boxr"));
    assert!(!left);
}

#[test]
fn links_of_a_container_end_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let (host, root, to) = (dir.path().join("host"), dir.path().join("root"), dir.path().join("to"));
    write(&host.join("secret"), "secret");
    write(&root.join("etc/secret"), "the container's");
    fs::create_dir(&to).unwrap();
    symlink(host.join("secret"), root.join("absolute")).unwrap();
    symlink("../../../../../../../../../../etc", root.join("up")).unwrap();
    symlink("/etc/secret", root.join("inside")).unwrap();
    symlink(&host, root.join("dir")).unwrap();
    let follow = |path: &str| Source::find(&base(&root), path.as_bytes(), true);
    assert!(matches!(follow("/absolute"), Err(CopyError::Missing(_))));
    assert!(matches!(follow("/dir/secret"), Err(CopyError::Missing(_))));
    assert!(matches!(follow("/../../host/secret"), Err(CopyError::Missing(_))));
    for path in ["/up/secret", "/inside"] {
        let (bytes, _) = send(&follow(path).unwrap(), Holes::Filled, Vec::new()).unwrap();
        let into = Into { directory: File::open(&to).unwrap().into(), renamed: Some(b"out".to_vec()) };
        lay(bytes.as_slice(), &into, Owners::Callers, Clash::Refused).unwrap();
        assert_eq!(read(&to.join("out")), "the container's");
    }
    // Into it: nothing new on the host.
    for target in ["/absolute", "/dir/new", "/dir/"] {
        drop(copy(&base(&root), "etc/secret", &base(&root), target));
    }
    assert_eq!(read(&host.join("secret")), "secret");
    assert_eq!(fs::read_dir(&host).unwrap().count(), 1);
}

#[test]
fn no_archive_leads_out_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    fs::create_dir(&into).unwrap();
    let attack = |entries: &[Entry]| {
        let mut writer = Writer::new(Vec::new());
        for entry in entries {
            writer.append(entry, std::io::empty()).unwrap();
        }
        let bytes = writer.finish().unwrap();
        let into = Into { directory: File::open(&into).unwrap().into(), renamed: None };
        lay(bytes.as_slice(), &into, Owners::Callers, Clash::Refused)
    };
    let file = |name: &str| Entry::new(Kind::File, name, 0o644);
    let link = |kind, name: &str, link: &str| Entry { link: link.into(), ..Entry::new(kind, name, 0o777) };
    assert!(matches!(attack(&[file("../out")]), Err(CopyError::Escape { .. })));
    assert!(matches!(attack(&[file("a/../../out")]), Err(CopyError::Escape { .. })));
    assert!(attack(&[link(Kind::Symlink, "up", ".."), file("up/out")]).is_err());
    let outside = dir.path().to_str().unwrap();
    assert!(attack(&[link(Kind::Symlink, "abs", outside), file("abs/out")]).is_err());
    write(&dir.path().join("secret"), "");
    assert!(attack(&[link(Kind::HardLink, "hard", "../secret")]).is_err());
    assert!(attack(&[link(Kind::HardLink, "hard", "up/secret")]).is_err());
    attack(&[file("/absolute")]).unwrap();
    assert!(into.join("absolute").exists() && !dir.path().join("out").exists());
    assert!(!into.join("hard").exists());
    // A name that means something in layers means nothing here.
    attack(&[file("d/kept"), file("d/.wh.kept"), file("d/.wh..wh..opq")]).unwrap();
    assert!(into.join("d/kept").exists() && into.join("d/.wh.kept").exists());
}
