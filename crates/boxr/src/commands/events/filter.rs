//! `--filter` of `events`, as docker has it, and podman's `pod`: several of one key are alternatives, different keys must
//! all match.

use boxr_engine::events::{Action, Event, Kind};

use crate::report::Report;

const KEYS: [&str; 10] =
    ["container", "daemon", "event", "image", "label", "network", "pod", "scope", "type", "volume"];

/// What is left of the events.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// Names, ids or beginnings of such, each with the kind that it is of.
    things: Vec<(Kind, String)>,
    events: Vec<String>,
    images: Vec<String>,
    kinds: Vec<Kind>,
    labels: Vec<(String, Option<String>)>,
    /// There is one scope, `local`.
    impossible: bool,
}

impl Filters {
    /// Reads `KEY=VALUE`s.
    ///
    /// # Errors
    /// An unknown key, or a value that cannot be.
    pub(super) fn read<'a>(values: impl Iterator<Item = &'a str>) -> Result<Self, Report> {
        let mut filters = Self::default();
        for text in values {
            let bad = |reason: &str| {
                Report::new(format!("--filter {text}: {reason}"))
                    .detail(format!("filters: {}", KEYS.join(" ")))
            };
            let (key, value) = text.split_once('=').ok_or_else(|| bad("it takes KEY=VALUE"))?;
            let (key, value) = (key.trim(), value.trim());
            match key {
                "container" => filters.things.push((Kind::Container, value.to_owned())),
                "network" => filters.things.push((Kind::Network, value.to_owned())),
                "pod" => filters.things.push((Kind::Pod, value.to_owned())),
                "volume" => filters.things.push((Kind::Volume, value.to_owned())),
                "event" => filters.add_event(value),
                "image" => filters.images.push(value.to_owned()),
                "label" => filters.labels.push(match value.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (value.to_owned(), None),
                }),
                "type" => match Kind::ALL.into_iter().find(|kind| kind.word() == value) {
                    Some(kind) => filters.kinds.push(kind),
                    None => {
                        let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
                        return Err(bad("no such type").detail(format!("types: {}", words.join(" "))));
                    }
                },
                "scope" => filters.impossible |= value != "local",
                // There is none; who asks for the events of one named so asks for all.
                "daemon" => {}
                _ => return Err(bad("no such filter")),
            }
        }
        Ok(filters)
    }

    fn add_event(&mut self, value: &str) {
        self.events.push(value.to_owned());
        self.events.extend(Action::words_for(value).iter().map(|word| (*word).to_owned()));
    }

    /// Whether an event is to be shown.
    pub(super) fn accept(&self, event: &Event) -> bool {
        !self.impossible
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && any(&self.events, |wanted| event.action == wanted || event.word() == wanted)
            && any(&self.images, |wanted| is_of_image(event, wanted))
            && self.labels.iter().all(|(key, value)| {
                let found = event.attributes.get(key);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            })
            && Kind::ALL.into_iter().all(|kind| self.accept_thing(kind, event))
    }

    /// Names and ids of one kind are alternatives; as with docker, only events of that kind are of them.
    fn accept_thing(&self, kind: Kind, event: &Event) -> bool {
        let mut wanted = self.things.iter().filter(|(of, _)| *of == kind).map(|(_, text)| text).peekable();
        let name = event.attributes.get("name").map_or("", String::as_str);
        let is_it = |text: &String| event.id.starts_with(text.as_str()) || name == text;
        wanted.peek().is_none() || event.kind == kind && wanted.any(is_it)
    }
}

fn any(alternatives: &[String], accept: impl Fn(&str) -> bool) -> bool {
    alternatives.is_empty() || alternatives.iter().any(|text| accept(text))
}

/// By id, name, or name without its tag, of an image or of a container's.
fn is_of_image(event: &Event, wanted: &str) -> bool {
    let name = match event.kind {
        Kind::Container => event.attributes.get("image"),
        Kind::Image => event.attributes.get("name"),
        Kind::Network | Kind::Pod | Kind::Volume => return false,
    };
    let own = [Some(&event.id).filter(|_| event.kind == Kind::Image), name];
    own.into_iter().flatten().any(|own| own == wanted || without_tag(own) == wanted)
}

fn without_tag(name: &str) -> &str {
    let last = name.rfind('/').map_or(0, |at| at + 1);
    match name[last..].find([':', '@']) {
        Some(at) => &name[..last + at],
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(filters: &[&str], event: &Event) -> bool {
        Filters::read(filters.iter().copied()).unwrap().accept(event)
    }

    #[test]
    fn each_key_narrows() {
        let die = Event::new(Kind::Container, Action::Die, "0123456789ab")
            .with("image", "localhost:5000/alpine:3")
            .with("name", "web")
            .with("tier", "front");
        for (filters, expected) in [
            (&["container=web"][..], true),
            (&["container=0123"], true),
            (&["container=we"], false),
            (&["container=db", "container=web"], true),
            (&["network=web"], false),
            (&["type=container", "event=die"], true),
            (&["event=died"], true),
            (&["event=start"], false),
            (&["type=image"], false),
            (&["image=localhost:5000/alpine"], true),
            (&["image=localhost:5000/alpine:3"], true),
            (&["image=alpine"], false),
            (&["label=tier"], true),
            (&["label=tier=front"], true),
            (&["label=tier=back"], false),
            (&["scope=local", "daemon=any"], true),
            (&["scope=swarm"], false),
        ] {
            assert_eq!(accepts(filters, &die), expected, "{filters:?}");
        }
        let check = Event::new(Kind::Container, Action::HealthStatus, "1").with_detail("healthy");
        assert!(
            accepts(&["event=health_status"], &check) && accepts(&["event=health_status: healthy"], &check)
        );
        assert!(!accepts(&["event=health_status: unhealthy"], &check));
        let removed = Event::of_pod("4567", "web", Action::Remove);
        for (filters, expected) in [
            (&["type=pod", "event=remove"][..], true),
            (&["pod=web"], true),
            (&["pod=45", "pod=db"], true),
            (&["pod=we"], false),
            (&["container=web"], false),
            (&["event=destroy"], false),
            (&["image=web"], false),
        ] {
            assert_eq!(accepts(filters, &removed), expected, "{filters:?}");
        }
        assert!(!accepts(&["pod=web"], &die));
        for wrong in ["container", "nmae=x", "type=planet"] {
            assert!(Filters::read([wrong].into_iter()).is_err(), "{wrong}");
        }
    }
}
