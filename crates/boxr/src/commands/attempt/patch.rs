//! Lines that differ between the host's file and the try's, as diff(1) writes them.

use boxr_engine::attempt::{Attempt, AttemptError, Change, Kind, Shape, contents, printable};
use similar::{Algorithm, ChangeTag, TextDiff};

/// Files that are larger are only said to differ, in bytes.
const MOST: u64 = 8 << 20;

/// One file as a unified diff; nothing where no contents differ.
///
/// # Errors
/// A file cannot be read.
pub fn of(attempt: &Attempt, change: &Change) -> Result<Vec<u8>, AttemptError> {
    let Some((old, new)) = sides(attempt, change)? else { return Ok(Vec::new()) };
    let path = printable(&change.path);
    let (from, to) = (named("a", &path, change.before.is_some()), named("b", &path, change.after.is_some()));
    let (Some(old), Some(new)) = (old, new) else {
        return Ok(format!("Binary files {from} and {to} differ\n").into_bytes());
    };
    let (old, new) = (lines(&old), lines(&new));
    let diff = compared(&old, &new);
    let mut text = Vec::new();
    // Memory does not fail to be written to.
    diff.unified_diff().header(&from, &to).to_writer(&mut text).unwrap_or_default();
    Ok(text)
}

/// Lines that came and lines that went; `None` of what is no text, or whose contents are the same.
///
/// # Errors
/// A file cannot be read.
pub fn counted(attempt: &Attempt, change: &Change) -> Result<Option<(usize, usize)>, AttemptError> {
    let Some((Some(old), Some(new))) = sides(attempt, change)? else { return Ok(None) };
    let (old, new) = (lines(&old), lines(&new));
    let diff = compared(&old, &new);
    let count = |tag| diff.iter_all_changes().filter(|line| line.tag() == tag).count();
    Ok(Some((count(ChangeTag::Insert), count(ChangeTag::Delete))))
}

type Text = Option<Vec<u8>>;

/// What was in a regular file and what is; `None` inside for what is no text.
fn sides(attempt: &Attempt, change: &Change) -> Result<Option<(Text, Text)>, AttemptError> {
    let is_file =
        |entry: &Option<boxr_engine::attempt::Entry>| entry.is_none_or(|entry| entry.shape == Shape::File);
    let wanted = change.kind != Kind::Attributes && is_file(&change.before) && is_file(&change.after);
    if !wanted {
        return Ok(None);
    }
    let large = |entry: &Option<boxr_engine::attempt::Entry>| entry.is_some_and(|entry| entry.size > MOST);
    if large(&change.before) || large(&change.after) {
        return Ok(Some((None, None)));
    }
    let (old, new) = contents(attempt, change)?;
    let text = |bytes: Vec<u8>| (!bytes.contains(&0)).then_some(bytes);
    Ok(Some((text(old), text(new))))
}

fn named(side: &str, path: &str, exists: bool) -> String {
    if exists { format!("{side}{path}") } else { "/dev/null".to_owned() }
}

/// Lines as diff(1) and patch(1) know them: a carriage return alone ends none.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

fn compared<'a>(old: &'a [&'a [u8]], new: &'a [&'a [u8]]) -> TextDiff<'a, 'a, 'a, [u8]> {
    let patience = std::time::Duration::from_secs(2);
    let mut how = TextDiff::configure();
    how.algorithm(Algorithm::Myers).timeout(patience).newline_terminated(true).diff_slices(old, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carriage_return_is_part_of_its_line() {
        let (old, new) = (lines(b"a\rb\nc\r\nd"), lines(b"a\rB\nc\r\nd"));
        let diff = compared(&old, &new);
        let mut text = Vec::new();
        diff.unified_diff().to_writer(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, "@@ -1,3 +1,3 @@\n-a\rb\n+a\rB\n c\r\n d\n\\ No newline at end of file\n");
    }
}
