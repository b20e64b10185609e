//! Files of variables (docker's `--env-file`) and of labels.

use std::path::Path;

use super::error::ConfigError;

/// The largest file that is read: far more than an environment may hold (execve(2)).
pub(super) const MOST_BYTES: u64 = 4 << 20;

/// The lines of a file that say something, with their numbers: not empty, not a comment.
/// Space before a key is not part of it; everything after `=` is the value, quotes too.
pub(super) fn lines(file: &Path) -> Result<Vec<(usize, String)>, ConfigError> {
    let text = read(file)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_start()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| (number, line.to_owned()))
        .collect())
}

/// A whole text file; `-` is stdin.
pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    use std::io::Read;
    let failed = |source| ConfigError::Read { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    let count = if file == Path::new("-") {
        std::io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?
    } else {
        let opened = std::fs::File::open(file).map_err(failed)?;
        opened.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?
    };
    if count as u64 > MOST_BYTES {
        return Err(ConfigError::Line {
            file: file.to_owned(),
            line: 1,
            why: "larger than 4 MiB".to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count();
        ConfigError::Line { file: file.to_owned(), line, why: "not UTF-8".to_owned() }
    })
}
