//! Signals by name or number (signal(7)).

use boxr_runtime::signal_names;

use crate::config::value::Invalid;

pub use signal_names::name as signal_name;

/// The number of a signal, as [`signal_names::number`] reads it.
pub fn signal(text: &str) -> Result<u8, Invalid> {
    signal_names::number(text).ok_or_else(|| match text.parse::<u64>() {
        Ok(_) => Invalid::new(text, "signals have the numbers 1 to 64"),
        Err(_) => Invalid::new(text, "no such signal"),
    })
}
