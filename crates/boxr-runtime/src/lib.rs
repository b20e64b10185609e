//! boxr-runtime
