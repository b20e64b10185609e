//! boxr-oci while the process it has started runs: signals, the terminal, the end.

use std::os::fd::{AsFd, OwnedFd};

use boxr_runtime::process::parent::Running;
use boxr_runtime::proxy::{self, Proxy};
use boxr_runtime::terminal::DetachKeys;
use boxr_sys::pidfd::{self, Ended};
use boxr_sys::signal;
use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions};

use crate::error::Error;

/// A running process and what it is connected to.
#[derive(Debug)]
pub struct Foreground {
    running: Running,
    signals: OwnedFd,
    proxy: Option<Proxy>,
}

impl Foreground {
    /// Takes over what a start has made; a terminal that was made inside is connected to stdin and stdout.
    ///
    /// # Errors
    /// The terminal cannot be put into raw mode; the process is ended first.
    pub fn new(mut running: Running, signals: OwnedFd) -> Result<Self, Error> {
        let proxy = running.terminal.take().map(|master| Proxy::new(master, DetachKeys::new(Vec::new())));
        match proxy.transpose() {
            Ok(proxy) => Ok(Self { running, signals, proxy }),
            Err(errno) => {
                end(&running);
                Err(Error::System { action: "set up the terminal", errno })
            }
        }
    }

    /// Waits for the end; the exit status, 128+N for signal N.
    ///
    /// # Errors
    /// The command could not be executed after all; poll(2), after which the process was ended.
    pub fn run(mut self) -> Result<u8, Error> {
        let ended = self.until_end().inspect_err(|_| end(&self.running));
        let ended = ended.map_err(Error::system("look after the process"))?;
        drop(self.proxy);
        match self.running.take_failure() {
            Some(error) => Err(error.into()),
            None => Ok(match ended {
                Ended::Code(code) => code,
                Ended::Signal(signal) => 128u8.wrapping_add(signal),
            }),
        }
    }

    fn until_end(&mut self) -> Result<Ended, Errno> {
        loop {
            let ready = proxy::wait(&self.running.pidfd, &self.signals, self.proxy.as_ref(), &[], None)?;
            if ready.signal {
                while let Some(received) = signal::next(&self.signals)? {
                    self.on_signal(received.signal)?;
                }
            }
            if let Some(proxy) = &mut self.proxy {
                proxy.turn(ready.input, ready.output, ready.room)?;
            }
            if (ready.signal || ready.ended)
                && let Some(ended) = self.reap()?
            {
                if let Some(proxy) = &mut self.proxy {
                    proxy.drain()?;
                }
                return Ok(ended);
            }
        }
    }

    fn on_signal(&self, number: i32) -> Result<(), Errno> {
        if number == Signal::CHILD.as_raw() {
            return Ok(());
        }
        if number == Signal::WINCH.as_raw()
            && let Some(proxy) = &self.proxy
        {
            return proxy.resize();
        }
        match signal::send(self.running.pidfd.as_fd(), number) {
            // It may have ended since; and a set-user-id program is not ours to signal.
            Ok(()) | Err(Errno::SRCH | Errno::PERM) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Reaps children that have ended, also those that came to this subreaper, until the process is among
    /// them: how it ended.
    fn reap(&self) -> Result<Option<Ended>, Errno> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.running.pid => {
                    return Ok(Some(Ended::from_wait_status(status.as_raw())));
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) | Err(Errno::CHILD) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Ends the process after a failure of boxr's own.
fn end(running: &Running) {
    // Already gone is what is wanted.
    signal::send(running.pidfd.as_fd(), Signal::KILL.as_raw()).unwrap_or_default();
    pidfd::reap(running.pidfd.as_fd(), true).unwrap_or_default();
}
