//! `boxr network create`

use std::collections::BTreeMap;
use std::str::FromStr;

use boxr_engine::events::Action;
use boxr_network::{CreateRequest, Driver, Error};

use super::failed;
use crate::cli::Invocation;
use crate::report::{Report, write_stdout};

/// Carries out `boxr network create`: prints the id.
///
/// # Errors
/// A name or a subnet that is taken, or values that do not go together.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    check_meaningless(&invocation)?;
    let request = CreateRequest {
        name: invocation.positionals().first().cloned().unwrap_or_default(),
        driver: invocation.value("driver").map(Driver::parse).transpose().map_err(failed)?,
        subnets: values(&invocation, "subnet")?,
        gateways: addresses(&invocation, "gateway")?,
        ranges: values(&invocation, "ip-range")?,
        internal: invocation.switch("internal"),
        ipv6: invocation.switch("ipv6"),
        options: pairs(&invocation, "opt"),
        labels: pairs(&invocation, "label"),
    };
    let networks = super::open(&invocation.globals)?;
    let network = match networks.create(&request) {
        // One that is there prints its id, as with podman.
        Err(Error::Exists { name }) if invocation.switch("ignore") => {
            write_stdout(&format!("{}\n", networks.find(&name).map_err(failed)?.id))?;
            return Ok(0);
        }
        made => made.map_err(failed)?,
    };
    super::note(&invocation.globals, &network, Action::Create)?;
    write_stdout(&format!("{}\n", network.id))?;
    Ok(0)
}

/// docker's and podman's words for what boxr does anyway.
fn check_meaningless(invocation: &Invocation) -> Result<(), Report> {
    let known: [(&'static str, &[&str]); 2] =
        [("scope", &["local"]), ("ipam-driver", &["default", "host-local"])];
    for (flag, words) in known {
        if let Some(said) = invocation.value(flag).filter(|said| !words.contains(said)) {
            return Err(invocation.bad_value(flag, said, &words.join(" or ")));
        }
    }
    Ok(())
}

fn values<T: FromStr<Err = Error>>(invocation: &Invocation, flag: &str) -> Result<Vec<T>, Report> {
    invocation.values(flag).map(|text| text.parse().map_err(failed)).collect()
}

fn addresses(invocation: &Invocation, flag: &'static str) -> Result<Vec<std::net::IpAddr>, Report> {
    let parse = |text: &str| text.parse().map_err(|_| invocation.bad_value(flag, text, "an IP address"));
    invocation.values(flag).map(parse).collect()
}

fn pairs(invocation: &Invocation, flag: &str) -> BTreeMap<String, String> {
    let pair = |text: &str| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    invocation.values(flag).map(pair).collect()
}
