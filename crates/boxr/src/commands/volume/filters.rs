//! `--filter` of `boxr volume ls` and `prune`.

use boxr_engine::volume::Volume;

use crate::report::Report;

/// Which volumes are meant: names are alternatives, everything else must hold.
#[derive(Debug, Default)]
pub struct Filters {
    /// Whether no box is to have it.
    pub dangling: Option<bool>,
    /// Whether those that somebody gave a name are meant too (`prune`).
    pub all: bool,
    names: Vec<String>,
    drivers: Vec<String>,
    labels: Vec<(String, Option<String>, bool)>,
}

impl Filters {
    /// Reads them; `known` says which keys the command has.
    ///
    /// # Errors
    /// One that cannot be used.
    pub fn read<'a>(values: impl Iterator<Item = &'a str>, known: &[&str]) -> Result<Self, Report> {
        let mut filters = Self::default();
        for text in values {
            let bad = |reason: &str| {
                Report::new(format!("--filter {text}: {reason}"))
                    .detail(format!("filters: {}", known.join(" ")))
            };
            let (key, value) = text.split_once('=').ok_or_else(|| bad("it takes KEY=VALUE"))?;
            if !known.iter().any(|word| word.split('=').next() == Some(key)) {
                return Err(bad("no such filter"));
            }
            let truth = || {
                value.parse().or_else(|_| match value {
                    "1" => Ok(true),
                    "0" => Ok(false),
                    _ => Err(bad("not true or false")),
                })
            };
            match key {
                "dangling" => filters.dangling = Some(truth()?),
                "all" => filters.all = truth()?,
                "name" => filters.names.push(value.to_owned()),
                "driver" => filters.drivers.push(value.to_owned()),
                _ => filters.labels.push(match value.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned()), key == "label"),
                    None => (value.to_owned(), None, key == "label"),
                }),
            }
        }
        Ok(filters)
    }

    /// Whether a volume is meant; `used` is asked only where that matters.
    ///
    /// # Errors
    /// Those of `used`.
    pub fn accept(
        &self,
        volume: &Volume,
        used: impl FnOnce() -> Result<bool, Report>,
    ) -> Result<bool, Report> {
        let has = |(name, value, wanted): &(String, Option<String>, bool)| {
            let found = volume.labels.get(name);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found)) == *wanted
        };
        let is_named =
            self.names.is_empty() || self.names.iter().any(|part| volume.name.as_str().contains(part));
        let is_driven = self.drivers.is_empty() || self.drivers.iter().any(|driver| driver == "local");
        Ok(is_named
            && is_driven
            && self.labels.iter().all(has)
            && match self.dangling {
                Some(dangling) => dangling != used()?,
                None => true,
            })
    }
}
