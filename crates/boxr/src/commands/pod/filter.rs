//! `--filter` of `boxr pod ps` (podman-pod-ps(1)).

use boxr_engine::pod::View;

use crate::report::Report;

const KEYS: [&str; 9] =
    ["ctr-ids", "ctr-names", "ctr-number", "ctr-status", "id", "label", "name", "network", "status"];

/// What pods must be; those of one key are alternatives, but for labels.
#[derive(Debug, Default)]
pub(super) struct Filters(Vec<(String, String)>);

impl Filters {
    /// Reads them.
    ///
    /// # Errors
    /// A key that there is not.
    pub fn read<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, Report> {
        let read = |text: &str| match text.split_once('=') {
            Some((key, value)) if KEYS.contains(&key) => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Report::new(format!("--filter {text}: no such filter"))
                .detail(format!("filters: {}", KEYS.join(" ")))),
        };
        Ok(Self(texts.map(read).collect::<Result<_, _>>()?))
    }

    pub fn accept(&self, view: &View) -> bool {
        self.0.iter().all(|(key, value)| match key.as_str() {
            "label" => holds(view, key, value),
            _ => self.0.iter().filter(|(other, _)| other == key).any(|(key, value)| holds(view, key, value)),
        })
    }
}

fn holds(view: &View, key: &str, value: &str) -> bool {
    let options = &view.record.options;
    match key {
        "id" => view.record.id.starts_with(value),
        "name" => view.record.name.contains(value),
        "status" => view.status.word().eq_ignore_ascii_case(value),
        "network" => options.network.networks.iter().any(|network| network.name == value),
        "ctr-ids" => view.members.iter().any(|member| member.id.starts_with(value)),
        "ctr-names" => view.members.iter().any(|member| member.name.contains(value)),
        "ctr-number" => view.members.len().to_string() == value,
        "ctr-status" => view.members.iter().any(|member| member.status == value),
        _ => match value.split_once('=') {
            Some((key, value)) => options.labels.get(key).is_some_and(|found| found == value),
            None => options.labels.contains_key(value),
        },
    }
}
