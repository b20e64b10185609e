//! `spec`: a config.json to start from.

use std::io::Write;
use std::path::PathBuf;

use oci_spec::runtime::{
    Linux, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespaceBuilder, LinuxNamespaceType, Mount, Spec,
};

use crate::cli::Globals;
use crate::cli::words::Words;
use crate::error::Error;

/// Runs the command.
///
/// # Errors
/// There is a config.json already, or it cannot be written.
pub fn run(_: &Globals, words: &Words) -> Result<u8, Error> {
    let directory = words.path("bundle").unwrap_or_else(|| PathBuf::from("."));
    let path = directory.join("config.json");
    let spec = if words.on("rootless") { rootless() } else { stock() };
    let mut text = serde_json::to_string_pretty(&spec)
        .map_err(|error| Error::Config { path: path.clone(), why: error.to_string() })?;
    text.push('\n');
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let name = path.display();
            Err(Error::Usage(format!("file {name} exists. Remove it first")))
        }
        Err(error) => Err(Error::io("write", path, error)),
    }
}

/// A shell in namespaces of its own, on the directory `rootfs`.
fn stock() -> Spec {
    let mut spec = Spec::default();
    spec.set_version(super::features::SPEC_VERSION.to_owned());
    spec.set_hostname(Some("boxr".to_owned()));
    if let Some(process) = spec.process_mut() {
        process.set_terminal(Some(true)).set_args(Some(vec!["sh".to_owned()]));
    }
    if let Some(linux) = spec.linux_mut() {
        add_cgroup_namespace(linux);
    }
    spec
}

fn add_cgroup_namespace(linux: &mut Linux) {
    let namespaces = linux.namespaces_mut().get_or_insert_default();
    if namespaces.iter().all(|namespace| namespace.typ() != LinuxNamespaceType::Cgroup) {
        namespaces.extend(LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Cgroup).build());
    }
}

/// The same for a caller without privileges: a user namespace, in which only the caller's own ids are
/// mapped, and nothing that needs more.
fn rootless() -> Spec {
    let mut spec = stock();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if let Some(linux) = spec.linux_mut() {
        let namespaces = linux.namespaces_mut().get_or_insert_default();
        // Without a network of its own there is nobody to set one up.
        namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Network);
        namespaces.extend(LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::User).build());
        linux.set_uid_mappings(Some(root_is(uid))).set_gid_mappings(Some(root_is(gid)));
        linux.set_resources(None);
    }
    for mount in spec.mounts_mut().iter_mut().flatten() {
        fit_to_one_id(mount);
    }
    spec
}

fn root_is(id: u32) -> Vec<LinuxIdMapping> {
    LinuxIdMappingBuilder::default().container_id(0u32).host_id(id).size(1u32).build().into_iter().collect()
}

/// The group of terminals is not mapped, and sysfs belongs to the host's network.
fn fit_to_one_id(mount: &mut Mount) {
    if let Some(options) = mount.options_mut() {
        options.retain(|option| option != "gid=5");
    }
    if mount.typ().as_deref() == Some("sysfs") {
        mount.set_typ(Some("none".to_owned())).set_source(Some(PathBuf::from("/sys")));
        let options = ["rbind", "nosuid", "noexec", "nodev", "ro"];
        mount.set_options(Some(options.map(str::to_owned).to_vec()));
    }
}
