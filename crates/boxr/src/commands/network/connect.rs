//! `boxr network connect`, `disconnect` and `reload`

use boxr_network::NetworkUse;

use super::failed;
use crate::boxes;
use crate::cli::Invocation;
use crate::report::Report;

/// Carries out `boxr network connect`; prints nothing, as docker.
///
/// # Errors
/// No such network or box; an address that is taken.
pub fn connect(invocation: Invocation) -> Result<u8, Report> {
    let (network, store, dir) = what(&invocation)?;
    let address = |flag: &'static str, ipv6: bool| {
        let parse = |text: &str| {
            let parsed = text.parse().ok().filter(|address: &std::net::IpAddr| address.is_ipv6() == ipv6);
            parsed.ok_or_else(|| invocation.bad_value(flag, text, "an address of this kind"))
        };
        invocation.value(flag).map(parse).transpose()
    };
    let wanted = NetworkUse {
        name: network,
        ip: address("ip", false)?,
        ip6: address("ip6", true)?,
        mac: invocation
            .value("mac-address")
            .map(str::parse)
            .transpose()
            .map_err(|error: boxr_network::Error| failed(error))?,
        aliases: invocation.values("alias").map(str::to_owned).collect(),
        ..NetworkUse::default()
    };
    boxr_engine::network::connect(&store, &dir, wanted).map_err(failed)?;
    Ok(0)
}

/// Carries out `boxr network disconnect`; prints nothing, as docker.
///
/// # Errors
/// No such network or box, or the one is not on the other.
pub fn disconnect(invocation: Invocation) -> Result<u8, Report> {
    let (network, store, dir) = what(&invocation)?;
    boxr_engine::network::disconnect(&store, &dir, &network).map_err(failed)?;
    Ok(0)
}

/// Carries out `boxr network reload`: of all, whoever is named.
///
/// # Errors
/// A box that there is not; the kernel's refusal.
pub fn reload(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    for name in invocation.positionals() {
        boxes::find(&store, name)?;
    }
    boxr_engine::network::reload(&store).map_err(failed)?;
    Ok(0)
}

fn what(
    invocation: &Invocation,
) -> Result<(String, boxr_engine::store::Store, boxr_engine::store::BoxDir), Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let [network, container] = invocation.positionals() else {
        return Err(Report::new("it takes a network and a box"));
    };
    let dir = boxes::find(&store, container)?;
    boxr_engine::network::look_after(&store).map_err(failed)?;
    let network = super::open(&invocation.globals)?.find(network).map_err(failed)?;
    Ok((network.name, store, dir))
}
