//! The stock configuration file: every key with its meaning and its default, from the same
//! tables as the flags.

use boxr_engine::config::{Format, Setting, Stock, settings};

use super::{help, table};

/// What no flag explains.
const KEYS_WITHOUT_FLAG: &[(&str, &str)] = &[
    ("args", "The command and its arguments; what follows -- on the command line replaces them"),
    ("log.max-size", "Bytes at which a log file of a detached box is rotated"),
    ("log.max-file", "How many log files are kept"),
];

const HEAD: &str = "\
# A box for boxr. Run it with: boxr run -f FILE
#
# Every key may be left out. Flags of `boxr run` beat this file. A key behind a # is an
# example: it has no default, or one that depends on who runs the box.
# Relative paths begin at the directory of this file.
";

const NAMESPACES: &str = "\
# Each is true or \"new\" (made for this box), false or \"host\" (the caller's), or joined:
# \"container:NAME\", \"pid:N\", \"id:N\" (the number that lsns prints) or a path.
";

/// The text of a stock file.
pub fn stock(format: Format) -> String {
    match format {
        Format::Toml => toml(),
        Format::Json => json(),
    }
}

/// The settings of a table (empty: of none), with their names in it.
fn keys_of(table: &str) -> impl Iterator<Item = (&'static str, &'static Setting)> {
    settings().filter_map(move |setting| {
        let key = setting.key?;
        let (inside, name) = key.split_once('.').unwrap_or(("", key));
        (inside == table).then_some((name, setting))
    })
}

/// The tables, in order.
fn tables() -> Vec<&'static str> {
    let mut tables = Vec::new();
    for (table, _) in settings().filter_map(|setting| setting.key?.split_once('.')) {
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    tables
}

fn toml() -> String {
    let mut text = HEAD.to_owned();
    for (name, setting) in keys_of("") {
        toml_key(&mut text, name, setting, true);
    }
    for table in tables() {
        text.push_str(&format!("\n[{table}]\n"));
        if table == "namespaces" {
            text.push_str(NAMESPACES);
        }
        for (name, setting) in keys_of(table) {
            toml_key(&mut text, name, setting, table != "namespaces");
        }
    }
    text
}

fn toml_key(text: &mut String, name: &str, setting: &Setting, accepts: bool) {
    text.push('\n');
    comment(text, meaning(setting));
    if accepts && setting.accepts != "true or false" {
        let list = matches!(setting.stock, Stock::Default("[]"));
        comment(text, &format!("It takes {}{}.", if list { "a list, each " } else { "" }, setting.accepts));
    }
    match setting.stock {
        Stock::Default(value) => text.push_str(&format!("{name} = {}\n", toml_value(value))),
        Stock::Example(value) => text.push_str(&format!("# {name} = {}\n", toml_value(value))),
        Stock::Nothing => {}
    }
}

/// Appends a comment, broken into lines.
fn comment(text: &mut String, words: &str) {
    let mut lines = String::new();
    help::wrap(&mut lines, words, 0, 96);
    for line in lines.lines() {
        text.push_str(&format!("# {line}\n"));
    }
}

/// The tables of values are written as in JSON; TOML has `=` for their `:`.
fn toml_value(value: &str) -> String {
    if value.starts_with('{') { value.replacen("\": ", "\" = ", 1) } else { value.to_owned() }
}

fn json() -> String {
    let mut lines: Vec<String> = keys_of("").map(|(name, setting)| json_key("  ", name, setting)).collect();
    for table in tables() {
        let inner: Vec<String> =
            keys_of(table).map(|(name, setting)| json_key("    ", name, setting)).collect();
        lines.push(format!("  \"{table}\": {{\n{}\n  }}", inner.join(",\n")));
    }
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn json_key(indent: &str, name: &str, setting: &Setting) -> String {
    let value = if let Stock::Default(value) = setting.stock { value } else { "null" };
    format!("{indent}\"{name}\": {value}")
}

/// What a key means: the help of its flag.
pub fn meaning(setting: &Setting) -> &'static str {
    let flag = setting.flag.and_then(|long| table::RUN.flags().find(|flag| flag.long == long));
    let own = || KEYS_WITHOUT_FLAG.iter().find(|(key, _)| setting.key == Some(key)).map(|(_, help)| *help);
    flag.map(|flag| flag.help).or_else(own).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use boxr_engine::config::{self, Base, Caller, ConfigError, Purpose, RawRun};
    use boxr_engine::options::BoxOptions;
    use std::path::Path;

    fn read(text: &str, format: Format) -> Result<RawRun, ConfigError> {
        config::parse(text, Path::new("stock"), Some(format), &Base("/".into()))
    }

    fn options(raw: RawRun) -> BoxOptions {
        config::resolve(raw, Purpose::Run, &Caller::default()).unwrap().options
    }

    #[test]
    fn it_says_the_defaults() {
        let mut usual = options(RawRun { args: Some(vec!["sh".into()]), ..RawRun::default() });
        // Nothing said and the default said are one to the engine.
        usual.stop_signal = Some("TERM".into());
        usual.stop_timeout = Some(10);
        for format in [Format::Toml, Format::Json] {
            let raw = read(&stock(format), format).unwrap();
            assert_eq!(raw.detach_keys, Some(super::super::DETACH_KEYS.to_vec()));
            assert_eq!(options(raw), usual, "{format:?}");
        }
    }

    #[test]
    fn its_examples_are_valid_one_by_one() {
        for setting in settings() {
            let (Some(key), Stock::Example(value)) = (setting.key, setting.stock) else { continue };
            let text = format!("{key} = {}\n", toml_value(value));
            read(&text, Format::Toml).unwrap_or_else(|error| panic!("{text}: {error}"));
            let line = format!("# {} = {}\n", key.rsplit('.').next().unwrap(), toml_value(value));
            assert!(stock(Format::Toml).contains(&line), "{line}");
        }
    }

    #[test]
    fn every_key_is_explained() {
        for setting in settings().filter(|setting| setting.key.is_some()) {
            assert!(!meaning(setting).is_empty(), "{setting:?}");
            assert!(setting.stock != Stock::Nothing, "{setting:?}");
        }
    }
}
