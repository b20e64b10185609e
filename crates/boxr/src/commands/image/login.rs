//! `boxr login`: the password is tried before it is kept.

use std::io::{BufRead, IsTerminal, Read, Write};

use boxr_image::reference::DOCKER_HUB;
use boxr_image::registry::credentials::Credential;
use boxr_image::registry::{Client, Options, Registries};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::cli::Invocation;
use crate::images;
use crate::report::{Report, io_text, write_stdout};

/// Carries out `boxr login`.
///
/// # Errors
/// Nobody to ask; the registry does not let one in; the password cannot be kept.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let registry = registry(&invocation);
    if invocation.switch("get-login") {
        let found = images::client(&invocation)?.options().credentials.find(&registry, "")?;
        let unknown =
            || Report::new(format!("not logged in to {registry}")).suggest(format!("boxr login {registry}"));
        return match found.ok_or_else(unknown)? {
            Credential::Password { user, .. } => write_stdout(&format!("{user}\n")).map(|()| 0),
            // A token has no name.
            Credential::IdentityToken(_) => write_stdout("<token>\n").map(|()| 0),
        };
    }
    let credential = ask(&invocation, &registry)?;
    let client = images::client(&invocation)?;
    let Options { tls_verify, certificates, credentials, .. } = client.options();
    let knocking = Client::new(Options {
        tls_verify: *tls_verify,
        certificates: certificates.clone(),
        registries: Registries::default(),
        credential: Some(credential.clone()),
        ..Options::default()
    });
    knocking.knock_at(&registry).map_err(|error| Report::from(error).status(1))?;
    let place = credentials.keep(&registry, &credential)?;
    crate::trace::note(|| format!("the password is in {place}"));
    write_stdout("Login Succeeded\n")?;
    Ok(0)
}

/// The registry that the command line means: docker's own by default, and by its old addresses.
pub(super) fn registry(invocation: &Invocation) -> String {
    let word = invocation.first();
    let word = word.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    match word.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        host => host.to_owned(),
    }
}

fn ask(invocation: &Invocation, registry: &str) -> Result<Credential, Report> {
    let from_stdin = invocation.switch("password-stdin");
    if from_stdin && invocation.value("password").is_some() {
        return Err(Report::new("boxr login: --password and --password-stdin contradict each other"));
    }
    let user = match invocation.value("username") {
        Some(user) => user.to_owned(),
        None if from_stdin => return Err(Report::new("boxr login: --password-stdin needs --username")),
        None => prompt(&format!("Username for {registry}: "), Echo::On)?,
    };
    let password = match invocation.value("password") {
        Some(password) => password.to_owned(),
        None if from_stdin => {
            let mut text = String::new();
            std::io::stdin()
                .lock()
                .take(1 << 20)
                .read_to_string(&mut text)
                .map_err(|error| unread(&error))?;
            text.trim_end_matches(['\n', '\r']).to_owned()
        }
        None => prompt("Password: ", Echo::Off)?,
    };
    if user.is_empty() || password.is_empty() {
        return Err(Report::new("boxr login: a name and a password are needed"));
    }
    Ok(Credential::Password { user, password })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    On,
    Off,
}

fn unread(error: &std::io::Error) -> Report {
    Report::new(format!("cannot read the password: {}", io_text(error)))
}

/// Asks whoever is at the terminal.
fn prompt(question: &str, echo: Echo) -> Result<String, Report> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Report::new("boxr login: there is no terminal to ask on")
            .suggest("boxr login --username NAME --password-stdin REGISTRY < FILE"));
    }
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(|error| unread(&error))?;
    let before = tcgetattr(&stdin).map_err(|errno| unread(&errno.into()))?;
    if echo == Echo::Off {
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &hidden).map_err(|errno| unread(&errno.into()))?;
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if echo == Echo::Off {
        tcsetattr(&stdin, OptionalActions::Flush, &before).map_err(|errno| unread(&errno.into()))?;
        drop(writeln!(stderr));
    }
    read.map_err(|error| unread(&error))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
