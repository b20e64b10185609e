//! `pids`: how many tasks.

use super::{Facts, Setting, invalid};
use crate::controller::Controller::Pids;
use crate::error::Result;
use crate::field::PIDS_LIMIT;

/// The kernel's `PID_MAX_LIMIT` on 64-bit machines; it refuses more.
const MAXIMUM: i64 = 4_194_304;

/// A limit of tasks; 0 is "not asked for", less than that "no limit", as in runc.
pub(crate) fn settings(limit: i64, facts: &dyn Facts) -> Result<Vec<Setting>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    if limit > MAXIMUM {
        return Err(invalid(
            &PIDS_LIMIT,
            limit,
            format!("is more than the kernel's {MAXIMUM}; use -1 for no limit"),
        ));
    }
    facts.version(Pids, &PIDS_LIMIT)?;
    let (value, words) = match limit {
        1.. => (limit.to_string(), format!("tasks: at most {limit}")),
        _ => ("max".to_owned(), "tasks: no limit".to_owned()),
    };
    Ok(vec![Setting::new(Pids, "pids.max", value, PIDS_LIMIT).words(words)])
}

#[cfg(test)]
mod tests {
    use super::super::Version;
    use super::super::tests::{Fake, convert, refusal};

    #[test]
    fn limits() {
        let fake = Fake::new(Version::Two);
        assert_eq!(convert(&fake, r#"{"pids":{"limit":7}}"#).unwrap(), ["pids.max=7"]);
        assert_eq!(convert(&fake, r#"{"pids":{"limit":-1}}"#).unwrap(), ["pids.max=max"]);
        assert!(convert(&fake, r#"{"pids":{"limit":0}}"#).unwrap().is_empty());
        assert!(refusal(Version::One, r#"{"pids":{"limit":4194305}}"#).starts_with("--pids-limit"));
    }
}
