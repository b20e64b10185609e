//! What a specification file says.

use std::path::PathBuf;

use serde::Deserialize;

use super::yaml;

/// The newest that is understood.
const NEWEST: (u32, u32) = (1, 1);

/// One file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    pub cdi_version: String,
    pub kind: String,
    pub devices: Vec<Device>,
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

/// One device.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Device {
    pub name: String,
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

/// What becomes of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerEdits {
    pub env: Vec<String>,
    pub device_nodes: Vec<DeviceNode>,
    pub mounts: Vec<Mount>,
    pub hooks: Vec<Hook>,
    #[serde(alias = "additionalGIDs")]
    pub additional_gids: Vec<u32>,
    pub intel_rdt: Option<IntelRdt>,
    pub net_devices: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceNode {
    pub path: PathBuf,
    pub host_path: Option<PathBuf>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub major: Option<i64>,
    pub minor: Option<i64>,
    pub file_mode: Option<u32>,
    pub permissions: Option<String>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mount {
    pub host_path: PathBuf,
    pub container_path: PathBuf,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub options: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hook {
    pub hook_name: String,
    pub path: PathBuf,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: Vec<String>,
    pub timeout: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IntelRdt {
    #[serde(rename = "closID")]
    pub clos_id: Option<String>,
    pub l3_cache_schema: Option<String>,
    pub mem_bw_schema: Option<String>,
}

/// Reads a file's text, YAML unless it is called JSON.
pub(super) fn read(text: &str, is_json: bool) -> Result<File, String> {
    let value =
        if is_json { serde_json::from_str(text).map_err(|error| error.to_string())? } else { of_yaml(text)? };
    let file: File = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let mut numbers = file.cdi_version.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(0));
    if version > NEWEST {
        return Err(format!("cdiVersion {} is not known to this boxr", file.cdi_version));
    }
    if !super::is_kind(&file.kind) {
        return Err(format!("kind {:?} is not VENDOR/CLASS", file.kind));
    }
    Ok(file)
}

fn of_yaml(text: &str) -> Result<serde_json::Value, String> {
    let mut size = yaml::Size::default();
    let read = yaml_rust2::parser::Parser::new(text.chars()).load(&mut size, true);
    read.map_err(|error| error.to_string())?;
    if size.is_excessive() {
        return Err(format!("with what its aliases stand for it has more than {} bytes", yaml::MOST));
    }
    let documents = yaml_rust2::YamlLoader::load_from_str(text).map_err(|error| error.to_string())?;
    match documents.as_slice() {
        [one] => value(one),
        _ => Err("not one document".to_owned()),
    }
}

/// What both have in common.
fn value(yaml: &yaml_rust2::Yaml) -> Result<serde_json::Value, String> {
    use serde_json::Value;
    use yaml_rust2::Yaml;
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Boolean(truth) => Value::Bool(*truth),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::String(text) | Yaml::Real(text) => Value::String(text.clone()),
        Yaml::Array(list) => Value::Array(list.iter().map(value).collect::<Result<_, _>>()?),
        Yaml::Hash(table) => {
            let entry = |(key, one): (&Yaml, &Yaml)| match key {
                Yaml::String(key) => Ok((key.clone(), value(one)?)),
                _ => Err("a key that is no string".to_owned()),
            };
            Value::Object(table.iter().map(entry).collect::<Result<_, String>>()?)
        }
        Yaml::Alias(_) | Yaml::BadValue => return Err("a value that JSON does not have".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "cdiVersion: 0.6.0\nkind: vendor.com/class\ndevices:\n- name: one\n  containerEdits:\n    env: [\"A=b\"]\n    \
                        deviceNodes:\n    - path: /dev/x\n      fileMode: 438\n    additionalGids: [5]\n";

    #[test]
    fn both_forms_say_the_same() {
        let file = read(YAML, false).unwrap();
        assert_eq!((file.kind.as_str(), file.devices[0].name.as_str()), ("vendor.com/class", "one"));
        let edits = &file.devices[0].container_edits;
        assert_eq!(
            (edits.env.as_slice(), edits.additional_gids.as_slice()),
            (&["A=b".to_owned()][..], &[5][..])
        );
        assert_eq!(edits.device_nodes[0].file_mode, Some(438));
        let json =
            r#"{"cdiVersion": "1.0.0", "kind": "v/c", "devices": [{"name": "a", "containerEdits": {}}]}"#;
        assert_eq!(read(json, true).unwrap().devices.len(), 1);
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        for (text, part) in [
            ("{", "EOF"),
            (r#"{"cdiVersion": "9.0.0", "kind": "v/c", "devices": []}"#, "9.0.0 is not known"),
            (r#"{"cdiVersion": "0.6.0", "kind": "v", "devices": []}"#, "not VENDOR/CLASS"),
            (r#"{"kind": "v/c", "devices": []}"#, "cdiVersion"),
        ] {
            let error = read(text, true).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let bomb =
            (1..9).map(|n| format!("a{n}: &a{n} [{}*a{}]\n", format!("*a{},", n - 1).repeat(9), n - 1));
        let bomb = format!("a0: &a0 [1]\n{}", bomb.collect::<String>());
        let long = format!("a: &a {}\nb: [{}1]", "x".repeat(1 << 20), "*a,".repeat(100));
        for text in [bomb, long] {
            let error = read(&text, false).unwrap_err();
            assert!(error.contains("aliases stand for"), "{error}");
        }
        assert!(read("a: [", false).is_err() && read("- 1\n---\n- 2\n", false).is_err());
    }
}
