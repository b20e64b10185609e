//! A new pod.

use super::record::{PodOptions, PodRecord, PodState};
use crate::events::Action;
use crate::foreground::now;
use crate::id::Id;
use crate::image::ranges;
use crate::network;
use crate::outcome::EngineError;
use crate::record::FORMAT;
use crate::store::{Store, StoreError};

/// Ids of a usual system; a pod's range has so many.
const HIGHEST_ID: u32 = 65535;

/// What a pod is to be, and be called.
#[derive(Debug)]
pub struct PodRequest {
    /// What it is made from.
    pub options: PodOptions,
    /// Its name; made up when there is none.
    pub name: Option<String>,
    /// The command line, for those who ask.
    pub command: Vec<String>,
}

/// Makes it. It comes up with the first member.
///
/// # Errors
/// The name is in use; nothing is left.
pub fn create(store: &Store, request: PodRequest) -> Result<PodRecord, EngineError> {
    let networks = network::networks(store.paths());
    for wanted in request.options.network.networks.iter().filter(|one| one.name != boxr_network::DEFAULT) {
        networks.find(&wanted.name)?;
    }
    let claim = store.create_pod(request.name.as_deref())?;
    let mut options = request.options;
    let id = claim.dir().id().clone();
    if options.own_range {
        let data = claim.dir().data_path();
        options.users = Some(ranges::claim(&store.paths().data, &data, id.as_str(), HIGHEST_ID)?);
    }
    let random = |errno| StoreError::system("get random numbers from", "/dev/urandom", errno);
    let record = PodRecord {
        format: FORMAT,
        id: id.to_string(),
        name: claim.name().to_owned(),
        infra_id: Id::random().map_err(random)?.0.to_string(),
        created: now(),
        command: request.command,
        options,
    };
    claim.commit(&record, &PodState::new(&id))?;
    super::note(store, &record.id, &record.name, Action::Create);
    Ok(record)
}
