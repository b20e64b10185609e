//! `boxr port`

use boxr_engine::network::PortChange;
use boxr_engine::store::StoreError;
use boxr_network::{Attachment, PortSpec, Published};

use crate::boxes;
use crate::cli::Invocation;
use crate::report::{Report, write_stdout};

/// Carries out `boxr port`: docker's lines.
///
/// # Errors
/// No such box; a port that is not published.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    match invocation.positionals() {
        [] => all(&invocation),
        // A box may be called so: its port would be one word.
        [verb, _, _, ..] if verb == "add" => change(&invocation, PortChange::Add),
        [verb, _, _, ..] if verb == "rm" => change(&invocation, PortChange::Remove),
        [_, _, _, ..] => Err(Report::new("it takes a box and one of its ports; or add or rm before them")
            .detail("try: boxr port add CONTAINER 8080:80")),
        _ => show(&invocation),
    }
}

fn change(invocation: &Invocation, how: PortChange) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let [_, name, specs @ ..] = invocation.positionals() else { return show(invocation) };
    let dir = boxes::find(&store, name)?;
    let failed = |error: Report| error.status(1);
    let parse = |text: &String| text.parse().map_err(|error: boxr_network::Error| failed(error.into()));
    let specs: Vec<PortSpec> = specs.iter().map(parse).collect::<Result<_, _>>()?;
    let changed = boxr_engine::network::change_ports(&store, &dir, how, &specs)
        .map_err(|error| failed(error.into()))?;
    if how == PortChange::Add {
        let networks = boxr_engine::network::networks(store.paths());
        let attachment = networks.attachment(dir.id().as_str()).map_err(|error| failed(error.into()))?;
        let mut text = String::new();
        for port in &changed {
            for address in addresses(attachment.as_ref(), port) {
                text.push_str(&format!("{}/{} -> {address}\n", port.container, port.protocol.name()));
            }
        }
        write_stdout(&text)?;
    }
    Ok(0)
}

/// podman's lines: of every box that has ports, with its id before them.
fn all(invocation: &Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let failed = |error: boxr_network::Error| Report::from(error).status(1);
    boxr_engine::network::look_after(&store).map_err(failed)?;
    let networks = boxr_engine::network::networks(store.paths());
    let boxes = store.list()?.into_iter().map(|entry| entry.id.as_str().to_owned());
    // A pod has the ports of its members.
    let pods = store.pods()?.into_iter().map(|(dir, ..)| dir.id().as_str().to_owned());
    for id in boxes.chain(pods) {
        let attachment = networks.attachment(&id).map_err(failed)?;
        let short = id.get(..12).unwrap_or(&id);
        write_stdout(&lines(attachment.as_ref(), &format!("{short}\t")))?;
    }
    Ok(0)
}

fn lines(attachment: Option<&Attachment>, before: &str) -> String {
    let mut text = String::new();
    for port in attachment.iter().flat_map(|attachment| &attachment.published) {
        for address in addresses(attachment, port) {
            text.push_str(&format!("{before}{}/{} -> {address}\n", port.container, port.protocol.name()));
        }
    }
    text
}

fn show(invocation: &Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let name = invocation.positionals().first().map_or("", String::as_str);
    // A member's ports are its pod's.
    let id = match (store.resolve(name), store.resolve_pod(name)) {
        (Err(StoreError::IsPod { .. }), Ok(pod)) => pod.id().to_string(),
        (found, _) => {
            let dir = found.map_err(|error| Report::from(error).status(1))?;
            let state = dir.read_state().map_err(|error| Report::from(error).status(1))?;
            state.pod.filter(|_| !state.networked).unwrap_or(state.id)
        }
    };
    let failed = |error: boxr_network::Error| Report::from(error).status(1);
    boxr_engine::network::look_after(&store).map_err(failed)?;
    let networks = boxr_engine::network::networks(store.paths());
    let attachment = networks.attachment(&id).map_err(failed)?;
    let Some(word) = invocation.positionals().get(1) else {
        write_stdout(&lines(attachment.as_ref(), ""))?;
        return Ok(0);
    };
    let wanted: PortSpec = word.parse().map_err(failed)?;
    let meant =
        |port: &&Published| port.container == wanted.container.first && port.protocol == wanted.protocol;
    let found: Vec<String> = attachment
        .iter()
        .flat_map(|attachment| &attachment.published)
        .filter(meant)
        .flat_map(|port| addresses(attachment.as_ref(), port))
        .collect();
    if found.is_empty() {
        return Err(Report::new(format!("no public port '{word}' published for {name}")).status(1));
    }
    write_stdout(&format!("{}\n", found.join("\n")))?;
    Ok(0)
}

/// The host's side of a port.
pub fn addresses(attachment: Option<&Attachment>, port: &Published) -> Vec<String> {
    let has_ipv6 = attachment.is_some_and(|attachment| {
        attachment.endpoints.iter().any(|endpoint| endpoint.address(true).is_some())
    });
    match port.ip {
        Some(ip) => vec![std::net::SocketAddr::new(ip, port.host).to_string()],
        None if has_ipv6 => vec![format!("0.0.0.0:{}", port.host), format!("[::]:{}", port.host)],
        None => vec![format!("0.0.0.0:{}", port.host)],
    }
}
