//! Manual pages in roff (man(7)), written from the tables.

use boxr_engine::config::{Stock, settings};

use super::command::{Command, Section};
use super::flag::{Flag, Takes};
use super::table::{ALONE, COMMANDS, GLOBAL};
use super::{help, stock};

/// A page: its file name and its text.
pub type Page = (String, String);

/// All pages: boxr(1), one for each command, and the configuration file's, boxr.toml(5).
pub fn pages() -> Vec<Page> {
    let mut pages = vec![overview(), configuration()];
    pages.extend(COMMANDS.iter().filter(|command| !command.hidden).map(|command| of_command(command)));
    pages
}

/// Text that roff reads as it is.
fn plain(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

fn title(name: &str, section: u8) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH \"{}\" \"{section}\" \"\" \"boxr {version}\" \"boxr\"\n", name.to_uppercase())
}

fn overview() -> Page {
    let mut text = title("boxr", 1);
    text.push_str(".SH NAME\nboxr \\- put a process in a box of its own\n");
    text.push_str(".SH SYNOPSIS\n.B boxr\n[FLAGS] COMMAND [ARG...]\n");
    text.push_str(
        ".SH DESCRIPTION\nboxr runs commands in boxes: processes with namespaces, a file \
            tree and limits of their own. There is no daemon, and no privilege is needed.\n",
    );
    for section in Section::ALL {
        text.push_str(&format!(".SH {}\n", section.title().to_uppercase()));
        for command in COMMANDS.iter().filter(|command| command.section == section && !command.hidden) {
            text.push_str(&format!(
                ".TP\n.BR boxr\\-{} (1)\n{}.\n",
                plain(command.name),
                plain(command.summary)
            ));
        }
    }
    text.push_str(".SH FLAGS\n");
    for flag in GLOBAL.iter().chain(ALONE) {
        text.push_str(&of_flag(flag));
    }
    text.push_str(EXIT_STATUS);
    text.push_str(
        ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nWhen set and not empty, errors are written \
            without colour.\n.TP\n.BR XDG_RUNTIME_DIR \", \" XDG_DATA_HOME\nWhere an \
            ordinary user's state and boxes are kept.\n",
    );
    text.push_str(".SH SEE ALSO\n.BR boxr\\-run (1),\n.BR boxr.toml (5),\n.BR namespaces (7)\n");
    ("boxr.1".to_owned(), text)
}

const EXIT_STATUS: &str = ".SH EXIT STATUS\n.TP\n.B 0\\-255\nThe status of the command in the \
            box.\n.TP\n.B 124\nThe time of \\-\\-timeout was over.\n.TP\n.B 125\nboxr \
            itself failed.\n.TP\n.B 126\nThe command cannot be executed.\n.TP\n.B 127\nThe \
            command was not found.\n.TP\n.B 128+N\nThe command was ended by signal N.\n";

fn of_command(command: &Command) -> Page {
    let name = format!("boxr-{}", command.name);
    let mut text = title(&name, 1);
    text.push_str(&format!(".SH NAME\n{} \\- {}\n.SH SYNOPSIS\n", plain(&name), plain(command.summary)));
    for usage in command.usage {
        text.push_str(&format!(".B boxr\n{}\n.br\n", plain(usage)));
    }
    text.push_str(".SH DESCRIPTION\n");
    for paragraph in command.about.iter().copied().chain(command.about.is_empty().then_some(command.summary))
    {
        text.push_str(&format!("{}\n.PP\n", plain(paragraph)));
    }
    for group in help::groups(command) {
        let heading = if group.is_empty() { "Flags" } else { group };
        text.push_str(&format!(".SH \"{}\"\n", plain(&heading.to_uppercase())));
        for flag in command.flags().filter(|flag| flag.group == group && !flag.hidden) {
            text.push_str(&of_flag(flag));
        }
    }
    if !command.examples.is_empty() {
        text.push_str(".SH EXAMPLES\n");
        for example in command.examples {
            text.push_str(&format!(".TP\n.B {}\n{}\n", plain(example.line), plain(example.what)));
        }
    }
    if matches!(command.name, "run" | "exec" | "start") {
        text.push_str(EXIT_STATUS);
    }
    text.push_str(".SH SEE ALSO\n.BR boxr (1)\n");
    (format!("{name}.1"), text)
}

fn of_flag(flag: &Flag) -> String {
    let mut names: Vec<String> = flag.short.iter().map(|short| format!("-{short}")).collect();
    names.extend(
        std::iter::once(flag.long).chain(flag.aliases.iter().copied()).map(|name| format!("--{name}")),
    );
    let names: Vec<String> = names.iter().map(|name| format!("\\fB{}\\fR", plain(name))).collect();
    let value = match flag.takes {
        Takes::Nothing => String::new(),
        Takes::Value(name) => format!(" \\fI{}\\fR", plain(name)),
        Takes::Optional { placeholder, .. } => format!("[=\\fI{}\\fR]", plain(placeholder)),
    };
    let repeat = if flag.repeat { " May be given several times." } else { "" };
    let doc = if flag.doc.is_empty() { String::new() } else { format!(" {}", flag.doc) };
    format!(".TP\n{}{value}\n{}.{}{repeat}\n", names.join(", "), plain(flag.help), plain(&doc))
}

/// boxr.toml(5): the keys of a configuration file.
fn configuration() -> Page {
    let mut text = title("boxr.toml", 5);
    text.push_str(".SH NAME\nboxr.toml \\- what a box is, in a file\n.SH DESCRIPTION\n");
    text.push_str(
        "\\fBboxr run \\-f\\fR \\fIFILE\\fR runs the box that a file describes, in TOML \
            or, when its name ends in .json, in JSON; the keys are the same. \\fBboxr \
            config\\fR \\fIFILE\\fR writes one with every key. Flags beat the file. \
            Relative paths begin at the file's directory.\n.SH KEYS\n",
    );
    for setting in settings() {
        let Some(key) = setting.key else { continue };
        text.push_str(&format!(
            ".TP\n.B {}\n{}. It takes {}.",
            plain(key),
            plain(stock::meaning(setting)),
            plain(setting.accepts)
        ));
        match setting.stock {
            Stock::Default(value) => text.push_str(&format!(" Default: {}\n", plain(value))),
            Stock::Example(value) => text.push_str(&format!(" Example: {}\n", plain(value))),
            Stock::Nothing => text.push('\n'),
        }
    }
    text.push_str(".SH SEE ALSO\n.BR boxr\\-run (1),\n.BR boxr\\-config (1)\n");
    ("boxr.toml.5".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_in_its_page() {
        let pages = pages();
        for command in COMMANDS.iter().filter(|command| !command.hidden) {
            let file = format!("boxr-{}.1", command.name);
            let (_, text) = pages.iter().find(|(name, _)| *name == file).unwrap();
            for flag in command.flags().filter(|flag| !flag.hidden) {
                assert!(text.contains(&plain(&flag.spelled())), "{file}: {}", flag.long);
            }
        }
    }

    #[test]
    fn no_line_is_taken_for_a_request() {
        let known = [".TH", ".SH", ".TP", ".PP", ".B", ".BR", ".br"];
        for (file, text) in pages() {
            for line in text.lines().filter(|line| line.starts_with(['.', '\''])) {
                let request = line.split(' ').next().unwrap();
                assert!(known.contains(&request), "{file}: {line}");
            }
        }
    }
}
