//! `boxr pod ps`

use boxr_engine::pod::View;
use serde_json::{Value, json};

use super::filter::Filters;
use super::inspect::shared;
use crate::boxes;
use crate::cli::Invocation;
use crate::format::listing::{Header, Listing};
use crate::format::template::Object;
use crate::format::time;
use crate::images::ago;
use crate::report::{Report, write_stdout};

const HEADERS: &[Header] = &[
    ("ID", "POD ID"),
    ("Id", "POD ID"),
    ("Name", "NAME"),
    ("Status", "STATUS"),
    ("Created", "CREATED"),
    ("InfraID", "INFRA ID"),
    ("InfraId", "INFRA ID"),
    ("NumberOfContainers", "# OF CONTAINERS"),
    ("ContainerIds", "IDS"),
    ("ContainerNames", "NAMES"),
    ("ContainerStatuses", "STATUS"),
    ("Cgroup", "CGROUP"),
    ("Namespace", "NAMESPACES"),
    ("Networks", "NETWORKS"),
    ("Labels", "LABELS"),
];

/// Carries out `boxr pod ps`.
///
/// # Errors
/// A filter, key or template that cannot be used; pods that cannot be listed.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let filters = Filters::read(invocation.values("filter"))?;
    let format = invocation.value("format");
    let quiet = invocation.switch("quiet") && matches!(format, None | Some("table"));
    let columns = columns(&invocation);
    let listing = Listing::new(if quiet { Some("{{.ID}}") } else { format }, &columns, HEADERS)?;
    let store = boxes::open_store(&invocation.globals)?;
    let mut views = super::views(&store)?;
    views.retain(|view| filters.accept(view));
    // The newest first.
    views.reverse();
    sort(&invocation, &mut views)?;
    if invocation.switch("latest") {
        views.truncate(1);
    }
    if format == Some("json") {
        let all: Vec<Value> = views.iter().map(whole).collect();
        write_stdout(&format!("{}\n", pretty(&Value::Array(all))?))?;
        return Ok(0);
    }
    let full = invocation.switch("no-trunc");
    let rows: Vec<Value> = views.iter().map(|view| row(view, full)).collect();
    let text = listing.render(rows.iter().map(|row| row as &dyn Object))?;
    let heading = invocation.switch("noheading") && matches!(format, None | Some("table")) && !quiet;
    let text = if heading { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
    write_stdout(text)?;
    Ok(0)
}

fn columns(invocation: &Invocation) -> String {
    let mut columns = vec!["ID", "Name", "Status", "Created", "InfraID"];
    let wanted =
        [("ctr-ids", "ContainerIds"), ("ctr-names", "ContainerNames"), ("ctr-status", "ContainerStatuses")];
    let more: Vec<&str> =
        wanted.into_iter().filter(|(flag, _)| invocation.switch(flag)).map(|(_, column)| column).collect();
    if invocation.switch("ns") {
        columns.extend(["Cgroup", "Namespace"]);
    }
    if more.is_empty() {
        columns.push("NumberOfContainers");
    }
    columns.extend(more);
    columns.iter().map(|column| format!("{{{{.{column}}}}}")).collect::<Vec<_>>().join("\t")
}

fn sort(invocation: &Invocation, views: &mut [View]) -> Result<(), Report> {
    match invocation.value("sort") {
        None | Some("created") => {}
        Some("id") => views.sort_by(|one, other| one.record.id.cmp(&other.record.id)),
        Some("name") => views.sort_by(|one, other| one.record.name.cmp(&other.record.name)),
        Some("number") => views.sort_by_key(|view| view.members.len()),
        Some("status") => views.sort_by_key(|view| view.status.word()),
        Some(other) => {
            return Err(invocation.bad_value("sort", other, "created, id, name, number or status"));
        }
    }
    Ok(())
}

fn short(id: &str) -> &str {
    id.get(..boxr_engine::id::SHORT).unwrap_or(id)
}

fn row(view: &View, full: bool) -> Value {
    let (record, options) = (&view.record, &view.record.options);
    let id = |id: &str| if full { id.to_owned() } else { short(id).to_owned() };
    let infra = if options.infra { id(&record.infra_id) } else { String::new() };
    let list = |each: &dyn Fn(&boxr_engine::pod::Member) -> String| {
        view.members.iter().map(each).collect::<Vec<_>>().join(",")
    };
    let labels = options.labels.iter().map(|(key, value)| format!("{key}={value}"));
    json!({
        "ID": id(&record.id),
        "Id": record.id,
        "Name": record.name,
        "Status": view.status.word(),
        "Created": ago(record.created),
        "InfraID": infra,
        "InfraId": infra,
        "NumberOfContainers": view.members.len(),
        "ContainerIds": list(&|member| id(&member.id)),
        "ContainerNames": list(&|member| member.name.clone()),
        "ContainerStatuses": list(&|member| member.status.to_owned()),
        "Cgroup": cgroup(view),
        "Namespace": shared(options).join(","),
        "Networks": options.network.networks.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(","),
        "Labels": labels.collect::<Vec<_>>().join(","),
    })
}

fn cgroup(view: &View) -> String {
    let unified = view.state.cgroup.as_ref().and_then(|location| location.unified.as_ref());
    unified.map(|path| path.display().to_string()).unwrap_or_default()
}

/// As podman's JSON has it.
fn whole(view: &View) -> Value {
    let (record, options) = (&view.record, &view.record.options);
    let containers = view.members.iter();
    let containers: Vec<Value> = containers
        .map(|member| json!({ "Id": member.id, "Names": member.name, "Status": member.status }))
        .collect();
    json!({
        "Cgroup": cgroup(view),
        "Containers": containers,
        "Created": time::rfc3339(record.created),
        "Id": record.id,
        "InfraId": if options.infra { record.infra_id.as_str() } else { "" },
        "Name": record.name,
        "Namespace": "",
        "Networks": options.network.networks.iter().map(|network| &network.name).collect::<Vec<_>>(),
        "Status": view.status.word(),
        "Labels": options.labels,
    })
}

fn pretty(value: &Value) -> Result<String, Report> {
    serde_json::to_string_pretty(value)
        .map_err(|error| Report::new(format!("cannot write it as JSON: {error}")))
}
