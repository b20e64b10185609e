//! `boxr volume create`

use std::collections::BTreeMap;

use boxr_engine::volume::{NewVolume, VolumeName};

use crate::cli::Invocation;
use crate::report::{Report, write_stdout};

/// Carries out `boxr volume create`: prints the name, also of one that was there.
///
/// # Errors
/// A name or an option that cannot be; what the system refuses.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let name = match invocation.positionals().first() {
        Some(text) => Some(VolumeName::parse(text)?),
        None => None,
    };
    if let Some(driver) = invocation.value("driver").filter(|driver| *driver != "local") {
        return Err(Report::new(format!("--driver {driver}: boxr has no plugins; local is its only driver")));
    }
    let pairs = |flag: &str| -> BTreeMap<String, String> {
        let pair = |text: &str| {
            text.split_once('=')
                .map_or((text.to_owned(), String::new()), |(key, value)| (key.to_owned(), value.to_owned()))
        };
        invocation.values(flag).map(pair).collect()
    };
    let new = NewVolume { anonymous: name.is_none(), labels: pairs("label"), options: pairs("opt") };
    let (name, _) = super::open(&invocation.globals)?.create(name.as_ref(), new)?;
    write_stdout(&format!("{name}\n"))?;
    Ok(0)
}
