//! The messages between parent and first process, over one `SOCK_SEQPACKET` pair.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use boxr_sys::passing;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, accept_with, socketpair};

use crate::error::{Failure, Step, StepError};
use crate::hooks::{HookError, HookKind};

/// One end of the pair.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// What the parent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ToChild {
    /// Id maps are written and cgroups are joined. The root may come along.
    Prepared = 1,
    /// The state is on disk: execute.
    Go = 2,
    /// The hooks that boxr runs are done.
    HooksDone = 3,
    /// The state is on disk and this boxr ends: wait for another, which says [`ToChild::Go`].
    Detach = 4,
    /// The seccomp agent has the listener.
    Delivered = 5,
}

/// What the first process, or the intermediate one, says.
#[derive(Debug)]
pub(crate) enum FromChild {
    /// A step or a hook failed; nothing more comes.
    Failed(Failure),
    /// Mounts are made: hooks that boxr runs are due.
    AwaitsHooks,
    /// Everything is done but [`ToChild::Go`].
    Ready,
    /// The first process that the intermediate one made.
    FirstProcess { pid: i32, pidfd: OwnedFd },
    /// The master of the terminal that was made inside.
    Terminal(OwnedFd),
    /// The listener of the seccomp filter that was loaded.
    Listener(OwnedFd),
    /// The socket that listens inside for boxr.
    Inside(OwnedFd),
    /// A step ended at this time of `CLOCK_MONOTONIC`, nanoseconds (`--timing`).
    Trace { step: &'static str, at: u64 },
    /// The other side is gone, or has executed the command.
    Closed,
}

/// Steps that are timed, by number.
pub(crate) const TRACED: [&str; 5] = ["start", "namespaces", "files", "credentials", READY_STEP];

/// The last of them.
pub(crate) const READY_STEP: &str = "ready";

const FAILED: u8 = 1;
const FIRST_PROCESS: u8 = 2;
const TERMINAL: u8 = 3;
const TRACE: u8 = 4;
const AWAITS_HOOKS: u8 = 5;
const READY: u8 = 6;
const HOOK_FAILED: u8 = 7;
const LISTENER: u8 = 8;
const INSIDE: u8 = 9;
/// Longest message; a longer object is cut.
const SIZE: usize = 4096;

impl Channel {
    /// A connected pair, close-on-exec.
    pub fn pair() -> Result<(Self, Self), Errno> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(a), Self(b)))
    }

    /// Tells the child.
    pub fn tell(&self, message: ToChild) -> Result<(), Errno> {
        self.send(&[message as u8], None)
    }

    /// [`ToChild::Prepared`], with the root that was made in the ids of the first process.
    pub fn prepared_with(&self, root: BorrowedFd<'_>) -> Result<(), Errno> {
        self.send(&[ToChild::Prepared as u8], Some(root))
    }

    /// Waits for [`ToChild::Prepared`], and for the root where one comes with it.
    pub fn await_prepared(&self) -> Result<Option<OwnedFd>, Errno> {
        let mut byte = [0];
        match passing::receive(&self.0, &mut byte, RecvFlags::empty())? {
            (1, root) if byte[0] == ToChild::Prepared as u8 => Ok(root),
            (0, _) => Err(Errno::PIPE),
            _ => Err(Errno::PROTO),
        }
    }

    /// Ends this direction: whoever waits for a word on the other side learns that none comes.
    pub fn say_no_more(&self) -> Result<(), Errno> {
        rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write)
    }

    /// Waits for one particular word of the parent.
    pub fn await_word(&self, expected: ToChild) -> Result<(), Errno> {
        let mut byte = [0];
        match passing::receive(&self.0, &mut byte, RecvFlags::empty())? {
            (1, None) if byte[0] == expected as u8 => Ok(()),
            (0, _) => Err(Errno::PIPE),
            _ => Err(Errno::PROTO),
        }
    }

    /// Reports a failure.
    pub fn fail(&self, failure: &Failure) -> Result<(), Errno> {
        let message = match failure {
            Failure::Step(error) => encode_step(error),
            Failure::Hook(error) => encode_hook(error),
        };
        self.send(&message[..message.len().min(SIZE)], None)
    }

    /// Asks for the hooks that boxr runs.
    pub fn await_hooks(&self) -> Result<(), Errno> {
        self.send(&[AWAITS_HOOKS], None)?;
        self.await_word(ToChild::HooksDone)
    }

    /// Reports that only [`ToChild::Go`] is missing.
    pub fn ready(&self) -> Result<(), Errno> {
        self.send(&[READY], None)
    }

    /// Waits for a boxr that starts the container, and for its word. One that goes away without it
    /// is followed by the next.
    pub fn accept_go(listener: BorrowedFd<'_>) -> Result<Self, Errno> {
        loop {
            let connection = match accept_with(listener, SocketFlags::CLOEXEC) {
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                other => Self(other?),
            };
            match connection.await_word(ToChild::Go) {
                Ok(()) => return Ok(connection),
                Err(Errno::PIPE | Errno::CONNRESET) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Hands the first process over.
    pub fn first_process(&self, pid: i32, pidfd: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut message = [FIRST_PROCESS, 0, 0, 0, 0];
        message[1..].copy_from_slice(&pid.to_le_bytes());
        self.send(&message, Some(pidfd))
    }

    /// Hands the terminal's master over.
    pub fn terminal(&self, master: BorrowedFd<'_>) -> Result<(), Errno> {
        self.send(&[TERMINAL], Some(master))
    }

    /// Hands the listener of the seccomp filter over.
    pub fn listener(&self, listener: BorrowedFd<'_>) -> Result<(), Errno> {
        self.send(&[LISTENER], Some(listener))
    }

    /// Hands over the socket that listens inside.
    pub fn inside(&self, listener: BorrowedFd<'_>) -> Result<(), Errno> {
        self.send(&[INSIDE], Some(listener))
    }

    /// Reports that the traced step with this number has ended.
    pub fn trace(&self, step: u8, at: u64) -> Result<(), Errno> {
        let mut message = [TRACE, step, 0, 0, 0, 0, 0, 0, 0, 0];
        message[2..].copy_from_slice(&at.to_le_bytes());
        self.send(&message, None)
    }

    /// The next message of the child.
    pub fn next(&self) -> Result<FromChild, Errno> {
        let mut buffer = [0u8; SIZE];
        let (length, fd) = loop {
            match passing::receive(&self.0, &mut buffer, RecvFlags::empty()) {
                // The other side ended with a word of ours unread. The kernel says so once, and
                // before what that side had sent, which comes next.
                Err(Errno::CONNRESET) => {}
                other => break other?,
            }
        };
        match (&buffer[..length], fd) {
            ([], _) => Ok(FromChild::Closed),
            ([FAILED, step, e0, e1, e2, e3, object @ ..], _) => {
                let step = Step::from_number(*step).ok_or(Errno::PROTO)?;
                let errno = Errno::from_raw_os_error(i32::from_le_bytes([*e0, *e1, *e2, *e3]));
                let error = StepError::new(step, String::from_utf8_lossy(object), errno);
                Ok(FromChild::Failed(error.into()))
            }
            ([HOOK_FAILED, kind, index, text @ ..], _) => {
                decode_hook(*kind, *index, text).map(|error| FromChild::Failed(error.into()))
            }
            ([AWAITS_HOOKS], _) => Ok(FromChild::AwaitsHooks),
            ([READY], _) => Ok(FromChild::Ready),
            ([FIRST_PROCESS, p0, p1, p2, p3], Some(pidfd)) => {
                Ok(FromChild::FirstProcess { pid: i32::from_le_bytes([*p0, *p1, *p2, *p3]), pidfd })
            }
            ([TERMINAL], Some(master)) => Ok(FromChild::Terminal(master)),
            ([LISTENER], Some(listener)) => Ok(FromChild::Listener(listener)),
            ([INSIDE], Some(listener)) => Ok(FromChild::Inside(listener)),
            ([TRACE, step, at @ ..], _) => {
                let step = TRACED.get(usize::from(*step)).ok_or(Errno::PROTO)?;
                let at = u64::from_le_bytes(at.try_into().map_err(|_| Errno::PROTO)?);
                Ok(FromChild::Trace { step, at })
            }
            _ => Err(Errno::PROTO),
        }
    }

    fn send(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        passing::send(&self.0, bytes, fd).map(|_| ())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

fn encode_step(error: &StepError) -> Vec<u8> {
    let mut message = vec![FAILED, error.step as u8];
    message.extend(error.errno.raw_os_error().to_le_bytes());
    message.extend(error.object.as_bytes());
    message
}

fn encode_hook(error: &HookError) -> Vec<u8> {
    let mut message = vec![HOOK_FAILED, error.kind as u8, error.index];
    message.extend(error.path.as_bytes());
    message.push(0);
    message.extend(error.why.as_bytes());
    message
}

fn decode_hook(kind: u8, index: u8, text: &[u8]) -> Result<HookError, Errno> {
    let kind = HookKind::from_number(kind).ok_or(Errno::PROTO)?;
    let end = text.iter().position(|byte| *byte == 0).ok_or(Errno::PROTO)?;
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(HookError { kind, index, path: words(&text[..end]), why: words(&text[end + 1..]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_arrives_as_it_was() {
        let (parent, child) = Channel::pair().unwrap();
        let error = Failure::from(StepError::new(Step::MountSource, "/no/such", Errno::NOENT));
        child.fail(&error).unwrap();
        assert!(matches!(parent.next().unwrap(), FromChild::Failed(got) if got == error));
        let (path, why) = ("/bin/x".into(), "exit status 1: a\0b".into());
        let error = Failure::from(HookError { kind: HookKind::StartContainer, index: 2, path, why });
        child.fail(&error).unwrap();
        assert!(matches!(parent.next().unwrap(), FromChild::Failed(got) if got == error));
    }

    #[test]
    fn a_failure_is_heard_also_when_our_word_was_not() {
        let (parent, child) = Channel::pair().unwrap();
        parent.tell(ToChild::Go).unwrap();
        let error = Failure::from(StepError::new(Step::Workdir, "/no/such", Errno::NOENT));
        child.fail(&error).unwrap();
        drop(child);
        assert!(matches!(parent.next().unwrap(), FromChild::Failed(got) if got == error));
        assert!(matches!(parent.next().unwrap(), FromChild::Closed));
    }

    #[test]
    fn words_must_come_in_order() {
        let (parent, child) = Channel::pair().unwrap();
        parent.tell(ToChild::Go).unwrap();
        assert_eq!(child.await_word(ToChild::Prepared), Err(Errno::PROTO));
        drop(parent);
        assert_eq!(child.await_word(ToChild::Go), Err(Errno::PIPE));
    }

    #[test]
    fn descriptors_travel_with_their_message() {
        let (parent, child) = Channel::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        parent.prepared_with(file.as_fd()).unwrap();
        parent.tell(ToChild::Prepared).unwrap();
        assert!(child.await_prepared().unwrap().is_some());
        assert!(child.await_prepared().unwrap().is_none());
        child.terminal(file.as_fd()).unwrap();
        child.first_process(42, file.as_fd()).unwrap();
        child.trace(1, 7).unwrap();
        drop(child);
        assert!(matches!(parent.next().unwrap(), FromChild::Terminal(_)));
        assert!(matches!(parent.next().unwrap(), FromChild::FirstProcess { pid: 42, .. }));
        assert!(matches!(parent.next().unwrap(), FromChild::Trace { step: "namespaces", at: 7 }));
        assert!(matches!(parent.next().unwrap(), FromChild::Closed));
    }
}
