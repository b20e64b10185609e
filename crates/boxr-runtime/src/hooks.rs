//! Hooks: programs that the specification has run at points of a container's life (config.md, "POSIX-
//! platform Hooks").
//!
//! | hook | who runs it | when |
//! |---|---|---|
//! | prestart, createRuntime | boxr | mounts are made, the root is not entered yet |
//! | createContainer | the first process | right after those; paths are the host's |
//! | startContainer | the first process | in its root, just before the command |
//! | poststart, poststop | boxr | the command runs; the container is deleted |

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use oci_spec::runtime::{ContainerState, Spec, State};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use thiserror::Error;

use crate::deadline::Deadline;
use crate::error::Error as RuntimeError;
use crate::told;

/// When a hook is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HookKind {
    /// Deprecated; as [`HookKind::CreateRuntime`], before those.
    Prestart = 0,
    /// In the runtime's namespaces, before the root is entered.
    CreateRuntime = 1,
    /// In the container's namespaces, before the root is entered.
    CreateContainer = 2,
    /// In the container, before the command.
    StartContainer = 3,
    /// In the runtime's namespaces, after the command was started.
    Poststart = 4,
    /// In the runtime's namespaces, after the container was deleted.
    Poststop = 5,
}

impl HookKind {
    /// All of them, in the order of a container's life.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The kind with this number, as sent by the first process.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its key in `hooks`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The status that the hook is told.
    const fn status(self) -> ContainerState {
        match self {
            Self::Prestart | Self::CreateRuntime | Self::CreateContainer => ContainerState::Creating,
            Self::StartContainer => ContainerState::Created,
            Self::Poststart => ContainerState::Running,
            Self::Poststop => ContainerState::Stopped,
        }
    }
}

/// A hook that failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} hook #{index} ({path}) failed: {why}", kind.key())]
pub struct HookError {
    /// When it was run.
    pub kind: HookKind,
    /// Its place in the list.
    pub index: u8,
    /// Its program.
    pub path: String,
    /// How it failed, with what it had to say.
    pub why: String,
}

/// One program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hook {
    path: PathBuf,
    args: Vec<String>,
    /// `KEY=VALUE`; `None` leaves the environment of whoever runs it.
    env: Option<Vec<String>>,
    timeout: Option<Duration>,
}

/// The hooks of one container, and what they are told of it.
#[derive(Clone, Debug)]
pub struct Hooks {
    lists: [Vec<Hook>; HookKind::ALL.len()],
    state: State,
}

impl Hooks {
    /// Takes and checks the hooks of `spec`; `None` when there are none. They are told `id` and
    /// `bundle`.
    ///
    /// # Errors
    /// [`RuntimeError::Field`] for a path that is not absolute and a timeout that is not positive.
    pub fn new(spec: &Spec, id: &str, bundle: PathBuf) -> Result<Option<Self>, RuntimeError> {
        let Some(hooks) = spec.hooks() else { return Ok(None) };
        let given = [
            #[allow(deprecated, reason = "still part of the specification")]
            hooks.prestart(),
            hooks.create_runtime(),
            hooks.create_container(),
            hooks.start_container(),
            hooks.poststart(),
            hooks.poststop(),
        ];
        let mut lists = <[Vec<Hook>; HookKind::ALL.len()]>::default();
        for ((kind, list), hooks) in HookKind::ALL.into_iter().zip(&mut lists).zip(given) {
            for (index, hook) in hooks.iter().flatten().enumerate() {
                list.push(check(kind, index, hook)?);
            }
        }
        if lists.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        Ok(Some(Self { lists, state: told::state(spec, id, bundle) }))
    }

    /// Whether there is one of `kind`.
    pub fn has(&self, kind: HookKind) -> bool {
        !self.lists[kind as usize].is_empty()
    }

    /// Runs those of `kind` one after the other; the first that fails ends it. `pid` is the
    /// container's first process as seen by whoever runs this; poststop hooks are told none.
    ///
    /// # Errors
    /// [`HookError`] says which, and how.
    pub fn run(&self, kind: HookKind, pid: Option<i32>) -> Result<(), HookError> {
        for (index, hook) in self.lists[kind as usize].iter().enumerate() {
            self.run_one(kind, hook, pid).map_err(|why| error(kind, index, hook, why))?;
        }
        Ok(())
    }

    /// Runs all of `kind`, also after one has failed.
    pub fn run_regardless(&self, kind: HookKind, pid: Option<i32>) -> Vec<HookError> {
        let hooks = self.lists[kind as usize].iter().enumerate();
        hooks
            .filter_map(|(index, hook)| {
                self.run_one(kind, hook, pid).err().map(|why| error(kind, index, hook, why))
            })
            .collect()
    }

    fn run_one(&self, kind: HookKind, hook: &Hook, pid: Option<i32>) -> Result<(), String> {
        let mut state = self.state.clone();
        state.set_status(kind.status()).set_pid(pid);
        let state = serde_json::to_vec(&state).map_err(|error| error.to_string())?;
        hook.run(&state)
    }
}

fn error(kind: HookKind, index: usize, hook: &Hook, why: String) -> HookError {
    let index = u8::try_from(index).unwrap_or(u8::MAX);
    HookError { kind, index, path: hook.path.display().to_string(), why }
}

fn check(kind: HookKind, index: usize, hook: &oci_spec::runtime::Hook) -> Result<Hook, RuntimeError> {
    let field = |part: &str| format!("hooks.{}[{index}].{part}", kind.key());
    if !hook.path().is_absolute() {
        let why = format!("{}: not an absolute path", hook.path().display());
        return Err(RuntimeError::field(field("path"), why));
    }
    let timeout = match hook.timeout() {
        None => None,
        Some(seconds) => {
            Some(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
                RuntimeError::field(field("timeout"), format!("{seconds}: not a positive number of seconds"))
            })?)
        }
    };
    let args = hook.args().clone().unwrap_or_default();
    let env = hook.env().clone();
    for (part, words) in [("args", Some(&args)), ("env", env.as_ref())] {
        if words.is_some_and(|words| words.iter().any(|word| word.contains('\0'))) {
            return Err(RuntimeError::field(field(part), "contains a zero byte"));
        }
    }
    Ok(Hook { path: hook.path().clone(), args, env, timeout: timeout.map(Duration::from_secs) })
}

impl Hook {
    /// Files in memory rather than pipes: neither side can make the other wait.
    fn run(&self, state: &[u8]) -> Result<(), String> {
        let system = |error: std::io::Error| error.to_string();
        let mut input = memory_file().map_err(system)?;
        input.write_all(state).and_then(|()| input.rewind()).map_err(system)?;
        let mut output = memory_file().map_err(system)?;
        let mut command = Command::new(&self.path);
        if let Some((name, rest)) = self.args.split_first() {
            command.arg0(name).args(rest);
        }
        if let Some(env) = &self.env {
            command.env_clear().envs(env.iter().map(|entry| entry.split_once('=').unwrap_or((entry, ""))));
        }
        let copy = output.try_clone().map_err(system)?;
        command.stdin(input).stdout(copy.try_clone().map_err(system)?).stderr(Stdio::from(copy));
        let status = self.run_within(&mut command)?;
        if status.success() {
            return Ok(());
        }
        let mut said = String::new();
        // What it said is only a help.
        output.rewind().and_then(|()| output.take(2000).read_to_string(&mut said).map(|_| ())).unwrap_or(());
        Err(match said.trim() {
            "" => ended(status),
            said => format!("{}: {said}", ended(status)),
        })
    }

    fn run_within(&self, command: &mut Command) -> Result<ExitStatus, String> {
        let mut child = command.spawn().map_err(|error| match Errno::from_io_error(&error) {
            Some(errno) => format!("cannot be run: {}", crate::error::describe(errno)),
            None => error.to_string(),
        })?;
        if let Some(timeout) = self.timeout
            && !ends_within(child.id(), timeout).map_err(crate::error::describe)?
        {
            // It may have ended at this moment; `wait` reaps it either way.
            child.kill().unwrap_or(());
            child.wait().map_err(|error| error.to_string())?;
            return Err(format!("still ran after {} s", timeout.as_secs()));
        }
        child.wait().map_err(|error| error.to_string())
    }
}

fn ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("ended by signal {signal}"),
        None => format!("exit status {}", status.code().unwrap_or_default()),
    }
}

/// Whether the child `pid` ends within `timeout`.
fn ends_within(pid: u32, timeout: Duration) -> Result<bool, Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Deadline::after_seconds(timeout.as_secs());
    loop {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&deadline.remaining())) {
            Ok(0) if deadline.has_passed() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno),
        }
    }
}

fn memory_file() -> std::io::Result<File> {
    Ok(File::from(memfd_create(c"boxr-hook", MemfdFlags::CLOEXEC)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(json: &str) -> Result<Option<Hooks>, RuntimeError> {
        let spec = format!(r#"{{"ociVersion":"1.2.0","annotations":{{"a":"b"}},"hooks":{json}}}"#);
        Hooks::new(&serde_json::from_str(&spec).unwrap(), "blue", "/bundle".into())
    }

    fn shell(kind: &str, script: &str, more: &str) -> Hooks {
        let script = serde_json::to_string(script).unwrap();
        let json = format!(r#"{{"{kind}":[{{"path":"/bin/sh","args":["sh","-c",{script}]{more}}}]}}"#);
        hooks(&json).unwrap().unwrap()
    }

    #[test]
    fn a_hook_reads_the_state_and_has_its_own_environment() {
        let check = r#"test "$(cat)" = '{"ociVersion":"1.2.0","id":"blue","status":"creating","pid":7,"bundle":"/bundle","annotations":{"a":"b"}}' && test "$X" = y && test -z "$HOME""#;
        shell("createRuntime", check, r#","env":["X=y"]"#).run(HookKind::CreateRuntime, Some(7)).unwrap();
    }

    #[test]
    fn a_failure_says_which_and_why() {
        let error = shell("prestart", "echo no luck >&2; exit 3", "").run(HookKind::Prestart, None);
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "prestart hook #0 (/bin/sh) failed: exit status 3: no luck");
    }

    #[test]
    fn a_missing_program_is_named() {
        let hooks = hooks(r#"{"poststop":[{"path":"/no/such"},{"path":"/bin/false"}]}"#).unwrap().unwrap();
        let errors = hooks.run_regardless(HookKind::Poststop, None);
        assert_eq!(errors.len(), 2);
        assert!(errors[0].to_string().contains("cannot be run: No such file or directory (ENOENT)"));
    }

    #[test]
    fn a_hook_that_hangs_is_ended() {
        let hooks = shell("poststart", "exec sleep 1000", r#","timeout":1"#);
        let text = hooks.run(HookKind::Poststart, Some(1)).unwrap_err().to_string();
        assert!(text.ends_with("still ran after 1 s"), "{text}");
    }

    #[test]
    fn wrong_fields_are_named() {
        let wrong = [
            (r#"{"prestart":[{"path":"bin/x"}]}"#, "hooks.prestart[0].path"),
            (r#"{"poststop":[{"path":"/x"},{"path":"/x","timeout":0}]}"#, "hooks.poststop[1].timeout"),
            (r#"{"startContainer":[{"path":"/x","args":["a\u0000b"]}]}"#, "hooks.startContainer[0].args"),
        ];
        for (json, field) in wrong {
            let error = hooks(json).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
        assert!(hooks("{}").unwrap().is_none());
    }
}
