//! The view as rows of a table, JSON, a tree, and a graph.

use std::collections::BTreeSet;
use std::fmt::Write;

use boxr_sys::namespace::NamespaceKind;
use serde_json::{Value, json as value};

use super::process::Users;
use super::view::{Key, Namespace, View};

/// Which namespaces are shown.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these kinds; all when empty.
    pub kinds: Vec<NamespaceKind>,
    /// Only those of these processes; all when empty.
    pub processes: Vec<i32>,
}

impl Filter {
    fn shows(&self, view: &View, key: Key) -> bool {
        let of_process = |pid: &i32| view.of_process(*pid, key.0) == Some(key.1);
        (self.kinds.is_empty() || self.kinds.contains(&key.0))
            && (self.processes.is_empty() || self.processes.iter().any(of_process))
    }

    fn select<'a>(&'a self, view: &'a View) -> impl Iterator<Item = (Key, &'a Namespace)> {
        view.namespaces.iter().filter(|(key, _)| self.shows(view, **key)).map(|(key, found)| (*key, found))
    }
}

/// Heading and rows: lsns(8)'s columns, and what holds each. Cells hold no tabs or other control characters.
pub fn rows(view: &View, filter: &Filter, users: &Users) -> Vec<Vec<String>> {
    let heading = ["NS", "TYPE", "NPROCS", "PID", "USER", "HELD-BY", "COMMAND"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for ((kind, inode), namespace) in filter.select(view) {
        let first = view.first(namespace);
        rows.push(vec![
            inode.to_string(),
            kind.proc_name().to_owned(),
            namespace.processes.len().to_string(),
            first.map(|process| process.pid.to_string()).unwrap_or_default(),
            first.map(|process| users.name(process.uid)).unwrap_or_default(),
            plain(&held_by(namespace).join(", ")),
            first.map(|process| plain(&process.command)).unwrap_or_default(),
        ]);
    }
    rows
}

/// What holds a namespace, in words.
fn held_by(namespace: &Namespace) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    if namespace.host {
        words.push("host".to_owned());
    }
    words.extend(namespace.holders.iter().cloned());
    words.extend(namespace.mounts.iter().map(|path| format!("mount {}", path.display())));
    // Whoever is in it holds it anyhow; a descriptor is what matters where nobody is.
    if namespace.processes.is_empty() {
        words.extend(namespace.open.iter().map(|pid| format!("descriptor of {pid}")));
    }
    if words.is_empty() && namespace.processes.is_empty() {
        words.push("inner namespaces".to_owned());
    }
    words
}

/// Heading and rows for one process: its namespaces, whose they are, and who else is in each.
pub fn target_rows(view: &View, filter: &Filter, pid: i32) -> Vec<Vec<String>> {
    let mut rows = vec![["TYPE", "NS", "WHOSE", "SHARED-WITH"].map(str::to_owned).to_vec()];
    let own = view.members.get(&pid);
    for kind in NamespaceKind::ALL {
        let Some(inode) = view.of_process(pid, kind) else { continue };
        if !filter.kinds.is_empty() && !filter.kinds.contains(&kind) {
            continue;
        }
        let Some(namespace) = view.namespaces.get(&(kind, inode)) else { continue };
        let others = namespace.holders.iter().filter(|holder| Some(*holder) != own);
        let mut shared: Vec<String> = others.cloned().collect();
        let outside = |other: &&i32| **other != pid && (own.is_none() || !view.members.contains_key(*other));
        let unnamed: Vec<&i32> = namespace.processes.iter().filter(outside).collect();
        if let Some(lowest) = unnamed.first() {
            shared.push(match unnamed.len() {
                1 => format!("pid {lowest}"),
                count => format!("{count} processes (pid {lowest}, ...)"),
            });
        }
        let whose = match (namespace.host, own) {
            (true, _) => "host".to_owned(),
            (false, Some(_)) if shared.is_empty() => "own".to_owned(),
            (false, None) if shared.is_empty() => "own".to_owned(),
            (false, _) => "shared".to_owned(),
        };
        rows.push(vec![kind.word().to_owned(), inode.to_string(), whose, plain(&shared.join(", "))]);
    }
    rows
}

/// JSON with the keys of `lsns -J`, and what holds each.
pub fn json(view: &View, filter: &Filter, users: &Users) -> Value {
    let list = filter.select(view).map(|((kind, inode), namespace)| {
        let first = view.first(namespace);
        value!({
            "ns": inode,
            "type": kind.proc_name(),
            "nprocs": namespace.processes.len(),
            "pid": first.map(|process| process.pid),
            "user": first.map(|process| users.name(process.uid)),
            "command": first.map(|process| process.command.clone()),
            "host": namespace.host,
            "heldBy": namespace.holders,
            "processes": namespace.processes,
            "mounts": namespace.mounts.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
            "descriptors": namespace.open,
            "parent": namespace.parent,
            "owner": namespace.owner,
        })
    });
    value!({ "namespaces": list.collect::<Vec<_>>(), "unreadable": view.unreadable })
}

/// The nesting of user namespaces and of pid namespaces, two blanks per level.
pub fn tree(view: &View, filter: &Filter) -> String {
    let mut text = String::new();
    for kind in [NamespaceKind::User, NamespaceKind::Pid] {
        let shown: Vec<Key> = filter.select(view).map(|(key, _)| key).filter(|key| key.0 == kind).collect();
        let within: BTreeSet<u64> = shown.iter().flat_map(|key| lineage(view, *key)).collect();
        let is_top =
            |inode: &u64| parent_of(view, (kind, *inode)).is_none_or(|parent| !within.contains(&parent));
        for top in within.iter().copied().filter(is_top) {
            branch(view, (kind, top), &within, 0, &mut text);
        }
    }
    text
}

fn parent_of(view: &View, key: Key) -> Option<u64> {
    view.namespaces.get(&key)?.parent
}

/// A namespace and all those it is in.
fn lineage(view: &View, key: Key) -> Vec<u64> {
    let mut line = vec![key.1];
    let mut current = parent_of(view, key);
    // The kernel nests 32 levels at most.
    while let Some(inode) = current.filter(|inode| !line.contains(inode)) {
        line.push(inode);
        current = parent_of(view, (key.0, inode));
    }
    line
}

fn branch(view: &View, key: Key, within: &BTreeSet<u64>, depth: usize, text: &mut String) {
    let Some(namespace) = view.namespaces.get(&key) else { return };
    let indent = "  ".repeat(depth);
    let held = plain(&held_by(namespace).join(", "));
    let count = namespace.processes.len();
    let noun = if count == 1 { "process" } else { "processes" };
    let name = key.0.proc_name();
    let gap = if held.is_empty() { "" } else { "  " };
    text.push_str(&format!("{indent}{name}:[{}]  {count} {noun}{gap}{held}\n", key.1));
    for child in within.iter().filter(|inode| parent_of(view, (key.0, **inode)) == Some(key.1)) {
        branch(view, (key.0, *child), within, depth + 1, text);
    }
}

/// A graph for dot(1): boxes and containers on the left, namespaces that they share or own on the right.
pub fn dot(view: &View, filter: &Filter) -> String {
    let mut nodes = String::new();
    let mut edges = String::new();
    let mut holders: BTreeSet<&str> = BTreeSet::new();
    for ((kind, inode), namespace) in filter.select(view) {
        let id = format!("ns_{}_{inode}", kind.proc_name());
        let host = if namespace.host { ", style=filled, fillcolor=lightgrey" } else { "" };
        let label = format!("{}:[{inode}]", kind.proc_name());
        // Writing to a String cannot fail.
        writeln!(nodes, "  {id} [label={}, shape=ellipse{host}];", quoted(&label)).unwrap_or_default();
        for holder in &namespace.holders {
            holders.insert(holder);
            writeln!(edges, "  {} -> {id};", quoted(&format!("box {holder}"))).unwrap_or_default();
        }
        if let Some(parent) = namespace.parent.filter(|parent| filter.shows(view, (kind, *parent))) {
            writeln!(edges, "  ns_{}_{parent} -> {id} [style=dashed];", kind.proc_name()).unwrap_or_default();
        }
    }
    for holder in holders {
        let (id, label) = (quoted(&format!("box {holder}")), quoted(holder));
        writeln!(nodes, "  {id} [label={label}, shape=box];").unwrap_or_default();
    }
    format!("digraph namespaces {{\n  rankdir=LR;\n{nodes}{edges}}}\n")
}

/// A quoted string of the DOT language: there, a backslash begins an escape in a label.
fn quoted(text: &str) -> String {
    format!("\"{}\"", plain(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// Control characters made visible: a command line must not paint on the terminal.
fn plain(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let mut view = View::default();
        let user = |inode| (NamespaceKind::User, inode);
        view.namespaces
            .insert(user(1), Namespace { host: true, processes: vec![1, 2], ..Namespace::default() });
        view.namespaces.insert(user(2), Namespace { parent: Some(1), ..Namespace::default() });
        let holders = BTreeSet::from(["a\"b\\".to_owned()]);
        view.namespaces.insert(
            user(3),
            Namespace { parent: Some(2), processes: vec![9], holders, ..Namespace::default() },
        );
        view
    }

    #[test]
    fn nesting_is_shown_by_indentation() {
        let expected = "user:[1]  2 processes  host\n  user:[2]  0 processes  inner namespaces\n    \
                        user:[3]  1 process  a\"b\\\n";
        assert_eq!(tree(&view(), &Filter::default()), expected);
    }

    #[test]
    fn names_are_escaped_for_dot() {
        let text = dot(&view(), &Filter::default());
        assert!(text.contains(r#""box a\"b\\" -> ns_user_3;"#), "{text}");
        assert!(text.contains("ns_user_2 -> ns_user_3 [style=dashed];"), "{text}");
        assert_eq!(quoted("a\nb"), r#""a\\nb""#);
    }

    #[test]
    fn json_has_the_keys_of_lsns() {
        let json = json(&view(), &Filter::default(), &Users::default());
        for key in ["ns", "type", "nprocs", "pid", "user", "command"] {
            assert!(json["namespaces"][0].get(key).is_some(), "{key}");
        }
    }

    #[test]
    fn kinds_are_filtered() {
        let filter = Filter { kinds: vec![NamespaceKind::Uts], processes: Vec::new() };
        assert_eq!(rows(&view(), &filter, &Users::default()).len(), 1);
        assert_eq!(rows(&view(), &Filter::default(), &Users::default()).len(), 4);
    }
}
