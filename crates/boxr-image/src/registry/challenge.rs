//! What a registry wants before it answers: the `WWW-Authenticate` header (RFC 9110, section 11).

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token from elsewhere (distribution specification, "token authentication").
    Bearer(Bearer),
    /// Name and password.
    Basic,
}

/// Where the token is to be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) realm: String,
    pub(super) service: Option<String>,
    pub(super) scope: Option<String>,
}

/// The challenge to answer; a bearer's before a basic one's. `None` when there is none that is known.
pub(super) fn parse<'h>(headers: impl IntoIterator<Item = &'h str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers {
        for (scheme, parameters) in split(header) {
            if scheme.eq_ignore_ascii_case("bearer") {
                let find = |name: &str| {
                    parameters
                        .iter()
                        .find(|(key, _)| key.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value.clone())
                };
                if let Some(realm) = find("realm") {
                    return Some(Challenge::Bearer(Bearer {
                        realm,
                        service: find("service"),
                        scope: find("scope"),
                    }));
                }
            } else if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

type Parameters = Vec<(String, String)>;

/// Schemes and their parameters. Several challenges may share a header, parted by the same commas
/// as the parameters: a word without `=` begins a new one.
fn split(header: &str) -> Vec<(String, Parameters)> {
    let mut all: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let value = after.trim_start().strip_prefix('=').filter(|_| !word.is_empty());
        match (value, all.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = take_value(value.trim_start());
                parameters.push((word.to_owned(), value));
                rest = after;
            }
            (Some(value), None) => rest = take_value(value.trim_start()).1,
            (None, _) => {
                if !word.is_empty() {
                    all.push((word.to_owned(), Vec::new()));
                }
                rest = after.strip_prefix('=').unwrap_or(after);
            }
        }
        rest = rest.trim_start_matches([' ', ',']);
    }
    all
}

/// A token or a quoted string, and what follows it.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let (service, scope) = (service.map(str::to_owned), scope.map(str::to_owned));
        Some(Challenge::Bearer(Bearer { realm: realm.into(), service, scope }))
    }

    #[test]
    fn what_registries_send_is_understood() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(
            parse([hub]),
            bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:a/b:pull,push")
            )
        );
        assert_eq!(parse(["Basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(
            parse(["basic realm=x, BEARER Realm=\"r\\\"\" , service=s"]),
            bearer("r\"", Some("s"), None)
        );
        assert_eq!(parse(["Basic", "Bearer realm=r"]), bearer("r", None, None));
        assert_eq!(parse(["Negotiate", "Bearer service=s"]), None);
        assert_eq!(parse(["Bearer realm=\"unended"]), bearer("unended", None, None));
    }

    proptest! {
        #[test]
        fn anything_is_survived(header in "[ -~]{0,60}") {
            parse([header.as_str()]);
        }
    }
}
