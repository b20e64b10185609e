//! Columns of ps(1).

use std::collections::BTreeMap;

use boxr_engine::lifecycle::top::{Process, ticks_per_second};

use super::table::columns;
use crate::format::time;

const SECOND: i64 = 1_000_000_000;

columns! {
    /// A column by its word in ps(1).
    Column {
        Owner "UID" "uname"
        User "USER" "user" "euser"
        Uid "UID" "uid" "euid"
        Gid "GID" "gid" "egid"
        Pid "PID" "pid" "hpid"
        NsPid "NSPID" "nspid"
        Ppid "PPID" "ppid"
        Pgid "PGID" "pgid" "pgrp"
        Sid "SID" "sid" "sess"
        C "C" "c"
        CpuShare "%CPU" "pcpu" "%cpu"
        MemoryShare "%MEM" "pmem" "%mem"
        VirtualSize "VSZ" "vsz" "vsize"
        ResidentSize "RSS" "rss" "rssize"
        Tty "TTY" "tty" "tt" "tname"
        State "STAT" "stat" "s" "state"
        Start "STIME" "stime"
        StartTime "START" "start" "start_time"
        Elapsed "ELAPSED" "etime"
        Time "TIME" "time" "cputime"
        Nice "NI" "ni" "nice"
        Threads "NLWP" "nlwp" "thcount"
        Name "COMMAND" "comm" "ucmd" "ucomm"
        Arguments "COMMAND" "args" "command"
        Cmd "CMD" "cmd"
    }
}

impl Column {
    /// `ps -ef`, which docker shows.
    pub(super) const FULL: &[Self] =
        &[Self::Owner, Self::Pid, Self::Ppid, Self::C, Self::Start, Self::Tty, Self::Time, Self::Cmd];
    /// `ps aux`
    pub(super) const USER: &[Self] = &[
        Self::User,
        Self::Pid,
        Self::CpuShare,
        Self::MemoryShare,
        Self::VirtualSize,
        Self::ResidentSize,
        Self::Tty,
        Self::State,
        Self::StartTime,
        Self::Time,
        Self::Arguments,
    ];

    /// The cell for a process.
    pub(super) fn value(self, process: &Process, facts: &Facts) -> String {
        match self {
            Self::Owner | Self::User => facts.user(process.uid),
            Self::Uid => process.uid.to_string(),
            Self::Gid => process.gid.to_string(),
            Self::Pid => process.pid.to_string(),
            Self::NsPid => process.box_pid.to_string(),
            Self::Ppid => process.ppid.to_string(),
            Self::Pgid => process.pgid.to_string(),
            Self::Sid => process.sid.to_string(),
            Self::C => format!("{:.0}", facts.cpu_percent(process).floor().min(99.0)),
            Self::CpuShare => format!("{:.1}", facts.cpu_percent(process)),
            Self::MemoryShare => format!("{:.1}", facts.memory_percent(process)),
            Self::VirtualSize => (process.virtual_bytes / 1024).to_string(),
            Self::ResidentSize => (process.resident_bytes / 1024).to_string(),
            Self::Tty => terminal(process.tty),
            Self::State => process.state.to_string(),
            Self::Start | Self::StartTime => time::start_time(facts.started(process), facts.now),
            Self::Elapsed => elapsed(facts.elapsed_seconds(process)),
            Self::Time => clock(process.cpu_ticks / facts.ticks),
            Self::Nice => process.nice.to_string(),
            Self::Threads => process.threads.to_string(),
            Self::Name => process.name.clone(),
            Self::Arguments | Self::Cmd if process.args.is_empty() => format!("[{}]", process.name),
            Self::Arguments | Self::Cmd => process.args.join(" "),
        }
    }
}

/// What is the same for all processes.
pub(super) struct Facts {
    /// Nanoseconds since 1970 UTC.
    now: i64,
    /// Seconds since boot.
    uptime: f64,
    /// Clock ticks in a second.
    ticks: u64,
    /// Bytes of memory of the host.
    memory: u64,
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Facts {
    /// Reads /proc/uptime, /proc/meminfo and /etc/passwd and /etc/group; what cannot be read stays empty. The
    /// files are read as they are: name services would need dynamic linking.
    pub(super) fn look() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let uptime = text("/proc/uptime");
        let memory = text("/proc/meminfo");
        let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let total = total.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
        Self {
            now: time::now(),
            uptime: uptime.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0),
            ticks: ticks_per_second().max(1),
            memory: total.unwrap_or(0).saturating_mul(1024),
            users: names(&text("/etc/passwd")),
            groups: names(&text("/etc/group")),
        }
    }

    /// The host's name of a group.
    pub(super) fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }

    fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    #[allow(clippy::cast_precision_loss, reason = "shares are shown with one place")]
    fn elapsed(&self, process: &Process) -> f64 {
        (self.uptime - process.start_ticks as f64 / self.ticks as f64).max(0.0)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and far from the end"
    )]
    fn elapsed_seconds(&self, process: &Process) -> u64 {
        self.elapsed(process) as u64
    }

    /// Since its start, to the hundredth of a second that /proc knows.
    pub(super) fn elapsed_nanoseconds(&self, process: &Process) -> u64 {
        let hundredths = (self.elapsed(process) * 100.0).round();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and far from the end"
        )]
        let hundredths = hundredths as u64;
        hundredths * 10_000_000
    }

    /// What it has had of the processors, to the clock tick.
    pub(super) fn cpu_nanoseconds(&self, process: &Process) -> u64 {
        process.cpu_ticks.saturating_mul(SECOND.unsigned_abs() / self.ticks)
    }

    /// Nanoseconds since 1970 UTC.
    pub(super) fn started(&self, process: &Process) -> i64 {
        let seconds = i64::try_from(self.elapsed_seconds(process)).unwrap_or(0);
        self.now.saturating_sub(seconds.saturating_mul(SECOND))
    }

    /// Over its whole life, as ps(1) has it.
    #[allow(clippy::cast_precision_loss, reason = "shares are shown with one place")]
    pub(super) fn cpu_percent(&self, process: &Process) -> f64 {
        let elapsed = self.elapsed(process);
        if elapsed <= 0.0 {
            return 0.0;
        }
        process.cpu_ticks as f64 / self.ticks as f64 * 100.0 / elapsed
    }

    #[allow(clippy::cast_precision_loss, reason = "shares are shown with one place")]
    fn memory_percent(&self, process: &Process) -> f64 {
        if self.memory == 0 { 0.0 } else { process.resident_bytes as f64 * 100.0 / self.memory as f64 }
    }
}

/// passwd(5) and group(5): `NAME:PASSWORD:ID…`; the first name of an id counts.
fn names(text: &str) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(id))) = (fields.next(), fields.nth(1).map(str::parse)) {
            names.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    names
}

/// The name of a terminal's device number (the kernel's devices.txt); `?` for none.
fn terminal(device: u64) -> String {
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    match (major, minor) {
        (0, _) => "?".to_owned(),
        (136..=143, _) => format!("pts/{}", (major - 136) * 256 + minor),
        (4, 0..=63) => format!("tty{minor}"),
        (4, _) => format!("ttyS{}", minor - 64),
        (5, 1) => "console".to_owned(),
        _ => format!("{major}:{minor}"),
    }
}

/// `00:01:05`, with days before it where there are any.
fn clock(seconds: u64) -> String {
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if seconds < 86_400 { clock } else { format!("{}-{clock}", seconds / 86_400) }
}

/// As [`clock`], without hours that have not passed: `01:05`.
fn elapsed(seconds: u64) -> String {
    if seconds < 3600 { format!("{:02}:{:02}", seconds / 60, seconds % 60) } else { clock(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            now: 1_767_323_045 * SECOND,
            uptime: 1000.0,
            ticks: 100,
            memory: 1 << 30,
            groups: BTreeMap::new(),
            users: names("root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:\nme:x:1000:1000::/:\n"),
        }
    }

    #[test]
    fn cells_of_ps() {
        let process = Process {
            pid: 42,
            box_pid: 1,
            ppid: 7,
            state: 'S',
            tty: 136 << 8 | 3,
            cpu_ticks: 6500,
            start_ticks: 90_000,
            virtual_bytes: 4096,
            resident_bytes: 1 << 29,
            name: "sh".to_owned(),
            args: vec!["sh".to_owned(), "-c".to_owned(), "true".to_owned()],
            ..Process::default()
        };
        let facts = facts();
        let cells = |columns: &[Column]| {
            columns.iter().map(|column| column.value(&process, &facts)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(cells(Column::FULL), "root 42 7 65 03:02 pts/3 00:01:05 sh -c true");
        assert_eq!(cells(Column::USER), "root 42 65.0 50.0 4 524288 pts/3 S 03:02 00:01:05 sh -c true");
        assert_eq!(cells(&[Column::NsPid, Column::Elapsed, Column::Name]), "1 01:40 sh");
    }

    #[test]
    fn parts() {
        assert_eq!(
            (terminal(0), terminal(4 << 8 | 1), terminal(4 << 8 | 65)),
            ("?".into(), "tty1".into(), "ttyS1".into())
        );
        assert_eq!((clock(65), clock(90_061)), ("00:01:05".into(), "1-01:01:01".into()));
        assert_eq!((facts().user(1000), facts().user(5)), ("me".into(), "5".into()));
        let zombie = Process { name: "sh".to_owned(), ..Process::default() };
        assert_eq!(Column::Cmd.value(&zombie, &facts()), "[sh]");
    }
}
