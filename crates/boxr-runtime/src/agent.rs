//! The program that answers system calls which a seccomp filter does not decide: it gets the filter's
//! listener over a socket (config-linux.md, "The Container Process State").

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use boxr_sys::passing;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, State};
use rustix::process::Pid;
use serde_json::json;

use crate::error::{At, Error, Step, StepError};

/// Where it listens, and what it is told.
#[derive(Clone, Debug)]
pub struct Agent {
    path: PathBuf,
    metadata: Option<String>,
    state: State,
}

impl Agent {
    /// The agent that `profile` needs; `None` when it puts no call to one. It is told `state`, with
    /// the pid of the process. Without a path in the profile, that of the annotation
    /// `run.oci.seccomp.receiver` will do, as with crun.
    ///
    /// # Errors
    /// [`Error::Field`] when it needs one and names none, and for metadata for nobody.
    pub fn of(profile: &LinuxSeccomp, state: &State) -> Result<Option<Self>, Error> {
        let path = profile.listener_path().as_ref().filter(|path| !path.as_os_str().is_empty());
        let metadata = profile.listener_metadata().as_ref().filter(|text| !text.is_empty());
        if path.is_none() && metadata.is_some() {
            let why = "only to be given with linux.seccomp.listenerPath";
            return Err(Error::field("linux.seccomp.listenerMetadata", why));
        }
        let mut entries = profile.syscalls().iter().flatten();
        if !entries.any(|entry| entry.action() == LinuxSeccompAction::ScmpActNotify) {
            return Ok(None);
        }
        let annotated = || {
            let path = state.annotations().as_ref()?.get("run.oci.seccomp.receiver")?;
            Some(PathBuf::from(path))
        };
        let path = path.cloned().or_else(annotated).ok_or_else(|| {
            Error::field("linux.seccomp.listenerPath", "missing; an entry with SCMP_ACT_NOTIFY needs it")
        })?;
        Ok(Some(Self { path, metadata: metadata.cloned(), state: state.clone() }))
    }

    /// Reaches the agent, before anything depends on it.
    pub(crate) fn connect(self) -> Result<Connection, StepError> {
        let socket = passing::connect_stream(&self.path).at(Step::Agent, self.path.display())?;
        Ok(Connection { socket, agent: self })
    }

    fn message(&self, pid: Pid) -> Vec<u8> {
        let pid = pid.as_raw_nonzero().get();
        let mut state = self.state.clone();
        state.set_pid(Some(pid));
        let mut message = json!({
            "ociVersion": state.version(),
            // What the descriptor beside it is.
            "fds": ["seccompFd"],
            "pid": pid,
            "state": state,
        });
        if let Some(metadata) = &self.metadata {
            message["metadata"] = json!(metadata);
        }
        message.to_string().into_bytes()
    }
}

/// A connection to an agent.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    agent: Agent,
}

impl Connection {
    /// Hands the listener of the process `pid` over; that is all there is to say to an agent.
    pub fn hand_over(self, pid: Pid, listener: BorrowedFd<'_>) -> Result<(), StepError> {
        passing::send_whole(&self.socket, &self.agent.message(pid), listener)
            .at(Step::Agent, self.agent.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(profile: &str) -> Result<Option<Agent>, Error> {
        let spec = serde_json::from_str(r#"{"ociVersion":"1.2.0","annotations":{"a":"b"}}"#).unwrap();
        let state = crate::told::state(&spec, "blue", "/bundle".into());
        Agent::of(&serde_json::from_str(profile).unwrap(), &state)
    }

    const NOTIFY: &str = r#""syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]"#;

    #[test]
    fn the_message_is_the_specifications() {
        let profile = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/agent","listenerMetadata":"MKNOD=/dev/null",{NOTIFY}}}"#
        );
        let agent = agent(&profile).unwrap().unwrap();
        let message: serde_json::Value =
            serde_json::from_slice(&agent.message(Pid::from_raw(7).unwrap())).unwrap();
        let expected = json!({
            "ociVersion": "1.2.0", "fds": ["seccompFd"], "pid": 7, "metadata": "MKNOD=/dev/null",
            "state": {"ociVersion": "1.2.0", "id": "blue", "status": "creating", "pid": 7,
                      "bundle": "/bundle", "annotations": {"a": "b"}},
        });
        assert_eq!(message, expected);
    }

    #[test]
    fn an_agent_is_needed_only_for_notifications() {
        assert!(agent(r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"}"#).unwrap().is_none());
        let error = agent(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW",{NOTIFY}}}"#)).unwrap_err();
        assert!(error.to_string().starts_with("linux.seccomp.listenerPath: missing"), "{error}");
        let error = agent(r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x"}"#).unwrap_err();
        assert!(error.to_string().starts_with("linux.seccomp.listenerMetadata: "), "{error}");
    }
}
