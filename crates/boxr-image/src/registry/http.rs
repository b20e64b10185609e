//! HTTP with one host: certificates, proxies, time limits, and what errors mean.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::config::RedirectAuthHeaders;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;

use super::endpoint::is_loopback;
use super::resolve::{NotFound, Resolver};
use super::{Patience, RegistryError};

/// What boxr calls itself.
const USER_AGENT: &str = concat!("boxr/", env!("CARGO_PKG_VERSION"));
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(20);
/// The longest error message that is read, in bytes.
const LONGEST_MESSAGE: u64 = 64 * 1024;

/// How a host is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// By https, and its certificate is verified.
    Verified,
    /// By https with any certificate, or by http.
    Any,
    /// By https with a verified certificate, or by http.
    AsGiven,
}

/// An answer, its body still to be read.
pub(super) type Response = ureq::http::Response<ureq::Body>;

/// Connections to the host `host`, and to where it redirects.
pub(super) fn agent(
    host: &str,
    scheme: &str,
    security: Security,
    certificates: Option<&Path>,
    patience: &Patience,
) -> Result<Agent, RegistryError> {
    let config = Agent::config_builder()
        .user_agent(USER_AGENT)
        .accept_encoding("identity")
        .http_status_as_error(false)
        .https_only(security == Security::Verified)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(patience.silence))
        .timeout_per_write(Some(patience.silence))
        .max_response_header_size(256 * 1024)
        .proxy(proxy(host, scheme)?)
        .tls_config(tls(host, security, certificates)?)
        .build();
    Ok(Agent::with_parts(config, DefaultConnector::default(), Resolver::default()))
}

/// The proxy that the environment names for `scheme` (curl(1), "ENVIRONMENT"). Nobody's proxy leads to
/// one's own loopback interface.
fn proxy(host: &str, scheme: &str) -> Result<Option<ureq::Proxy>, RegistryError> {
    if is_loopback(host) {
        return Ok(None);
    }
    let variables: [&'static str; 4] = match scheme {
        "https" => ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        // Not HTTP_PROXY: a request's header can set that in a CGI program's environment (CVE-2016-5385).
        _ => ["http_proxy", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let set = |name: &'static str| {
        std::env::var(name).ok().filter(|value| !value.is_empty()).map(|value| (name, value))
    };
    let Some((variable, value)) = variables.into_iter().find_map(set) else { return Ok(None) };
    let bad = |value: &str| RegistryError::Proxy { variable, value: value.to_owned() };
    let parsed = ureq::Proxy::new(&value).map_err(|_| bad(&value))?;
    let mut builder = ureq::Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
    if let Some(user) = parsed.username() {
        builder = builder.username(user);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for name in ["NO_PROXY", "no_proxy"] {
        if let Ok(list) = std::env::var(name) {
            builder = list
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .fold(builder, |builder, word| builder.no_proxy(word));
            break;
        }
    }
    builder.build().map(Some).map_err(|_| bad(&value))
}

fn tls(host: &str, security: Security, dir: Option<&Path>) -> Result<TlsConfig, RegistryError> {
    let own = OwnCertificates::find(host, dir)?;
    let mut roots = own.authorities;
    if security != Security::Any {
        roots.extend(system_roots());
        if roots.is_empty() && security == Security::Verified {
            return Err(RegistryError::NoRoots { host: host.to_owned() });
        }
    }
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(own.client)
        .disable_verification(security == Security::Any)
        .build())
}

/// What the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. What cannot be read of it is
/// not trusted.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
}

/// Certificates that this user or machine has for one registry.
#[derive(Default)]
struct OwnCertificates {
    authorities: Vec<Certificate<'static>>,
    client: Option<ClientCert>,
}

impl OwnCertificates {
    /// In `only`, or where docker and podman look: `HOST:PORT/*.crt` are authorities, `*.cert` and the
    /// `*.key` of the same name are ours (containers-certs.d(5)).
    fn find(host: &str, only: Option<&Path>) -> Result<Self, RegistryError> {
        let home =
            std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config/containers/certs.d"));
        let usual = home.into_iter().chain(["/etc/containers/certs.d".into(), "/etc/docker/certs.d".into()]);
        let dirs: Vec<PathBuf> = match only {
            Some(only) => vec![only.to_owned()],
            None => usual.map(|dir| dir.join(host)).collect(),
        };
        let mut found = Self::default();
        for dir in dirs {
            let mut files: Vec<_> =
                std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            files.sort();
            for file in files {
                match file.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => found.authorities.extend(certificates(&file)?),
                    Some("cert") if found.client.is_none() => {
                        let key = private_key(&file.with_extension("key"))?;
                        found.client = Some(ClientCert::new_with_certs(&certificates(&file)?, key));
                    }
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}

fn unusable(path: &Path, reason: impl ToString) -> RegistryError {
    RegistryError::CertificateFile { path: path.to_owned(), reason: reason.to_string() }
}

fn pem_items(path: &Path) -> Result<Vec<PemItem<'static>>, RegistryError> {
    let bytes = std::fs::read(path).map_err(|error| unusable(path, error))?;
    parse_pem(&bytes).collect::<Result<_, _>>().map_err(|error| unusable(path, error))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let found: Vec<_> = pem_items(path)?
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() { Err(unusable(path, "there is no certificate in it")) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>, RegistryError> {
    let key = pem_items(path)?.into_iter().find_map(|item| match item {
        PemItem::PrivateKey(key) => Some(key),
        _ => None,
    });
    key.ok_or_else(|| unusable(path, "there is no private key in it"))
}

/// What a failure to get an answer from `url` means.
pub(super) fn failure(url: &str, host: &str, error: ureq::Error, patience: &Patience) -> RegistryError {
    let connection = |reason: String| RegistryError::Connection { url: url.to_owned(), reason };
    match error {
        ureq::Error::Other(other) => match other.downcast::<NotFound>() {
            Ok(not_found) => RegistryError::Host { host: not_found.host, reason: not_found.reason },
            Err(other) => connection(other.to_string()),
        },
        ureq::Error::Io(error) => {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(tls) => tls_failure(host, tls).unwrap_or_else(|| connection(tls.to_string())),
                None => connection(error.to_string()),
            }
        }
        ureq::Error::Rustls(tls) => tls_failure(host, &tls).unwrap_or_else(|| connection(tls.to_string())),
        ureq::Error::Timeout(_) => connection(format!("nothing came for {} s", patience.silence.as_secs())),
        ureq::Error::Protocol(reason) => answer(url, reason),
        other => connection(other.to_string()),
    }
}

fn tls_failure(host: &str, error: &rustls::Error) -> Option<RegistryError> {
    match error {
        rustls::Error::InvalidCertificate(reason) => {
            let reason = match reason {
                rustls::CertificateError::UnknownIssuer => {
                    "nobody that this machine trusts has signed its certificate".to_owned()
                }
                other => other.to_string(),
            };
            Some(RegistryError::Certificate { host: host.to_owned(), reason })
        }
        _ => None,
    }
}

/// An answer that cannot be used.
pub(super) fn answer(url: &str, reason: impl ToString) -> RegistryError {
    RegistryError::Answer { url: url.to_owned(), reason: reason.to_string() }
}

/// The text of a header.
pub(super) fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// Reads a body of at most `limit` bytes whole.
pub(super) fn read_all(url: &str, mut response: Response, limit: u64) -> Result<Vec<u8>, RegistryError> {
    let too_long = || RegistryError::TooLong { url: url.to_owned(), limit };
    if response.body().content_length().is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    let read = response.body_mut().as_reader().take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| RegistryError::Connection { url: url.to_owned(), reason: error.to_string() })?;
    if bytes.len() as u64 > limit { Err(too_long()) } else { Ok(bytes) }
}

/// What an answer that is none says, in its own words (distribution specification, "error codes").
pub(super) fn message(mut response: Response) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct One {
        code: String,
        message: String,
    }
    let status = response.status();
    let usual = status.canonical_reason().unwrap_or("no reason given").to_owned();
    let mut bytes = Vec::new();
    if response.body_mut().as_reader().take(LONGEST_MESSAGE).read_to_end(&mut bytes).is_err() {
        return usual;
    }
    let said =
        serde_json::from_slice::<Errors>(&bytes).ok().and_then(|errors| errors.errors.into_iter().next());
    let text = match said {
        Some(One { code, message }) if message.is_empty() => code,
        Some(One { message, .. }) => message,
        None => usual,
    };
    // What a registry says goes to a terminal.
    text.chars().filter(|character| !character.is_control()).take(500).collect()
}

/// How long the registry wants to be left alone.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    header(response, "retry-after")?.trim().parse().ok().map(Duration::from_secs)
}
