//! A way through docker's rules. Where docker has turned forwarding on, its chain FORWARD drops what it does not know,
//! and an accept in a table of boxr's does not count there. It keeps the chain DOCKER-USER for others' rules, so boxr's
//! are put there, in words that iptables(8) understands:
//!
//! ```text
//! -A DOCKER-USER -o boxr+ -j ACCEPT               what comes in boxr's own table decides
//! -A DOCKER-USER -i boxr+ -o docker+ -j RETURN    to docker's containers as docker will
//! -A DOCKER-USER -i boxr+ -o br-+ -j RETURN
//! -A DOCKER-USER -i boxr+ -j ACCEPT
//! ```

use boxr_sys::netlink::{Body, CREATE, DUMP, Message, Refused, Request};
use rustix::io::Errno;

use super::expression::{Meta, Register, Rule, Verdict};
use super::{Firewall, message};
use crate::error::Error;

pub(super) const TABLE: &str = "filter";
/// docker's chain for others' rules.
pub(super) const CHAIN: &str = "DOCKER-USER";
/// `NFTA_RULE_USERDATA`, with `NFTNL_UDATA_RULE_COMMENT`: what nft(8) shows as a comment.
const USER_DATA: u16 = 7;
const COMMENT: &[u8] = b"\0\x05boxr\0";
/// `struct nfgenmsg` of IPv4 and IPv6.
const FAMILIES: [[u8; 4]; 2] = [[2, 0, 0, 0], [10, 0, 0, 0]];
const FIXED: usize = 4;

impl Firewall {
    /// Makes the rules where docker is and they are missing. Where docker is not that is one question.
    pub(crate) fn pass_docker(&mut self) -> Result<(), Error> {
        let failed = |errno| Error::Firewall { what: format!("boxr's rules in {CHAIN}"), errno };
        for family in FAMILIES {
            let chain = Body::new(&family).with_text(1, TABLE).with_text(3, CHAIN);
            match self.ask(message::GET_CHAIN, 0, &chain) {
                Ok(_) => {}
                // docker has it for IPv4, whatever else it has. What nf_tables is missing for is told of later.
                Err(Errno::NOENT | Errno::OPNOTSUPP) => return Ok(()),
                Err(errno) => return Err(failed(errno)),
            }
            let rules = Body::new(&family).with_text(1, TABLE).with_text(2, CHAIN);
            let all = self.ask(message::GET_RULE, DUMP, &rules).map_err(failed)?;
            if all.iter().any(is_boxrs) {
                continue;
            }
            match self.0.transact(&requests(family)) {
                // docker has ended meanwhile.
                Ok(()) | Err(Refused { errno: Errno::NOENT, .. }) => {}
                Err(Refused { errno, .. }) => return Err(failed(errno)),
            }
        }
        Ok(())
    }
}

/// Whether boxr has made it.
pub(super) fn is_boxrs(rule: &Message) -> bool {
    rule.attributes(FIXED).iter().any(|(kind, value)| *kind == USER_DATA && *value == COMMENT)
}

/// Each goes before those that are there, so the last comes first.
fn requests(family: [u8; 4]) -> Vec<Request> {
    let of = |rule: Rule, what, start: &str| {
        // Fewer bytes than a name has: those that begin so.
        rule.meta(what, Register(0)).equals(Register(0), start.as_bytes())
    };
    let from_boxr = || of(Rule::default(), Meta::InName, "boxr");
    let rules = [
        from_boxr().verdict(Verdict::Accept),
        of(from_boxr(), Meta::OutName, "br-").verdict(Verdict::Return),
        of(from_boxr(), Meta::OutName, "docker").verdict(Verdict::Return),
        of(Rule::default(), Meta::OutName, "boxr").verdict(Verdict::Accept),
    ];
    let request = |rule: Rule| Request {
        kind: message::NEW_RULE,
        flags: CREATE,
        body: Body::new(&family)
            .with_text(1, TABLE)
            .with_text(2, CHAIN)
            .with_nested(4, |list| rule.encode(list))
            .with(USER_DATA, COMMENT),
    };
    rules.into_iter().map(request).collect()
}
