//! Files as docker and podman write them, and helpers.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn password(user: &str, password: &str) -> Credential {
    Credential::Password { user: user.into(), password: password.into() }
}

fn store(text: &str) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth.json");
    std::fs::write(&path, text).unwrap();
    (dir, Store { files: vec![path.clone()], new: Some(path) })
}

#[test]
fn files_of_docker_and_podman_are_read() {
    // "u:p", "org:w:x", "team:t"
    let text = r#"{"auths":{
        "https://index.docker.io/v1/":{"auth":"dTpw"},
        "quay.io/org":{"auth":"b3JnOnc6eA=="},
        "quay.io/org/team":{"auth":"dGVhbTp0"},
        "http://r.example:5000/v2/":{"username":"a","password":"b"},
        "azure.example":{"identitytoken":"tok"},
        "empty.example":{}
    }}"#;
    let (_dir, store) = store(text);
    let find = |registry, repository| store.find(registry, repository).unwrap();
    assert_eq!(find("docker.io", "library/alpine"), Some(password("u", "p")));
    assert_eq!(find("quay.io", "org/app"), Some(password("org", "w:x")));
    assert_eq!(find("quay.io", "org/team/app"), Some(password("team", "t")));
    assert_eq!(find("quay.io", "other/app"), None);
    assert_eq!(find("r.example:5000", "app"), Some(password("a", "b")));
    assert_eq!(find("r.example", "app"), None);
    assert_eq!(find("azure.example", "app"), Some(Credential::IdentityToken("tok".into())));
    assert_eq!(find("empty.example", "app"), None);
}

#[test]
fn passwords_are_kept_beside_what_is_there_and_forgotten() {
    let (dir, store) =
        store(r#"{"detachKeys":"ctrl-x","auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}"#);
    for (registry, user) in [("docker.io", "new"), ("quay.io", "q")] {
        store.keep(registry, &password(user, "s:e")).unwrap();
        assert_eq!(store.find(registry, "any").unwrap(), Some(password(user, "s:e")));
    }
    let path = dir.path().join("auth.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("ctrl-x") && text.contains(DOCKER_HUB_KEY), "{text}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(store.forget("quay.io").unwrap().len(), 1);
    assert_eq!(store.forget("quay.io").unwrap().len(), 0);
    assert_eq!(store.find("quay.io", "any").unwrap(), None);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing temporary is left");
}

#[test]
fn a_link_to_a_file_stays_a_link() {
    let (dir, store) = store("{}");
    let link = dir.path().join("link.json");
    std::os::unix::fs::symlink(dir.path().join("auth.json"), &link).unwrap();
    let by_link = Store { files: vec![link.clone()], new: Some(link.clone()) };
    by_link.keep("quay.io", &password("a", "b")).unwrap();
    assert!(link.is_symlink());
    assert!(store.find("quay.io", "x").unwrap().is_some());
}

#[test]
fn damage_is_said_and_not_passed_over() {
    let (_dir, broken) = store("{\"auths\":");
    assert!(matches!(broken.find("quay.io", "x"), Err(CredentialError::Damaged { .. })));
    let (_dir, no_pair) = store(r#"{"auths":{"quay.io":{"auth":"AAAA"}}}"#);
    assert!(matches!(no_pair.find("quay.io", "x"), Err(CredentialError::Damaged { .. })));
    let (_dir, escaping) = store(r#"{"credsStore":"../../x"}"#);
    assert!(matches!(escaping.find("quay.io", "x"), Err(CredentialError::Helper(HelperError::Name(_)))));
}

#[test]
fn the_environment_says_where_files_are() {
    let variables = |pairs: &'static [(&str, &str)]| {
        move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
    };
    let podman_first = Store::from_environment(None, variables(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]));
    let expected = ["/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"];
    assert_eq!(podman_first.files, expected.map(PathBuf::from));
    assert_eq!(podman_first.new, Some("/h/.docker/config.json".into()));
    let only = Store::from_environment(None, variables(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/a")]));
    assert_eq!(only.files, [PathBuf::from("/a")]);
    let none = Store::from_environment(None, variables(&[]));
    assert!(matches!(none.keep("r.example", &password("a", "b")), Err(CredentialError::NoFile)));
}

#[test]
fn helpers_are_asked() {
    // The programs are found by PATH, which belongs to the whole process: so in a process of its own.
    if std::env::var_os("BOXR_TEST_HELPER").is_some() {
        return with_helper();
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\nread -r line\ncd \"${0%/*}\" || exit\ncase $1 in\n\
        get) case $line in *quay*) test -f secret && cat secret && exit;; esac; echo 'credentials not found in native keychain'; exit 1;;\n\
        store) echo \"$line\" > secret;;\nerase) rm secret;;\nesac\n";
    let path = dir.path().join("docker-credential-fake");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let search = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "registry::credentials::tests::helpers_are_asked"])
        .env("BOXR_TEST_HELPER", "1")
        .env("PATH", search)
        .status();
    assert!(status.unwrap().success());
}

fn with_helper() {
    let (_dir, one) = store(r#"{"credHelpers":{"quay.io":"fake"}}"#);
    one.keep("quay.io", &password("me", "secret")).unwrap();
    assert_eq!(one.find("quay.io", "x").unwrap(), Some(password("me", "secret")));
    assert_eq!(one.find("r.example", "x").unwrap(), None);
    let (_dir, all) = store(r#"{"credsStore":"fake"}"#);
    all.keep("quay.io", &Credential::IdentityToken("t".into())).unwrap();
    assert_eq!(all.find("quay.io", "x").unwrap(), Some(Credential::IdentityToken("t".into())));
    assert_eq!(all.find("r.example", "x").unwrap(), None);
    assert_eq!(all.forget("quay.io").unwrap(), ["docker-credential-fake"]);
    let (_dir, all) = store(
        r#"{"credHelpers":{"quay.io":"fake"},"credsStore":"fake","auths":{"r.example":{},"quay.io":{}}}"#,
    );
    all.keep("quay.io", &password("me", "secret")).unwrap();
    let places = all.forget_all().unwrap();
    assert_eq!((places.len(), places[0].as_str()), (2, "docker-credential-fake"));
    assert_eq!(all.find("quay.io", "x").unwrap(), None);
    assert!(all.forget_all().unwrap().is_empty());
    let (_dir, missing) = store(r#"{"credsStore":"not-there"}"#);
    assert!(matches!(missing.find("quay.io", "x"), Err(CredentialError::Helper(HelperError::Run { .. }))));
}
