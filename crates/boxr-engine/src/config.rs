//! From what was said to what a box is: flags and configuration files into [`BoxOptions`].
//!
//! A [`Setting`] reads one value, behind a flag and in a file alike, into a [`RawRun`], in which
//! everything is optional. [`resolve`] puts file and flags together, applies the defaults and
//! gives a [`Resolved`] box. Precedence: flag, file, default.
//!
//! [`BoxOptions`]: crate::options::BoxOptions

mod environment;
mod error;
mod file;
pub mod grammar;
mod identity;
pub mod limits;
mod networks;
pub(crate) mod overlay;
mod pod;
mod raw;
mod resolve;
mod settings;
mod systemd;
mod text_file;
mod value;

pub use environment::{CLEAN_PATH, Variable, apply as apply_environment, said as said_environment};
pub use error::{ConfigError, Origin};
pub use file::{Format, parse, read};
pub use grammar::{Id, UserSpec};
pub use identity::user;
pub use pod::{PodFlags, resolve_pod};
pub use raw::{RawRun, SaidPath, Stream};
pub use resolve::{Attach, Caller, CallerIds, Purpose, Resolved, resolve};
pub use settings::{Setting, Stock, settings};
pub(crate) use value::clean as clean_path;
pub use value::{Base, Invalid, Node, Value};

/// The word of `known` that `word` was most likely meant to be, if any looks like it.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = 1 + word.chars().count() / 4;
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed || (word.len() >= 3 && candidate.starts_with(word))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
