//! `--filter` of `ps`: several names, ids or states are alternatives; labels must all be there.

use boxr_engine::record::{Exit, State};
use boxr_engine::store::{Contents, Entry, Observed, Store};

use crate::boxes;
use crate::format::condition;
use crate::report::Report;

const KEYS: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "health",
    "id",
    "label",
    "label!",
    "name",
    "network",
    "pod",
    "restart-policy",
    "should-start-on-boot",
    "since",
    "status",
    "volume",
];

/// What `restart-policy` can be.
const POLICIES: [&str; 4] = ["no", "on-failure", "always", "unless-stopped"];

/// What is left of a listing.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    ids: Vec<String>,
    names: Vec<NamePattern>,
    labels: Vec<(String, Option<String>)>,
    states: Vec<String>,
    exits: Vec<u8>,
    images: Vec<String>,
    /// Ids; empty for a pod that is not there.
    pods: Vec<String>,
    healths: Vec<String>,
    unlabelled: Vec<(String, Option<String>)>,
    networks: Vec<String>,
    volumes: Vec<String>,
    /// Where records of boxes are read, for what their states do not tell.
    store: Option<Store>,
    before: Option<i64>,
    since: Option<i64>,
    policies: Vec<String>,
    on_boot: Option<bool>,
}

/// A part of a name, with `^` and `$` at its ends where these are meant.
#[derive(Debug)]
struct NamePattern {
    text: String,
    start: bool,
    end: bool,
}

impl Filters {
    /// Reads `KEY=VALUE`s.
    ///
    /// # Errors
    /// An unknown key or a value that cannot be.
    pub(crate) fn read<'a>(values: impl Iterator<Item = &'a str>, store: &Store) -> Result<Self, Report> {
        let mut filters = Self::default();
        for text in values {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| Report::new(format!("--filter {text}: it takes KEY=VALUE")).detail(keys()))?;
            filters.add(key.trim(), value.trim(), store)?;
        }
        filters.store = Some(store.clone());
        Ok(filters)
    }

    fn add(&mut self, key: &str, value: &str, store: &Store) -> Result<(), Report> {
        let bad = |reason: &str| Report::new(format!("--filter {key}={value}: {reason}"));
        let created = || -> Result<i64, Report> { Ok(boxes::find(store, value)?.read_state()?.created) };
        match key {
            "id" => self.ids.push(value.to_owned()),
            "name" => self.names.push(NamePattern::read(value).map_err(|reason| bad(&reason))?),
            "label" => self.labels.push(label(value)),
            "label!" => self.unlabelled.push(label(value)),
            "health" if HEALTH.contains(&value) => self.healths.push(value.to_owned()),
            "health" => return Err(bad("not a condition").detail(HEALTH.join(" "))),
            "network" => self.networks.push(value.to_owned()),
            "volume" => self.volumes.push(value.to_owned()),
            "status" if condition::STATES.contains(&value) => self.states.push(value.to_owned()),
            "status" => {
                return Err(bad("not a state").detail(format!("states: {}", condition::STATES.join(" "))));
            }
            "exited" => self.exits.push(value.parse().map_err(|_| bad("not an exit status, 0-255"))?),
            "ancestor" => self.images.push(value.to_owned()),
            "pod" => {
                let found = store.resolve_pod(value).map(|dir| dir.id().to_string());
                self.pods.push(found.unwrap_or_default());
            }
            "before" => self.before = Some(created()?.min(self.before.unwrap_or(i64::MAX))),
            "since" => self.since = Some(created()?.max(self.since.unwrap_or(i64::MIN))),
            "restart-policy" if POLICIES.contains(&value) => self.policies.push(value.to_owned()),
            "restart-policy" => {
                return Err(bad("no such policy").detail(format!("policies: {}", POLICIES.join(" "))));
            }
            "should-start-on-boot" => {
                self.on_boot = Some(value.parse().map_err(|_| bad("not true or false"))?);
            }
            _ => return Err(bad("no such filter").detail(keys())),
        }
        Ok(())
    }

    /// Whether boxes that do not run are meant, too.
    pub(crate) fn want_all(&self) -> bool {
        !self.states.is_empty() || !self.exits.is_empty()
    }

    /// Whether a box is to be listed.
    pub(crate) fn accept(&self, entry: &Entry) -> bool {
        let by_id = any(&self.ids, |prefix| entry.id.as_str().starts_with(prefix.as_str()));
        let by_state = any(&self.states, |state| state == state_of(&entry.contents));
        by_id
            && by_state
            && match &entry.contents {
                Contents::Known { state, observed } => {
                    self.accept_known(state, *observed) && self.accept_policy(state)
                }
                // Nothing is known of it: only a filter by id or state can mean it.
                _ => self.asks_no_more(),
            }
    }

    fn asks_no_more(&self) -> bool {
        self.names.is_empty()
            && self.labels.is_empty()
            && self.exits.is_empty()
            && self.images.is_empty()
            && self.pods.is_empty()
            && self.healths.is_empty()
            && self.unlabelled.is_empty()
            && self.networks.is_empty()
            && self.volumes.is_empty()
            && self.policies.is_empty()
            && self.on_boot.is_none()
            && self.before.is_none()
            && self.since.is_none()
    }

    /// What the record says, which is read only where it matters.
    fn accept_policy(&self, state: &State) -> bool {
        if self.policies.is_empty() && self.on_boot.is_none() {
            return true;
        }
        let dir = self.store.as_ref().and_then(|store| store.resolve(&state.id).ok());
        let Some(record) = dir.and_then(|dir| dir.read_record().ok()) else { return false };
        let policy = record.options.restart;
        any(&self.policies, |wanted| wanted == policy.word())
            && self.on_boot.is_none_or(|wanted| wanted == state.again.is_wanted_at_boot(policy))
    }

    fn accept_known(&self, state: &State, observed: Observed) -> bool {
        let by_exit = || match observed {
            Observed::Exited(Exit::Unknown) => false,
            Observed::Exited(exit) => self.exits.contains(&exit.status()),
            _ => false,
        };
        any(&self.names, |pattern| pattern.matches(&state.name))
            && self.labels.iter().all(|wanted| has_label(state, wanted))
            && !self.unlabelled.iter().any(|unwanted| has_label(state, unwanted))
            && any(&self.healths, |wanted| wanted == health_of(state))
            && (self.exits.is_empty() || by_exit())
            && any(&self.images, |image| *image == state.image)
            && any(&self.pods, |pod| state.pod.as_ref() == Some(pod))
            && self.before.is_none_or(|before| state.created < before)
            && self.since.is_none_or(|since| state.created > since)
            && self.accept_record(state)
    }

    /// What only the record tells, which is read last.
    fn accept_record(&self, state: &State) -> bool {
        if self.networks.is_empty() && self.volumes.is_empty() {
            return true;
        }
        let dir = self.store.as_ref().and_then(|store| store.resolve(&state.id).ok());
        let Some(record) = dir.and_then(|dir| dir.read_record().ok()) else { return false };
        let networks = &record.options.network.networks;
        let mounts = &record.options.mounts;
        let has_network = |wanted: &String| networks.iter().any(|network| network.name == *wanted);
        let has_volume = |wanted: &String| {
            let at = std::path::Path::new(wanted);
            mounts.iter().any(|mount| mount.source.as_ref() == Some(wanted) || mount.destination == at)
        };
        any(&self.networks, has_network) && any(&self.volumes, has_volume)
    }
}

/// docker's conditions.
const HEALTH: [&str; 4] = ["healthy", "unhealthy", "starting", "none"];

fn health_of(state: &State) -> &'static str {
    state.health.as_ref().map_or("none", |health| health.condition.word())
}

fn label(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}

fn has_label(state: &State, (key, value): &(String, Option<String>)) -> bool {
    let found = state.labels.get(key);
    found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
}

fn any<T>(alternatives: &[T], accept: impl Fn(&T) -> bool) -> bool {
    alternatives.is_empty() || alternatives.iter().any(accept)
}

fn state_of(contents: &Contents) -> &'static str {
    match contents {
        Contents::Known { observed, .. } => condition::state(*observed),
        Contents::Creating => "created",
        Contents::Damaged(_) => "dead",
    }
}

fn keys() -> String {
    format!("filters: {}", KEYS.join(" "))
}

impl NamePattern {
    /// Docker takes a regular expression; of these, `^/?`, `$` and plain text are in use.
    fn read(text: &str) -> Result<Self, String> {
        let (start, rest) = match text.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let rest = rest.strip_prefix("/?").or_else(|| rest.strip_prefix('/')).unwrap_or(rest);
        let (end, rest) = match rest.strip_suffix('$') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        match rest.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
            Some(c) => Err(format!("a name has no {c:?}; a part of a name is taken, ^ and $ for its ends")),
            None => Ok(Self { text: rest.to_owned(), start, end }),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match (self.start, self.end) {
            (true, true) => name == self.text,
            (true, false) => name.starts_with(&self.text),
            (false, true) => name.ends_with(&self.text),
            (false, false) => name.contains(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::{entry, state, store};

    fn accepts(filters: &[&str], observed: Observed) -> bool {
        let (_dir, store) = store();
        let filters = Filters::read(filters.iter().copied(), &store).unwrap();
        filters.accept(&entry(state(), observed))
    }

    #[test]
    fn each_key_narrows() {
        let exited = Observed::Exited(Exit::Code(3));
        for (filters, observed, expected) in [
            (&["name=we"][..], Observed::Running, true),
            (&["name=^/?web$"], Observed::Running, true),
            (&["name=^eb"], Observed::Running, false),
            (&["name=db", "name=web"], Observed::Running, true),
            (&["name=web", "status=paused"], Observed::Running, false),
            (&["status=paused", "status=running"], Observed::Unresponsive, true),
            (&["id=0123"], Observed::Running, true),
            (&["id=123"], Observed::Running, false),
            (&["label=com.example.tier"], Observed::Running, true),
            (&["label=com.example.tier=front"], Observed::Running, true),
            (&["label=com.example.tier", "label=other"], Observed::Running, false),
            (&["exited=3"], exited, true),
            (&["exited=0"], exited, false),
            (&["exited=255"], Observed::Exited(Exit::Unknown), false),
            (&["ancestor=host"], Observed::Running, true),
            (&["ancestor=alpine"], Observed::Running, false),
        ] {
            assert_eq!(accepts(filters, observed), expected, "{filters:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_filter_is_answered_with_what_can() {
        let (_dir, store) = store();
        let refused = |text: &str| Filters::read([text].into_iter(), &store).unwrap_err();
        assert_eq!(refused("nmae=x").details, [keys()]);
        assert_eq!(refused("name").details, [keys()]);
        assert!(refused("status=up").details[0].contains("running"));
        assert!(refused("exited=300").what.contains("0-255"));
        assert!(refused("name=a.*b").what.contains("'*'"));
        assert_eq!(refused("before=nobody").status, 1);
    }
}
