//! `boxr create`

use boxr_engine::config::Purpose;
use boxr_engine::lifecycle::{self, CreateRequest};

use crate::boxes;
use crate::cli::Invocation;
use crate::cli::request::run_request;
use crate::report::{Report, write_stdout};

/// Carries out `boxr create`.
///
/// # Errors
/// Options that cannot be, a name that is in use, a store that cannot be written.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let globals = invocation.globals.clone();
    let (options, request) = run_request(invocation, Purpose::Create)?;
    let store = boxes::open_store(&globals)?;
    if request.replace {
        boxes::replace(&store, request.name.as_deref())?;
    }
    let create = CreateRequest { options, name: request.name, cidfile: request.cidfile };
    let made = lifecycle::create(&store, create);
    if let (Err(_), Some(pod)) = (&made, &request.new_pod) {
        pod.take_back(&store);
    }
    let state = made?;
    write_stdout(&format!("{}\n", state.id))?;
    Ok(0)
}
