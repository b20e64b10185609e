//! Against a registry that fails as it is told to.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use boxr_testing::images::{self, Auth, Fault, Image, Layer, Packing, Server};

use super::*;
use crate::digest::Digest;
use crate::oci::{DocumentError, Platform};
use crate::reference::Reference;

/// "me:secret"
const LETTERS: &str = "bWU6c2VjcmV0";

fn image(architecture: &str) -> Image {
    Image::new(architecture, "{}", vec![Layer::of_files(&[("file", b"contents")], Packing::Gzip)])
}

fn client() -> Client {
    Client::new(options())
}

fn options() -> Options {
    let patience = Patience {
        attempts: 3,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        silence: Duration::from_secs(20),
    };
    Options { patience, ..Options::default() }
}

fn with_password(user: &str, password: &str) -> Client {
    let credential = Credential::Password { user: user.into(), password: password.into() };
    Client::new(Options { credential: Some(credential), ..options() })
}

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn fetch(client: &Client, name: &str) -> Result<Fetched, RegistryError> {
    client.fetch(&Reference::parse(name).unwrap(), &amd64())
}

#[test]
fn an_image_is_fetched_by_tag_and_by_digest() {
    let (server, image) = (Server::start(), image("amd64"));
    let name = server.put("a/b", "1", &image);
    let client = client();
    let fetched = fetch(&client, &name).unwrap();
    assert_eq!(fetched.digest.to_string(), image.digest());
    assert_eq!(fetched.source, fetched.digest);
    assert_eq!(fetched.bytes, image.manifest);
    let by_digest = format!("{}/a/b@{}", server.host(), image.digest());
    assert_eq!(fetch(&client, &by_digest).unwrap().digest, fetched.digest);
    let config = &fetched.manifest.config;
    assert_eq!(client.small_blob(&fetched.endpoint, &config.digest, 10_000).unwrap(), image.config);
    assert!(matches!(
        client.small_blob(&fetched.endpoint, &config.digest, 10),
        Err(RegistryError::TooLong { .. })
    ));
}

#[test]
fn the_image_for_the_platform_is_taken_from_an_index() {
    let (server, arm, amd) = (Server::start(), image("arm64"), image("amd64"));
    server.put_parts("a", &arm);
    server.put_parts("a", &amd);
    let index = images::index(&[("arm64", &arm), ("amd64", &amd)]);
    server.put_manifest("a", "latest", images::INDEX, &index);
    let name = format!("{}/a", server.host());
    let fetched = fetch(&client(), &name).unwrap();
    assert_eq!(fetched.digest.to_string(), amd.digest());
    assert_eq!(fetched.source, Digest::of(&index));
    let reference = Reference::parse(&name).unwrap();
    let other = client().fetch(&reference, &"linux/s390x".parse().unwrap());
    match other {
        Err(RegistryError::Document { source: DocumentError::Platform { available, .. }, .. }) => {
            assert_eq!(available, ["linux/arm64", "linux/amd64"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let (server, image) = (Server::start(), image("amd64"));
    let name = server.put("a", "1", &image);
    let by_digest = format!("{}/a@{}", server.host(), image.digest());
    server.fail("/manifests/", Fault::Body(b"{\"schemaVersion\":2}".to_vec()));
    assert!(matches!(fetch(&client(), &by_digest), Err(RegistryError::WrongDigest { .. })));
    server.fail("/manifests/", Fault::Body(b"<html>".to_vec()));
    assert!(matches!(fetch(&client(), &name), Err(RegistryError::Document { .. })));
    server.fail("/manifests/", Fault::Length(100 << 20));
    assert!(matches!(fetch(&client(), &name), Err(RegistryError::TooLong { .. })));
    server.fail("/manifests/", Fault::Body(vec![b' '; 5 << 20]));
    assert!(matches!(fetch(&client(), &name), Err(RegistryError::TooLong { .. })));
    server.fail("/manifests/", Fault::Garbage);
    let garbage = fetch(&client(), &name);
    assert!(matches!(garbage, Err(RegistryError::Answer { .. })), "{garbage:?}");
    assert!(matches!(
        fetch(&client(), &format!("{}/a:2", server.host())),
        Err(RegistryError::NotFound { .. })
    ));
}

#[test]
fn what_may_pass_is_asked_again() {
    let (server, image) = (Server::start(), image("amd64"));
    let name = server.put("a", "1", &image);
    for fault in [
        Fault::Close,
        Fault::CutAfter(10),
        Fault::Status(503, ""),
        Fault::Status(429, "retry-after: 1000\r\n"),
        Fault::Status(500, ""),
    ] {
        for _ in 0..2 {
            server.fail("/manifests/", fault.clone());
        }
        fetch(&client(), &name).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(server.log().iter().filter(|line| line.contains("manifests")).count(), 3, "{fault:?}");
        for _ in 0..3 {
            server.fail("/manifests/", fault.clone());
        }
        let error = fetch(&client(), &name).unwrap_err();
        assert!(error.may_pass(), "{fault:?}: {error}");
        server.log();
    }
    server.fail("/manifests/", Fault::Status(400, ""));
    assert!(matches!(fetch(&client(), &name), Err(RegistryError::Status { status: 400, .. })));
}

#[test]
fn blobs_are_taken_up_where_they_broke_off() {
    let (server, image) = (Server::start(), image("amd64"));
    let name = server.put("a", "1", &image);
    let client = client();
    let fetched = fetch(&client, &name).unwrap();
    let layer = &fetched.manifest.layers[0];
    let blob = &image.layers[0].blob;
    let read = |from| {
        let mut blob = client.blob(&fetched.endpoint, &layer.digest, from).unwrap();
        let mut bytes = Vec::new();
        (blob.start, blob.read_to_end(&mut bytes).is_ok(), bytes)
    };
    assert_eq!(read(0), (0, true, blob.clone()));
    assert_eq!(read(7), (7, true, blob[7..].to_vec()));
    server.fail("/blobs/", Fault::CutAfter(5));
    assert_eq!(read(7), (7, false, blob[7..12].to_vec()));
    server.fail("/blobs/", Fault::NoRanges);
    assert_eq!(read(7), (0, true, blob.clone()));
    server.fail("/blobs/", Fault::Status(206, "content-range: bytes 9-10/11\r\n"));
    assert!(matches!(client.blob(&fetched.endpoint, &layer.digest, 7), Err(RegistryError::Answer { .. })));
}

#[test]
fn a_password_is_given_when_it_is_wanted() {
    let (server, image) = (Server::start(), image("amd64"));
    let name = server.put("a", "1", &image);
    for auth in [Auth::Basic(LETTERS.into()), Auth::Bearer(LETTERS.into())] {
        server.require(auth.clone());
        fetch(&with_password("me", "secret"), &name).unwrap();
        let wrong = fetch(&with_password("me", "wrong"), &name);
        assert!(matches!(wrong, Err(RegistryError::Denied { had_password: true, .. })), "{auth:?} {wrong:?}");
        let none = fetch(&client(), &name);
        assert!(matches!(none, Err(RegistryError::Denied { had_password: false, .. })), "{auth:?} {none:?}");
    }
    server.require(Auth::Bearer(String::new()));
    fetch(&client(), &name).unwrap();
}

#[test]
fn a_token_is_used_until_it_is_stale() {
    let (server, image) = (Server::start(), image("amd64"));
    let name = server.put("a", "1", &image);
    server.require(Auth::Bearer(LETTERS.into()));
    let (one, two) = (with_password("me", "secret"), with_password("me", "secret"));
    fetch(&one, &name).unwrap();
    fetch(&one, &name).unwrap();
    let tokens = |server: &Server| server.log().iter().filter(|line| line.contains("/token")).count();
    assert_eq!(tokens(&server), 1);
    // The registry of the test takes the latest token only.
    fetch(&two, &name).unwrap();
    fetch(&one, &name).unwrap();
    assert_eq!(tokens(&server), 2);
}

#[test]
fn an_identity_token_gets_tokens() {
    let (server, image) = (Server::start(), image("amd64"));
    let name = server.put("a", "1", &image);
    server.require(Auth::Bearer("id".into()));
    let credential = Some(Credential::IdentityToken("id".into()));
    fetch(&Client::new(Options { credential, ..options() }), &name).unwrap();
    assert!(server.log().iter().any(|line| line == "POST /token"));
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_if_it_has_it_not() {
    let (mirror, server, image) = (Server::start(), Server::start(), image("amd64"));
    server.put("org/a", "1", &image);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registries.conf");
    let text = format!(
        "[[registry]]\nprefix = \"real.example\"\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{}/copies\"\n",
        server.host(),
        mirror.host()
    );
    std::fs::write(&file, text).unwrap();
    let registries = Registries::of_user(Some(&file)).unwrap();
    let client = Client::new(Options { registries, ..options() });
    let fetched = fetch(&client, "real.example/org/a:1").unwrap();
    assert_eq!(fetched.endpoint.host, server.host());
    assert!(mirror.log().iter().any(|line| line == "GET /v2/copies/org/a/manifests/1"));
    mirror.put("copies/org/a", "1", &image);
    assert_eq!(fetch(&client, "real.example/org/a:1").unwrap().endpoint.host, mirror.host());
}

#[test]
fn nobody_there_is_said_so() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    assert!(matches!(fetch(&client(), &format!("{address}/a")), Err(RegistryError::Connection { .. })));
}

/// A server with a certificate of its own making that answers `/v2/` and nothing else.
struct TlsServer {
    authority: String,
    host: String,
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.ends.store(true, SeqCst);
        drop(std::net::TcpStream::connect(&self.host));
        self.thread.take().unwrap().join().unwrap();
    }
}

impl TlsServer {
    fn start() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new([]).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_pem = authority.self_signed(&key).unwrap().pem();
        let issuer = rcgen::Issuer::new(authority, &key);
        let own_key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let own = own.signed_by(&own_key, &issuer).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(own_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let config = Arc::new(config);
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if told.load(SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
                let mut tls = rustls::Stream::new(&mut connection, &mut stream);
                // A client that does not trust us ends it here.
                if tls.read(&mut [0; 1024]).is_ok() {
                    tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
                        .ok();
                    tls.conn.send_close_notify();
                    tls.flush().ok();
                }
            }
        });
        Self { authority: authority_pem, host, ends, thread: Some(thread) }
    }
}

#[test]
fn certificates_are_verified() {
    let server = TlsServer::start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.crt"), &server.authority).unwrap();
    let knock = |insecure, certificates: Option<&std::path::Path>| {
        let endpoint = Endpoint { host: server.host.clone(), repository: "a".into(), insecure };
        let certificates = certificates.map(std::path::Path::to_owned);
        Client::new(Options { certificates, ..options() }).knock(&endpoint)
    };
    let empty = tempfile::tempdir().unwrap();
    let refused = knock(false, Some(empty.path()));
    let is_right = matches!(refused, Err(RegistryError::Certificate { .. } | RegistryError::NoRoots { .. }));
    assert!(is_right, "{refused:?}");
    knock(false, Some(dir.path())).unwrap();
    knock(true, Some(empty.path())).unwrap();
    std::fs::write(dir.path().join("ca.crt"), "nothing").unwrap();
    assert!(matches!(knock(false, Some(dir.path())), Err(RegistryError::CertificateFile { .. })));
}
