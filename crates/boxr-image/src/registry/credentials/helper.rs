//! Programs that keep passwords: `docker-credential-NAME`, of docker's credential helper protocol.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::Credential;

/// The user name that marks an identity token.
const TOKEN_USER: &str = "<token>";

/// A helper failed.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It cannot be run.
    #[error("cannot run {program}, which keeps the password: {source}")]
    Run {
        /// The program.
        program: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It says so itself.
    #[error("{program} {action}: {message}")]
    Failed {
        /// The program.
        program: String,
        /// What it was to do.
        action: &'static str,
        /// What it said.
        message: String,
    },
    /// Its name is not that of a program.
    #[error("{0:?} is no name of a credential helper")]
    Name(String),
    /// It gave something else than a password.
    #[error("{program} get: its answer cannot be understood: {reason}")]
    Answer {
        /// The program.
        program: String,
        /// Why not.
        reason: serde_json::Error,
    },
}

pub(super) struct Helper(String);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(rename = "ServerURL", default, skip_serializing_if = "String::is_empty")]
    server: String,
    username: String,
    secret: String,
}

impl Helper {
    pub(super) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(super) fn program(&self) -> String {
        format!("docker-credential-{}", self.0)
    }

    /// `None` when it has none for `server`.
    pub(super) fn get(&self, server: &str) -> Result<Option<Credential>, HelperError> {
        let answer = match self.call("get", server.as_bytes()) {
            Ok(answer) => answer,
            // The protocol's own words, which every helper gives.
            Err(HelperError::Failed { message, .. }) if message.contains("credentials not found") => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let message: Message = serde_json::from_slice(&answer)
            .map_err(|reason| HelperError::Answer { program: self.program(), reason })?;
        Ok(Some(match message.username.as_str() {
            TOKEN_USER => Credential::IdentityToken(message.secret),
            _ => Credential::Password { user: message.username, password: message.secret },
        }))
    }

    pub(super) fn store(&self, server: &str, credential: &Credential) -> Result<(), HelperError> {
        let (username, secret) = match credential {
            Credential::Password { user, password } => (user.clone(), password.clone()),
            Credential::IdentityToken(token) => (TOKEN_USER.to_owned(), token.clone()),
        };
        let message = serde_json::json!({"ServerURL": server, "Username": username, "Secret": secret});
        self.call("store", message.to_string().as_bytes()).map(drop)
    }

    pub(super) fn erase(&self, server: &str) -> Result<(), HelperError> {
        self.call("erase", server.as_bytes()).map(drop)
    }

    fn call(&self, action: &'static str, input: &[u8]) -> Result<Vec<u8>, HelperError> {
        // A file may be another's work: its name for a helper must not lead to any program.
        if !self.0.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
            return Err(HelperError::Name(self.0.clone()));
        }
        let program = self.program();
        let failed = |source| HelperError::Run { program: program.clone(), source };
        let mut child = Command::new(&program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        // One that does not read it may have said all it has to say: its answer counts.
        let sent = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return match sent {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failed(error)),
                _ => Ok(output.stdout),
            };
        }
        // Some speak on stdout, some on stderr.
        let words = [output.stdout, output.stderr].concat();
        let message = String::from_utf8_lossy(&words).trim().to_owned();
        Err(HelperError::Failed { program, action, message })
    }
}
