//! `create`: a container whose command waits for `start`.

use crate::cli::Globals;
use crate::cli::words::Words;
use crate::creation::{Creation, Starter};
use crate::error::Error;

/// Runs the command.
///
/// # Errors
/// The step that failed; nothing is left behind.
pub fn run(globals: &Globals, words: &Words) -> Result<u8, Error> {
    create(globals, words).map_err(Error::failed("boxr-oci create"))
}

fn create(globals: &Globals, words: &Words) -> Result<u8, Error> {
    let creation = Creation::read(words, "create", Starter::Later)?;
    let pid_file = creation.pid_file.clone();
    let made = creation.make(globals)?;
    // The first process has a copy of the locked descriptor, and stays.
    made.container.unlock()?;
    match made.spawned.detach() {
        Ok(()) => Ok(0),
        Err(error) => {
            let hooks = made.hooks.as_ref();
            crate::creation::clean_up(&made.container, hooks, pid_file.as_deref(), &globals.log);
            Err(error.into())
        }
    }
}
