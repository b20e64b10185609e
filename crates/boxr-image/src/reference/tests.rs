//! Names as docker's users know them, and any names.

use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[track_caller]
fn full(text: &str) -> String {
    Reference::parse(text).unwrap().to_string()
}

#[test]
fn short_names_are_of_docker_hub() {
    assert_eq!(full("alpine"), "docker.io/library/alpine:latest");
    assert_eq!(full("alpine:3.20"), "docker.io/library/alpine:3.20");
    assert_eq!(full("library/alpine"), "docker.io/library/alpine:latest");
    assert_eq!(full("docker.io/alpine"), "docker.io/library/alpine:latest");
    assert_eq!(full("index.docker.io/alpine"), "docker.io/library/alpine:latest");
    assert_eq!(full("org/app"), "docker.io/org/app:latest");
    assert_eq!(full("index.docker.io/org/app"), "docker.io/org/app:latest");
}

#[test]
fn registries_look_like_hosts() {
    assert_eq!(full("quay.io/app"), "quay.io/app:latest");
    assert_eq!(full("localhost/app"), "localhost/app:latest");
    assert_eq!(full("localhost:5000/a/b:1"), "localhost:5000/a/b:1");
    assert_eq!(full("host:5000/app"), "host:5000/app:latest");
    assert_eq!(full("[::1]:5000/app"), "[::1]:5000/app:latest");
    assert_eq!(full("127.0.0.1:5000/app"), "127.0.0.1:5000/app:latest");
    assert_eq!(full("UPPER/app"), "UPPER/app:latest");
    // Without a slash there is no registry, so this is a tag.
    assert_eq!(full("host:5000"), "docker.io/library/host:5000");
    assert_eq!(Reference::parse_in("app", "r.example:1").unwrap().to_string(), "r.example:1/app:latest");
}

#[test]
fn a_digest_needs_no_tag_and_is_asked_for_first() {
    let digest = format!("sha256:{HEX}");
    let by_digest = Reference::parse(&format!("alpine@{digest}")).unwrap();
    assert_eq!((by_digest.tag(), by_digest.version().as_str()), (None, digest.as_str()));
    let both = Reference::parse(&format!("alpine:3@{digest}")).unwrap();
    assert_eq!((both.tag(), both.version().as_str()), (Some("3"), digest.as_str()));
    assert_eq!(both.to_string(), format!("docker.io/library/alpine:3@{digest}"));
    assert_eq!(both.without_digest().unwrap().familiar(), "alpine:3");
    assert_eq!(by_digest.without_digest(), None);
    assert_eq!((both.given(), by_digest.given()), (None, None));
}

#[test]
fn what_is_wrong_with_a_name_is_said() {
    let refused = |text: &str| Reference::parse(text).unwrap_err();
    assert_eq!(refused(""), ReferenceError::Empty);
    assert!(matches!(refused("-a"), ReferenceError::Part { .. }));
    assert!(matches!(refused("a//b"), ReferenceError::Part { .. }));
    assert!(matches!(refused("a/../b"), ReferenceError::Part { .. }));
    assert!(matches!(refused("a___b"), ReferenceError::Part { .. }));
    assert!(matches!(refused("q.io/"), ReferenceError::Part { .. }));
    assert!(matches!(refused("a:"), ReferenceError::Tag { .. }));
    assert!(matches!(refused("a:.b"), ReferenceError::Tag { .. }));
    assert!(matches!(refused("a@sha256:12"), ReferenceError::Digest { .. }));
    assert!(matches!(refused(":5000/app"), ReferenceError::Registry { .. }));
    assert!(matches!(refused("host:70000/app"), ReferenceError::Registry { .. }));
    assert!(matches!(refused("a_b.c/app"), ReferenceError::Registry { .. }));
    assert!(matches!(refused("[::1/app"), ReferenceError::Registry { .. }));
    assert!(matches!(refused(HEX), ReferenceError::LikeAnId(_)));
    assert!(matches!(refused(&"a".repeat(256)), ReferenceError::TooLong(_)));
    assert!(matches!(refused(&format!("a:{}", "b".repeat(129))), ReferenceError::Tag { .. }));
    match refused("quay.io/Org/App:V1") {
        ReferenceError::UpperCase { lower, .. } => assert_eq!(lower, "quay.io/org/app:V1"),
        other => panic!("{other}"),
    }
    assert!(matches!(refused("Alpine"), ReferenceError::UpperCase { .. }));
}

#[test]
fn people_see_short_names() {
    for name in ["alpine:latest", "org/app:1", "quay.io/app:1", "library/a/b:latest", "docker.io/a.b/c:1"] {
        assert_eq!(Reference::parse(name).unwrap().familiar(), name);
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_survives(text in "\\PC{0,40}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
        }
    }

    #[test]
    fn well_formed_names_survive_both_forms(
        host in prop::option::of("[a-z]{1,5}(\\.[a-z0-9]{1,5}){1,2}(:[1-9][0-9]{0,3})?|localhost"),
        path in "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,6}){0,3}",
        tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
        digest in any::<bool>(),
    ) {
        // A first part with a dot is a registry.
        let dotted = path.split_once('/').is_some_and(|(first, _)| first.contains('.'));
        let host = host.or(dotted.then(|| DOCKER_HUB.to_owned()));
        let mut text = host.map_or_else(|| path.clone(), |host| format!("{host}/{path}"));
        if let Some(tag) = &tag {
            text += &format!(":{tag}");
        }
        if digest {
            text += &format!("@sha256:{HEX}");
        }
        let reference = Reference::parse(&text).unwrap();
        prop_assert_eq!(reference.digest().is_some(), digest);
        prop_assert!(tag.is_none() || reference.tag() == tag.as_deref());
        prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
        prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
    }
}
