//! Hosts and their architectures, as this test knows them by itself.

use oci_spec::runtime::Arch::{self, *};

/// Order of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

/// A machine, and what else its kernel runs.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub arch: Arch,
    pub others: &'static [Arch],
    pub order: Order,
}

/// All that libseccomp 2.5 knows.
pub const HOSTS: &[Host] = &[
    Host { arch: ScmpArchX86_64, others: &[ScmpArchX86, ScmpArchX32], order: Order::Little },
    Host { arch: ScmpArchAarch64, others: &[ScmpArchArm], order: Order::Little },
    Host { arch: ScmpArchX86, others: &[], order: Order::Little },
    Host { arch: ScmpArchArm, others: &[], order: Order::Little },
    Host { arch: ScmpArchRiscv64, others: &[], order: Order::Little },
    Host { arch: ScmpArchPpc64le, others: &[], order: Order::Little },
    Host { arch: ScmpArchPpc64, others: &[ScmpArchPpc], order: Order::Big },
    Host { arch: ScmpArchMipsel64, others: &[ScmpArchMipsel, ScmpArchMipsel64n32], order: Order::Little },
    Host { arch: ScmpArchMips64, others: &[ScmpArchMips, ScmpArchMips64n32], order: Order::Big },
    Host { arch: ScmpArchS390x, others: &[ScmpArchS390], order: Order::Big },
    Host { arch: ScmpArchParisc64, others: &[ScmpArchParisc], order: Order::Big },
];

/// The two that most people have.
pub fn common_hosts() -> &'static [Host] {
    &HOSTS[..2]
}

/// `AUDIT_ARCH_*`; x32 has that of x86-64.
pub fn audit(arch: Arch) -> u32 {
    if arch == ScmpArchX32 { ScmpArchX86_64 as u32 } else { arch as u32 }
}

pub fn is_narrow(arch: Arch) -> bool {
    matches!(
        arch,
        ScmpArchX86
            | ScmpArchX32
            | ScmpArchArm
            | ScmpArchMips
            | ScmpArchMipsel
            | ScmpArchMips64n32
            | ScmpArchMipsel64n32
            | ScmpArchPpc
            | ScmpArchS390
            | ScmpArchParisc
    )
}

/// Every number that is one of a system call on `arch`, some around, and the ends of the range.
pub fn numbers(arch: Arch) -> impl Iterator<Item = u32> {
    let base = match arch {
        ScmpArchX32 => 0x4000_0000,
        ScmpArchMips | ScmpArchMipsel => 4000,
        ScmpArchMips64 | ScmpArchMipsel64 => 5000,
        ScmpArchMips64n32 | ScmpArchMipsel64n32 => 6000,
        _ => 0,
    };
    let private = if arch == ScmpArchArm { 0xe_fffe..0xf_0010 } else { 0..0 };
    let ends = [0x3fff_ffff, 0x4000_0000, 0x4000_0001, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX];
    (base..base + 700).chain(private).chain(ends).chain([base.saturating_sub(1)])
}
