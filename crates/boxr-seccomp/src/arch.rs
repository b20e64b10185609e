//! What is to be known of each architecture of the specification.

use oci_spec::runtime::Arch;

use crate::syscalls::{self, ROWS, Row};

/// One calling convention: an architecture as profiles know them.
#[derive(Debug)]
pub(crate) struct Abi {
    pub arch: Arch,
    column: &'static [u16; ROWS],
    /// Added to each number of the table.
    pub base: u32,
    pub width: Width,
    pub order: Order,
}

/// How much of an argument counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Low32,
    All64,
}

/// The order of bytes in `struct seccomp_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

/// The bit in the number of an x32 call (`__X32_SYSCALL_BIT`).
pub(crate) const X32_BIT: u32 = 0x4000_0000;
/// Where ARM's private calls start.
pub(crate) const ARM_PRIVATE: u32 = 0xf_0000;

macro_rules! abi {
    ($arch:ident, $column:ident, $base:literal, $width:ident, $order:ident) => {
        Abi {
            arch: Arch::$arch,
            column: &syscalls::$column,
            base: $base,
            width: Width::$width,
            order: Order::$order,
        }
    };
}

static ABIS: [Abi; 23] = [
    abi!(ScmpArchX86, X86, 0, Low32, Little),
    abi!(ScmpArchX86_64, X86_64, 0, All64, Little),
    abi!(ScmpArchX32, X32, 0x4000_0000, Low32, Little),
    abi!(ScmpArchArm, ARM, 0, Low32, Little),
    abi!(ScmpArchAarch64, AARCH64, 0, All64, Little),
    abi!(ScmpArchMips, MIPS, 4000, Low32, Big),
    abi!(ScmpArchMips64, MIPS64, 5000, All64, Big),
    abi!(ScmpArchMips64n32, MIPS64N32, 6000, Low32, Big),
    abi!(ScmpArchMipsel, MIPS, 4000, Low32, Little),
    abi!(ScmpArchMipsel64, MIPS64, 5000, All64, Little),
    abi!(ScmpArchMipsel64n32, MIPS64N32, 6000, Low32, Little),
    abi!(ScmpArchPpc, PPC, 0, Low32, Big),
    abi!(ScmpArchPpc64, PPC64, 0, All64, Big),
    abi!(ScmpArchPpc64le, PPC64, 0, All64, Little),
    abi!(ScmpArchS390, S390, 0, Low32, Big),
    abi!(ScmpArchS390x, S390X, 0, All64, Big),
    abi!(ScmpArchParisc, PARISC, 0, Low32, Big),
    abi!(ScmpArchParisc64, PARISC64, 0, All64, Big),
    abi!(ScmpArchRiscv64, RISCV64, 0, All64, Little),
    abi!(ScmpArchLoongarch64, LOONGARCH64, 0, All64, Little),
    abi!(ScmpArchM68k, M68K, 0, Low32, Big),
    abi!(ScmpArchSh, SH, 0, Low32, Little),
    abi!(ScmpArchSheb, SH, 0, Low32, Big),
];

/// The architecture that this program was built for.
pub fn native() -> Option<Arch> {
    let little = cfg!(target_endian = "little");
    let wide = cfg!(target_pointer_width = "64");
    Some(match (std::env::consts::ARCH, little, wide) {
        ("x86_64", _, true) => Arch::ScmpArchX86_64,
        ("x86_64", _, false) => Arch::ScmpArchX32,
        ("x86", ..) => Arch::ScmpArchX86,
        ("aarch64", true, true) => Arch::ScmpArchAarch64,
        ("arm", true, _) => Arch::ScmpArchArm,
        ("riscv64", ..) => Arch::ScmpArchRiscv64,
        ("loongarch64", ..) => Arch::ScmpArchLoongarch64,
        ("powerpc64", true, _) => Arch::ScmpArchPpc64le,
        ("powerpc64", false, _) => Arch::ScmpArchPpc64,
        ("powerpc", ..) => Arch::ScmpArchPpc,
        ("s390x", ..) => Arch::ScmpArchS390x,
        ("mips", true, _) => Arch::ScmpArchMipsel,
        ("mips", false, _) => Arch::ScmpArchMips,
        ("mips64", true, true) => Arch::ScmpArchMipsel64,
        ("mips64", false, true) => Arch::ScmpArchMips64,
        ("m68k", ..) => Arch::ScmpArchM68k,
        _ => return None,
    })
}

/// The facts of `arch`; `None` for "native" on a machine that has no table.
pub(crate) fn abi(arch: Arch) -> Option<&'static Abi> {
    let arch = if arch == Arch::ScmpArchNative { native()? } else { arch };
    ABIS.iter().find(|abi| abi.arch == arch)
}

impl Abi {
    /// The number of a call.
    pub fn number(&self, row: Row) -> Option<u32> {
        syscalls::number(self.column, row).map(|number| self.base + number)
    }

    /// What the kernel reports as `arch` (`AUDIT_ARCH_*` of `<linux/audit.h>`).
    pub fn audit(&self) -> u32 {
        match self.arch {
            Arch::ScmpArchX32 => Arch::ScmpArchX86_64 as u32,
            arch => arch as u32,
        }
    }
}
