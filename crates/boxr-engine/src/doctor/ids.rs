//! Ranges of user and group ids, and the programs that map them.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::{Finding, Verdict, program, text};

const AREA: &str = "ids";

pub(super) fn probe() -> Vec<Finding> {
    if rustix::process::geteuid().is_root() {
        return vec![Finding::ok(AREA, "ranges", "root maps any ids")];
    }
    let uid = rustix::process::getuid().as_raw();
    let name = crate::nsview::Users::read().name(uid);
    ["subuid", "subgid"]
        .map(|file| range(file, &name, uid))
        .into_iter()
        .chain(["newuidmap", "newgidmap"].map(mapper))
        .collect()
}

fn range(file: &str, name: &str, uid: u32) -> Finding {
    let count = count(&text(&format!("/etc/{file}")).unwrap_or_default(), name, uid);
    let flag = if file == "subuid" { "subuids" } else { "subgids" };
    let remedy = format!("sudo usermod --add-{flag} 100000-165535 {name}");
    match count {
        0 => Finding::lacking(
            AREA,
            file,
            Verdict::Limited,
            format!("no range for {name} in /etc/{file}: a box has one id"),
            remedy,
        ),
        1..65536 => Finding::lacking(
            AREA,
            file,
            Verdict::Limited,
            format!("{count} ids; images expect 65536"),
            remedy,
        ),
        _ => Finding::ok(AREA, file, format!("{count} ids")),
    }
}

/// Ids in the ranges of a user, by name or number (subuid(5)).
fn count(text: &str, name: &str, uid: u32) -> u64 {
    let number = uid.to_string();
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let who = fields.next()?;
        (who == name || who == number).then(|| fields.nth(1)?.trim().parse::<u64>().ok()).flatten()
    });
    ranges.fold(0, u64::saturating_add)
}

fn mapper(name: &'static str) -> Finding {
    let Some(path) = program(name) else {
        let (detail, remedy) = ("not installed: a box has one id", "sudo apt-get install uidmap");
        return Finding::lacking(AREA, name, Verdict::Limited, detail, remedy);
    };
    let setuid = path.metadata().is_ok_and(|file| file.uid() == 0 && file.permissions().mode() & 0o4000 != 0);
    let mut buffer = [0u8; 64];
    let capable = rustix::fs::getxattr(&path, "security.capability", &mut buffer).is_ok();
    let shown = path.display();
    if setuid || capable {
        return Finding::ok(AREA, name, shown.to_string());
    }
    let detail = format!("{shown} is neither setuid nor has capabilities");
    Finding::lacking(AREA, name, Verdict::Limited, detail, format!("sudo chmod u+s {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_of_name_or_number() {
        let text = "ann:100000:65536\n1000:300000:10\nbob:1:1\nann:x\n";
        assert_eq!(count(text, "ann", 1000), 65546);
        assert_eq!(count(text, "eve", 7), 0);
    }
}
