//! `boxr commit`

use std::io::Write;

use boxr_engine::events::{self, Action};
use boxr_engine::image::tree;
use boxr_engine::lifecycle::Pause;
use boxr_engine::options::BoxOptions;
use boxr_engine::own_ids;
use boxr_engine::record::Status;
use boxr_engine::store::BoxDir;
use boxr_image::archive::{ArchiveError, Base, Import};
use boxr_image::oci::{Config, ManifestForm};
use boxr_image::pack::{Holes, PackError, Tree};
use boxr_image::reference::Reference;
use boxr_image::store::{ImageRecord, Store};

use crate::boxes;
use crate::cli::Invocation;
use crate::commands::image::pull::warn_left_out;
use crate::format::time;
use crate::images;
use crate::report::{Report, write_stdout};

/// What every container is given anew.
const GIVEN: [&str; 3] = ["HOSTNAME=", "TERM=", "container="];

/// Carries out `boxr commit`: the changes of a container become a layer upon those of its image. Prints the id of
/// the new image.
///
/// # Errors
/// No such container, or one of no image; an instruction that cannot be used; then there is no image of it.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let name = invocation.first();
    let wanted = Wanted::read(&invocation)?;
    let boxes = boxes::open_store(&invocation.globals)?;
    let dir = boxes::find(&boxes, name)?;
    let options = dir.read_record().map_err(|error| Report::from(error).status(1))?.options;
    let Some(image) = options.root.image() else {
        return Err(Report::new(format!("box {name} is of no image"))
            .detail("only what was changed of an image becomes a layer")
            .suggest(format!("boxr export {name} | boxr import - NAME"))
            .status(1));
    };
    let paused = pause(&dir, invocation.switch_said("pause") != Some(false))?;
    // Files belong to all ids that the box has.
    let ids = own_ids::enter()?;
    let store = images::open_store(&invocation.globals)?;
    let record = store.image(&image.manifest)?.ok_or_else(|| {
        Report::new(format!("the image of box {name} is not there any more"))
            .detail(image.name.clone())
            .status(1)
    })?;
    let layers = wanted.layers;
    let import = wanted.import(&invocation, &store, &options, record)?;
    let tree = tree(&dir, ids, Holes::Filled).map_err(|error| Report::from(error).status(1))?;
    let tree = tree.ok_or_else(|| Report::new(format!("box {name} has no files of its own")).status(1))?;
    let made = import.run_with(|to| write_layer(&tree, layers, to));
    paused.map_or(Ok(()), Pause::end).map_err(|error| Report::from(error).status(1))?;
    let (image, left_out) = made.map_err(|error| {
        let report = Report::from(error).status(1);
        Report { what: format!("cannot commit {name}: {}", report.what), ..report }
    })?;
    warn_left_out(&left_out);
    tell(&invocation, &dir, &image)?;
    Ok(0)
}

/// Which layers an image of a container has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layers {
    /// Those of its image, and one of its changes.
    Upon,
    /// One of all files.
    Squashed,
}

/// What is to be made of a container.
struct Wanted {
    name: Option<Reference>,
    form: ManifestForm,
    layers: Layers,
}

impl Wanted {
    fn read(invocation: &Invocation) -> Result<Self, Report> {
        let name = invocation.positionals().get(1).map(|name| images::reference(invocation, name));
        let name = name.transpose()?;
        if name.as_ref().is_some_and(|name| name.digest().is_some()) {
            return Err(Report::new("boxr commit: an image gets no name with a digest here").status(1));
        }
        let form = match invocation.value("format") {
            None | Some("oci") => ManifestForm::Oci,
            Some("docker") => ManifestForm::Docker,
            Some(other) => return Err(invocation.bad_value("format", other, "oci or docker")),
        };
        let layers = if invocation.switch("squash") { Layers::Squashed } else { Layers::Upon };
        Ok(Self { name, form, layers })
    }

    fn import<'s>(
        self,
        invocation: &Invocation,
        store: &'s Store,
        options: &BoxOptions,
        record: ImageRecord,
    ) -> Result<Import<'s>, Report> {
        let base = Base { config: images::config(store, &record)?.0, record };
        let mut config = config_of(options, &base.config.config);
        for change in invocation.values("change") {
            config.change(change).map_err(|error| Report::new(format!("boxr commit: --change {error}")))?;
        }
        Ok(Import {
            how: images::how(store)?,
            store,
            platform: base.config.platform.clone(),
            config,
            base: (self.layers == Layers::Upon).then_some(base),
            author: invocation.value("author").map(str::to_owned),
            created_by: options.args.join(" "),
            comment: invocation.value("message").unwrap_or_default().to_owned(),
            created: time::rfc3339_nano(time::now()),
            form: self.form,
            name: self.name,
        })
    }
}

/// Says what has been made, to whoever asked and to those who follow events.
fn tell(invocation: &Invocation, dir: &BoxDir, image: &ImageRecord) -> Result<(), Report> {
    // It may have been removed meanwhile.
    if let Ok(state) = dir.read_state() {
        let comment = invocation.value("message").unwrap_or_default();
        let name = invocation.positionals().get(1).map_or("", String::as_str);
        events::note_with(dir.paths(), &state, Action::Commit, |event| {
            event.with("comment", comment).with("imageID", image.config.to_string()).with("imageRef", name)
        });
    }
    if let Some(path) = invocation.value("iidfile") {
        std::fs::write(path, image.config.to_string()).map_err(|error| {
            Report::new(format!("cannot write {path}: {}", crate::report::io_text(&error)))
        })?;
    }
    write_stdout(&format!("{}\n", image.config))
}

fn write_layer(tree: &Tree, layers: Layers, to: &mut dyn Write) -> Result<(), ArchiveError> {
    let packed = match layers {
        Layers::Upon => tree.layer(to),
        Layers::Squashed => tree.merged(to),
    };
    let written = packed.map_err(|error| match error {
        PackError::Write(error) => ArchiveError::Write(error),
        error => {
            ArchiveError::Read { what: "the container".to_owned(), source: std::io::Error::other(error) }
        }
    });
    written.map(drop)
}

/// How the container runs, which is how the image is to.
fn config_of(options: &BoxOptions, base: &Config) -> Config {
    let mut config = base.clone();
    let is_given =
        |entry: &&String| !GIVEN.iter().any(|given| entry.starts_with(given)) || base.env.contains(entry);
    config.env = options.env.iter().filter(is_given).cloned().collect();
    if let Some(container) = &options.container {
        config.entrypoint = container.entrypoint.clone();
        config.cmd = options.args.get(container.entrypoint.len()..).unwrap_or_default().to_vec();
        config.user = container.user.clone();
        let empty = || serde_json::json!({});
        config.volumes = container.volumes.iter().map(|path| (path.clone(), empty())).collect();
        config.exposed_ports = container.ports.iter().map(|port| (port.clone(), empty())).collect();
    }
    if let Some(workdir) = options.workdir.as_ref().filter(|path| path.parent().is_some()) {
        config.working_dir = workdir.to_string_lossy().into_owned();
    }
    config.labels = options.labels.clone();
    config.stop_signal = options.stop_signal.as_ref().map(|name| format!("SIG{name}")).or(config.stop_signal);
    config
}

/// Stops a container that runs, while its files are looked at.
fn pause(dir: &BoxDir, wanted: bool) -> Result<Option<Pause>, Report> {
    let state = dir.read_state().map_err(|error| Report::from(error).status(1))?;
    if !wanted || !boxes::runs(&state) || state.status != Status::Running {
        return Ok(None);
    }
    Pause::begin(dir).map(Some).map_err(|error| Report::from(error).status(1))
}
