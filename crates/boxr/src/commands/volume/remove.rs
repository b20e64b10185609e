//! `boxr volume rm`

use boxr_engine::lifecycle::remove::{Force, remove};
use boxr_engine::store::StoreError;
use boxr_engine::volume::{VolumeError, VolumeName};

use crate::boxes;
use crate::cli::Invocation;
use crate::report::{Report, write_stdout};

/// Carries out `boxr volume rm`: prints what was given, for each that is gone. With `--force` the boxes that
/// have it go first.
///
/// # Errors
/// The directory of volumes cannot be opened.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let volumes = super::open(&invocation.globals)?;
    let force = invocation.switch("force");
    let words = super::words(&volumes, &invocation)?;
    boxes::for_each(&words, |word| {
        let name = VolumeName::parse(word)?;
        if force {
            let users = match volumes.users(&name) {
                // docker's: a script that removes what it finds may find nothing.
                Err(VolumeError::Missing(_)) => return Ok(()),
                users => users?,
            };
            for id in users {
                match store.resolve(id.as_str()) {
                    Err(StoreError::NotFound { .. }) => {}
                    dir => remove(&store, &dir?, Force::Yes)?,
                }
            }
        }
        match volumes.remove(&name) {
            Err(VolumeError::InUse { name, .. }) => {
                let users = super::users(&store, &volumes, &name)?;
                return Err(VolumeError::InUse { name, users }.into());
            }
            Err(VolumeError::Missing(_)) if force => return Ok(()),
            done => done?,
        }
        write_stdout(&format!("{word}\n"))
    })
}
