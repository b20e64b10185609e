//! The expressions that boxr's rules are made of (`<linux/netfilter/nf_tables.h>`).
//!
//! A rule is a list of them: each loads something into a register, compares one, or decides; the first that does
//! not hold ends the rule.

use boxr_sys::netlink::Body;

/// `NFTA_LIST_ELEM`, `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
pub(super) const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
/// `NFTA_DATA_VALUE`, `NFTA_DATA_VERDICT`, `NFTA_VERDICT_CODE`.
pub(super) const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;

/// One of the sixteen registers of four bytes; what is longer takes those that follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Register(pub u32);

impl Register {
    /// `NFT_REG32_00`
    const FIRST: u32 = 8;

    fn number(self) -> u32 {
        Self::FIRST + self.0
    }
}

/// What a rule decides.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum Verdict {
    Drop = 0,
    Accept = 1,
    /// `NFT_RETURN`, -5.
    Return = 0xffff_fffb,
}

/// What of a packet's way is loaded (`NFT_META_…`).
#[derive(Clone, Copy, Debug)]
pub(super) enum Meta {
    InName = 6,
    OutName = 7,
    /// 2 is IPv4, 10 is IPv6.
    Family = 15,
    Protocol = 16,
}

/// Which header (`NFT_PAYLOAD_…_HEADER`).
#[derive(Clone, Copy, Debug)]
pub(super) enum Header {
    Network = 1,
    Transport = 2,
}

/// Whether a set must hold a register's value, or must not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member {
    Is = 0,
    IsNot = 1,
}

/// Expressions, in their order.
#[derive(Debug, Default)]
pub(super) struct Rule(Vec<(&'static str, Body)>);

impl Rule {
    fn add(mut self, name: &'static str, body: Body) -> Self {
        self.0.push((name, body));
        self
    }

    /// As the list of a rule.
    pub(super) fn encode(&self, list: Body) -> Body {
        self.0.iter().fold(list, |list, (name, body)| {
            list.with_nested(LIST_ELEMENT, |element| {
                element
                    .with_text(EXPRESSION_NAME, name)
                    .with_nested(EXPRESSION_DATA, |data| data.with_body(body))
            })
        })
    }

    pub(super) fn meta(self, what: Meta, to: Register) -> Self {
        self.add("meta", Body::default().with_be32(1, to.number()).with_be32(2, what as u32))
    }

    /// Only packets of this family of addresses.
    pub(super) fn family(self, family: u8) -> Self {
        self.meta(Meta::Family, Register(0)).equals(Register(0), &[family])
    }

    pub(super) fn payload(self, header: Header, offset: u32, length: u32, to: Register) -> Self {
        let body = Body::default()
            .with_be32(1, to.number())
            .with_be32(2, header as u32)
            .with_be32(3, offset)
            .with_be32(4, length);
        self.add("payload", body)
    }

    fn compare(self, register: Register, operator: u32, value: &[u8]) -> Self {
        let body = Body::default()
            .with_be32(1, register.number())
            .with_be32(2, operator)
            .with_nested(3, |data| data.with(DATA_VALUE, value));
        self.add("cmp", body)
    }

    pub(super) fn equals(self, register: Register, value: &[u8]) -> Self {
        self.compare(register, 0, value)
    }

    pub(super) fn differs(self, register: Register, value: &[u8]) -> Self {
        self.compare(register, 1, value)
    }

    /// The bits of `mask` in four bytes; some of them must be set.
    pub(super) fn any_bit(self, register: Register, mask: u32) -> Self {
        let value = |bytes: [u8; 4]| move |data: Body| data.with(DATA_VALUE, &bytes);
        let body = Body::default()
            .with_be32(1, register.number())
            .with_be32(2, register.number())
            .with_be32(3, 4)
            .with_nested(4, value(mask.to_ne_bytes()))
            .with_nested(5, value([0; 4]));
        self.add("bitwise", body).compare(register, 1, &[0; 4])
    }

    /// Connections in one of these states (`NF_CT_STATE_BIT`).
    pub(super) fn connection_state(self, mask: u32) -> Self {
        self.add("ct", Body::default().with_be32(1, Register(0).number()).with_be32(2, 0))
            .any_bit(Register(0), mask)
    }

    /// Connections whose destination was changed (`IPS_DST_NAT`).
    pub(super) fn was_forwarded(self) -> Self {
        self.add("ct", Body::default().with_be32(1, Register(0).number()).with_be32(2, 2))
            .any_bit(Register(0), 0x20)
    }

    /// Only packets to an address of the host's own.
    pub(super) fn for_host(self) -> Self {
        // NFT_FIB_RESULT_ADDRTYPE of the destination (NFTA_FIB_F_DADDR); RTN_LOCAL.
        self.add("fib", Body::default().with_be32(1, Register(0).number()).with_be32(2, 3).with_be32(3, 2))
            .equals(Register(0), &2u32.to_ne_bytes())
    }

    pub(super) fn member(self, set: &str, register: Register, how: Member) -> Self {
        self.add(
            "lookup",
            Body::default().with_text(1, set).with_be32(2, register.number()).with_be32(5, how as u32),
        )
    }

    /// Looks up what a map has for the registers from `key` on; what it has goes to those from `to` on.
    pub(super) fn map(self, map: &str, key: Register, to: Register) -> Self {
        let body = Body::default().with_text(1, map).with_be32(2, key.number()).with_be32(3, to.number());
        self.add("lookup", body)
    }

    /// Changes the destination to what the registers say.
    pub(super) fn destination(self, family: u8, address: Register, port: Register) -> Self {
        let body = Body::default()
            .with_be32(1, 1)
            .with_be32(2, u32::from(family))
            .with_be32(3, address.number())
            .with_be32(5, port.number());
        self.add("nat", body)
    }

    /// Changes the source to the address of the device that the packet leaves by.
    pub(super) fn masquerade(self) -> Self {
        self.add("masq", Body::default())
    }

    pub(super) fn verdict(self, verdict: Verdict) -> Self {
        let body = Body::default().with_be32(1, 0).with_nested(2, |data| {
            data.with_nested(DATA_VERDICT, |inner| inner.with_be32(VERDICT_CODE, verdict as u32))
        });
        self.add("immediate", body)
    }
}
