//! Completions for zsh, by its `_arguments`.

use super::{COMMANDS, Command, IMAGES, NAMES, commands, flags, spellings};
use crate::cli::command::{Arg, FlagOrder};
use crate::cli::flag::{Complete, Flag, Takes};
use crate::cli::table::{ALONE, GLOBAL};

/// The script; works in `$fpath` and with `source`.
pub fn zsh() -> String {
    let mut text = format!(
        "#compdef boxr\n# Completions of boxr for zsh. Written by `boxr completion zsh`.\n\n\
         _boxr_containers() {{\n  local -a names\n  names=(${{(f)\"$({NAMES})\"}})\n  compadd -a names\n}}\n\n\
         _boxr_images() {{\n  local -a names\n  names=(${{(f)\"$({IMAGES})\"}})\n  compadd -a names\n}}\n\n\
         _boxr_commands() {{\n  local -a commands=(\n"
    );
    for command in commands() {
        text.push_str(&format!("    {}\n", quote(&format!("{}:{}", command.name, command.summary))));
    }
    text.push_str("  )\n  _describe -t commands 'boxr command' commands\n}\n\n_boxr() {\n");
    text.push_str(
        "local curcontext=\"$curcontext\" state line\n  typeset -A opt_args\n  \
            _arguments -C -s -S -A '-*' \\\n",
    );
    for flag in GLOBAL.iter().chain(ALONE) {
        let mut spelled = vec![flag.spelled()];
        spelled.extend(flag.short.map(|short| format!("-{short}")));
        text.push_str(&spec(flag, &spelled));
    }
    text.push_str("    '1:command:_boxr_commands' '*:: :->rest' && return\n");
    text.push_str(
        "[[ $state == rest ]] || return\n  \
            curcontext=\"${curcontext%:*:*}:boxr-$line[1]:\"\n  case $line[1] in\n",
    );
    for command in COMMANDS {
        text.push_str(&of_command(command));
    }
    text.push_str("  esac\n}\n\n");
    text.push_str("if [[ $funcstack[1] == _boxr ]]; then _boxr \"$@\"; else compdef _boxr boxr; fi\n");
    text
}

fn of_command(command: &'static Command) -> String {
    let names: Vec<&str> = std::iter::once(command.name).chain(command.aliases.iter().copied()).collect();
    let stop = if command.order == FlagOrder::BeforeArguments { " -A '-*'" } else { "" };
    let mut text = format!("  {})\n    _arguments -s -S{stop} \\\n", names.join("|"));
    for flag in flags(command) {
        text.push_str(&spec(flag, &spellings(command, flag)));
    }
    let args: Vec<String> =
        command.args.iter().enumerate().map(|(index, arg)| argument(index, arg)).collect();
    text.push_str(&format!("    {}\n    ;;\n", args.join(" ")));
    text
}

fn argument(index: usize, arg: &Arg) -> String {
    let action = action(arg.complete);
    let place = match (arg.complete, arg.many) {
        // As zsh's own completions of nice(1) and others have it.
        (Complete::Program, true) => {
            let own = format!("shift {index} words; (( CURRENT -= {index} )); _normal");
            let rest = if index == 0 { "_normal".to_owned() } else { format!("{{ {own} }}") };
            return format!("'{}:command:_command_names -e' '*::arguments:{rest}'", index + 1);
        }
        (_, true) => "*".to_owned(),
        (_, false) => (index + 1).to_string(),
    };
    quote(&format!("{place}:{}:{action}", arg.name))
}

/// A flag as `_arguments` wants it: those it excludes, its spellings, help, and value.
fn spec(flag: &Flag, spelled: &[String]) -> String {
    let exclusive = if flag.repeat { "*".to_owned() } else { format!("({})", spelled.join(" ")) };
    let value = match flag.takes {
        Takes::Nothing => String::new(),
        Takes::Value(name) => format!(":{}:{}", colons(name), action(flag.complete)),
        Takes::Optional { placeholder, .. } => format!("::{}:{}", colons(placeholder), action(flag.complete)),
    };
    let mut text = String::new();
    for name in spelled {
        // A long flag takes its value after = or as the next word; a short one attached or next.
        let joined = match flag.takes {
            Takes::Nothing => "",
            Takes::Value(_) if name.starts_with("--") => "=",
            Takes::Value(_) => "+",
            Takes::Optional { .. } => "=-",
        };
        text.push_str(&format!(
            "    {} \\\n",
            quote(&format!("{exclusive}{name}{joined}[{}]{value}", brackets(flag.help)))
        ));
    }
    text
}

fn action(complete: Complete) -> String {
    match complete {
        Complete::Nothing => " ".to_owned(),
        Complete::File => "_files".to_owned(),
        Complete::Directory => "_files -/".to_owned(),
        Complete::Container => "_boxr_containers".to_owned(),
        Complete::Image => "_boxr_images".to_owned(),
        Complete::Program => "_command_names -e".to_owned(),
        Complete::Command => "_boxr_commands".to_owned(),
        Complete::Words(words) => format!("({})", colons(&words.join(" "))),
    }
}

fn colons(text: &str) -> String {
    text.replace(':', "\\:")
}

fn brackets(text: &str) -> String {
    text.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
