//! Ports of a box that come and go: at once where it runs, and at every start.

use std::os::fd::AsFd;

use boxr_network::{PortSpec, Published, RunningBox};

use super::{change, networks, open_namespace, running};
use crate::monitor;
use crate::outcome::EngineError;
use crate::store::{BoxDir, Store};

/// What becomes of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChange {
    /// They are published.
    Add,
    /// They are not, any more.
    Remove,
}

/// Changes the ports of a box. What a running one has published anew or no longer is returned.
///
/// # Errors
/// A port that is taken, or is not published; nothing is changed.
pub fn change_ports(
    store: &Store,
    dir: &BoxDir,
    how: PortChange,
    specs: &[PortSpec],
) -> Result<Vec<Published>, EngineError> {
    let networks = networks(store.paths());
    let mut changed = Vec::new();
    change(store, dir, |lock, options| {
        let kept = &options.network.publish;
        let kept: Vec<PortSpec> = match how {
            PortChange::Add => [kept.as_slice(), specs].concat(),
            PortChange::Remove => kept.iter().flat_map(|spec| spec.without(specs)).collect(),
        };
        let state = lock.read_state()?;
        match running(&state) {
            Some(process) => {
                let namespace = open_namespace(process.pid)?;
                let id = dir.id();
                let container =
                    RunningBox { id: id.as_str(), pid: process.pid, namespace: namespace.as_fd() };
                let is_alive = |id: &str| store.is_living(id);
                changed = match how {
                    PortChange::Add => networks.publish_more(container, specs, &is_alive)?,
                    PortChange::Remove => networks.publish_less(container, specs)?,
                };
            }
            None if how == PortChange::Remove && kept == options.network.publish => {
                let why = format!("box {} publishes no such port", state.name);
                let text = specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(boxr_network::Error::Invalid { what: "port", value: text, why }.into());
            }
            None => {}
        }
        options.network.publish = kept;
        if options.network.networks.is_empty() && !options.network.publish.is_empty() {
            options.network.networks.push(boxr_network::NetworkUse {
                name: boxr_network::DEFAULT.to_owned(),
                ..Default::default()
            });
        }
        Ok(())
    })?;
    let state = dir.read_state()?;
    if running(&state).is_some() && state.monitored {
        monitor::hold_ports_anew(dir, &state)?;
    }
    Ok(changed)
}
