//! Changes to how a container is run, in the words of a Dockerfile (`import --change`, `commit --change`).

use serde_json::{Value, json};

use super::Config;

/// A change that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{change:?}: {reason}")]
pub struct ChangeError {
    /// What was given.
    pub change: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Config {
    /// Makes a change: an instruction of a Dockerfile that says how a container is run.
    ///
    /// # Errors
    /// It is none, or says something that cannot be.
    pub fn change(&mut self, change: &str) -> Result<(), ChangeError> {
        let failed = |reason: String| ChangeError { change: change.to_owned(), reason };
        let text = change.trim();
        // Podman's users write an equals sign in the place of the blank.
        let (word, rest) = text.split_once([' ', '\t', '=']).unwrap_or((text, ""));
        let rest = rest.trim();
        if rest.is_empty() && !word.eq_ignore_ascii_case("CMD") {
            return Err(failed("it says nothing".to_owned()));
        }
        self.apply(&word.to_ascii_uppercase(), rest).map_err(failed)
    }

    fn apply(&mut self, word: &str, rest: &str) -> Result<(), String> {
        match word {
            "CMD" => self.cmd = command(rest)?,
            "ENTRYPOINT" => self.entrypoint = command(rest)?,
            "ENV" => pairs(rest)?.into_iter().for_each(|(key, value)| self.set_variable(&key, &value)),
            "LABEL" => self.labels.extend(pairs(rest)?),
            "EXPOSE" => {
                for port in rest.split_whitespace() {
                    self.exposed_ports.insert(exposed(port)?, json!({}));
                }
            }
            "USER" => self.user = rest.to_owned(),
            "WORKDIR" => self.working_dir = directory(&self.working_dir, rest),
            "STOPSIGNAL" => self.stop_signal = Some(rest.to_owned()),
            "VOLUME" => {
                let listed = list(rest)?;
                let plain = || rest.split_whitespace().map(str::to_owned).collect();
                self.volumes.extend(listed.unwrap_or_else(plain).into_iter().map(|path| (path, json!({}))));
            }
            "HEALTHCHECK" => self.healthcheck = Some(health_check(rest)?),
            other => {
                return Err(format!(
                    "{other} is none of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, STOPSIGNAL, USER, VOLUME, \
                     WORKDIR"
                ));
            }
        }
        Ok(())
    }

    fn set_variable(&mut self, key: &str, value: &str) {
        let line = format!("{key}={value}");
        let is_same = |known: &&mut String| known.split_once('=').is_some_and(|(name, _)| name == key);
        match self.env.iter_mut().find(is_same) {
            Some(known) => *known = line,
            None => self.env.push(line),
        }
    }
}

/// A JSON array of strings; `None` for what is none.
fn list(text: &str) -> Result<Option<Vec<String>>, String> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|_| format!("{text} is no list of strings in JSON"))
}

/// A list, or a line for a shell.
fn command(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(list(text)?.unwrap_or_else(|| ["/bin/sh", "-c", text].map(str::to_owned).to_vec()))
}

fn directory(before: &str, path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{}/{path}", before.trim_end_matches('/')),
    }
}

/// `80`, `8080/udp`
fn exposed(text: &str) -> Result<String, String> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_fine = match port.split_once('-') {
        Some((first, last)) => is_port(first) && is_port(last),
        None => is_port(port),
    };
    match protocol {
        "tcp" | "udp" | "sctp" if is_fine => Ok(format!("{port}/{protocol}")),
        _ => Err(format!("{text} is no port")),
    }
}

/// `KEY=VALUE KEY="VALUE WITH BLANKS"…`, or `KEY VALUE`, where the value is all the rest.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(text)?;
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (key, value) = text.split_once([' ', '\t']).ok_or_else(|| format!("{text} has no value"))?;
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    let split = |word: &String| {
        let pair = word.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) = pair.ok_or_else(|| format!("{word} is not KEY=VALUE"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    words.iter().map(split).collect()
}

/// Words with blanks between them, but for those in quotes or behind a backslash.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut is_word) = (Vec::new(), String::new(), false);
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', None | Some('"')) => word.extend(characters.next()),
            (character, Some(open)) if character == open => quote = None,
            (character, Some(_)) => word.push(character),
            ('"' | '\'', None) => quote = Some(character),
            (character, None) if character.is_whitespace() => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                    is_word = false;
                }
                continue;
            }
            (character, None) => word.push(character),
        }
        is_word = true;
    }
    if quote.is_some() {
        return Err("a quote has no end".to_owned());
    }
    words.extend(is_word.then_some(word));
    Ok(words)
}

/// `NONE`, or options and `CMD …`, as docker keeps it.
fn health_check(text: &str) -> Result<Value, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(json!({"Test": ["NONE"]}));
    }
    let mut check = json!({});
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once([' ', '\t']).ok_or("a command is missing")?;
        let (key, value) = option.split_once('=').ok_or_else(|| format!("--{option} has no value"))?;
        let bad = || format!("--{key}={value} cannot be");
        match key {
            "interval" => check["Interval"] = duration(value).ok_or_else(bad)?.into(),
            "timeout" => check["Timeout"] = duration(value).ok_or_else(bad)?.into(),
            "start-period" => check["StartPeriod"] = duration(value).ok_or_else(bad)?.into(),
            "start-interval" => check["StartInterval"] = duration(value).ok_or_else(bad)?.into(),
            "retries" => check["Retries"] = value.parse::<u32>().map_err(|_| bad())?.into(),
            _ => return Err(format!("--{key} is no option of a health check")),
        }
        rest = after.trim_start();
    }
    let word = rest.get(..4).filter(|word| word.eq_ignore_ascii_case("cmd ")).ok_or("CMD is missing")?;
    let line = rest[word.len()..].trim();
    let test = match list(line)? {
        Some(words) => ["CMD".to_owned()].into_iter().chain(words).collect(),
        None => vec!["CMD-SHELL".to_owned(), line.to_owned()],
    };
    check["Test"] = test.into();
    Ok(check)
}

/// Nanoseconds of `1m30s`, `500ms` and the like (Go's `time.ParseDuration`).
fn duration(text: &str) -> Option<u64> {
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let factor = match &after[..unit] {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = &after[unit..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn changed(changes: &[&str]) -> Config {
        let mut config = Config::default();
        changes.iter().for_each(|change| config.change(change).unwrap());
        config
    }

    #[test]
    fn instructions_of_a_dockerfile_are_understood() {
        let config = changed(&[
            r#"CMD ["sh", "-c", "true"]"#,
            "entrypoint echo $HOME",
            r#"ENV A=1 B="two words" C=x\ y"#,
            "ENV A=2",
            "ENV LONG  a long value",
            "LABEL tier=front",
            "EXPOSE 80 8080/udp 100-200",
            "USER me:us",
            "WORKDIR /srv",
            "WORKDIR app",
            r#"VOLUME ["/a b", "/c"]"#,
            "VOLUME /d /e",
            "STOPSIGNAL SIGINT",
        ]);
        assert_eq!(config.cmd, ["sh", "-c", "true"]);
        assert_eq!(config.entrypoint, ["/bin/sh", "-c", "echo $HOME"]);
        assert_eq!(config.env, ["A=2", "B=two words", "C=x y", "LONG=a long value"]);
        assert_eq!(config.labels["tier"], "front");
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["100-200/tcp", "80/tcp", "8080/udp"]);
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("me:us", "/srv/app"));
        assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/a b", "/c", "/d", "/e"]);
        assert_eq!(config.stop_signal.as_deref(), Some("SIGINT"));
        // Podman's way to write it.
        assert_eq!(changed(&["CMD=/bin/sh", "ENV=K=V"]).cmd, ["/bin/sh", "-c", "/bin/sh"]);
    }

    #[test]
    fn health_checks_are_as_docker_keeps_them() {
        let check = changed(&["HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f localhost"]).healthcheck;
        let expected =
            json!({"Interval": 90_000_000_000u64, "Retries": 3, "Test": ["CMD-SHELL", "curl -f localhost"]});
        assert_eq!(check.unwrap(), expected);
        let check = changed(&["HEALTHCHECK cmd [\"true\"]"]).healthcheck;
        assert_eq!(check.unwrap(), json!({"Test": ["CMD", "true"]}));
        assert_eq!(changed(&["HEALTHCHECK NONE"]).healthcheck.unwrap(), json!({"Test": ["NONE"]}));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            "",
            "RUN true",
            "ENV",
            "ENV A",
            "CMD [1]",
            "CMD [\"a\"",
            "EXPOSE http",
            "EXPOSE 80/icmp",
            "EXPOSE 0",
            "LABEL a=\"b",
            "HEALTHCHECK --interval=soon CMD x",
            "HEALTHCHECK x",
            "HEALTHCHECK --x=1 CMD y",
        ] {
            Config::default().change(bad).expect_err(bad);
        }
    }
}
