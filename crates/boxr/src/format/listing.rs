//! `--format` of commands that list things: `table`, `json`, a template, or a table of a template.

use std::borrow::Cow;

use serde_json::Value;

use super::table;
use super::template::{Object, Template, TemplateError};

/// A field of what a command lists, and the word above its column.
pub type Header = (&'static str, &'static str);

/// How a list is written.
#[derive(Debug)]
pub struct Listing {
    style: Style,
    template: Option<Template>,
    headers: &'static [Header],
    heading: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// An object per line, as docker's.
    Json,
    /// All objects in an array, as podman's.
    Array,
    Table,
    Lines,
}

impl Listing {
    /// Understands `--format`; without it, or with `table`, the columns of `standard`, a template.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub fn new(
        format: Option<&str>,
        standard: &str,
        headers: &'static [Header],
    ) -> Result<Self, TemplateError> {
        let format = format.unwrap_or("table").trim_start();
        let (style, template) = match format.strip_prefix("table") {
            _ if format == "json" => (Style::Json, None),
            Some(rest) if rest.trim().is_empty() => (Style::Table, Some(Template::parse(standard)?)),
            Some(rest) if rest.starts_with([' ', '\t']) => {
                (Style::Table, Some(Template::parse(rest.trim_start())?))
            }
            _ => (Style::Lines, Some(Template::parse(format)?)),
        };
        Ok(Self { style, template, headers, heading: true })
    }

    /// Without the words above the columns.
    #[must_use]
    pub fn without_heading(self) -> Self {
        Self { heading: false, ..self }
    }

    /// With podman's `json`: one array instead of docker's objects.
    #[must_use]
    pub fn in_one_array(self) -> Self {
        let style = if self.style == Style::Json { Style::Array } else { self.style };
        Self { style, ..self }
    }

    /// Whether the field will be read: whether a costly one is worth making.
    pub fn wants(&self, field: &str) -> bool {
        self.template.as_ref().is_some_and(|template| template.mentions(field))
    }

    /// The whole list as text.
    ///
    /// # Errors
    /// When the template asks for what is not there.
    pub fn render<'a>(
        &self,
        objects: impl IntoIterator<Item = &'a (dyn Object + 'a)>,
    ) -> Result<String, TemplateError> {
        let mut text = String::new();
        if let (Style::Table, true, Some(template)) = (self.style, self.heading, &self.template) {
            template.render_header(&Headers(self.headers), &mut text)?;
            text.push('\n');
        }
        if self.style == Style::Array {
            let all: Vec<String> = objects.into_iter().map(|object| object.all().to_string()).collect();
            return Ok(format!("[{}]\n", all.join(",\n")));
        }
        for object in objects {
            match &self.template {
                None => text.push_str(&object.all().to_string()),
                Some(template) if self.style == Style::Table => {
                    let from = text.len();
                    template.render(object, &mut text)?;
                    // A newline inside a cell would be another row.
                    if text[from..].contains('\n') {
                        let row = text.split_off(from).replace('\n', " ");
                        text.push_str(&row);
                    }
                }
                Some(template) => template.render(object, &mut text)?,
            }
            text.push('\n');
        }
        Ok(if self.style == Style::Table { table::align(&text) } else { text })
    }
}

/// What a template makes the heading of.
struct Headers(&'static [Header]);

impl Object for Headers {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        let (_, word) = self.0.iter().find(|(field, _)| *field == name)?;
        Some(Cow::Owned(Value::from(*word)))
    }

    /// `{{.Label "com.example.tier"}}` has `TIER` above it.
    fn method(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        let key = (name == "Label").then(|| arguments.first()?.as_str())??;
        let word = key.rsplit('.').next().unwrap_or(key);
        Some(Value::from(word.replace(['-', '_'], " ").to_uppercase()))
    }

    fn all(&self) -> Value {
        self.0.iter().map(|(field, word)| ((*field).to_owned(), Value::from(*word))).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(field, _)| *field).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HEADERS: &[Header] = &[("ID", "CONTAINER ID"), ("Names", "NAMES")];

    struct Row(Value);

    impl Object for Row {
        fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
            self.0.field(name)
        }
        fn method(&self, name: &str, arguments: &[Value]) -> Option<Value> {
            (name == "Label").then(|| json!(format!("<{}>", arguments.first()?.as_str()?)).into())?
        }
        fn all(&self) -> Value {
            self.0.clone()
        }
        fn names(&self) -> Vec<&str> {
            self.0.names()
        }
    }

    fn listed(format: Option<&str>) -> String {
        let rows = [Row(json!({"ID": "a1", "Names": "web"})), Row(json!({"ID": "b2", "Names": "d\nb"}))];
        let listing = Listing::new(format, "{{.ID}}\t{{.Names}}", HEADERS).unwrap();
        listing.render(rows.iter().map(|row| row as &dyn Object)).unwrap()
    }

    #[test]
    fn styles() {
        let table = "CONTAINER ID   NAMES\na1             web\nb2             d b\n";
        assert_eq!(listed(None), table);
        assert_eq!(listed(Some("table")), table);
        assert_eq!(listed(Some("table {{.Names}}")), "NAMES\nweb\nd b\n");
        assert_eq!(listed(Some("{{.ID}}:{{.Names}}")), "a1:web\nb2:d\nb\n");
        assert_eq!(
            listed(Some("json")),
            "{\"ID\":\"a1\",\"Names\":\"web\"}\n{\"ID\":\"b2\",\"Names\":\"d\\nb\"}\n"
        );
    }

    #[test]
    fn functions_leave_headings_alone() {
        assert_eq!(
            listed(Some("table {{lower .Names}}\\t{{json .ID}}")).lines().next(),
            Some("NAMES     CONTAINER ID")
        );
        assert_eq!(
            listed(Some("table {{.Label \"com.x.my-tier\"}}")),
            "MY TIER\n<com.x.my-tier>\n<com.x.my-tier>\n"
        );
    }

    #[test]
    fn a_field_that_is_not_there_is_an_error_even_without_rows() {
        let listing = Listing::new(Some("table {{.Nmes}}"), "", HEADERS).unwrap();
        assert!(listing.render(std::iter::empty()).is_err());
    }
}
