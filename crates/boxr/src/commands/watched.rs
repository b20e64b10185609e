//! The recorder beside a box, for commands that run one.

use boxr_engine::watch::Recorder;

use crate::report::{Report, tell};

/// What a command has done, once the recorder has written down what it saw. The command's own failure comes first.
///
/// # Errors
/// That of the command; a record that could not be written.
pub(super) fn finished<T>(recorder: Option<Recorder>, done: Result<T, Report>) -> Result<T, Report> {
    let Some(recorder) = recorder else { return done };
    let told = recorder.finish();
    let done = done?;
    let told = told?;
    told.openings.iter().for_each(|line| tell(&format!("boxr: {line}")));
    let refused = told.refused;
    if !refused.is_empty() {
        let calls: Vec<String> = refused.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        tell(&format!("boxr: the seccomp profile refused {}", calls.join(", ")));
        tell("  try: their names in the profile, beside the others that are allowed");
    }
    Ok(done)
}
