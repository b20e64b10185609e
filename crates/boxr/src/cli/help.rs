//! Help, written from the tables.

use super::command::{Command, Section};
use super::flag::{Flag, Takes};
use super::table::{ALONE, COMMANDS, GLOBAL};

/// Column at which explanations begin.
const COLUMN: usize = 32;

/// Width to write for: the terminal's, between 80 and 100 columns; 100 where there is none.
pub fn width() -> usize {
    rustix::termios::tcgetwinsize(rustix::stdio::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .map_or(100, |columns| columns.clamp(80, 100))
}

/// What `boxr` and `boxr --help` print.
pub fn overview(width: usize) -> String {
    let mut text =
        String::from("boxr puts a process in a box of its own.\n\nUsage: boxr [FLAGS] COMMAND [ARG...]\n");
    for section in Section::ALL {
        text.push_str(&format!("\n{}:\n", section.title()));
        for command in COMMANDS.iter().filter(|command| command.section == section && !command.hidden) {
            text.push_str(&format!("  {:<12}{}\n", command.name, command.summary));
        }
    }
    text.push_str("\nFlags:\n");
    for flag in GLOBAL.iter().chain(ALONE) {
        flag_lines(&mut text, flag, width);
    }
    text.push_str("\nTry: boxr run -- sh            Help of a command: boxr COMMAND --help\n");
    text
}

/// What `boxr COMMAND --help` prints.
pub fn command(command: &Command, width: usize) -> String {
    let mut text = String::new();
    for (index, usage) in command.usage.iter().enumerate() {
        text.push_str(&format!("{} boxr {usage}\n", if index == 0 { "Usage:" } else { "      " }));
    }
    if !command.aliases.is_empty() {
        text.push_str(&format!("Also called: {}\n", command.aliases.join(", ")));
    }
    text.push('\n');
    if command.about.is_empty() {
        wrap(&mut text, command.summary, 0, width);
    }
    for paragraph in command.about {
        wrap(&mut text, paragraph, 0, width);
    }
    for group in groups(command) {
        text.push_str(&format!("\n{}:\n", if group.is_empty() { "Flags" } else { group }));
        for flag in command.flags().filter(|flag| flag.group == group && !flag.hidden) {
            flag_lines(&mut text, flag, width);
        }
    }
    if !command.examples.is_empty() {
        text.push_str("\nExamples:\n");
        let longest = command.examples.iter().map(|example| example.line.len()).max().unwrap_or(0);
        for example in command.examples {
            text.push_str(&format!("  {:<longest$}  # {}\n", example.line, example.what));
        }
    }
    text.push_str("\nFlags of boxr itself: boxr --help\n");
    text
}

/// The headings of a command's flags, in the order in which they first appear.
pub fn groups(command: &Command) -> Vec<&'static str> {
    let mut groups = Vec::new();
    for flag in command.flags().filter(|flag| !flag.hidden) {
        if !groups.contains(&flag.group) {
            groups.push(flag.group);
        }
    }
    groups
}

/// How help writes a flag: `-m, --memory SIZE`.
pub fn synopsis(flag: &Flag) -> String {
    let short = flag.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    let names: Vec<String> = std::iter::once(flag.long)
        .chain(flag.aliases.iter().copied())
        .map(|name| format!("--{name}"))
        .collect();
    let value = match flag.takes {
        Takes::Nothing => String::new(),
        Takes::Value(placeholder) => format!(" {placeholder}"),
        Takes::Optional { placeholder, .. } if flag.or_next => format!(" [{placeholder}]"),
        Takes::Optional { placeholder, .. } => format!("[={placeholder}]"),
    };
    format!("{short}{}{value}", names.join(", "))
}

fn flag_lines(text: &mut String, flag: &Flag, width: usize) {
    let synopsis = format!("  {}", synopsis(flag));
    if synopsis.len() + 1 < COLUMN {
        text.push_str(&format!("{synopsis:<COLUMN$}"));
    } else {
        text.push_str(&format!("{synopsis}\n{:COLUMN$}", ""));
    }
    let mut lines = String::new();
    wrap(&mut lines, flag.help, COLUMN, width);
    text.push_str(lines.trim_start());
}

/// Appends `words` as lines of at most `width` columns, each after `indent` spaces.
pub(super) fn wrap(text: &mut String, words: &str, indent: usize, width: usize) {
    let mut column = 0;
    for word in words.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            text.push('\n');
            column = 0;
        }
        if column == 0 {
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}
