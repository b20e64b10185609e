//! Completions for bash, without the bash-completion package.

use super::{COMMANDS, Command, IMAGES, NAMES, commands, flags, spellings, takes_next};
use crate::cli::command::FlagOrder;
use crate::cli::flag::{Complete, Flag};
use crate::cli::table::GLOBAL;

const HEAD: &str = r#"# Completions of boxr for bash. Written by `boxr completion bash`.

_boxr() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command='' flags='' valued='' offer='' order=mixed word i
    COMPREPLY=()
    # bash has cut --flag=value into three words.
    if [[ $cur == = ]]; then
        cur=''
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
"#;

const MIDDLE: &str = r#"        -*) ;;
        *) command=$word; break ;;
        esac
    done
"#;

const TAIL: &str = r#"    # Past the flags of run and exec, the rest is a command line of its own.
    local rest=0 positionals=0
    if [[ -n $command ]]; then
        for ((i++; i < COMP_CWORD; i++)); do
            word=${COMP_WORDS[i]}
            if [[ $word == -- ]]; then
                rest=$((i + 1)); break
            elif [[ $word == -* ]]; then
                [[ $valued == *" $word "* && ${COMP_WORDS[i + 1]} != = ]] && ((i++))
            elif [[ $word == = ]]; then
                ((i++))
            else
                ((positionals++))
                if [[ $order == before ]]; then
                    rest=$((i + 1)); break
                fi
            fi
        done
    fi
    if ((rest)); then
        flags=''
        if declare -F _command_offset >/dev/null && ((COMP_CWORD > rest)); then
            _command_offset "$rest"
            return
        fi
        offer=file
        ((COMP_CWORD == rest)) && offer=program
    elif [[ $cur == -* && $offer != value:* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
        return
    fi
    case ${offer#value:} in
    file) COMPREPLY=($(compgen -f -- "$cur")) ;;
    directory) COMPREPLY=($(compgen -d -- "$cur")) ;;
    program) COMPREPLY=($(compgen -c -- "$cur")) ;;
"#;

const END: &str = r#"    words:*) COMPREPLY=($(compgen -W "${offer##*words:}" -- "$cur")) ;;
    esac
} && complete -o filenames -o bashdefault -F _boxr boxr
"#;

/// The script.
pub fn bash() -> String {
    let mut text = HEAD.to_owned();
    text.push_str(&format!("        {}) ((i++)) ;;\n", valued(GLOBAL.iter()).join(" | ")));
    text.push_str(MIDDLE);
    text.push_str("    case $command in\n    '')\n");
    let words: Vec<&str> = commands().map(|command| command.name).collect();
    text.push_str(&format!("        offer='words:{}'\n", words.join(" ")));
    text.push_str("        flags='--root --state --debug --log --help --version'\n        ;;\n");
    for command in COMMANDS {
        text.push_str(&of_command(command));
    }
    text.push_str("    esac\n");
    text.push_str(TAIL);
    for (word, list) in [("names", NAMES), ("images", IMAGES)] {
        text.push_str(&format!("    {word}) COMPREPLY=($(compgen -W \"$({list})\" -- \"$cur\")) ;;\n"));
    }
    text.push_str(END);
    text
}

fn valued<'a>(flags: impl Iterator<Item = &'a Flag>) -> Vec<String> {
    flags.filter(|flag| takes_next(flag)).map(|flag| flag.spelled()).collect()
}

fn of_command(command: &'static Command) -> String {
    let names: Vec<&str> = std::iter::once(command.name).chain(command.aliases.iter().copied()).collect();
    let all: Vec<String> = flags(command).flat_map(|flag| spellings(command, flag)).collect();
    let valued: Vec<String> =
        flags(command).filter(|flag| takes_next(flag)).flat_map(|flag| spellings(command, flag)).collect();
    let mut text = format!("    {})\n        flags='{}'\n", names.join(" | "), all.join(" "));
    text.push_str(&format!("        valued=' {} '\n", valued.join(" ")));
    if command.order == FlagOrder::BeforeArguments {
        text.push_str("        order=before\n");
    }
    let offer = command.args.first().map_or(String::new(), |arg| offer(arg.complete));
    text.push_str(&format!("        offer='{offer}'\n        case $prev in\n"));
    for flag in flags(command).filter(|flag| !matches!(flag.takes, crate::cli::Takes::Nothing)) {
        let offer = offer_value(flag);
        text.push_str(&format!(
            "        {}) offer='value:{offer}' ;;\n",
            spellings(command, flag).join(" | ")
        ));
    }
    text.push_str("        esac\n        ;;\n");
    text
}

fn offer_value(flag: &Flag) -> String {
    match offer(flag.complete) {
        offer if offer.is_empty() => "nothing".to_owned(),
        offer => offer,
    }
}

fn offer(complete: Complete) -> String {
    match complete {
        Complete::Nothing => String::new(),
        Complete::File => "file".to_owned(),
        Complete::Directory => "directory".to_owned(),
        Complete::Container => "names".to_owned(),
        Complete::Image => "images".to_owned(),
        Complete::Program => "program".to_owned(),
        Complete::Command => {
            let words: Vec<&str> = commands().map(|command| command.name).collect();
            format!("words:{}", words.join(" "))
        }
        Complete::Words(words) => format!("words:{}", words.join(" ")),
    }
}
