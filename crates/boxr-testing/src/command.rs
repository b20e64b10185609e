//! A command that a test runs: what goes in, what came out, and assertions that tell all of it.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::stream::Stream;
use crate::wait::PATIENCE;

/// A command with a deadline, whose output is captured.
#[derive(Debug)]
pub struct Cmd {
    command: Command,
    words: Vec<OsString>,
    stdin: Vec<u8>,
    deadline: Duration,
}

impl Cmd {
    /// `program`, with nothing on stdin.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let words = vec![program.as_ref().to_owned()];
        Self { command: Command::new(program), words, stdin: Vec::new(), deadline: PATIENCE }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.words.push(arg.as_ref().to_owned());
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Removes a variable.
    pub fn without_env(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// The directory to start in.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// The bytes on stdin, which ends after them.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs it in a process group of its own, as a shell does with a job.
    pub fn own_group(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// How long it may take; [`PATIENCE`] otherwise.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(mut self) -> Output {
        let bytes = std::mem::take(&mut self.stdin);
        let mut running = self.spawn();
        if let Some(mut stdin) = running.child.stdin.take() {
            // A command may end without reading everything: EPIPE is its right.
            std::thread::spawn(move || stdin.write_all(&bytes).ok());
        }
        running.finish()
    }

    /// Starts it; stdin stays open until [`Running::close_stdin`] or the end.
    #[track_caller]
    pub fn spawn(mut self) -> Running {
        let command = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let words: Vec<_> = self.words.iter().map(|word| word.to_string_lossy()).collect();
        let line = words.join(" ");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        let stdout = Stream::collect(child.stdout.take().expect("it was asked for"));
        let stderr = Stream::collect(child.stderr.take().expect("it was asked for"));
        Running { child, stdout, stderr, line, deadline: self.deadline, read: 0 }
    }
}

/// A command under way.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// What it has written to stdout so far.
    pub stdout: Stream,
    /// What it has written to stderr so far.
    pub stderr: Stream,
    line: String,
    deadline: Duration,
    read: usize,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Writes to its stdin.
    #[track_caller]
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let stdin = self.child.stdin.as_mut().expect("stdin was closed by the test");
        stdin.write_all(bytes.as_ref()).unwrap();
    }

    /// Ends its stdin.
    pub fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Waits until `pattern` comes on stdout, behind what was expected before.
    #[track_caller]
    pub fn expect(&mut self, pattern: &str) {
        match self.stdout.find(pattern, self.read, self.deadline) {
            Ok(read) => self.read = read,
            Err(seen) => panic!(
                "{}\nnever printed {pattern:?}, but {seen:?}\nstderr: {}",
                self.line,
                String::from_utf8_lossy(&self.stderr.bytes())
            ),
        }
    }

    /// Waits for its end and for the end of its output.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        let status = self.wait();
        let ended = self.stdout.wait_for_end(self.deadline) && self.stderr.wait_for_end(self.deadline);
        assert!(ended, "{}\nhas ended, but something still holds its stdout or stderr open", self.line);
        Output { line: self.line, status, stdout: self.stdout.bytes(), stderr: self.stderr.bytes() }
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        let pidfd = rustix::process::pidfd_open(self.pid(), PidfdFlags::empty()).unwrap();
        if !crate::wait::readable(&pidfd, self.deadline) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            panic!(
                "{}\nstill ran after {:?}\nstdout: {}\nstderr: {}",
                self.line,
                self.deadline,
                String::from_utf8_lossy(&self.stdout.bytes()),
                String::from_utf8_lossy(&self.stderr.bytes())
            );
        }
        self.child.wait().unwrap()
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Output {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
}

impl Output {
    /// stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// stdout as text, without the white space around it.
    pub fn word(&self) -> String {
        self.text().trim().to_owned()
    }

    /// The lines of stdout.
    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// stderr as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Everything known of it, for a failing test.
    pub fn story(&self) -> String {
        let (line, status) = (&self.line, self.status);
        format!("$ {line}\n{status}\nstdout: {:?}\nstderr: {}", self.text(), self.errors())
    }

    /// It ended with status 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// It ended with this status.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.status.code() == Some(code), "expected exit status {code}\n{}", self.story());
        self
    }

    /// It was ended by this signal.
    #[track_caller]
    pub fn killed_by(self, signal: Signal) -> Self {
        let expected = Some(signal.as_raw());
        assert!(self.status.signal() == expected, "expected signal {expected:?}\n{}", self.story());
        self
    }

    /// stdout is exactly this text.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout == text.as_bytes(), "expected stdout {text:?}\n{}", self.story());
        self
    }

    /// stdout holds this text.
    #[track_caller]
    pub fn shows(self, text: &str) -> Self {
        assert!(self.text().contains(text), "expected {text:?} in stdout\n{}", self.story());
        self
    }

    /// stderr names this object.
    #[track_caller]
    pub fn blames(self, object: &str) -> Self {
        assert!(self.errors().contains(object), "expected {object:?} in stderr\n{}", self.story());
        self
    }

    /// Nothing on stderr.
    #[track_caller]
    pub fn quiet(self) -> Self {
        assert!(self.stderr.is_empty(), "expected nothing on stderr\n{}", self.story());
        self
    }
}
