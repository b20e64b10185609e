//! `ociVersion`: what is written for a major version that this runtime does not know may mean
//! something else in fields that it does know.

use crate::error::Error;

/// The version of the specification that this runtime implements.
pub const IMPLEMENTED: &str = "1.3.0";

/// Any 1.x is taken, since fields are only added, and what came before 1.0 as well, as other
/// runtimes do.
///
/// # Errors
/// [`Error::Field`] for what is not a semantic version, or a later major one.
pub(super) fn check(version: &str) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::field("ociVersion", format!("{version:?}: {why}")));
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<Option<u64>> = core.split('.').map(|part| part.parse().ok()).collect();
    match numbers[..] {
        [Some(0 | 1), Some(_)] | [Some(0 | 1), Some(_), Some(_)] => Ok(()),
        [Some(_), Some(_)] | [Some(_), Some(_), Some(_)] => {
            refuse("boxr implements version 1 of the specification (up to 1.3)")
        }
        _ => refuse("not a version such as 1.3.0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_major_version_is_implemented() {
        for taken in
            ["1.0.0", "1.0.2-dev", "1.3.0", "1.99.0", "0.6.0", "1.0.0-rc1+build.5", "1.0", IMPLEMENTED]
        {
            assert!(check(taken).is_ok(), "{taken}");
        }
        for refused in ["2.0.0", "", "1", "v1.0.0", "1.0.0.0", "one.two.three"] {
            let error = check(refused).unwrap_err().to_string();
            assert!(error.starts_with("ociVersion: "), "{error}");
        }
    }
}
