//! Completion scripts, written from the tables.

mod bash;
mod fish;
mod zsh;

pub use bash::bash;
pub use fish::fish;
pub use zsh::zsh;

use super::command::Command;
use super::flag::{Flag, Takes};
use super::table::{COMMANDS, GLOBAL, HELP};

/// Lists names of boxes, for any shell.
const NAMES: &str = "boxr ps --all --format '{{.Names}}' 2>/dev/null";

/// Lists names of images, for any shell.
const IMAGES: &str = "boxr images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null";

/// The commands that are offered.
fn commands() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().copied().filter(|command| !command.hidden)
}

/// The flags that are offered for a command: its own, then those of boxr itself.
fn flags(command: &Command) -> impl Iterator<Item = &'static Flag> + use<> {
    command.flags().chain(GLOBAL).chain(HELP).filter(|flag| !flag.hidden)
}

/// All spellings of a flag: `--memory`, `-m`. A short form of boxr's own gives way to the command's.
fn spellings(command: &Command, flag: &Flag) -> Vec<String> {
    let longs = std::iter::once(flag.long).chain(flag.aliases.iter().copied());
    let mut all: Vec<String> = longs.map(|long| format!("--{long}")).collect();
    if let Some(short) = flag.short {
        let first = flags(command).find(|other| other.short == Some(short));
        if first.is_some_and(|first| std::ptr::eq(first, flag)) {
            all.push(format!("-{short}"));
        }
    }
    all
}

/// Whether the next word is the flag's value.
fn takes_next(flag: &Flag) -> bool {
    matches!(flag.takes, Takes::Value(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command as Process, Stdio};

    #[test]
    fn every_flag_is_offered_everywhere() {
        for (shell, text) in [("bash", bash()), ("zsh", zsh()), ("fish", fish())] {
            for command in commands() {
                assert!(text.contains(command.name), "{shell}: {}", command.name);
                for flag in command.flags().filter(|flag| !flag.hidden) {
                    let wanted = if shell == "fish" {
                        format!("-l {}", flag.long)
                    } else {
                        format!("--{}", flag.long)
                    };
                    assert!(text.contains(&wanted), "{shell}: {} {wanted}", command.name);
                }
            }
        }
    }

    /// What bash offers at the end of `line`.
    fn offered(line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split(' ').collect();
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "{}\nCOMP_WORDS=({})\nCOMP_CWORD={}\n_boxr\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            bash(),
            quoted.join(" "),
            words.len() - 1
        );
        let output = Process::new("bash").arg("-c").arg(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn bash_offers_what_fits() {
        assert_eq!(offered("boxr unp"), ["unpause"]);
        assert_eq!(offered("boxr --debug unp"), ["unpause"]);
        assert_eq!(offered("boxr --root /x unp"), ["unpause"]);
        assert_eq!(offered("boxr run --hostn"), ["--hostname"]);
        assert_eq!(offered("boxr run --tty = au"), ["auto"]);
        assert_eq!(offered("boxr run --propagation sh"), ["shared"]);
        assert_eq!(offered("boxr run --name x --hostn"), ["--hostname"]);
        assert_eq!(offered("boxr completion z"), ["zsh"]);
        assert_eq!(offered("boxr help unp"), ["unpause"]);
        assert!(offered("boxr run --rootfs /us").contains(&"/usr".to_owned()));
        assert!(offered("boxr run -- tru").contains(&"true".to_owned()));
        assert!(offered("boxr ps --").contains(&"--no-trunc".to_owned()));
        assert!(offered("boxr run -- ls --hostn").is_empty());
        assert!(offered("boxr run --name --hostn").is_empty());
    }
}
