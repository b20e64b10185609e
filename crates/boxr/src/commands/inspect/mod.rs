//! `boxr inspect`

mod host;
mod networks;
mod view;

use boxr_engine::lifecycle::{self, usage};
use boxr_engine::store::{BoxDir, Store, StoreError};
use serde::Serialize;
use serde_json::Value;

use crate::boxes;
use crate::cli::Invocation;
use crate::commands::{image, network, volume};
use crate::format::condition;
use crate::format::template::Template;
use crate::report::{Explain, Report, write_stdout};
use view::{Sources, View};

/// Carries out `boxr inspect`: those that are there are printed, whatever is wrong with others.
///
/// # Errors
/// A template that cannot be used; a store that cannot be opened.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let kind = Kind::of(&invocation)?;
    show(&invocation, kind)
}

/// Carries out `boxr container inspect`.
///
/// # Errors
/// As [`run`].
pub fn container(invocation: Invocation) -> Result<u8, Report> {
    show(&invocation, Kind::Container)
}

fn show(invocation: &Invocation, kind: Kind) -> Result<u8, Report> {
    let template = match invocation.value("format") {
        None | Some("json") => None,
        Some(text) => Some(Template::parse(text)?),
    };
    let store = boxes::open_store(&invocation.globals)?;
    let mut views = Vec::new();
    let mut status = boxes::for_each(invocation.positionals(), |name| {
        views.push(found(invocation, &store, name, kind)?);
        Ok(())
    })?;
    let text = match template {
        None => as_json(&views, invocation.value("format").is_some())?,
        Some(template) => {
            let mut text = String::new();
            for view in &views {
                if let Err(error) = template.render(view, &mut text) {
                    error.report().print();
                    status = 1;
                    break;
                }
                text.push('\n');
            }
            text
        }
    };
    write_stdout(&text)?;
    Ok(status)
}

/// What is looked for under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A box; where there is none, an image, a volume or a network.
    Any,
    Container,
    Image,
    Volume,
    Network,
}

impl Kind {
    fn of(invocation: &Invocation) -> Result<Self, Report> {
        match invocation.value("type") {
            None | Some("all" | "") => Ok(Self::Any),
            Some("container") => Ok(Self::Container),
            Some("image") => Ok(Self::Image),
            Some("volume") => Ok(Self::Volume),
            Some("network") => Ok(Self::Network),
            Some(kind) => Err(invocation.bad_value("type", kind, "all, container, image, volume or network")),
        }
    }
}

/// The view of whatever is called so.
fn found(invocation: &Invocation, store: &Store, name: &str, kind: Kind) -> Result<Value, Report> {
    let of_box = |dir: BoxDir| {
        let view = look(store, &dir, invocation.switch("size"))?;
        serde_json::to_value(view).map_err(|error| unprintable(&error))
    };
    match kind {
        Kind::Container => of_box(boxes::find(store, name)?),
        Kind::Image => image::inspect::of_name(invocation, name),
        Kind::Volume => volume::of_name(&invocation.globals, name),
        Kind::Network => network::of_name(&invocation.globals, name),
        Kind::Any => match store.resolve(name) {
            Err(error @ StoreError::NotFound { .. }) => {
                something_else(invocation, store, name).ok_or_else(|| Report::from(error).status(1))
            }
            dir => of_box(dir.map_err(|error| Report::from(error).status(1))?),
        },
    }
}

/// An image, a volume or a network, where there is any: nothing is made only to be looked at.
fn something_else(invocation: &Invocation, store: &Store, name: &str) -> Option<Value> {
    let data = &store.paths().data;
    let globals = &invocation.globals;
    let has = |dir: &str| data.join(dir).exists();
    let image = || has("images").then(|| image::inspect::of_name(invocation, name).ok()).flatten();
    let volume = || has("volumes").then(|| volume::of_name(globals, name).ok()).flatten();
    image().or_else(volume).or_else(|| network::of_name(globals, name).ok())
}

fn look(store: &Store, dir: &BoxDir, size: bool) -> Result<View, Report> {
    let failed = |error| Report::from(error).status(1);
    // A box whose monitor was killed gets a new one; what is known is shown in any case.
    let state = match lifecycle::current(dir) {
        Ok(state) => state,
        Err(_) => dir.read_state().map_err(failed)?,
    };
    let record = match dir.read_record() {
        Ok(record) => Some(record),
        Err(error) => {
            error.report().print();
            None
        }
    };
    let data = dir.data_path().map_err(failed)?;
    let size = size.then(|| data.as_deref().map_or(0, usage::bytes_below));
    let observed = store.observe(&state);
    // Of a box that has none, or whose boxr was killed, there is nothing to show.
    let owner = match &state.pod {
        Some(pod) if !state.networked => Some(pod.as_str()),
        _ => state.networked.then(|| dir.id().as_str()),
    };
    let attachment = match owner.filter(|_| condition::is_up(observed)) {
        Some(owner) => boxr_engine::network::networks(store.paths()).attachment(owner)?,
        None => None,
    };
    let record = record.as_ref();
    let links = record
        .map(|record| boxr_engine::network::shown_links(store, &record.options, &state.name))
        .unwrap_or_default();
    let dir = dir.path();
    let sources = Sources { state: &state, observed, record, dir: &dir, data, size, attachment, links };
    Ok(view::make(sources))
}

/// How `--format` wants things to be shown that are no boxes.
pub(super) enum Shown {
    /// An array with docker's indent, or without any.
    Json { compact: bool },
    /// A line for each.
    Template(Template),
}

impl Shown {
    /// As the command line says.
    ///
    /// # Errors
    /// A template that cannot be used.
    pub fn read(invocation: &Invocation) -> Result<Self, Report> {
        Ok(match invocation.value("format") {
            None => Self::Json { compact: false },
            Some("json") => Self::Json { compact: true },
            Some(text) => Self::Template(Template::parse(text)?),
        })
    }

    /// Prints `views`.
    ///
    /// # Errors
    /// A field that is not there.
    pub fn print(&self, views: &[Value]) -> Result<(), Report> {
        let mut text = String::new();
        match self {
            Self::Json { compact } => text = as_json(views, *compact)?,
            Self::Template(template) => {
                for view in views {
                    template.render(view, &mut text)?;
                    text.push('\n');
                }
            }
        }
        write_stdout(&text)
    }
}

/// An array with docker's indent, or, with `--format json`, without any.
pub(super) fn as_json(views: &[impl Serialize], compact: bool) -> Result<String, Report> {
    let mut bytes = Vec::new();
    let done = if compact {
        views.serialize(&mut serde_json::Serializer::new(&mut bytes))
    } else {
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        views.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
    };
    done.map_err(|error| unprintable(&error))?;
    bytes.push(b'\n');
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unprintable(error: &serde_json::Error) -> Report {
    Report::new(format!("cannot write it as JSON: {error}")).status(1)
}

/// As a value that is there, or `null`.
fn value(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
