//! What becomes of a container's specification.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{
    Hook as SpecHook, HookBuilder, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxIntelRdt, Mount as SpecMount, Spec,
};

use super::CdiError;
use super::find::Found;
use super::spec::{ContainerEdits, DeviceNode, Hook, Mount};

/// What of it concerns the devices, which are decided together with others.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// Nodes to make.
    pub nodes: Vec<LinuxDevice>,
    /// Who may use them.
    pub rules: Vec<LinuxDeviceCgroup>,
}

/// Makes the changes that the devices `names` want, in their order; what their files say of all comes first, once.
///
/// # Errors
/// One is not described, or wants what cannot be.
pub(crate) fn apply(spec: &mut Spec, names: &[String], found: &Found) -> Result<Edits, CdiError> {
    let mut edits = Edits::default();
    let mut files = Vec::new();
    for name in names {
        let (path, file, device) = found.device(name)?;
        let unusable = |why| CdiError::Unusable { name: name.clone(), file: path.to_owned(), why };
        if !files.contains(&path) {
            files.push(path);
            edits.take(spec, &file.container_edits).map_err(unusable)?;
        }
        edits.take(spec, &device.container_edits).map_err(unusable)?;
    }
    Ok(edits)
}

impl Edits {
    fn take(&mut self, spec: &mut Spec, wanted: &ContainerEdits) -> Result<(), String> {
        if !wanted.net_devices.is_empty() {
            return Err("netDevices are not for containers of boxr run".to_owned());
        }
        for node in &wanted.device_nodes {
            self.node(node)?;
        }
        environment(spec, &wanted.env)?;
        mounts(spec, &wanted.mounts)?;
        for hook in &wanted.hooks {
            add_hook(spec, hook)?;
        }
        if let (false, Some(process)) = (wanted.additional_gids.is_empty(), spec.process_mut()) {
            let mut user = process.user().clone();
            let mut groups = user.additional_gids().clone().unwrap_or_default();
            let new = wanted.additional_gids.iter().filter(|gid| **gid != 0);
            groups.extend(new.filter(|gid| !groups.contains(gid)).copied().collect::<Vec<_>>());
            user.set_additional_gids(Some(groups));
            process.set_user(user);
        }
        if let (Some(rdt), Some(linux)) = (&wanted.intel_rdt, spec.linux_mut()) {
            let mut wanted = LinuxIntelRdt::default();
            wanted
                .set_clos_id(rdt.clos_id.clone())
                .set_l3_cache_schema(rdt.l3_cache_schema.clone())
                .set_mem_bw_schema(rdt.mem_bw_schema.clone());
            linux.set_intel_rdt(Some(wanted));
        }
        Ok(())
    }

    /// What is not said of a node is as on the host.
    fn node(&mut self, node: &DeviceNode) -> Result<(), String> {
        let host = node.host_path.as_deref().unwrap_or(&node.path);
        let on_host = std::fs::metadata(host);
        let stat = on_host.as_ref().ok();
        let said = match node.kind.as_deref() {
            None | Some("") => None,
            Some("b") => Some(LinuxDeviceType::B),
            Some("c" | "u") => Some(LinuxDeviceType::C),
            Some("p") => Some(LinuxDeviceType::P),
            Some(other) => return Err(format!("deviceNodes: type {other:?} is none of b, c, u and p")),
        };
        let is = |kind: std::fs::FileType| match () {
            () if kind.is_block_device() => Some(LinuxDeviceType::B),
            () if kind.is_char_device() => Some(LinuxDeviceType::C),
            () if kind.is_fifo() => Some(LinuxDeviceType::P),
            () => None,
        };
        let missing = || match &on_host {
            Ok(_) => format!("deviceNodes: {} is no device", host.display()),
            Err(error) => format!("deviceNodes: {}: {error}", host.display()),
        };
        let kind = said.or_else(|| stat.and_then(|stat| is(stat.file_type()))).ok_or_else(missing)?;
        let number = |said: Option<i64>, of: fn(u64) -> u32| {
            said.or_else(|| stat.map(|stat| i64::from(of(stat.rdev())))).ok_or_else(missing)
        };
        let (major, minor) = match kind {
            LinuxDeviceType::P => (0, 0),
            _ => (number(node.major, rustix::fs::major)?, number(node.minor, rustix::fs::minor)?),
        };
        let mode = node.file_mode.or_else(|| stat.map(MetadataExt::mode)).unwrap_or(0o666);
        let access =
            node.permissions.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "rwm".to_owned());
        let mut made = LinuxDeviceBuilder::default()
            .typ(kind)
            .path(&node.path)
            .major(major)
            .minor(minor)
            .file_mode(mode & 0o7777);
        if let Some(uid) = node.uid.or_else(|| stat.map(MetadataExt::uid)) {
            made = made.uid(uid);
        }
        if let Some(gid) = node.gid.or_else(|| stat.map(MetadataExt::gid)) {
            made = made.gid(gid);
        }
        self.nodes.push(made.build().map_err(|error| error.to_string())?);
        if kind != LinuxDeviceType::P {
            let rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).major(major).minor(minor);
            self.rules.push(rule.access(access).build().map_err(|error| error.to_string())?);
        }
        Ok(())
    }
}

/// A variable that is there already is replaced.
fn environment(spec: &mut Spec, wanted: &[String]) -> Result<(), String> {
    let Some(process) = spec.process_mut() else { return Ok(()) };
    let mut env = process.env().clone().unwrap_or_default();
    for entry in wanted {
        let (name, _) = entry.split_once('=').ok_or_else(|| format!("env: {entry:?} is not NAME=VALUE"))?;
        env.retain(|known| known.split_once('=').is_none_or(|(known, _)| known != name));
        env.push(entry.clone());
    }
    process.set_env(Some(env));
    Ok(())
}

fn mounts(spec: &mut Spec, wanted: &[Mount]) -> Result<(), String> {
    let mut all = spec.mounts().clone().unwrap_or_default();
    for mount in wanted {
        if !mount.container_path.is_absolute() {
            return Err(format!("mounts: {} is not an absolute path", mount.container_path.display()));
        }
        let mut options = mount.options.clone();
        if !options.iter().any(|option| option == "bind" || option == "rbind") {
            options.push("rbind".to_owned());
        }
        let kind = mount.kind.clone().filter(|kind| !kind.is_empty()).unwrap_or_else(|| "bind".to_owned());
        let mut made = SpecMount::default();
        made.set_typ(Some(kind))
            .set_source(Some(mount.host_path.clone()))
            .set_destination(mount.container_path.clone())
            .set_options(Some(options));
        all.retain(|known| known.destination() != &mount.container_path);
        all.push(made);
    }
    spec.set_mounts(Some(all));
    Ok(())
}

fn add_hook(spec: &mut Spec, hook: &Hook) -> Result<(), String> {
    if !hook.path.is_absolute() {
        return Err(format!("hooks: {} is not an absolute path", hook.path.display()));
    }
    let mut made =
        HookBuilder::default().path(Path::new(&hook.path)).args(hook.args.clone()).env(hook.env.clone());
    if let Some(timeout) = hook.timeout {
        made = made.timeout(timeout);
    }
    let made = made.build().map_err(|error| error.to_string())?;
    let mut hooks = spec.hooks().clone().unwrap_or_default();
    let with = |list: &Option<Vec<SpecHook>>| {
        let mut list = list.clone().unwrap_or_default();
        list.push(made.clone());
        Some(list)
    };
    match hook.hook_name.as_str() {
        "createRuntime" => hooks.set_create_runtime(with(hooks.create_runtime())),
        "createContainer" => hooks.set_create_container(with(hooks.create_container())),
        "startContainer" => hooks.set_start_container(with(hooks.start_container())),
        #[allow(deprecated, reason = "still part of the specification")]
        "prestart" => hooks.set_prestart(with(hooks.prestart())),
        other => return Err(format!("hooks: {other} hooks are not for containers of boxr run")),
    };
    spec.set_hooks(Some(hooks));
    Ok(())
}
