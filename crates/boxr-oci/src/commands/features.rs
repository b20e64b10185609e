//! `features`: what this runtime can do, in the specification's own structure (features.md).

/// The newest version of the runtime specification that is understood.
pub use boxr_runtime::plan::IMPLEMENTED_VERSION as SPEC_VERSION;
