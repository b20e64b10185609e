//! Operations that architectures with socketcall(2) and ipc(2) reach through them, by their number there
//! (`<linux/net.h>`, `<linux/ipc.h>`).

use crate::syscalls::{ROWS, Row, row};

/// From 1 on.
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

const IPC: [(&str, u8); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The call that an operation goes through, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Through {
    pub call: Row,
    pub operation: u8,
}

/// For each row, how else it is reached.
pub(crate) struct Multiplexed([Option<Through>; ROWS]);

impl Multiplexed {
    /// Finds the rows.
    pub fn new() -> Self {
        let mut all = [None; ROWS];
        let sockets = SOCKETCALL.iter().zip(1..).map(|(name, operation)| ("socketcall", *name, operation));
        let ipc = IPC.iter().map(|(name, operation)| ("ipc", *name, *operation));
        for (call, name, operation) in sockets.chain(ipc) {
            if let (Some(call), Some(row)) = (row(call), row(name)) {
                all[usize::from(row.0)] = Some(Through { call, operation });
            }
        }
        Self(all)
    }

    /// The other way to `row`.
    pub fn of(&self, row: Row) -> Option<Through> {
        self.0[usize::from(row.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_row() {
        let all = Multiplexed::new();
        assert_eq!(all.0.iter().flatten().count(), SOCKETCALL.len() + IPC.len());
        assert_eq!(all.of(row("sendmmsg").unwrap()).unwrap().operation, 20);
        assert_eq!(all.of(row("read").unwrap()), None);
    }
}
