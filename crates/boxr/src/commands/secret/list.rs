//! `boxr secret ls`

use boxr_engine::secret::Secret;
use serde_json::{Value, json};

use crate::cli::Invocation;
use crate::format::listing::{Header, Listing};
use crate::format::template::Object;
use crate::format::time;
use crate::report::{Report, write_stdout};

const STANDARD: &str = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}";

const HEADERS: &[Header] = &[
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("CreatedAt", "CREATED"),
    ("UpdatedAt", "UPDATED"),
    ("Labels", "LABELS"),
];

/// Carries out `boxr secret ls`.
///
/// # Errors
/// A filter or template that cannot be used; a directory that cannot be read.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let format = invocation.value("format");
    let listing =
        Listing::new(if invocation.switch("quiet") { Some("{{.ID}}") } else { format }, STANDARD, HEADERS)?;
    let mut filters = Vec::new();
    for text in invocation.values("filter") {
        match text.split_once('=') {
            Some((key @ ("name" | "id"), value)) => filters.push((key.to_owned(), value.to_owned())),
            _ => {
                return Err(Report::new(format!("--filter {text}: name=PART and id=BEGINNING are filters")));
            }
        }
    }
    let accepts = |secret: &Secret, key: &str| {
        let mut of_key = filters.iter().filter(|(known, _)| known == key).peekable();
        of_key.peek().is_none()
            || of_key.any(|(_, value)| match key {
                "name" => secret.name.contains(value.as_str()),
                _ => secret.id.starts_with(value.as_str()),
            })
    };
    let mut all = super::open(&invocation.globals)?.all()?;
    all.retain(|secret| accepts(secret, "name") && accepts(secret, "id"));
    let rows: Vec<Value> = all.iter().map(row).collect();
    write_stdout(&listing.render(rows.iter().map(|row| row as &dyn Object))?)?;
    Ok(0)
}

fn row(secret: &Secret) -> Value {
    let labels: Vec<String> = secret.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let now = time::now();
    let ago = |at: i64| format!("{} ago", time::human_duration(now - at));
    json!({
        "ID": secret.id,
        "Name": secret.name,
        "Driver": "file",
        "CreatedAt": ago(secret.created),
        "UpdatedAt": ago(secret.updated),
        "Labels": labels.join(","),
    })
}
