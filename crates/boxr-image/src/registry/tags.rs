//! The tags of a repository (OCI distribution specification, "Listing Tags").

use serde::Deserialize;

use super::client::Client;
use super::http::{Response, answer, header, read_all};
use super::session::Ask;
use super::{Endpoint, RegistryError};
use crate::oci::LONGEST_MANIFEST;
use crate::reference::Reference;

/// Pages of a list that are asked for: more has nobody.
const MOST_PAGES: u32 = 1000;

#[derive(Deserialize)]
struct List {
    /// `null` where there is none.
    tags: Option<Vec<String>>,
}

impl Client {
    /// The names of all images in the repository of `reference`, in the registry's order.
    ///
    /// # Errors
    /// Nobody has it, or what they say cannot be used. Of several mirrors the last one's error is given.
    pub fn tags(&self, reference: &Reference) -> Result<Vec<Reference>, RegistryError> {
        let endpoints = self.options().registries.endpoints(reference, self.options().tls_verify)?;
        let mut last = None;
        for endpoint in endpoints {
            match self.tags_from(&endpoint) {
                Ok(tags) => return tags.iter().map(|tag| with_tag(reference, tag)).collect(),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| answer(&reference.to_string(), "no registry is named for it")))
    }

    fn tags_from(&self, endpoint: &Endpoint) -> Result<Vec<String>, RegistryError> {
        let mut path = format!("/v2/{}/tags/list", endpoint.repository);
        let (mut all, what) = (Vec::new(), format!("the tags of {}", endpoint.repository));
        for _ in 0..MOST_PAGES {
            let ask = Ask {
                method: "GET",
                path: &path,
                repository: &endpoint.repository,
                what: &what,
                headers: &[],
                payload: None,
            };
            let read = |url: &str, response: Response| {
                let next = header(&response, "link").and_then(next_page);
                let bytes = read_all(url, response, LONGEST_MANIFEST)?;
                let list: List = serde_json::from_slice(&bytes).map_err(|error| answer(url, error))?;
                Ok((list.tags.unwrap_or_default(), next))
            };
            let (tags, next) = self.session(endpoint).ask(self.options(), ask, read)?;
            all.extend(tags);
            match next {
                Some(next) => path = next,
                None => return Ok(all),
            }
        }
        Err(answer(&what, "there are pages of tags without end"))
    }
}

fn with_tag(of: &Reference, tag: &str) -> Result<Reference, RegistryError> {
    let name = format!("{}/{}:{tag}", of.registry(), of.repository());
    Reference::parse(&name).map_err(|error| answer(&of.familiar_name(), error))
}

/// Where the list goes on (RFC 8288), on the same registry.
fn next_page(link: &str) -> Option<String> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|one| matches!(one.trim(), "rel=\"next\"" | "rel=next"));
    (is_next && target.starts_with("/v2/")).then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_where_it_says() {
        let next = next_page("</v2/app/tags/list?last=b&n=2>; rel=\"next\"");
        assert_eq!(next.as_deref(), Some("/v2/app/tags/list?last=b&n=2"));
        for link in [
            "",
            "</v2/x>",
            "</v2/x>; rel=\"prev\"",
            "<https://else.where/v2/x>; rel=\"next\"",
            "/v2/x; rel=next",
        ] {
            assert_eq!(next_page(link), None, "{link}");
        }
    }

    #[test]
    fn a_tag_that_is_none_is_refused() {
        let app = Reference::parse("quay.io/org/app").unwrap();
        assert_eq!(with_tag(&app, "1.2").unwrap().familiar(), "quay.io/org/app:1.2");
        assert!(with_tag(&app, "../1").is_err() && with_tag(&app, "").is_err());
    }
}
