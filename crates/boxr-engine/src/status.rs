//! Events of a start for programs (`--status-fd`), JSON lines.

use std::io::Write;
use std::os::fd::OwnedFd;

use boxr_sys::namespace::NamespaceKind;
use rustix::io::Errno;

use crate::outcome::EngineError;
use crate::record::Exit;

/// The numbers of a process's namespaces, by their words.
pub type NamespaceIds = serde_json::Map<String, serde_json::Value>;

/// The namespaces of a process that waits to run its command.
pub fn namespaces_of(pid: i32) -> NamespaceIds {
    NamespaceKind::ALL
        .into_iter()
        .filter_map(|kind| Some((kind.word().to_owned(), namespace_id(pid, kind)?.into())))
        .collect()
}

/// Where events go.
#[derive(Debug)]
pub struct StatusSink(std::fs::File);

impl StatusSink {
    /// To the descriptor with this number, which stays the caller's.
    ///
    /// # Errors
    /// `EBADF` when it is not open.
    pub fn open(number: i32) -> Result<Self, EngineError> {
        let fd: OwnedFd = boxr_sys::fd::duplicate(number, 3)
            .map_err(|errno| EngineError::system(format!("write to --status-fd {number}"), errno))?;
        Ok(Self(fd.into()))
    }

    /// The command runs. `namespaces` were looked up before it did: it may have ended already.
    ///
    /// # Errors
    /// write(2).
    pub fn started(
        &mut self,
        id: &str,
        name: &str,
        pid: i32,
        namespaces: &NamespaceIds,
    ) -> Result<(), EngineError> {
        self.write(&serde_json::json!({
            "event": "started", "id": id, "name": name, "pid": pid, "namespaces": namespaces,
        }))
    }

    /// The command has ended.
    ///
    /// # Errors
    /// write(2).
    pub fn ended(&mut self, id: &str, exit: Exit) -> Result<(), EngineError> {
        let signal = match exit {
            Exit::Signal(signal) => Some(signal),
            _ => None,
        };
        self.write(&serde_json::json!({
            "event": "exited", "id": id, "status": exit.status(), "signal": signal,
            "timeout": exit == Exit::Timeout,
        }))
    }

    fn write(&mut self, event: &serde_json::Value) -> Result<(), EngineError> {
        let line = format!("{event}\n");
        self.0.write_all(line.as_bytes()).map_err(|error| {
            EngineError::system("write to --status-fd", Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })
    }
}

/// The number of a process's namespace, as `readlink /proc/PID/ns/KIND` shows it.
pub fn namespace_id(pid: i32, kind: NamespaceKind) -> Option<u64> {
    rustix::fs::stat(format!("/proc/{pid}/ns/{}", kind.proc_name())).ok().map(|found| found.st_ino)
}
