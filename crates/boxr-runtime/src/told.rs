//! What other programs are told of a container: its state as the specification has it (runtime.md,
//! "State").

use std::path::PathBuf;

use oci_spec::runtime::{ContainerState, Spec, State};

/// The state of the container `id` that is made from `bundle`: being created, and without a pid so far.
pub fn state(spec: &Spec, id: &str, bundle: PathBuf) -> State {
    let mut state = State::default();
    state.set_version(spec.version().clone()).set_id(id.to_owned()).set_bundle(bundle);
    state.set_status(ContainerState::Creating).set_annotations(spec.annotations().clone());
    state
}
