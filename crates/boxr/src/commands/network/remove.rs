//! `boxr network rm` and `boxr network prune`

use boxr_engine::events::Action;
use boxr_network::{Definition, Error};

use super::failed;
use crate::boxes;
use crate::cli::Invocation;
use crate::commands::prune::{Filters, agreed};
use crate::format::time;
use crate::report::{Report, write_stdout};

/// Carries out `boxr network rm`: one that stays does not stop the others.
///
/// # Errors
/// The store cannot be opened.
pub fn remove(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let networks = super::open(&invocation.globals)?;
    let force = invocation.switch("force");
    boxes::for_each(invocation.positionals(), |word| match networks.remove(word, &|id| store.is_living(id)) {
        Ok(network) => {
            super::note(&invocation.globals, &network, Action::Destroy)?;
            write_stdout(&format!("{word}\n"))
        }
        Err(Error::NoNetwork { .. }) if force => Ok(()),
        Err(error) => Err(failed(error)),
    })
}

/// Carries out `boxr network prune`.
///
/// # Errors
/// Nobody to ask; the boxes or the networks cannot be listed.
pub fn prune(invocation: Invocation) -> Result<u8, Report> {
    let filters = Filters::read(invocation.values("filter"), time::now())?;
    let question = "This removes all networks that no box has. Go on? [y/N] ";
    if !invocation.switch("force") && !agreed("boxr network prune", question)? {
        return Ok(0);
    }
    let store = boxes::open_store(&invocation.globals)?;
    let networks = super::open(&invocation.globals)?;
    let is_alive = |id: &str| store.is_living(id);
    for attachment in networks.attachments().map_err(failed)? {
        if !is_alive(&attachment.id) {
            networks.detach(&attachment.id).map_err(failed)?;
        }
    }
    networks.sweep().map_err(failed)?;
    // Left by whoever was killed when its record was gone and this was not.
    networks.end_deserted_realm().map_err(failed)?;
    let wanted = super::wanted(&store)?;
    let mut removed = Vec::new();
    let all = networks.list().map_err(failed)?;
    for network in &all {
        // Also of the networks that stay: what dead boxes left there goes.
        networks.users(network, &is_alive).map_err(failed)?;
    }
    let goes = |network: &&Definition| {
        !wanted.contains(&network.name) && filters.accepts(network.created, &network.labels)
    };
    let status = boxes::for_each(all.iter().filter(goes), |network| {
        match networks.remove(&network.name, &is_alive) {
            Ok(network) => {
                super::note(&invocation.globals, &network, Action::Destroy)?;
                removed.push(network.name);
            }
            Err(Error::Predefined { .. } | Error::InUse { .. } | Error::NoNetwork { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    })?;
    if !removed.is_empty() {
        write_stdout(&format!("Deleted Networks:\n{}\n", removed.join("\n")))?;
    }
    Ok(status)
}
