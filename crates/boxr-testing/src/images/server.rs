//! A registry on the loopback interface that fails as it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::{Image, MANIFEST, digest, uploads};

/// Who is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Everybody.
    #[default]
    Nobody,
    /// `Authorization: Basic` with these letters.
    Basic(String),
    /// With a token from `/token`, which is given for `Basic` with these letters, or to all if empty.
    Bearer(String),
}

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed without an answer.
    Close,
    /// The connection is closed after this many bytes of the body.
    CutAfter(usize),
    /// This status, and these headers.
    Status(u16, &'static str),
    /// This body instead of the right one.
    Body(Vec<u8>),
    /// The whole body, whatever range was asked for.
    NoRanges,
    /// Not HTTP.
    Garbage,
    /// Nothing comes after this many bytes of the body, until the client is gone.
    StallAfter(usize),
    /// Says that the body has this length, and sends nothing of it.
    Length(u64),
    /// The connection is closed before the body of the request was read.
    HangUp,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Type and bytes by path.
    pub(super) content: BTreeMap<String, (String, Arc<[u8]>)>,
    auth: Auth,
    faults: VecDeque<(String, Fault)>,
    log: Vec<String>,
    tokens: u32,
    stalls: u32,
    pub(super) uploads: uploads::Uploads,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    stalled: Condvar,
}

/// The registry; it ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Server {
    /// A registry of nothing.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let served = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let shared = served.clone();
                if shared.state.lock().unwrap().auth == Auth::Basic(END.into()) {
                    return;
                }
                std::thread::spawn(move || serve(stream, &shared, address));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Puts an image in, and gives its name.
    pub fn put(&self, repository: &str, tag: &str, image: &Image) -> String {
        self.put_parts(repository, image);
        self.put_manifest(repository, tag, MANIFEST, &image.manifest);
        format!("{}/{repository}:{tag}", self.address)
    }

    /// Puts the blobs and the manifest of an image in, without a tag.
    pub fn put_parts(&self, repository: &str, image: &Image) {
        self.put_manifest(repository, &image.digest(), MANIFEST, &image.manifest);
        for blob in image.layers.iter().map(|layer| &layer.blob).chain([&image.config]) {
            let path = format!("/v2/{repository}/blobs/{}", digest(blob));
            self.state().content.insert(path, ("application/octet-stream".into(), blob.as_slice().into()));
        }
    }

    /// Puts a manifest or an index in, under a tag and its digest.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) {
        for version in [tag.to_owned(), digest(bytes)] {
            let path = format!("/v2/{repository}/manifests/{version}");
            self.state().content.insert(path, (media_type.to_owned(), bytes.into()));
        }
    }

    /// What is there under this path: `/v2/REPOSITORY/blobs/DIGEST` or `/v2/REPOSITORY/manifests/VERSION`.
    pub fn content(&self, path: &str) -> Option<Vec<u8>> {
        self.state().content.get(path).map(|(_, bytes)| bytes.to_vec())
    }

    /// Puts a file there, which is none of an image, and gives its address.
    pub fn put_file(&self, path: &str, bytes: &[u8]) -> String {
        self.state().content.insert(path.to_owned(), ("application/octet-stream".into(), bytes.into()));
        format!("http://{}{path}", self.address)
    }

    /// From now on, no request may bring more than this along, in bytes.
    pub fn take_at_most(&self, bytes: usize) {
        self.state().uploads.limit = Some(bytes);
    }

    /// From now on, who is let in.
    pub fn require(&self, auth: Auth) {
        self.state().auth = auth;
    }

    /// The next request whose path has `part` in it goes wrong; several wait for their turn.
    pub fn fail(&self, part: &str, fault: Fault) {
        self.state().faults.push_back((part.to_owned(), fault));
    }

    /// What was asked for since the last call: method, path, and the range if there was one.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// Waits until an answer has come to a stop ([`Fault::StallAfter`]).
    pub fn wait_for_stall(&self) {
        let wait =
            self.shared.stalled.wait_timeout_while(self.state(), crate::PATIENCE, |state| state.stalls == 0);
        let (mut state, timeout) = wait.unwrap();
        assert!(!timeout.timed_out(), "no answer has come to a stop");
        state.stalls -= 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

/// No password that a client can have.
const END: &str = "\0";

impl Drop for Server {
    fn drop(&mut self) {
        self.state().auth = Auth::Basic(END.into());
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Answers requests on one connection until it ends.
fn serve(stream: TcpStream, shared: &Shared, address: SocketAddr) {
    let mut reader = BufReader::new(&stream);
    while let Some(request) = read(&mut reader, &stream, shared) {
        if !answer(&request, &stream, shared, address) {
            break;
        }
    }
    stream.shutdown(Shutdown::Both).ok();
}

fn read(reader: &mut impl BufRead, stream: &TcpStream, shared: &Shared) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let mut state = shared.state.lock().unwrap();
    let hang_up = |(part, fault): &(String, Fault)| path.contains(part.as_str()) && *fault == Fault::HangUp;
    if let Some(at) = state.faults.iter().position(hang_up) {
        state.faults.remove(at);
        return None;
    }
    drop(state);
    if headers.contains_key("expect") {
        send(stream, b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

/// False when the connection is to end.
fn answer(request: &Request, stream: &TcpStream, shared: &Shared, address: SocketAddr) -> bool {
    let mut state = shared.state.lock().unwrap();
    let range = request.headers.get("range").map(|range| format!(" {range}")).unwrap_or_default();
    state.log.push(format!("{} {}{range}", request.method, request.path));
    let at = state.faults.iter().position(|(part, _)| request.path.contains(part.as_str()));
    let fault = at.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault);
    let reply = match &fault {
        Some(Fault::Close) => return false,
        Some(Fault::Garbage) => {
            send(stream, b"SSH-2.0-OpenSSH\r\n");
            return false;
        }
        Some(Fault::Status(status, headers)) => Reply::new(*status, headers, b"{}"),
        Some(Fault::Length(length)) => {
            send(stream, format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes());
            return false;
        }
        _ if request.path.starts_with("/token") => token(&mut state, request),
        _ => match refusal(&state, request, address) {
            Some(refusal) => refusal,
            None => uploads::answer(&mut state, request)
                .unwrap_or_else(|| content(&state, request, fault.as_ref())),
        },
    };
    drop(state);
    let body = if request.method == "HEAD" { &[] } else { &reply.body[reply.from..] };
    // Head and body together, as far as they are short: what is sent after something short waits for an answer (tcp(7),
    // TCP_NODELAY). The rest is not copied, or a benchmark would measure that.
    let together = |length: usize| [reply.head.as_bytes(), &body[..length]].concat();
    match fault {
        Some(Fault::CutAfter(length) | Fault::StallAfter(length)) => {
            send(stream, &together(length.min(body.len())));
            if matches!(fault, Some(Fault::StallAfter(_))) {
                shared.state.lock().unwrap().stalls += 1;
                shared.stalled.notify_all();
                // Ends with the connection, in whatever way.
                let mut from = stream;
                from.read_exact(&mut [0; 1]).ok();
            }
            false
        }
        _ => {
            let short = body.len().min(64 * 1024);
            send(stream, &together(short)) && send(stream, &body[short..])
        }
    }
}

pub(super) struct Reply {
    head: String,
    body: Arc<[u8]>,
    /// Where in it the answer begins.
    from: usize,
}

impl Reply {
    /// `headers` end with a line break each.
    pub(super) fn new(status: u16, headers: &str, body: &[u8]) -> Self {
        Self::of(status, headers, body.into(), 0)
    }

    fn of(status: u16, headers: &str, body: Arc<[u8]>, from: usize) -> Self {
        let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len() - from);
        Self { head, body, from }
    }
}

/// False when nobody listens any more.
fn send(mut stream: &TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}

fn refusal(state: &State, request: &Request, address: SocketAddr) -> Option<Reply> {
    let given = request.headers.get("authorization").map_or("", String::as_str);
    let challenge = match &state.auth {
        Auth::Nobody => return None,
        Auth::Basic(letters) if given == format!("Basic {letters}") => return None,
        Auth::Basic(_) => "Basic realm=\"test\"".to_owned(),
        Auth::Bearer(_) if given == format!("Bearer token{}", state.tokens) => return None,
        Auth::Bearer(_) => format!("Bearer realm=\"http://{address}/token\",service=\"test\""),
    };
    let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
    Some(Reply::new(401, &format!("www-authenticate: {challenge}\r\n"), body))
}

/// Each token makes the ones before it stale.
fn token(state: &mut State, request: &Request) -> Reply {
    let Auth::Bearer(letters) = &state.auth else { return Reply::new(404, "", b"{}") };
    let given = request.headers.get("authorization").map_or("", String::as_str);
    let by_form = String::from_utf8_lossy(&request.body).contains(&format!("refresh_token={letters}"));
    if !letters.is_empty() && given != format!("Basic {letters}") && !by_form {
        return Reply::new(401, "", b"{}");
    }
    state.tokens += 1;
    Reply::new(200, "", format!(r#"{{"token":"token{}"}}"#, state.tokens).as_bytes())
}

fn content(state: &State, request: &Request, fault: Option<&Fault>) -> Reply {
    if request.path == "/v2/" {
        return Reply::new(200, "", b"{}");
    }
    let Some((media_type, bytes)) = state.content.get(&request.path) else {
        return Reply::new(
            404,
            "",
            br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
        );
    };
    let bytes = if let Some(Fault::Body(other)) = fault { other.as_slice().into() } else { bytes.clone() };
    let type_header = format!("content-type: {media_type}\r\n");
    let range = request.headers.get("range").filter(|_| fault != Some(&Fault::NoRanges));
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from {
        Some(from) if from < bytes.len() => {
            let range = format!("content-range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
            Reply::of(206, &format!("{type_header}{range}"), bytes, from)
        }
        Some(_) => Reply::new(416, "", b"{}"),
        None => Reply::of(200, &type_header, bytes, 0),
    }
}
