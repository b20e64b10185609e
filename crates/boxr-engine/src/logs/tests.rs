//! Tests of writer and reader together.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::options::LogLimits;

type Chunk = (bool, Vec<u8>);

const WITHOUT_END: LogLimits = LogLimits { max_size: 2048, max_files: 10_000 };

fn stream(stderr: bool) -> Stream {
    if stderr { Stream::Stderr } else { Stream::Stdout }
}

fn write_all(dir: &Path, limits: LogLimits, chunks: &[Chunk]) {
    let mut writer = LogWriter::open(dir, limits).unwrap();
    for (stderr, bytes) in chunks {
        writer.write(stream(*stderr), bytes);
    }
    assert_eq!(writer.lost(), 0);
}

fn joined(chunks: &[Chunk], stderr: bool) -> Vec<u8> {
    chunks.iter().filter(|chunk| chunk.0 == stderr).flat_map(|chunk| chunk.1.clone()).collect()
}

fn read_split(dir: &Path, query: &Query) -> Split<Vec<u8>, Vec<u8>> {
    let mut both = Split { stdout: Vec::new(), stderr: Vec::new() };
    read(dir, query, &mut both).unwrap();
    both
}

/// Everything in the order of the log.
#[derive(Default)]
struct InOrder(Vec<u8>);

impl Sink for InOrder {
    fn take(&mut self, _: Stream, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn read_in_order(dir: &Path, query: &Query) -> Vec<u8> {
    let mut all = InOrder::default();
    read(dir, query, &mut all).unwrap();
    all.0
}

/// What `tail` is to give, from the text of the files.
fn naive_tail(dir: &Path, lines: usize) -> Vec<u8> {
    let mut numbers: Vec<u32> = Vec::new();
    while dir.join(format!("log.{}", numbers.len() + 1)).exists() {
        numbers.insert(0, numbers.len() as u32 + 1);
    }
    let mut text = Vec::new();
    for number in numbers {
        text.extend(std::fs::read(dir.join(format!("log.{number}"))).unwrap());
    }
    text.extend(std::fs::read(dir.join("log")).unwrap());
    let mut result: Vec<Vec<u8>> = vec![Vec::new()];
    for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let entry = entry::Entry::parse(line).unwrap();
        let last = result.last_mut().unwrap();
        last.extend_from_slice(entry.text);
        if entry.full {
            last.push(b'\n');
            result.push(Vec::new());
        }
    }
    if result.last().unwrap().is_empty() {
        result.pop();
    }
    result[result.len().saturating_sub(lines)..].concat()
}

fn chunks() -> impl Strategy<Value = Vec<Chunk>> {
    let byte = prop_oneof![3 => Just(b'\n'), 10 => Just(b'x'), 2 => any::<u8>()];
    let chunk = prop_oneof![
        8 => proptest::collection::vec(byte, 1..60),
        1 => (1usize..9000).prop_map(|length| vec![b'y'; length]),
    ];
    proptest::collection::vec((any::<bool>(), chunk), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(chunks in chunks()) {
        let dir = tempfile::tempdir().unwrap();
        write_all(dir.path(), WITHOUT_END, &chunks);
        let both = read_split(dir.path(), &Query::default());
        prop_assert_eq!(both.stdout, joined(&chunks, false));
        prop_assert_eq!(both.stderr, joined(&chunks, true));
    }

    #[test]
    fn the_files_stay_within_their_bounds(chunks in chunks(), max_files in 1u32..4) {
        let dir = tempfile::tempdir().unwrap();
        let limits = LogLimits { max_size: 1500, max_files };
        write_all(dir.path(), limits, &chunks);
        let sizes: Vec<u64> =
            std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).collect();
        prop_assert!(sizes.len() <= max_files as usize);
        prop_assert!(sizes.iter().all(|size| *size <= limits.max_size), "{:?}", sizes);
        // What is left is the end of what was written.
        let both = read_split(dir.path(), &Query::default());
        prop_assert!(joined(&chunks, false).ends_with(&both.stdout));
        prop_assert!(joined(&chunks, true).ends_with(&both.stderr));
    }

    #[test]
    fn the_tail_is_the_end(chunks in chunks(), lines in 0usize..40) {
        let dir = tempfile::tempdir().unwrap();
        write_all(dir.path(), WITHOUT_END, &chunks);
        let query = Query { tail: Some(lines as u64), ..Query::default() };
        prop_assert_eq!(read_in_order(dir.path(), &query), naive_tail(dir.path(), lines));
    }
}

#[test]
fn a_tail_reads_across_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let limits = LogLimits { max_size: 1 << 20, max_files: 3 };
    let chunks: Vec<Chunk> = (0..4000).map(|n| (n % 3 == 0, format!("line {n}\n").into_bytes())).collect();
    write_all(dir.path(), limits, &chunks);
    for lines in [1, 500, 2999, 4000, 5000] {
        let query = Query { tail: Some(lines), ..Query::default() };
        let expected = naive_tail(dir.path(), lines as usize);
        assert_eq!(read_in_order(dir.path(), &query), expected, "{lines}");
    }
}

#[test]
fn no_log_is_an_empty_log() {
    let dir = tempfile::tempdir().unwrap();
    assert!(read_in_order(dir.path(), &Query { tail: Some(3), ..Query::default() }).is_empty());
    assert!(read(dir.path().join("gone").as_path(), &Query::default(), &mut InOrder::default()).is_err());
}

#[test]
fn times_select_and_are_shown_once_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let line = |second: u32, stream: &str, tag: char, text: &str| {
        format!("2026-11-24T03:29:{second:02}.000000000Z {stream} {tag} {text}\n")
    };
    let text = [
        line(1, "stdout", 'P', "a"),
        line(2, "stderr", 'F', "e"),
        line(3, "stdout", 'F', "b"),
        "2026-11-24T03:2\n".to_owned(),
        line(5, "stdout", 'F', ""),
    ];
    std::fs::write(dir.path().join("log"), text.concat()).unwrap();
    let at = |second: u32| time::parse(&format!("2026-11-24T03:29:{second:02}Z"), 0).ok();
    let query = Query { timestamps: true, ..Query::default() };
    let both = read_split(dir.path(), &query);
    let expected = "2026-11-24T03:29:01.000000000Z ab\n2026-11-24T03:29:05.000000000Z \n";
    assert_eq!(String::from_utf8(both.stdout).unwrap(), expected);
    let query = Query { since: at(2), until: at(3), ..Query::default() };
    assert_eq!(read_in_order(dir.path(), &query), b"e\nb\n");
}

/// Writes what `logs -f` is to see while it reads, with a state at the end as a monitor does.
fn follow_while_writing(limits: LogLimits, lines: usize) -> (Vec<u8>, Vec<u8>) {
    let log = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let exited = AtomicBool::new(false);
    let mut seen = InOrder::default();
    let mut follower = Follower::open(log.path(), state.path(), &Query::default()).unwrap();
    let written = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut writer = LogWriter::open(log.path(), limits).unwrap();
            let mut written = Vec::new();
            for number in 0..lines {
                let line = format!("line {number} {}\n", "z".repeat(number % 90));
                // In two pieces, sometimes.
                let cut = number % line.len();
                writer.write(Stream::Stdout, &line.as_bytes()[..cut]);
                writer.write(Stream::Stdout, &line.as_bytes()[cut..]);
                written.extend_from_slice(line.as_bytes());
            }
            writer.write(Stream::Stdout, b"no end of line");
            written.extend_from_slice(b"no end of line");
            exited.store(true, Ordering::SeqCst);
            std::fs::write(state.path().join("state.json.new"), "{}").unwrap();
            std::fs::rename(state.path().join("state.json.new"), state.path().join("state.json")).unwrap();
            written
        });
        follower.follow(&mut seen, &[], None, || exited.load(Ordering::SeqCst)).unwrap();
        writing.join().unwrap()
    });
    (seen.0, written)
}

#[test]
fn a_follower_sees_everything_across_rotations() {
    let (seen, written) = follow_while_writing(LogLimits { max_size: 4096, max_files: 10_000 }, 3000);
    assert!(seen == written, "{} of {} bytes", seen.len(), written.len());
}

#[test]
fn a_follower_that_is_too_slow_still_ends_with_the_end() {
    let (seen, written) = follow_while_writing(LogLimits { max_size: 2048, max_files: 2 }, 3000);
    assert!(seen.ends_with(b"no end of line"));
    assert!(seen.len() <= written.len());
}

#[test]
fn a_follower_ends_when_nobody_reads_or_the_process_ends() {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), LogLimits::default(), &[(false, b"x\n".to_vec())]);
    let mut seen = InOrder::default();
    let mut follower = Follower::open(dir.path(), dir.path(), &Query::default()).unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    use std::os::fd::AsFd;
    drop(reader);
    follower.follow(&mut seen, &[], Some(writer.as_fd()), || false).unwrap();
    assert_eq!(seen.0, b"x\n");
    // Something to wake it, once.
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(writer);
    let mut looked = 0;
    follower
        .follow(&mut seen, &[reader.as_fd()], None, || {
            looked += 1;
            looked == 2
        })
        .unwrap();
    assert_eq!((looked, seen.0.as_slice()), (2, &b"x\n"[..]));
}
