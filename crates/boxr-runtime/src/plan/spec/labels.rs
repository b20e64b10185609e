//! Names of mandatory access control: they are refused where the kernel does not enforce them,
//! because a container that asked for a profile must not run without.

use std::path::Path;

use oci_spec::runtime::{Linux, Spec};

use crate::error::Error;

/// `process.apparmorProfile`. `unconfined` is what everything is without AppArmor.
pub(super) fn apparmor(profile: Option<&str>) -> Result<Option<String>, Error> {
    let Some(profile) = profile.filter(|profile| !profile.is_empty()) else { return Ok(None) };
    let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
    if enabled.is_ok_and(|text| text.first() == Some(&b'Y')) {
        return Ok(Some(profile.to_owned()));
    }
    if profile == "unconfined" {
        return Ok(None);
    }
    Err(Error::field("process.apparmorProfile", format!("{profile}: AppArmor is not enabled on this host")))
}

/// `process.selinuxLabel` or `linux.mountLabel`.
pub(super) fn selinux(field: &str, label: Option<&str>) -> Result<Option<String>, Error> {
    let Some(label) = label.filter(|label| !label.is_empty()) else { return Ok(None) };
    // selinuxfs is there when the kernel enforces a policy or could.
    if Path::new("/sys/fs/selinux/enforce").exists() {
        return Ok(Some(label.to_owned()));
    }
    Err(Error::field(field, format!("{label}: SELinux is not enabled on this host")))
}

/// Which attribute mountLabel is given with; crun's annotation chooses another than `context`.
const CONTEXT_TYPE: &str = "run.oci.mount_context_type";

/// Attribute and value of `linux.mountLabel` for mount(8).
pub(super) fn mount_context(spec: &Spec, linux: &Linux) -> Result<Option<(String, String)>, Error> {
    let Some(label) = selinux("linux.mountLabel", linux.mount_label().as_deref())? else { return Ok(None) };
    let annotated = spec.annotations().as_ref().and_then(|map| map.get(CONTEXT_TYPE));
    let attribute = annotated.map_or("context", String::as_str);
    if !matches!(attribute, "context" | "fscontext" | "defcontext" | "rootcontext") {
        let field = format!("annotations.{CONTEXT_TYPE}");
        let why = format!("{attribute}: not context, fscontext, defcontext or rootcontext");
        return Err(Error::field(field, why));
    }
    Ok(Some((attribute.to_owned(), label)))
}
