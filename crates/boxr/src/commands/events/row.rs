//! How an event is shown: docker's line, whose form podman's has too, docker's JSON, and fields for templates, with podman's
//! beside docker's.

use std::borrow::Cow;

use boxr_engine::events::{Event, Kind};
use serde_json::{Value, json};

use crate::format::template::Object;
use crate::format::time;

/// docker's: `TIME container create ID (image=alpine, name=web)`.
pub(super) fn line(event: &Event) -> String {
    let mut line =
        format!("{} {} {} {}", time::rfc3339_nano(event.time), event.kind.word(), event.action, event.id);
    let attributes: Vec<String> =
        event.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !attributes.is_empty() {
        line.push_str(&format!(" ({})", attributes.join(", ")));
    }
    // An attribute or a command of several lines would be several events.
    line.replace(['\n', '\r'], " ")
}

/// docker's object, with the keys that its clients have always had.
pub(super) fn json(event: &Event) -> Value {
    let mut all = json!({
        "Type": event.kind.word(),
        "Action": event.action,
        "Actor": { "ID": event.id, "Attributes": event.attributes },
        "scope": "local",
        "time": event.time / 1_000_000_000,
        "timeNano": event.time,
    });
    if matches!(event.kind, Kind::Container | Kind::Image | Kind::Pod) {
        all["status"] = event.action.clone().into();
        all["id"] = event.id.clone().into();
        if let Some(image) = event.attributes.get("image").filter(|image| !image.is_empty()) {
            all["from"] = image.clone().into();
        }
    }
    all
}

/// What a template is carried out on.
pub(super) struct Row {
    fields: Value,
    all: Value,
}

impl Row {
    pub(super) fn new(event: &Event) -> Self {
        let attribute = |key: &str| event.attributes.get(key).cloned().unwrap_or_default();
        let name = match event.kind {
            Kind::Container | Kind::Network | Kind::Pod => attribute("name"),
            Kind::Image | Kind::Volume => event.id.clone(),
        };
        let exit: Option<i64> = event.attributes.get("exitCode").and_then(|text| text.parse().ok());
        let health = event.action.strip_prefix("health_status: ").unwrap_or_default();
        let fields = json!({
            "Type": event.kind.word(),
            "Action": event.action,
            "Actor": { "ID": event.id, "Attributes": event.attributes },
            "Scope": "local",
            "Time": event.time / 1_000_000_000,
            "TimeNano": event.time,
            "Status": event.action,
            "ID": event.id,
            "From": attribute("image"),
            "Name": name,
            "Image": attribute("image"),
            "Attributes": event.attributes,
            "ContainerExitCode": exit,
            "HealthStatus": health,
            "Network": if event.kind == Kind::Network { attribute("name") } else { String::new() },
        });
        Self { fields, all: json(event) }
    }
}

impl Object for Row {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.fields.field(name)
    }

    fn all(&self) -> Value {
        self.all.clone()
    }

    fn names(&self) -> Vec<&str> {
        self.fields.names()
    }
}
