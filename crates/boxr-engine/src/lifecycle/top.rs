//! The processes of a box, as ps(1) would show them, read from /proc.

use crate::record::State;

use super::members;

/// One process, as far as its files could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Pid in the caller's pid namespace.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Process group.
    pub pgid: i32,
    /// Session.
    pub sid: i32,
    /// Pid in the innermost pid namespace it is in (`NSpid` of proc_pid_status(5)).
    pub box_pid: i32,
    /// Effective user id, the caller's view.
    pub uid: u32,
    /// Effective group id, the caller's view.
    pub gid: u32,
    /// `R`, `S`, `D`…
    pub state: char,
    /// Device number of its terminal, 0 for none.
    pub tty: u64,
    /// Clock ticks in user mode and in the kernel.
    pub cpu_ticks: u64,
    /// Clock ticks after boot at which it started.
    pub start_ticks: u64,
    /// Nice value.
    pub nice: i32,
    /// Threads.
    pub threads: u32,
    /// Address space, bytes.
    pub virtual_bytes: u64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// The name in brackets of proc_pid_stat(5), at most 15 bytes.
    pub name: String,
    /// The command with its arguments; empty for a zombie.
    pub args: Vec<String>,
}

/// All processes of a running box, by pid. Those that end while they are looked at are left out.
pub fn processes(state: &State) -> Vec<Process> {
    members::of(state).into_iter().filter_map(read).collect()
}

/// One process; `None` when it is not there.
pub fn read(pid: i32) -> Option<Process> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let mut process = parse_stat(&String::from_utf8_lossy(&stat))?;
    if let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) {
        add_status(&mut process, &status);
    }
    if let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        process.args = arguments(&line);
    }
    Some(process)
}

/// Clock ticks in a second, sysconf(3) `_SC_CLK_TCK`.
pub fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

/// proc_pid_stat(5). The name may have blanks and brackets in it: fields follow the last one.
fn parse_stat(text: &str) -> Option<Process> {
    let (head, fields) = text.rsplit_once(')')?;
    let (pid, name) = head.split_once('(')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // Field N of the manual is at N - 3.
    let number = |field: usize| -> i64 {
        fields.get(field - 3).and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    let unsigned = |field: usize| u64::try_from(number(field)).unwrap_or_default();
    let small = |field: usize| i32::try_from(number(field)).unwrap_or_default();
    let pid = pid.trim().parse().ok()?;
    Some(Process {
        pid,
        box_pid: pid,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        ppid: small(4),
        pgid: small(5),
        sid: small(6),
        // A device number, printed as a signed one.
        tty: u64::from(number(7) as u32),
        cpu_ticks: unsigned(14) + unsigned(15),
        nice: small(19),
        threads: u32::try_from(number(20)).unwrap_or_default(),
        start_ticks: unsigned(22),
        virtual_bytes: unsigned(23),
        resident_bytes: unsigned(24).saturating_mul(rustix::param::page_size() as u64),
        ..Process::default()
    })
}

fn add_status(process: &mut Process, status: &str) {
    for line in status.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let mut words = value.split_ascii_whitespace();
        match key {
            // Real, effective, saved, file system.
            "Uid" => process.uid = words.nth(1).and_then(|word| word.parse().ok()).unwrap_or_default(),
            "Gid" => process.gid = words.nth(1).and_then(|word| word.parse().ok()).unwrap_or_default(),
            "NSpid" => {
                process.box_pid = words.last().and_then(|word| word.parse().ok()).unwrap_or(process.pid);
            }
            _ => {}
        }
    }
}

fn arguments(line: &[u8]) -> Vec<String> {
    // Whoever names itself leaves more zeros than one.
    let end = line.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let line = line.get(..end).unwrap_or_default();
    if line.is_empty() {
        return Vec::new();
    }
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_the_last_bracket() {
        let text = "42 (a) b) S 7 42 40 34816 42 4194304 1 2 3 4 250 50 6 7 20 0 3 0 12345 4096000 25 18446744073709551615";
        let process = parse_stat(text).unwrap();
        assert_eq!((process.pid, process.name.as_str(), process.state), (42, "a) b", 'S'));
        assert_eq!((process.ppid, process.pgid, process.sid, process.tty), (7, 42, 40, 34816));
        assert_eq!((process.cpu_ticks, process.start_ticks, process.threads), (300, 12345, 3));
        assert_eq!(process.virtual_bytes, 4_096_000);
        assert!(process.resident_bytes >= 25 * 4096);
    }

    #[test]
    fn status_has_ids_and_the_inner_pid() {
        let mut process = Process { pid: 42, ..Process::default() };
        add_status(&mut process, "Name:\tx\nUid:\t0\t1000\t0\t0\nGid:\t5\t6\t5\t5\nNSpid:\t42\t3\t1\n");
        assert_eq!((process.uid, process.gid, process.box_pid), (1000, 6, 1));
    }

    #[test]
    fn command_lines() {
        assert_eq!(arguments(b"sh\0-c\0\0echo hi\0"), ["sh", "-c", "", "echo hi"]);
        assert_eq!(arguments(b"boxr-pause\0\0\0\0"), ["boxr-pause"]);
        assert!(arguments(b"").is_empty());
    }

    #[test]
    fn this_process_can_be_read() {
        let me = read(std::process::id() as i32).unwrap();
        assert!(!me.args.is_empty() && me.resident_bytes > 0 && me.threads > 0);
        assert!(ticks_per_second() > 0);
    }
}
