//! Speaking with one registry: the door it wants, and its tokens.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ureq::http::{Request, StatusCode};
use ureq::{Agent, SendBody};

use super::challenge::{self, Bearer, Challenge};
use super::credentials::Credential;
use super::endpoint::is_loopback;
use super::http::{self, Response, Security, answer, failure, header, message, read_all, retry_after};
use super::retry::Failed;
use super::{Endpoint, Options, RegistryError};

/// The longest answer of a token service that is read, in bytes.
const LONGEST_TOKEN: u64 = 1 << 20;

/// One registry.
#[derive(Debug)]
pub(super) struct Session {
    host: String,
    security: Security,
    /// Where it is, once it has answered.
    door: OnceLock<Door>,
    /// `Authorization` headers by scope.
    headers: Mutex<HashMap<String, String>>,
    /// Held by whoever asks for another one.
    asking: Mutex<()>,
}

/// `https://HOST` or `http://HOST`, and the connections to it.
#[derive(Debug)]
struct Door {
    base: String,
    agent: Agent,
}

/// What a request brings along; opened anew each time that it is sent.
#[derive(Clone, Copy)]
pub(super) struct Payload<'a> {
    /// Bytes of it.
    pub(super) length: u64,
    pub(super) open: &'a dyn Fn() -> std::io::Result<Box<dyn Read + 'a>>,
}

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{} bytes", self.length)
    }
}

impl Payload<'_> {
    /// Nothing at all, which is something else than no body.
    pub(super) fn empty() -> Self {
        Self { length: 0, open: &|| Ok(Box::new(std::io::empty())) }
    }
}

/// Bodies longer than this are sent when the registry has said that it wants them, in bytes.
const WORTH_ASKING: u64 = 1 << 20;

impl Door {
    /// The address of `path`, which may be an address itself.
    fn url(&self, path: &str) -> String {
        // Registries behind something that ends TLS for them do not know that they are reached by https.
        let plain = self.base.strip_prefix("https://").and_then(|host| {
            path.strip_prefix("http://")?.strip_prefix(host).filter(|rest| rest.starts_with('/'))
        });
        match plain {
            Some(rest) => format!("{}{rest}", self.base),
            None if path.starts_with('/') => format!("{}{path}", self.base),
            None => path.to_owned(),
        }
    }

    fn leads_to(&self, url: &str) -> bool {
        url.strip_prefix(&self.base).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// A request that is sent again when need be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    /// After the host: `/v2/…`; or a whole address that the registry has given.
    pub(super) path: &'a str,
    /// What the token has to be for.
    pub(super) repository: &'a str,
    /// What is asked for, in words.
    pub(super) what: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// What it brings along.
    pub(super) payload: Option<Payload<'a>>,
}

impl Session {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        Self {
            host: endpoint.host.clone(),
            security: if endpoint.insecure { Security::Any } else { Security::Verified },
            door: OnceLock::new(),
            headers: Mutex::new(HashMap::new()),
            asking: Mutex::new(()),
        }
    }

    /// Sends the request, with a password if one is wanted, and again if that may help; `then` takes what
    /// it needs from the answer.
    ///
    /// # Errors
    /// Every answer but success is one.
    pub(super) fn ask<T>(
        &self,
        options: &Options,
        ask: Ask<'_>,
        mut then: impl FnMut(&str, Response) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        options.patience.ask(|| {
            let (url, response) = self.ask_once(options, ask)?;
            Ok(then(&url, response)?)
        })
    }

    /// Sends the request, with a password if one is wanted, but not again if it fails.
    pub(super) fn ask_once(&self, options: &Options, ask: Ask<'_>) -> Result<(String, Response), Failed> {
        let door = self.door(options)?;
        let url = door.url(ask.path);
        let mut header = self.header_for(ask.repository);
        let mut response = self.send(door, &url, ask, header.as_deref(), options)?;
        let mut had_password = false;
        while response.status() == StatusCode::UNAUTHORIZED {
            // Several threads may want the same: one asks, the others take what it got.
            let asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            let known = self.header_for(ask.repository).filter(|known| Some(known) != header.as_ref());
            let is_new = known.is_none();
            header = match known {
                Some(known) => Some(known),
                None => {
                    let credential = self.credential(options, ask.repository)?;
                    had_password = credential.is_some();
                    self.answer_to(&response, door, options, ask, credential.as_ref())?
                }
            };
            let Some(header) = &header else { break };
            self.remember(ask.repository, header.clone());
            drop(asking);
            response = self.send(door, &url, ask, Some(header), options)?;
            if is_new {
                break;
            }
        }
        self.judge(url, response, ask, had_password)
    }

    fn judge(
        &self,
        url: String,
        response: Response,
        ask: Ask<'_>,
        had_password: bool,
    ) -> Result<(String, Response), Failed> {
        let status = response.status();
        if status.is_success() {
            return Ok((url, response));
        }
        let wait = retry_after(&response);
        let host = self.host.clone();
        let error = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied {
                host,
                repository: ask.repository.to_owned(),
                message: message(response),
                had_password,
            },
            StatusCode::NOT_FOUND => {
                RegistryError::NotFound { host, what: ask.what.to_owned(), message: message(response) }
            }
            StatusCode::PAYLOAD_TOO_LARGE => RegistryError::TooLarge {
                host,
                length: ask.payload.map_or(0, |payload| payload.length),
                message: message(response),
            },
            StatusCode::TOO_MANY_REQUESTS => {
                RegistryError::TooManyRequests { host, message: message(response) }
            }
            status => RegistryError::Status { url, status: status.as_u16(), message: message(response) },
        };
        Err(Failed { error: Box::new(error), wait })
    }

    fn send(
        &self,
        door: &Door,
        url: &str,
        ask: Ask<'_>,
        authorization: Option<&str>,
        options: &Options,
    ) -> Result<Response, RegistryError> {
        let mut request = Request::builder().method(ask.method).uri(url);
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        // A password is for the registry, wherever it sends us.
        if let Some(value) = authorization.filter(|_| door.leads_to(url)) {
            request = request.header("authorization", value);
        }
        let sent = match ask.payload {
            None => request.body(()).map(|request| door.agent.run(request)),
            Some(payload) => {
                if payload.length > WORTH_ASKING {
                    request = request.header("expect", "100-continue");
                }
                let mut reader = (payload.open)().map_err(RegistryError::Content)?;
                let request = request.header("content-length", payload.length);
                request.body(SendBody::from_reader(&mut reader)).map(|request| door.agent.run(request))
            }
        };
        let sent = sent.map_err(|error| answer(url, error))?;
        sent.map_err(|error| failure(url, &self.host, error, &options.patience))
    }

    /// The first that answers: https, and http where that is good enough.
    fn door(&self, options: &Options) -> Result<&Door, RegistryError> {
        if let Some(door) = self.door.get() {
            return Ok(door);
        }
        let schemes: &[&str] = if self.security == Security::Any { &["https", "http"] } else { &["https"] };
        let mut last = None;
        for scheme in schemes {
            let certificates = options.certificates.as_deref();
            let agent = http::agent(&self.host, scheme, self.security, certificates, &options.patience)?;
            let base = format!("{scheme}://{}", self.host);
            if schemes.len() == 1 {
                return Ok(self.door.get_or_init(|| Door { base, agent }));
            }
            let url = format!("{base}/v2/");
            match agent.get(&url).call() {
                Ok(_) => return Ok(self.door.get_or_init(|| Door { base, agent })),
                Err(error) => last = Some(failure(&url, &self.host, error, &options.patience)),
            }
        }
        Err(last.unwrap_or_else(|| answer(&self.host, "there is no way to it")))
    }

    fn credential(&self, options: &Options, repository: &str) -> Result<Option<Credential>, RegistryError> {
        if let Some(given) = &options.credential {
            return Ok(Some(given.clone()));
        }
        let name =
            if self.host == "registry-1.docker.io" { crate::reference::DOCKER_HUB } else { &self.host };
        Ok(options.credentials.find(name, repository)?)
    }

    fn header_for(&self, scope: &str) -> Option<String> {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner).get(scope).cloned()
    }

    fn remember(&self, scope: &str, header: String) {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner).insert(scope.to_owned(), header);
    }

    /// The `Authorization` header that the challenge in `response` asks for; `None` when there is none to give.
    fn answer_to(
        &self,
        response: &Response,
        door: &Door,
        options: &Options,
        ask: Ask<'_>,
        credential: Option<&Credential>,
    ) -> Result<Option<String>, Failed> {
        let headers = response.headers().get_all("www-authenticate");
        match challenge::parse(headers.iter().filter_map(|value| value.to_str().ok())) {
            Some(Challenge::Basic) => Ok(credential.and_then(basic)),
            Some(Challenge::Bearer(bearer)) => {
                let token = self.token(&bearer, door, options, ask, credential)?;
                Ok(Some(format!("Bearer {token}")))
            }
            None => Ok(None),
        }
    }

    /// Gets a token (distribution specification, "token authentication"; with an identity token by
    /// OAuth 2's way).
    fn token(
        &self,
        bearer: &Bearer,
        door: &Door,
        options: &Options,
        ask: Ask<'_>,
        credential: Option<&Credential>,
    ) -> Result<String, Failed> {
        let action = if matches!(ask.method, "GET" | "HEAD") { "pull" } else { "pull,push" };
        let scope = bearer.scope.clone().unwrap_or_else(|| format!("repository:{}:{action}", ask.repository));
        self.check_realm(&bearer.realm, credential)?;
        let service = bearer.service.as_deref().unwrap_or_default();
        let sent = match credential {
            Some(Credential::IdentityToken(token)) => door.agent.post(&bearer.realm).send_form([
                ("grant_type", "refresh_token"),
                ("service", service),
                ("client_id", "boxr"),
                ("scope", &scope),
                ("refresh_token", token),
            ]),
            other => {
                let mut request = door.agent.get(&bearer.realm).query("scope", &scope);
                if !service.is_empty() {
                    request = request.query("service", service);
                }
                if let Some(header) = other.and_then(basic) {
                    request = request.header("authorization", header);
                }
                request.call()
            }
        };
        let response = sent.map_err(|error| failure(&bearer.realm, &self.host, error, &options.patience))?;
        let refused = matches!(response.status().as_u16(), 400 | 401 | 403);
        if refused {
            let error = RegistryError::Denied {
                host: self.host.clone(),
                repository: ask.repository.to_owned(),
                message: message(response),
                had_password: credential.is_some(),
            };
            return Err(error.into());
        }
        let (url, response) = self.judge(bearer.realm.clone(), response, ask, credential.is_some())?;
        let bytes = read_all(&url, response, LONGEST_TOKEN)?;
        token_in(&bytes).ok_or_else(|| answer(&url, "there is no token in it").into())
    }

    /// A password is sent by http only to this machine, or where the user has said that this will do.
    fn check_realm(&self, realm: &str, credential: Option<&Credential>) -> Result<(), RegistryError> {
        let host = realm.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
        match host {
            Some(host)
                if credential.is_some() && self.security == Security::Verified && !is_loopback(host) =>
            {
                Err(answer(realm, "it wants the password unencrypted"))
            }
            _ => Ok(()),
        }
    }
}

fn basic(credential: &Credential) -> Option<String> {
    match credential {
        Credential::Password { user, password } => {
            Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}"))))
        }
        Credential::IdentityToken(_) => None,
    }
}

fn token_in(bytes: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token)?;
    let fits = |byte: u8| byte.is_ascii_graphic();
    (!token.is_empty() && token.bytes().all(fits)).then_some(token)
}

/// Whether an answer to a range request begins at `from`; what it begins at otherwise.
pub(super) fn start_of(url: &str, response: &Response, from: u64) -> Result<u64, RegistryError> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(0);
    }
    let range = header(response, "content-range").unwrap_or_default();
    let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse::<u64>().ok());
    match start {
        Some(start) if start <= from => Ok(start),
        _ => Err(answer(url, format!("it is to begin at byte {from}, and says {range:?}"))),
    }
}
