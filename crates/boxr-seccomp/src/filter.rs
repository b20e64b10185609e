//! What a profile becomes.

/// One `struct sock_filter` of `<linux/filter.h>`, in the machine's byte order.
pub type Instruction = [u8; 8];

/// A program, and how it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What seccomp(2) takes.
    pub program: Vec<Instruction>,
    /// With which flags.
    pub flags: FilterFlags,
    /// Whether calls may be put to a listener, which has to be asked for.
    pub notifies: bool,
}

/// `SECCOMP_FILTER_FLAG_*` of seccomp(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterFlags(u32);

impl FilterFlags {
    /// None.
    pub const NONE: Self = Self(0);
    /// All threads of the process.
    pub const TSYNC: Self = Self(1);
    /// Log all actions but "allow".
    pub const LOG: Self = Self(1 << 1);
    /// Leave speculative store bypass as it is.
    pub const SPEC_ALLOW: Self = Self(1 << 2);
    /// A call that a listener works on can only be interrupted by a fatal signal.
    pub const WAIT_KILLABLE_RECV: Self = Self(1 << 5);

    /// Both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This one less `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The kernel's bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}
