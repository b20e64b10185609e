//! The environment of a command: where it begins, and what was said.

use super::error::ConfigError;
use super::raw::RawRun;
use super::resolve::Caller;
use super::{grammar, text_file};
use crate::image::{Image, defaults};

/// The `PATH` of a box that begins without the caller's environment.
pub const CLEAN_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What was said of one variable: its value, or that it is to be removed.
pub type Variable = (String, Option<String>);

/// The whole environment: the image's, the caller's or a clean `PATH`, then what was said.
pub(super) fn whole(
    raw: &RawRun,
    image: Option<&Image>,
    caller: &Caller,
) -> Result<Vec<String>, ConfigError> {
    let mut beginning = match (raw.clear_env, image) {
        (Some(true), _) => vec![CLEAN_PATH.to_owned()],
        (_, Some(image)) => defaults::environment(&image.config),
        (_, None) => caller.env.iter().map(|(key, value)| format!("{key}={value}")).collect(),
    };
    if raw.unset_all_env == Some(true) {
        beginning.clear();
    }
    let unset = raw.unset_env.iter().map(|key| (key.clone(), None)).collect();
    let beginning = apply(apply(beginning, unset), of_caller(raw, image, caller));
    let mut variables = apply(beginning, said(raw, caller)?);
    for (key, text) in &raw.env_merge {
        let value = expand(text, &variables);
        variables = apply(variables, vec![(key.clone(), Some(value))]);
    }
    Ok(variables)
}

/// Which way to the network a host has, curl(1) and most others are told by these, in either case.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];

/// What a container of an image has of the caller's variables: all, or those that tell of a proxy.
fn of_caller(raw: &RawRun, image: Option<&Image>, caller: &Caller) -> Vec<Variable> {
    let is_proxy = |key: &str| PROXIES.iter().any(|proxy| key.eq_ignore_ascii_case(proxy));
    let all = raw.env_host == Some(true);
    let proxies = image.is_some() && raw.http_proxy != Some(false);
    let passed = caller.env.iter().filter(|(key, _)| all || proxies && is_proxy(key));
    passed.map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
}

/// `text` with `${NAME}` replaced by what the variable is; one that is not there is empty.
fn expand(text: &str, variables: &[String]) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            expanded.push_str("${");
            rest = after;
            continue;
        };
        let value = variables.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
        expanded.push_str(value.unwrap_or_default());
        rest = behind;
    }
    expanded.push_str(rest);
    expanded
}

/// What `--env-file` and then `--env` say. A name without a value has the caller's; where the
/// caller has none, the variable is to be removed.
///
/// # Errors
/// A file that cannot be read, or a line in it that is not a variable.
pub fn said(raw: &RawRun, caller: &Caller) -> Result<Vec<Variable>, ConfigError> {
    let mut said = Vec::new();
    for file in &raw.env_files {
        for (line, text) in text_file::lines(file)? {
            let wrong = |why| ConfigError::Line { file: file.clone(), line, why };
            let (key, value) = grammar::environment(&text).map_err(|error| wrong(error.why))?;
            if key.contains(char::is_whitespace) {
                return Err(wrong(format!("the variable's name {key:?} has a space in it")));
            }
            said.push((key, value));
        }
    }
    said.extend(raw.env.iter().cloned());
    for (key, value) in said.iter_mut().filter(|(_, value)| value.is_none()) {
        *value = caller.env.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    }
    Ok(said)
}

/// Applies what was said to `KEY=VALUE` variables; those that were there keep their place.
pub fn apply(mut variables: Vec<String>, said: Vec<Variable>) -> Vec<String> {
    for (key, value) in said {
        let is_it =
            |variable: &String| variable.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('='));
        let place = variables.iter().position(is_it);
        match (place, value) {
            (Some(place), Some(value)) => variables[place] = format!("{key}={value}"),
            (Some(place), None) => drop(variables.remove(place)),
            (None, Some(value)) => variables.push(format!("{key}={value}")),
            (None, None) => {}
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_made_from_others() {
        let variables = ["A=1".to_owned(), "AB=2".to_owned()];
        assert_eq!(expand("${A}-${AB}-${C}!", &variables), "1-2-!");
        assert_eq!(expand("$A ${A", &variables), "$A ${A");
    }
}
