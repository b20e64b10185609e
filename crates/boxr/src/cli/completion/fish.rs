//! Completions for fish.

use super::{COMMANDS, Command, IMAGES, NAMES, commands, flags, spellings};
use crate::cli::command::FlagOrder;
use crate::cli::flag::{Complete, Flag, Takes};
use crate::cli::table::{ALONE, GLOBAL};

const HEAD: &str = r#"# Completions of boxr for fish. Written by `boxr completion fish`.

# The command that was typed, if any; flags of boxr itself may stand before it.
function __boxr_command
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case --root --state --log
                set skip 1
            case '-*'
            case '*'
                echo $word
                return
        end
    end
end

# Whether one of these commands was typed, and its own flags have not ended with --.
function __boxr_is
    not contains -- -- (commandline -opc); and contains -- (__boxr_command) $argv
end

function __boxr_ended
    contains -- -- (commandline -opc); and contains -- (__boxr_command) $argv
end

# What the command after -- offers.
function __boxr_rest
    set -l words (commandline -opc) (commandline -ct)
    set -l at (contains -i -- -- $words); or return
    __fish_complete_subcommand --commandline $words[(math $at + 1)..-1]
end

complete -c boxr -f
"#;

/// The script.
pub fn fish() -> String {
    let mut text = HEAD.to_owned();
    text.push_str(&format!("\nfunction __boxr_names\n    {NAMES}\nend\n\n"));
    text.push_str(&format!("function __boxr_images\n    {IMAGES}\nend\n\n"));
    for command in commands() {
        let help = quote(command.summary);
        text.push_str(&format!(
            "complete -c boxr -n 'test -z (__boxr_command)' -a {} -d {help}\n",
            command.name
        ));
    }
    for flag in GLOBAL.iter().chain(ALONE) {
        let short = flag.short.map_or(String::new(), |short| format!(" -s {short}"));
        text.push_str(&line("test -z (__boxr_command)", flag, flag.long, &short));
    }
    for command in COMMANDS {
        of_command(&mut text, command);
    }
    text
}

fn of_command(text: &mut String, command: &'static Command) {
    let names: Vec<&str> = std::iter::once(command.name).chain(command.aliases.iter().copied()).collect();
    let condition = format!("__boxr_is {}", names.join(" "));
    text.push('\n');
    for flag in flags(command) {
        let short = spellings(command, flag)
            .iter()
            .find(|name| !name.starts_with("--"))
            .map_or(String::new(), |name| format!(" -s {}", &name[1..]));
        text.push_str(&line(&condition, flag, flag.long, &short));
        for alias in flag.aliases {
            text.push_str(&line(&condition, flag, alias, ""));
        }
    }
    if let Some(arg) = command.args.first().filter(|arg| arg.complete != Complete::Program) {
        text.push_str(&format!("complete -c boxr -n {}{}\n", quote(&condition), action(arg.complete)));
    }
    if command.order == FlagOrder::BeforeArguments {
        let ended = format!("__boxr_ended {}", names.join(" "));
        text.push_str(&format!("complete -c boxr -n {} -a '(__boxr_rest)'\n", quote(&ended)));
    }
}

fn line(condition: &str, flag: &Flag, long: &str, short: &str) -> String {
    let value = match flag.takes {
        Takes::Nothing => String::new(),
        Takes::Optional { .. } => action(flag.complete),
        Takes::Value(_) if flag.complete == Complete::File => " -r -F".to_owned(),
        Takes::Value(_) => format!(" -x{}", action(flag.complete)),
    };
    format!("complete -c boxr -n {}{short} -l {long}{value} -d {}\n", quote(condition), quote(flag.help))
}

fn action(complete: Complete) -> String {
    match complete {
        Complete::Nothing => String::new(),
        Complete::File => " -F".to_owned(),
        Complete::Directory => " -a '(__fish_complete_directories)'".to_owned(),
        Complete::Container => " -a '(__boxr_names)'".to_owned(),
        Complete::Image => " -a '(__boxr_images)'".to_owned(),
        Complete::Program => " -a '(__fish_complete_command)'".to_owned(),
        Complete::Command => {
            let words: Vec<&str> = commands().map(|command| command.name).collect();
            format!(" -a {}", quote(&words.join(" ")))
        }
        Complete::Words(words) => format!(" -a {}", quote(&words.join(" "))),
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
