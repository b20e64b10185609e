//! Archives of the `tar` crate and of GNU tar, and no archives at all.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::Command;

use proptest::prelude::*;

use super::*;

/// All entries, and the data that they store.
fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut archive = Archive::new(bytes);
    let mut all = Vec::new();
    while let Some(entry) = archive.next_entry()? {
        let (mut data, mut buffer) = (Vec::new(), [0; 100]);
        loop {
            match archive.read_data(&mut buffer)? {
                0 => break,
                read => data.extend(&buffer[..read]),
            }
        }
        all.push((entry, data));
    }
    Ok(all)
}

fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o4755);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(9);
    header
}

fn one(path: &str, mut header: tar::Header, data: &[u8]) -> Vec<u8> {
    header.set_path(path).unwrap();
    header.set_cksum();
    [header.as_bytes(), data, &vec![0; (512 - data.len() % 512) % 512]].concat()
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in records {
        let mut length = key.len() + value.len() + 3;
        while length.to_string().len() + key.len() + value.len() + 3 != length {
            length = length.to_string().len() + key.len() + value.len() + 3;
        }
        text.extend(format!("{length} {key}=").into_bytes());
        text.extend(*value);
        text.push(b'\n');
    }
    one("pax", header(tar::EntryType::XHeader, text.len() as u64), &text)
}

#[test]
fn a_plain_file_has_what_its_header_says() {
    let bytes = one("dir/file", header(tar::EntryType::Regular, 5), b"hello");
    let (entry, data) = read(&bytes).unwrap().remove(0);
    assert_eq!(
        (entry.name.as_slice(), entry.kind, data.as_slice()),
        (&b"dir/file"[..], Kind::File, &b"hello"[..])
    );
    assert_eq!((entry.mode, entry.uid, entry.gid, entry.size), (0o4755, 7, 8, 5));
    assert_eq!(entry.modified, Time { seconds: 9, nanoseconds: 0 });
}

#[test]
fn long_names_come_by_prefix_by_gnu_and_by_pax() {
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(90));
    let by_prefix = one(&long, header(tar::EntryType::Regular, 0), b"");
    assert_eq!(read(&by_prefix).unwrap()[0].0.name, long.as_bytes());
    let longer = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let mut builder = tar::Builder::new(Vec::new());
    let mut gnu = tar::Header::new_gnu();
    gnu.set_size(0);
    builder.append_data(&mut gnu, &longer, &b""[..]).unwrap();
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "link", &longer).unwrap();
    let all = read(&builder.into_inner().unwrap()).unwrap();
    assert_eq!(all[0].0.name, longer.as_bytes());
    assert_eq!((all[1].0.name.as_slice(), all[1].0.link.as_slice()), (&b"link"[..], longer.as_bytes()));
    let records: [(&str, &[u8]); 2] = [("path", longer.as_bytes()), ("linkpath", b"target")];
    let by_pax = [pax(&records), one("short", header(tar::EntryType::Symlink, 0), b"")].concat();
    let entry = &read(&by_pax).unwrap()[0].0;
    assert_eq!((entry.name.as_slice(), entry.link.as_slice()), (longer.as_bytes(), &b"target"[..]));
}

#[test]
fn only_the_whole_name_tells_a_directory() {
    let long = format!("{}/{}", "d".repeat(99), "f".repeat(50));
    let cut = format!("{}/", "d".repeat(99));
    let bytes =
        [pax(&[("path", long.as_bytes())]), one(&cut, header(tar::EntryType::Regular, 5), b"hello")].concat();
    let (entry, data) = read(&bytes).unwrap().remove(0);
    assert_eq!((entry.kind, data.as_slice()), (Kind::File, &b"hello"[..]));
    let old = one("dir/", header(tar::EntryType::new(0), 0), b"");
    assert_eq!(read(&old).unwrap()[0].0.kind, Kind::Directory);
    let by_pax = [pax(&[("path", b"dir/")]), one("dir", header(tar::EntryType::Regular, 0), b"")].concat();
    assert_eq!(read(&by_pax).unwrap()[0].0.kind, Kind::Directory);
}

#[test]
fn what_has_no_data_has_none_whatever_its_size() {
    for kind in
        [tar::EntryType::Link, tar::EntryType::Symlink, tar::EntryType::Directory, tar::EntryType::Fifo]
    {
        let mut link = header(kind, 700);
        link.set_link_name("target").unwrap();
        let bytes = [one("x", link, b""), one("file", header(tar::EntryType::Regular, 5), b"hello")].concat();
        let all = read(&bytes).unwrap();
        assert_eq!((all.len(), all[0].0.size, all[1].1.as_slice()), (2, 0, &b"hello"[..]), "{kind:?}");
    }
}

#[test]
fn pax_says_ids_sizes_times_and_attributes() {
    let records: [(&str, &[u8]); 7] = [
        ("uid", b"3000000"),
        ("gid", b"4000000"),
        ("mtime", b"-1.5"),
        ("size", b"3"),
        ("SCHILY.xattr.user.a", b"b\0\n=c"),
        ("comment", b"x"),
        ("SCHILY.xattr.user.e", b""),
    ];
    let bytes = [pax(&records), one("file", header(tar::EntryType::Regular, 0), b"abc")].concat();
    let (entry, data) = read(&bytes).unwrap().remove(0);
    assert_eq!((entry.uid, entry.gid, entry.size, data.as_slice()), (3_000_000, 4_000_000, 3, &b"abc"[..]));
    assert_eq!(entry.modified, Time { seconds: -2, nanoseconds: 500_000_000 });
    assert_eq!(entry.xattrs, [(b"user.a".to_vec(), b"b\0\n=c".to_vec()), (b"user.e".to_vec(), Vec::new())]);
}

#[test]
fn what_gnu_tar_writes_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse");
    let mut file = File::create(&path).unwrap();
    for place in [0, 1 << 20, 5 << 20] {
        file.seek(SeekFrom::Start(place)).unwrap();
        file.write_all(&[7; 4096]).unwrap();
    }
    file.set_len(9 << 20).unwrap();
    drop(file);
    std::fs::hard_link(&path, dir.path().join("second")).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let output = Command::new("tar")
            .arg("-cS")
            .args(format)
            .args(["sparse", "second"])
            .current_dir(dir.path())
            .output();
        let all = read(&output.unwrap().stdout).unwrap();
        let (entry, data) = &all[0];
        assert_eq!((entry.name.as_slice(), entry.size), (&b"sparse"[..], 9 << 20), "{format:?}");
        let segments = entry.segments.as_ref().unwrap();
        assert_eq!(data.len() as u64, segments.iter().map(|segment| segment.length).sum::<u64>());
        let mut whole = vec![0; 9 << 20];
        let mut at = 0;
        for segment in segments {
            let (from, length) = (segment.offset as usize, segment.length as usize);
            whole[from..from + length].copy_from_slice(&data[at..at + length]);
            at += length;
        }
        assert!(whole == std::fs::read(&path).unwrap(), "{format:?}");
        assert_eq!((all[1].0.kind, all[1].0.link.as_slice()), (Kind::HardLink, &b"sparse"[..]));
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let file = || header(tar::EntryType::Regular, 5);
    let good = one("file", file(), b"hello");
    let mut broken = good.clone();
    broken[0] ^= 1;
    assert!(matches!(read(&broken), Err(TarError::Checksum)));
    assert!(matches!(read(&good[..700]), Err(TarError::CutShort)));
    assert!(matches!(read(&good[..100]), Err(TarError::CutShort)));
    assert!(matches!(
        read(&one("x", header(tar::EntryType::new(b'Q'), 0), b"")),
        Err(TarError::Kind { kind: 'Q', .. })
    ));
    let huge = one("x", header(tar::EntryType::XHeader, 2 << 20), b"");
    assert!(matches!(read(&huge), Err(TarError::TooLong { .. })));
    let long = one("x", header(tar::EntryType::GNULongName, 5000), b"");
    assert!(matches!(read(&long), Err(TarError::TooLong { .. })));
    for records in [
        &[("path", &b"a\0b"[..])][..],
        &[("uid", b"-1")],
        &[("uid", b"4294967296")],
        &[("size", b"0x5")],
        &[("mtime", b"soon")],
        &[("GNU.sparse.map", b"0,3,2,2"), ("GNU.sparse.size", b"5")],
        &[("GNU.sparse.map", b"0,5,18446744073709551615,2"), ("GNU.sparse.size", b"5")],
        &[("GNU.sparse.map", b"0,4"), ("GNU.sparse.size", b"5")],
        &[("GNU.sparse.map", b"0,5")],
    ] {
        let bytes = [pax(records), good.clone()].concat();
        assert!(matches!(read(&bytes), Err(TarError::Field { .. })), "{records:?}");
    }
    let cut = one("x", header(tar::EntryType::XHeader, 9), b"99 path=x");
    assert!(matches!(read(&cut), Err(TarError::Field { .. })));
}

#[test]
fn headers_without_end_are_refused() {
    let good = one("file", header(tar::EntryType::Regular, 5), b"hello");
    let value = vec![b'x'; 200_000];
    let large = pax(&[("SCHILY.xattr.user.a", &value)]);
    assert_eq!(read(&[large.repeat(5), good.clone()].concat()).unwrap().len(), 1);
    assert!(matches!(read(&[large.repeat(6), good.clone()].concat()), Err(TarError::TooLong { .. })));
    let names: Vec<String> = (0..600).map(|number| format!("SCHILY.xattr.user.{number}")).collect();
    let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    assert_eq!(read(&[pax(&records[..512]), good.clone()].concat()).unwrap()[0].0.xattrs.len(), 512);
    assert!(matches!(read(&[pax(&records), good.clone()].concat()), Err(TarError::TooLong { .. })));
    let mut global = pax(&[("comment", &value)]);
    global[156] = b'g';
    let sum: u32 =
        (0..512).map(|at| u32::from(if (148..156).contains(&at) { b' ' } else { global[at] })).sum();
    global[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(matches!(read(&[global, good].concat()), Err(TarError::TooLong { .. })));
}

#[test]
fn an_archive_ends_with_zeros_or_with_nothing() {
    let good = one("file", header(tar::EntryType::Regular, 5), b"hello");
    assert_eq!(read(&good).unwrap().len(), 1);
    let zeros = [good.clone(), vec![0; 1024], good.clone()].concat();
    assert_eq!(read(&zeros).unwrap().len(), 1);
    let mut archive = Archive::new(&zeros[..]);
    archive.next_entry().unwrap();
    assert!(archive.next_entry().unwrap().is_none());
    let mut rest = Vec::new();
    archive.into_inner().read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 512 + good.len());
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        read(&bytes).ok();
    }

    #[test]
    fn any_extended_header_is_survived(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [one("pax", header(tar::EntryType::XHeader, text.len() as u64), &text), one("f", header(tar::EntryType::Regular, 5), b"hello")].concat();
        read(&bytes).ok();
    }

    #[test]
    fn any_change_to_an_archive_is_survived(at in 0..2048usize, byte in any::<u8>(), fix in any::<bool>()) {
        let records: [(&str, &[u8]); 2] = [("GNU.sparse.map", b"0,5"), ("GNU.sparse.size", b"5")];
        let mut bytes = [pax(&records), one("f", header(tar::EntryType::Regular, 5), b"hello")].concat();
        bytes[at] = byte;
        if fix {
            for start in [0, 1024] {
                let sum: u32 = (0..512).map(|i| u32::from(if (148..156).contains(&i) { b' ' } else { bytes[start + i] })).sum();
                bytes[start + 148..start + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        read(&bytes).ok();
    }
}
