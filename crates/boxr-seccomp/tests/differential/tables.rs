//! Numbers of system calls.

use crate::libseccomp;

/// Every number that libseccomp knows is ours. It has no more than ours, and lacks what came after it.
pub fn match_libseccomp() {
    let names: Vec<_> = boxr_seccomp::names().collect();
    let mut compared = 0;
    for (arch, numbers) in libseccomp::numbers(&names) {
        for (name, number) in names.iter().zip(numbers) {
            let Ok(number) = u32::try_from(number) else { continue };
            assert_eq!(boxr_seccomp::number(arch, name), Some(number), "{name} on {arch}");
            compared += 1;
        }
    }
    assert!(compared > 5000, "only {compared} numbers were compared");
}
