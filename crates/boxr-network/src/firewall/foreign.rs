//! Chains of others that see what is forwarded: read from the kernel, never changed.

use std::fmt;
use std::fs;

use boxr_sys::netlink::{Body, DUMP, Message, attributes};
use rustix::io::Errno;

use super::expression::{DATA_VALUE, LIST_ELEMENT};
use super::{Firewall, TABLE, docker, message, table};
use crate::error::Error;

/// `struct nfgenmsg`
const FIXED: usize = 4;
/// `NFTA_CHAIN_TABLE`, `NAME`, `HOOK`, `POLICY`; `NFTA_HOOK_HOOKNUM`, `PRIORITY`.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
/// `NFTA_RULE_TABLE`, `CHAIN`, `EXPRESSIONS`.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
/// `NF_INET_FORWARD`
const FORWARD: u32 = 2;

/// A base chain of somebody else's, on the way of what is forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// `ip`, `ip6`, `inet`, `bridge`.
    pub family: &'static str,
    pub table: String,
    pub chain: String,
    pub priority: i32,
    /// Whether what no rule decides on is dropped.
    pub drops: bool,
    /// How many rules of its table drop or refuse packets.
    pub dropping: usize,
    /// Whether docker's chain for others' rules is there.
    pub has_docker: bool,
    /// Whether boxr's rules are in that.
    pub is_passed: bool,
}

impl Foreign {
    /// Whether a packet might end there.
    pub(crate) fn may_drop(&self) -> bool {
        !self.is_passed && (self.drops || self.dropping > 0)
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, table, chain, priority, .. } = self;
        write!(f, "table {family} {table}, chain {chain} (hook forward, priority {priority})")?;
        match (self.drops, self.dropping) {
            (true, _) => write!(f, ": policy drop: what none of its rules accepts ends there"),
            (false, 1) => write!(f, ": one rule of its table drops packets"),
            (false, count) => write!(f, ": {count} rules of its table drop packets"),
        }
    }
}

/// Text of an attribute, without the zero byte.
fn text(attributes: &[(u16, &[u8])], wanted: u16) -> String {
    let value = attributes.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
    String::from_utf8_lossy(value.unwrap_or_default()).trim_end_matches('\0').to_owned()
}

fn number(attributes: &[(u16, &[u8])], wanted: u16) -> Option<u32> {
    let (_, value) = attributes.iter().find(|(kind, _)| *kind == wanted)?;
    (*value).try_into().ok().map(u32::from_be_bytes)
}

fn family(message: &Message) -> &'static str {
    match message.fixed(1) {
        Some([1]) => "inet",
        Some([2]) => "ip",
        Some([7]) => "bridge",
        Some([10]) => "ip6",
        _ => "other",
    }
}

impl Firewall {
    fn dump(&mut self, kind: u16) -> Result<Vec<Message>, Error> {
        match self.ask(kind, DUMP, &Body::new(&[0; FIXED])) {
            Ok(all) => Ok(all),
            Err(Errno::NOENT) => Ok(Vec::new()),
            Err(errno) => Err(Error::Firewall { what: "a list of rules".to_owned(), errno }),
        }
    }

    /// Base chains of others in the forward hook.
    pub(crate) fn foreign(&mut self) -> Result<Vec<Foreign>, Error> {
        let (chains, rules) = (self.dump(message::GET_CHAIN)?, self.dump(message::GET_RULE)?);
        let mut all = Vec::new();
        for chain in &chains {
            let attributes_of = chain.attributes(FIXED);
            let table = text(&attributes_of, CHAIN_TABLE);
            let Some((_, hook)) = attributes_of.iter().find(|(kind, _)| *kind == CHAIN_HOOK) else {
                continue;
            };
            let hook = attributes(hook);
            let family = family(chain);
            if (table == TABLE && family == "inet")
                || family == "other"
                || number(&hook, HOOK_NUMBER) != Some(FORWARD)
            {
                continue;
            }
            let same = |rule: &&Message| {
                rule.fixed(1) == chain.fixed(1) && text(&rule.attributes(FIXED), RULE_TABLE) == table
            };
            let has_docker = chains.iter().any(|other| {
                let of = other.attributes(FIXED);
                text(&of, CHAIN_TABLE) == table && text(&of, CHAIN_NAME) == docker::CHAIN
            });
            all.push(Foreign {
                family,
                chain: text(&attributes_of, CHAIN_NAME),
                priority: number(&hook, HOOK_PRIORITY).unwrap_or(0).cast_signed(),
                drops: number(&attributes_of, CHAIN_POLICY) == Some(0),
                dropping: rules.iter().filter(same).filter(|rule| drops(rule)).count(),
                has_docker,
                is_passed: rules.iter().filter(same).any(docker::is_boxrs),
                table,
            });
        }
        all.sort_by_key(|foreign| foreign.priority);
        Ok(all)
    }

    /// Each chain of boxr's: its name, the rules it should have, and those that are there.
    pub(crate) fn rules(&mut self) -> Result<Vec<(&'static str, usize, usize)>, Error> {
        let all = self.dump(message::GET_RULE)?;
        let count = |chain: &str| {
            let is_in = |rule: &&Message| {
                let of = rule.attributes(FIXED);
                family(rule) == "inet" && text(&of, RULE_TABLE) == TABLE && text(&of, RULE_CHAIN) == chain
            };
            all.iter().filter(is_in).count()
        };
        Ok(table::rules_of_chains()
            .into_iter()
            .map(|(chain, wanted)| (chain, wanted, count(chain)))
            .collect())
    }

    /// Whether nothing of the fixed part is missing.
    pub(crate) fn is_whole(&mut self) -> Result<bool, Error> {
        Ok(self.rules()?.iter().all(|(_, wanted, found)| wanted == found))
    }
}

/// Whether a rule drops or refuses what it applies to: an immediate verdict of drop, or `reject`, or one of
/// xtables' targets of these names.
fn drops(rule: &Message) -> bool {
    let all = rule.attributes(FIXED);
    let Some((_, list)) = all.iter().find(|(kind, _)| *kind == RULE_EXPRESSIONS) else { return false };
    attributes(list).iter().filter(|(kind, _)| *kind == LIST_ELEMENT).any(|(_, expression)| {
        let expression = attributes(expression);
        let data = expression.iter().find(|(kind, _)| *kind == 2).map(|(_, data)| attributes(data));
        match text(&expression, 1).as_str() {
            "reject" => true,
            "immediate" => data.is_some_and(|data| verdict(&data) == Some(0)),
            "target" => data.is_some_and(|data| matches!(text(&data, 1).as_str(), "REJECT" | "DROP")),
            _ => false,
        }
    })
}

/// `NFTA_IMMEDIATE_DATA`, `NFTA_DATA_VERDICT`, `NFTA_VERDICT_CODE`
fn verdict(data: &[(u16, &[u8])]) -> Option<u32> {
    let inner = attributes(data.iter().find(|(kind, _)| *kind == 2)?.1);
    let verdict = attributes(inner.iter().find(|(kind, _)| *kind == DATA_VALUE + 1)?.1);
    number(&verdict, 1)
}

/// Tables of the old iptables that are loaded, which nf_tables does not show.
pub(crate) fn legacy_tables() -> Vec<String> {
    let names = fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    names.lines().filter(|name| matches!(*name, "filter" | "mangle" | "raw")).map(str::to_owned).collect()
}
