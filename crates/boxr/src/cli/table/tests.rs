use super::*;
use crate::cli::flag::Takes;
use crate::cli::{help, lexer};

#[test]
fn names_are_said_once() {
    let mut words = Vec::new();
    for command in COMMANDS {
        words.extend(std::iter::once(command.name).chain(command.aliases.iter().copied()));
        let (mut longs, mut shorts) = (vec!["help"], Vec::new());
        for flag in command.flags() {
            longs.extend(std::iter::once(flag.long).chain(flag.aliases.iter().copied()));
            shorts.extend(flag.short);
        }
        for global in GLOBAL {
            assert!(!longs.contains(&global.long), "{}: --{} is boxr's own", command.name, global.long);
        }
        let (all_longs, all_shorts) = (longs.len(), shorts.len());
        longs.sort_unstable();
        longs.dedup();
        shorts.sort_unstable();
        shorts.dedup();
        assert_eq!((longs.len(), shorts.len()), (all_longs, all_shorts), "{}", command.name);
    }
    let all = words.len();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all);
    assert!(LATER.iter().all(|(word, _)| !words.contains(word)), "a command that is here is not for later");
}

#[test]
fn flags_are_described_in_one_way() {
    for flag in COMMANDS.iter().flat_map(|command| command.flags()).chain(GLOBAL).chain(ALONE) {
        assert!(!flag.help.is_empty() && !flag.help.ends_with('.'), "--{}: {:?}", flag.long, flag.help);
        assert!(flag.doc.is_empty() || flag.doc.ends_with('.'), "--{}: {:?}", flag.long, flag.doc);
        assert!(!(flag.repeat && flag.takes == Takes::Nothing), "--{}", flag.long);
    }
    for command in COMMANDS {
        assert!(!command.usage.is_empty() && !command.summary.ends_with('.'), "{}", command.name);
        assert!(command.usage.iter().all(|usage| usage.starts_with(command.name)), "{}", command.name);
        let last = command.args.len().saturating_sub(1);
        assert!(command.args.iter().take(last).all(|arg| !arg.many), "{}", command.name);
    }
}

#[test]
fn examples_can_be_typed() {
    for command in COMMANDS {
        for example in command.examples {
            let line = example.line.split_once("boxr ").unwrap().1;
            let line = line.split(['|', ')']).next().unwrap();
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let called = find(&words[0]).unwrap();
            let mut tables = called.flags.to_vec();
            tables.push(GLOBAL);
            lexer::lex(&tables, called.order, words[1..].to_vec())
                .unwrap_or_else(|error| panic!("{}: {error}", example.line));
        }
    }
}

#[test]
fn help_fits_the_terminal() {
    for width in [80, 100] {
        let pages = COMMANDS.iter().map(|command| help::command(command, width));
        for page in pages.chain([help::overview(width)]) {
            for line in page.lines() {
                // Examples are not broken: they are there to be copied.
                let fits =
                    line.chars().count() <= width || line.contains("  # ") || line.starts_with("       boxr");
                assert!(fits, "{width}: {line}");
            }
        }
    }
}

/// `BOXR_BLESS=1 cargo test -p boxr golden` writes it anew.
#[test]
fn golden_help_of_run() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/table/run-help.txt");
    let help = help::command(&RUN, 100);
    if std::env::var_os("BOXR_BLESS").is_some() {
        std::fs::write(file, &help).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), help, "see BOXR_BLESS in this test");
}
