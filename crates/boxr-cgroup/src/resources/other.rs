//! The short sections: huge pages, network classes, RDMA, and raw v2 keys.

use std::collections::HashMap;

use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxRdma};

use super::{Facts, Setting, Version, invalid, unsupported};
use crate::controller::Controller::{self, Hugetlb, NetCls, NetPrio, Rdma};
use crate::error::Result;
use crate::field::Field;

/// `hugepageLimits`.
pub(crate) fn hugepages(limits: &[LinuxHugepageLimit], facts: &dyn Facts) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    for (index, limit) in limits.iter().enumerate() {
        let field = Field::dynamic(format!("hugepageLimits[{index}]"));
        let (size, bytes) = (limit.page_size(), limit.limit());
        let digits = size.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
        if digits.len() + 2 != size.len() || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(invalid(&field, format!("pageSize \"{size}\""), "is not a size such as 2MB"));
        }
        if bytes < 0 {
            return Err(invalid(&field, bytes, "is negative"));
        }
        let suffix = match facts.version(Hugetlb, &field)? {
            Version::One => "limit_in_bytes",
            Version::Two => "max",
        };
        let setting =
            |file: String| Setting { file: file.into(), ..Setting::new(Hugetlb, "", bytes, field.clone()) };
        list.push(setting(format!("hugetlb.{size}.{suffix}")));
        // Pages that are promised count too where the kernel knows how (5.7), so that a lack shows in
        // mmap(2) rather than as SIGBUS.
        list.push(setting(format!("hugetlb.{size}.rsvd.{suffix}")).if_exists());
    }
    Ok(list)
}

/// `network`, which only v1 has.
pub(crate) fn network(network: &LinuxNetwork, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let mut list = Vec::new();
    if let Some(class) = network.class_id().filter(|class| *class != 0) {
        let field = Field::plain("network.classID");
        only_one(facts, NetCls, &field)?;
        list.push(Setting::new(NetCls, "net_cls.classid", class, field));
    }
    for priority in network.priorities().iter().flatten() {
        let field = Field::plain("network.priorities");
        only_one(facts, NetPrio, &field)?;
        let value = format!("{} {}", priority.name(), priority.priority());
        list.push(Setting::new(NetPrio, "net_prio.ifpriomap", value, field));
    }
    Ok(list)
}

fn only_one(facts: &dyn Facts, controller: Controller, field: &Field) -> Result<()> {
    match facts.version(controller, field)? {
        Version::One => Ok(()),
        Version::Two => Err(unsupported(field, "cgroup v2 has no such setting")),
    }
}

/// `rdma`, the same in both versions.
pub(crate) fn rdma(devices: &HashMap<String, LinuxRdma>, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let mut names: Vec<_> = devices.iter().collect();
    names.sort_by_key(|(name, _)| *name);
    let mut list = Vec::new();
    for (name, limits) in names {
        let field = Field::dynamic(format!("rdma.{name}"));
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(invalid(&field, format!("\"{name}\""), "is not the name of a device"));
        }
        let mut value = name.clone();
        for (key, count) in [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())] {
            if let Some(count) = count {
                value.push_str(&format!(" {key}={count}"));
            }
        }
        facts.version(Rdma, &field)?;
        list.push(Setting::new(Rdma, "rdma.max", value, field));
    }
    Ok(list)
}

/// `unified`: files of the v2 cgroup, written as they are.
pub(crate) fn unified(values: &HashMap<String, String>, facts: &dyn Facts) -> Result<Vec<Setting>> {
    let mut keys: Vec<_> = values.iter().collect();
    keys.sort();
    let mut list = Vec::new();
    for (key, value) in keys {
        let setting = unified_one(key, facts)?;
        // Files with a line for each device take one line in one write(2).
        for line in value.trim().split('\n') {
            list.push(Setting { value: line.to_owned(), ..setting.clone() });
        }
    }
    Ok(list)
}

fn unified_one(key: &str, facts: &dyn Facts) -> Result<Setting> {
    let field = Field::dynamic(format!("unified[\"{key}\"]"));
    let prefix = match key.split_once('.') {
        Some((prefix, rest)) if !prefix.is_empty() && !rest.is_empty() && !key.contains(['/', '\0']) => {
            prefix
        }
        _ => return Err(invalid(&field, format!("\"{key}\""), "is not the name of a cgroup file")),
    };
    let controller = match prefix {
        // Who lives in the box's cgroup and how it is divided is not for the specification to say.
        "cgroup" if ["cgroup.max.descendants", "cgroup.max.depth", "cgroup.pressure"].contains(&key) => None,
        "cgroup" => return Err(unsupported(&field, "this file is the runtime's own")),
        prefix => match Controller::from_unified_name(prefix) {
            Some(controller) => Some(controller),
            None => return Err(unsupported(&field, format!("boxr knows no controller {prefix}"))),
        },
    };
    if let Some(controller) = controller
        && facts.version(controller, &field)? == Version::One
    {
        return Err(unsupported(&field, format!("on this host the {controller} controller is in cgroup v1")));
    }
    let file = key.to_owned().into();
    Ok(Setting { controller, file, ..Setting::new(Controller::Cpu, "", "", field) })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fake, convert, refusal};
    use super::*;

    #[test]
    fn values() {
        let json = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}],
            "rdma":{"mlx5":{"hcaHandles":3,"hcaObjects":9}}}"#;
        assert_eq!(
            convert(&Fake::new(Version::One), json).unwrap(),
            [
                "hugetlb.2MB.limit_in_bytes=4194304",
                "hugetlb.2MB.rsvd.limit_in_bytes=4194304",
                "rdma.max=mlx5 hca_handle=3 hca_object=9"
            ]
        );
        let json = r#"{"unified":{"memory.high":"1000000","cgroup.max.depth":"3"}}"#;
        assert_eq!(
            convert(&Fake::new(Version::Two), json).unwrap(),
            ["cgroup.max.depth=3", "memory.high=1000000"]
        );
        let json = r#"{"unified":{"io.max":"8:0 rbps=1\n8:16 wbps=2\n","misc.max":"x 1"}}"#;
        assert_eq!(
            convert(&Fake::new(Version::Two), json).unwrap(),
            ["io.max=8:0 rbps=1", "io.max=8:16 wbps=2", "misc.max=x 1"]
        );
        let json = r#"{"network":{"classID":5,"priorities":[{"name":"lo","priority":2}]}}"#;
        assert_eq!(
            convert(&Fake::new(Version::One), json).unwrap(),
            ["net_cls.classid=5", "net_prio.ifpriomap=lo 2"]
        );
    }

    #[test]
    fn refusals() {
        for key in ["../memory.max", "memory", ".x", "cgroup.procs", "cgroup.freeze", "nonsense.max", "a/b.c"]
        {
            let json = format!(r#"{{"unified":{{"{key}":"1"}}}}"#);
            assert!(refusal(Version::Two, &json).contains("unified["), "{key}");
        }
        assert!(refusal(Version::One, r#"{"unified":{"memory.high":"1"}}"#).contains("cgroup v1"));
        assert!(refusal(Version::One, r#"{"hugepageLimits":[{"pageSize":"2M","limit":1}]}"#).contains("2MB"));
        assert!(refusal(Version::Two, r#"{"network":{"classID":5}}"#).contains("classID"));
    }
}
