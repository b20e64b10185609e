//! What the registry of the tests takes.

use std::collections::BTreeMap;

use super::digest;
use super::server::{Reply, Request, State};

/// Uploads that have begun.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    begun: BTreeMap<String, Vec<u8>>,
    count: u32,
    /// The most that a request may bring along, in bytes.
    pub(super) limit: Option<usize>,
}

/// The answer to a request that changes something; `None` to others.
pub(super) fn answer(state: &mut State, request: &Request) -> Option<Reply> {
    if state.uploads.limit.is_some_and(|limit| request.body.len() > limit) {
        return Some(Reply::new(413, "", b"<html>too large</html>"));
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    match request.method.as_str() {
        "POST" if path.ends_with("/blobs/uploads/") => {
            let repository = path.strip_prefix("/v2/")?.strip_suffix("/blobs/uploads/")?;
            Some(begin(state, repository, value("mount"), value("from")))
        }
        "PATCH" => Some(add(state, path, request)),
        "PUT" if path.contains("/blobs/uploads/") => {
            add(state, path, request);
            Some(end(state, path, value("digest").unwrap_or_default()))
        }
        "PUT" if path.contains("/manifests/") => Some(manifest(state, path, request)),
        _ => None,
    }
}

fn begin(state: &mut State, repository: &str, mount: Option<&str>, from: Option<&str>) -> Reply {
    if let (Some(digest), Some(from)) = (mount, from)
        && let Some(found) = state.content.get(&format!("/v2/{from}/blobs/{digest}")).cloned()
    {
        state.content.insert(format!("/v2/{repository}/blobs/{digest}"), found);
        return Reply::new(201, "", b"");
    }
    state.uploads.count += 1;
    let place = format!("/v2/{repository}/blobs/uploads/{}", state.uploads.count);
    state.uploads.begun.insert(place.clone(), Vec::new());
    Reply::new(202, &format!("location: {place}?state=x\r\n"), b"")
}

fn add(state: &mut State, path: &str, request: &Request) -> Reply {
    let Some(bytes) = state.uploads.begun.get_mut(path) else { return Reply::new(404, "", b"{}") };
    if let Some(range) = request.headers.get("content-range")
        && !range.starts_with(&format!("{}-", bytes.len()))
    {
        return Reply::new(416, "", b"{}");
    }
    bytes.extend(&request.body);
    Reply::new(202, &format!("location: {path}\r\n"), b"")
}

fn end(state: &mut State, path: &str, said: &str) -> Reply {
    let Some(bytes) = state.uploads.begun.remove(path) else { return Reply::new(404, "", b"{}") };
    if digest(&bytes) != said {
        let body = br#"{"errors":[{"code":"DIGEST_INVALID","message":"it is another"}]}"#;
        return Reply::new(400, "", body);
    }
    let repository = path.split("/blobs/").next().unwrap_or_default();
    state
        .content
        .insert(format!("{repository}/blobs/{said}"), ("application/octet-stream".to_owned(), bytes.into()));
    Reply::new(201, "", b"")
}

/// A manifest or an index is taken when all that it needs is there.
fn manifest(state: &mut State, path: &str, request: &Request) -> Reply {
    let repository = path.split("/manifests/").next().unwrap_or_default();
    let text = String::from_utf8_lossy(&request.body);
    let mut parts = text.split("\"digest\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let of = if text.contains("\"manifests\":") { "manifests" } else { "blobs" };
    if let Some(missing) =
        parts.find(|part| !state.content.contains_key(&format!("{repository}/{of}/{part}")))
    {
        let body = format!(r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","message":"no {missing}"}}]}}"#);
        return Reply::new(400, "", body.as_bytes());
    }
    let found =
        (request.headers.get("content-type").cloned().unwrap_or_default(), request.body.as_slice().into());
    let digest = digest(&request.body);
    for name in [path.to_owned(), format!("{repository}/manifests/{digest}")] {
        state.content.insert(name, found.clone());
    }
    Reply::new(201, &format!("docker-content-digest: {digest}\r\n"), b"")
}
