//! Processes that the command of a sandbox without a pid namespace leaves behind.
//!
//! boxr becomes their parent when theirs ends (prctl(2), `PR_SET_CHILD_SUBREAPER`), and ends them when the command has ended.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};

use crate::options::BoxOptions;
use crate::outcome::EngineError;

/// Whether there may be any, and which processes are boxr's own.
#[derive(Debug)]
pub(crate) struct Leftovers(Option<Vec<Pid>>);

impl Leftovers {
    /// Gets ready for those of a box, before it has a process.
    ///
    /// # Errors
    /// prctl(2).
    pub fn of(options: &BoxOptions) -> Result<Self, EngineError> {
        let landlock = options.sandbox.as_ref().and_then(|sandbox| sandbox.landlock.as_ref());
        let alone = landlock.is_some_and(|landlock| landlock.files);
        if !alone {
            return Ok(Self(None));
        }
        let own = rustix::process::getpid();
        set_child_subreaper(Some(own))
            .map_err(|errno| EngineError::system("adopt what the command leaves", errno))?;
        // Whoever records what it does is there already, and has not done yet when it has ended.
        children().map(|children| Self(Some(children))).map_err(cannot_find)
    }

    /// Ends them, and what becomes boxr's by that.
    ///
    /// # Errors
    /// The list of boxr's children cannot be read.
    pub fn end(self) -> Result<(), EngineError> {
        let Some(own) = self.0 else { return Ok(()) };
        loop {
            let mut children = children().map_err(cannot_find)?;
            children.retain(|child| !own.contains(child));
            let Some(first) = children.first() else { return Ok(()) };
            for child in &children {
                // Already gone is what is wanted.
                kill_process(*child, Signal::KILL).unwrap_or_default();
            }
            match waitpid(Some(*first), WaitOptions::empty()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return Ok(()),
            }
        }
    }
}

fn cannot_find(errno: Errno) -> EngineError {
    EngineError::system("find what the command has left", errno)
}

/// The children of this process, which has one thread.
fn children() -> Result<Vec<Pid>, Errno> {
    let path = "/proc/thread-self/children";
    let text =
        std::fs::read_to_string(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(text.split_ascii_whitespace().filter_map(|word| Pid::from_raw(word.parse().ok()?)).collect())
}
