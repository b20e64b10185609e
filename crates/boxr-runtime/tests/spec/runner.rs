//! The smallest OCI runtime: `--as=oci-run` runs the bundle in the current directory.

use std::os::fd::AsFd;
use std::process::ExitCode;

use boxr_runtime::idmap::Writer;
use boxr_runtime::plan::{CgroupPlan, Extras, Home, OciExtras, RootEntry, StartedBy};
use boxr_runtime::process::parent::spawn;
use boxr_runtime::stdio::Stdio;
use boxr_runtime::{Error, Plan};
use boxr_sys::pidfd::{Ended, reap};

/// Runs it and ends like its command; 125 and the reason on stderr where it could not.
pub fn main(words: &[String]) -> ExitCode {
    match run(words) {
        Ok(Ended::Code(code)) => ExitCode::from(code),
        Ok(Ended::Signal(signal)) => ExitCode::from(128 + signal),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(125)
        }
    }
}

fn run(words: &[String]) -> Result<Ended, Error> {
    let read = boxr_runtime::config::read_spec(&std::fs::read("config.json").unwrap())?;
    for warning in read.warnings {
        eprintln!("warning: {warning}");
    }
    let spec = read.value;
    let terminal = spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false));
    let privileged = rustix::process::geteuid().is_root();
    let has = |word: &str| words.iter().any(|given| given == word);
    let extras = Extras {
        joined: Vec::new(),
        map_writer: if privileged { Writer::Boxr } else { Writer::FirstProcess },
        above: None,
        root_source: None,
        trees: Vec::new(),
        cgroup: CgroupPlan::Inherit,
        stdio: if terminal { Stdio::TerminalInside } else { Stdio::Inherit },
        preserve_fds: 0,
        hooks: None,
        started_by: StartedBy::Maker,
        init: has("--init"),
        pause: false,
        die_with_parent: true,
        new_session: false,
        keep_groups: false,
        keep_user: false,
        trace: false,
        confinement: Default::default(),
        oci: OciExtras {
            id: Some("test".to_owned()),
            session_keyring: has("--keyring").then(|| "_ses.test".to_owned()),
            home: Home::FromPasswd,
            root_entry: if has("--no-pivot") { RootEntry::MoveAndChroot } else { RootEntry::Pivot },
            ..OciExtras::default()
        },
    };
    let mut running = spawn(Plan::new(&spec, extras)?, &boxr_sys::signal::nothing_blocked())?.go()?;
    if let Some(master) = running.terminal.take() {
        // The end of a terminal is EIO.
        std::io::copy(&mut std::fs::File::from(master), &mut std::io::stdout()).ok();
    }
    Ok(reap(running.as_fd(), true).unwrap().unwrap())
}
