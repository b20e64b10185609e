//! A person at a terminal: a pseudo-terminal with boxr on its other side.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::command::{Cmd, Output, Running};
use crate::stream::Stream;
use crate::wait::PATIENCE;

/// A program that has this terminal as its controlling one.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    screen: Stream,
    read: usize,
    running: Running,
}

impl Terminal {
    /// Starts `words` as the leader of a session on a new terminal.
    #[track_caller]
    pub fn start(rows: u16, columns: u16, words: &[String], surround: impl FnOnce(Cmd) -> Cmd) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, size(rows, columns)).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().expect("UTF-8");
        let own = std::env::current_exe().unwrap();
        let cmd = surround(Cmd::new(own)).arg("--as=on-terminal").arg(name).args(words).env("TERM", "vt100");
        let running = cmd.spawn();
        let master: OwnedFd = master;
        let master = File::from(master);
        let screen = Stream::collect(master.try_clone().unwrap());
        Self { master, screen, read: 0, running }
    }

    /// Types `keys`.
    #[track_caller]
    pub fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `pattern` is on the screen, behind what was expected before.
    #[track_caller]
    pub fn expect(&mut self, pattern: &str) {
        match self.screen.find(pattern, self.read, PATIENCE) {
            Ok(read) => self.read = read,
            Err(seen) => panic!(
                "the terminal never showed {pattern:?}, but {seen:?}\nstderr: {:?}",
                self.running.stderr
            ),
        }
    }

    /// All that was shown so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.bytes()).into_owned()
    }

    /// Gives the window another size, of which the kernel tells the foreground by SIGWINCH.
    #[track_caller]
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, size(rows, columns)).unwrap();
    }

    /// Whether the terminal passes keys on as they are, without echo and lines.
    #[track_caller]
    pub fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.master).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// The process on the terminal.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Waits for the end of the program.
    #[track_caller]
    pub fn finish(self) -> Output {
        self.running.finish()
    }

    /// Waits until nothing has the terminal open any more.
    pub fn wait_for_hangup(&self, patience: Duration) -> bool {
        self.screen.wait_for_end(patience)
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
