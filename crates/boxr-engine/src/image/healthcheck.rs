//! An image's HEALTHCHECK, and what was said in its place.

use serde::Deserialize;
use serde_json::Value;

use super::said::SaidHealth;
use crate::health::Health;

/// As builders write it; times are nanoseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct OfImage {
    test: Vec<String>,
    interval: u64,
    timeout: u64,
    start_period: u64,
    start_interval: u64,
    retries: u32,
}

/// The checks of a box; `None` where there are none.
///
/// # Errors
/// What is wrong with those of the image.
pub(crate) fn resolve(image: Option<&Value>, said: SaidHealth) -> Result<Option<Health>, String> {
    if said.none == Some(true) {
        return Ok(None);
    }
    let of_image = match image {
        Some(value) if !value.is_null() => {
            serde_json::from_value::<OfImage>(value.clone()).map_err(|error| error.to_string())?
        }
        _ => OfImage::default(),
    };
    let usual = Health::default();
    let millis = |nanos: u64, usual: u64| if nanos == 0 { usual } else { (nanos / 1_000_000).max(1) };
    let retries = if of_image.retries == 0 { usual.retries } else { of_image.retries };
    let test = match said.test {
        Some(test) => test,
        None => command(&of_image.test)?,
    };
    let health = Health {
        tells: false,
        test,
        interval: said.interval.unwrap_or_else(|| millis(of_image.interval, usual.interval)).max(1),
        timeout: said.timeout.unwrap_or_else(|| millis(of_image.timeout, usual.timeout)).max(1),
        start_period: said.start_period.unwrap_or_else(|| millis(of_image.start_period, usual.start_period)),
        start_interval: said
            .start_interval
            .unwrap_or_else(|| millis(of_image.start_interval, usual.start_interval))
            .max(1),
        retries: said.retries.unwrap_or(retries),
        on_failure: said.on_failure.unwrap_or_default(),
    };
    Ok((!health.test.is_empty()).then_some(health))
}

/// `CMD` and words, or `CMD-SHELL` and a line; `NONE` is none.
fn command(test: &[String]) -> Result<Vec<String>, String> {
    match test {
        [] => Ok(Vec::new()),
        [kind, words @ ..] => match (kind.as_str(), words) {
            ("NONE", _) | ("", []) => Ok(Vec::new()),
            ("CMD", words) => Ok(words.to_vec()),
            ("CMD-SHELL", [line, ..]) => Ok(shell(line)),
            (other, _) => Err(format!("{other:?} is none of NONE, CMD and CMD-SHELL")),
        },
    }
}

/// A line for the container's shell.
pub(crate) fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_check_gives_way_to_what_is_said() {
        let image =
            serde_json::json!({"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000u64, "Retries": 2});
        let health = resolve(Some(&image), SaidHealth::default()).unwrap().unwrap();
        assert_eq!((health.test, health.interval, health.timeout), (shell("true"), 5000, 30_000));
        let said = SaidHealth { interval: Some(100), test: Some(vec!["x".into()]), ..SaidHealth::default() };
        let health = resolve(Some(&image), said).unwrap().unwrap();
        assert_eq!((health.test, health.interval, health.retries), (vec!["x".to_owned()], 100, 2));
        let none = SaidHealth { none: Some(true), ..SaidHealth::default() };
        assert_eq!(resolve(Some(&image), none), Ok(None));
        assert_eq!(resolve(None, SaidHealth::default()), Ok(None));
        assert!(resolve(Some(&serde_json::json!({"Test": ["FROB", "x"]})), SaidHealth::default()).is_err());
    }
}
