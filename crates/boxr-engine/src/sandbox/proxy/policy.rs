//! What the proxy lets through, and the record of what it does not.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use boxr_image::registry::Resolver;

use super::super::hosts::{HostRule, is_public};

/// So many hosts are remembered by name; a sandbox may ask for any number.
const MOST: usize = 100;
/// A name of a host has at most so many letters (RFC 1035).
const LONGEST: usize = 255;

/// Why a connection is not made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Nobody has allowed the host.
    NotListed,
    /// It is listed, but by a name that has only an address which is not of the internet.
    Private(IpAddr),
    /// It has no address.
    Unknown(String),
}

/// The list, and what was refused so far.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<HostRule>,
    resolver: Resolver,
    refused: Mutex<BTreeMap<(String, u16, Refusal), u64>>,
}

impl Policy {
    /// Lets through what `rules` say.
    pub fn new(rules: Vec<HostRule>) -> Self {
        Self { rules, resolver: Resolver::default(), refused: Mutex::default() }
    }

    /// The addresses at which `host` may be reached, at least one.
    ///
    /// # Errors
    /// Why not; it is remembered.
    pub fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
        self.decide(host, port, |host| self.resolver.look_up(host)).inspect_err(|refusal| {
            self.remember(host, port, refusal.clone());
        })
    }

    fn decide(
        &self,
        host: &str,
        port: u16,
        look_up: impl Fn(&str) -> Result<Vec<IpAddr>, String>,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        if host.len() > LONGEST {
            return Err(Refusal::NotListed);
        }
        let rules = || self.rules.iter().filter(|rule| rule.allows(host, port));
        if rules().next().is_none() {
            return Err(Refusal::NotListed);
        }
        let bare = host.trim_matches(['[', ']']).trim_end_matches('.');
        let found = look_up(bare).map_err(Refusal::Unknown)?;
        let is_literal = rules().any(HostRule::is_literal);
        let open = found.iter().filter(|address| is_literal || is_public(**address));
        let open: Vec<SocketAddr> = open.map(|address| SocketAddr::new(*address, port)).collect();
        match (open.is_empty(), found.first()) {
            (false, _) => Ok(open),
            (true, Some(address)) => Err(Refusal::Private(*address)),
            (true, None) => Err(Refusal::Unknown("it has no address".to_owned())),
        }
    }

    fn remember(&self, host: &str, port: u16, refusal: Refusal) {
        // Whoever panicked with it has left it whole.
        let mut refused = self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let printable = |letter: char| if letter.is_ascii_graphic() { letter } else { '?' };
        let name: String = host.trim_end_matches('.').chars().take(LONGEST).map(printable).collect();
        let key = (name.to_ascii_lowercase(), port, refusal);
        let key = match refused.len() < MOST || refused.contains_key(&key) {
            true => key,
            false => ("other hosts".to_owned(), 0, Refusal::NotListed),
        };
        *refused.entry(key).or_default() += 1;
    }

    /// What was refused, a line each, with the opening that would have allowed it.
    pub fn report(&self) -> Vec<String> {
        let refused = self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        refused.iter().map(|((host, port, refusal), count)| line(host, *port, refusal, *count)).collect()
    }
}

fn line(host: &str, port: u16, refusal: &Refusal, count: u64) -> String {
    let many = if count == 1 { "connection" } else { "connections" };
    let place = Place { host, port };
    match refusal {
        Refusal::NotListed if port == 0 => format!("{count} {many} to {host} refused"),
        Refusal::NotListed if format!("{place}").parse::<HostRule>().is_err() => {
            format!("{count} {many} to {place} refused: it is no host")
        }
        Refusal::NotListed => format!("{count} {many} to {place} refused: --allow-net {place}"),
        Refusal::Private(address) => {
            format!(
                "{count} {many} to {place} refused: it has the address {address}, which is not of the internet"
            )
        }
        Refusal::Unknown(why) => format!("{count} {many} to {place} failed: {why}"),
    }
}

/// As `--allow-net` takes it.
struct Place<'h> {
    host: &'h str,
    port: u16,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<std::net::Ipv6Addr>() {
            Ok(address) => write!(f, "[{address}]:{}", self.port),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str]) -> Policy {
        Policy::new(rules.iter().map(|rule| rule.parse().unwrap()).collect())
    }

    fn addresses(texts: &[&str]) -> Result<Vec<IpAddr>, String> {
        Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn a_listed_name_leads_to_the_internet_only() {
        let policy = policy(&["good.example", "*.wild.example:443", "10.0.0.5", "localhost"]);
        let decide = |host: &str, port, found: &[&str]| policy.decide(host, port, |_| addresses(found));
        assert_eq!(
            decide("good.example", 80, &["127.0.0.1", "93.184.216.34"]).unwrap(),
            ["93.184.216.34:80".parse().unwrap()]
        );
        for private in [
            "127.0.0.1",
            "169.254.169.254",
            "10.0.0.5",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert_eq!(
                decide("good.example", 80, &[private]),
                Err(Refusal::Private(private.parse().unwrap())),
                "{private}"
            );
        }
        assert_eq!(decide("bad.example", 80, &["93.184.216.34"]), Err(Refusal::NotListed));
        assert_eq!(decide("a.wild.example", 80, &["93.184.216.34"]), Err(Refusal::NotListed));
        assert!(decide("a.wild.example", 443, &["93.184.216.34"]).is_ok());
        assert!(
            decide("10.0.0.5", 80, &["10.0.0.5"]).is_ok() && decide("localhost", 80, &["127.0.0.1"]).is_ok()
        );
        assert_eq!(decide("93.184.216.34", 80, &["93.184.216.34"]), Err(Refusal::NotListed));
        assert_eq!(decide("2130706433", 80, &["127.0.0.1"]), Err(Refusal::NotListed));
        assert!(decide(&"a".repeat(300), 80, &[]).is_err());
    }

    #[test]
    fn refusals_are_counted_and_say_what_would_have_allowed_them() {
        let policy = policy(&[]);
        for host in ["registry.npmjs.org", "Registry.npmjs.org.", "::1", "a\nb"] {
            policy.addresses(host, 443).unwrap_err();
        }
        let mut lines = policy.report();
        lines.sort();
        assert_eq!(
            lines,
            [
                "1 connection to [::1]:443 refused: --allow-net [::1]:443",
                "1 connection to a?b:443 refused: it is no host",
                "2 connections to registry.npmjs.org:443 refused: --allow-net registry.npmjs.org:443",
            ]
        );
        (0..1000).for_each(|port| drop(policy.addresses("x", port + 1)));
        assert!(
            policy.report().len() <= MOST + 1
                && policy.report().iter().any(|line| line.contains("other hosts"))
        );
    }
}
