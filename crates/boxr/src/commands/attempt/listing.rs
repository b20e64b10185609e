//! Changes of a try, one a line, and as JSON.

use boxr_engine::attempt::{Change, Entry, Kind, Shape, printable};
use serde_json::{Value, json};

use crate::format::size::decimal;

/// One change as a line: what became of it, its path, and what is worth to know.
pub fn line(change: &Change) -> String {
    let word = match change.kind {
        Kind::Created => "created",
        Kind::Changed => "changed",
        Kind::Removed => "removed",
        Kind::Attributes => attribute_word(change),
    };
    let mut line = format!("{word:<8} {}", shown(&change.path));
    if of_it(change).is_directory() && !line.ends_with('/') {
        line.push('/');
    }
    let details = details(change);
    if !details.is_empty() {
        line.push_str("  ");
        line.push_str(&details.join(", "));
    }
    if let Some(conflict) = change.conflict {
        line.push_str(&format!("  ({conflict})"));
    }
    line.push('\n');
    line
}

/// A path as the caller would write it: from his directory where it is beneath that.
fn shown(path: &[u8]) -> String {
    let here = rustix::process::getcwd(Vec::new()).map(std::ffi::CString::into_bytes).unwrap_or_default();
    match path.strip_prefix(&here[..]) {
        Some(below) if here.len() > 1 && below.first() == Some(&b'/') => format!(".{}", printable(below)),
        _ => printable(path),
    }
}

/// How many there are of each.
pub fn summary(changes: &[Change]) -> String {
    let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
    let all = [
        (count(Kind::Created), "created"),
        (count(Kind::Changed), "changed"),
        (count(Kind::Attributes), "with another mode, owner or time"),
        (count(Kind::Removed), "removed"),
    ];
    let said: Vec<String> =
        all.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    format!("{}\n", said.join(", "))
}

/// The file that a change is about.
fn of_it(change: &Change) -> Entry {
    // Each change has one of the two.
    change.after.or(change.before).unwrap_or(NOTHING)
}

const NOTHING: Entry = Entry {
    shape: Shape::File,
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    modified: 0,
    changed: 0,
    device: 0,
    inode: 0,
    links: 1,
    number: (0, 0),
};

fn attribute_word(change: &Change) -> &'static str {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if before.mode != after.mode => "mode",
        (Some(before), Some(after)) if (before.uid, before.gid) != (after.uid, after.gid) => "owner",
        _ if change.extended => "xattr",
        _ => "time",
    }
}

fn details(change: &Change) -> Vec<String> {
    let mut details = Vec::new();
    let (before, after) = (&change.before, &change.after);
    match (change.kind, before, after) {
        (Kind::Changed, Some(before), Some(after)) if before.shape != after.shape => {
            details.push(format!("{} -> {}", shape_word(before.shape), shape_word(after.shape)));
        }
        (Kind::Changed, Some(before), Some(after)) if after.shape == Shape::File => {
            details.push(format!("{} -> {}", decimal(before.size), decimal(after.size)));
        }
        _ => details.extend(what_it_is(change)),
    }
    if let (Some(before), Some(after)) = (before, after) {
        if before.mode != after.mode && after.shape != Shape::Link {
            details.push(format!("{:04o} -> {:04o}", before.mode, after.mode));
        }
        if (before.uid, before.gid) != (after.uid, after.gid) {
            details.push(format!("{}:{} -> {}:{}", before.uid, before.gid, after.uid, after.gid));
        }
    }
    if change.kind == Kind::Changed
        && before.is_some_and(|before| before.shape == Shape::File && before.links > 1)
    {
        details.push("its other names keep what was".to_owned());
    }
    details.extend(warnings(change));
    details
}

fn what_it_is(change: &Change) -> Option<String> {
    if let Some(first) = &change.same_as {
        return Some(format!("the same file as {}", shown(first)));
    }
    let it = of_it(change);
    if let Some(target) = &change.target {
        return Some(format!("-> {}", printable(target)));
    }
    match (change.kind, it.shape) {
        (Kind::Attributes, _) => None,
        (Kind::Removed, Shape::Directory) => Some(format!("{} in it", decimal(it.size))),
        (_, Shape::Directory) => None,
        (_, Shape::File) => Some(decimal(it.size)),
        (_, Shape::Character | Shape::Block) => {
            Some(format!("{} {}:{}", shape_word(it.shape), it.number.0, it.number.1))
        }
        (_, shape) => Some(shape_word(shape).to_owned()),
    }
}

/// What lets somebody be another than who they are.
fn warnings(change: &Change) -> Vec<String> {
    let Some(after) = &change.after else { return Vec::new() };
    let bits = [(0o4000, "set-user-id"), (0o2000, "set-group-id")];
    let is_new =
        |bit| change.before.is_none_or(|before| before.mode & bit == 0 || change.kind == Kind::Changed);
    bits.into_iter()
        .filter(|(bit, _)| after.shape == Shape::File && after.mode & bit != 0 && is_new(*bit))
        .map(|(_, word)| word.to_owned())
        .chain(change.capabilities.then(|| "with capabilities".to_owned()))
        .collect()
}

fn shape_word(shape: Shape) -> &'static str {
    match shape {
        Shape::File => "file",
        Shape::Directory => "directory",
        Shape::Link => "symbolic link",
        Shape::Character => "character device",
        Shape::Block => "block device",
        Shape::Pipe => "pipe",
        Shape::Socket => "socket",
    }
}

/// All changes as an array.
pub fn json(changes: &[Change]) -> Value {
    changes.iter().map(of_change).collect()
}

fn of_change(change: &Change) -> Value {
    let kind = match change.kind {
        Kind::Created => "created",
        Kind::Changed => "changed",
        Kind::Removed => "removed",
        Kind::Attributes => "attributes",
    };
    let side = |entry: &Option<Entry>| entry.as_ref().map(of_entry);
    let mut value = json!({
        "path": printable(&change.path), "kind": kind,
        "before": side(&change.before), "after": side(&change.after),
    });
    let others = [
        ("target", change.target.as_deref().map(printable)),
        ("sameAs", change.same_as.as_deref().map(printable)),
        ("conflict", change.conflict.map(str::to_owned)),
    ];
    for (key, said) in others {
        if let Some(said) = said {
            value[key] = said.into();
        }
    }
    value
}

fn of_entry(entry: &Entry) -> Value {
    let mut value = json!({
        "type": shape_word(entry.shape), "mode": format!("{:04o}", entry.mode), "uid": entry.uid, "gid": entry.gid,
        "size": entry.size, "modified": entry.modified,
    });
    if matches!(entry.shape, Shape::Character | Shape::Block) {
        value["device"] = format!("{}:{}", entry.number.0, entry.number.1).into();
    }
    value
}
