//! `--filter` of `boxr pod ps` (podman-pod-ps(1)).

use boxr_engine::pod::View;

use crate::commands::prune;
use crate::format::time;
use crate::report::Report;

const KEYS: [&str; 8] =
    ["ctr-ids", "ctr-names", "ctr-number", "ctr-status", "id", "name", "network", "status"];
const STATUSES: [&str; 7] = ["created", "running", "paused", "degraded", "stopped", "exited", "dead"];

/// What pods must be.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// Keys and values; values of one key are alternatives.
    pairs: Vec<(String, String)>,
    /// Those of which each must hold.
    all: prune::Filters,
}

impl Filters {
    /// Reads them.
    ///
    /// # Errors
    /// A key or a status that there is not; a value that cannot be used.
    pub fn read<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, Report> {
        let (mut pairs, mut all) = (Vec::new(), Vec::new());
        for text in texts {
            match text.split_once('=') {
                Some(("status", word)) if !STATUSES.contains(&word.to_ascii_lowercase().as_str()) => {
                    return Err(Report::new(format!("--filter {text}: {word} is no status of a pod"))
                        .detail(format!("statuses: {}", STATUSES.join(" "))));
                }
                Some((key, value)) if KEYS.contains(&key) => pairs.push((key.to_owned(), value.to_owned())),
                Some(("label" | "label!" | "until", _)) => all.push(text),
                _ => {
                    return Err(Report::new(format!("--filter {text}: no such filter"))
                        .detail(format!("filters: {} label label! until", KEYS.join(" "))));
                }
            }
        }
        Ok(Self { pairs, all: prune::Filters::read(all.into_iter(), time::now())? })
    }

    pub fn accept(&self, view: &View) -> bool {
        let has = |wanted: &str| {
            self.pairs.iter().filter(|(key, _)| key == wanted).any(|(key, value)| holds(view, key, value))
        };
        self.pairs.iter().all(|(key, _)| has(key))
            && self.all.accepts(view.record.created, &view.record.options.labels)
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
        _ => view.members.iter().any(|member| member.status == value),
    }
}
