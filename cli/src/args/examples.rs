//! The examples in the help of the commands are lines that can be typed.

use clap::{Command, CommandFactory, Parser};

use super::Cli;

/// The commands that are shown, each with the words that lead to it.
fn shown(command: &Command, path: &str, found: &mut Vec<(String, Command)>) {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let path = format!("{path} {}", inner.get_name());
        let is_part = path == "hobnob dev server";
        if !is_part {
            found.push((path.clone(), inner.clone()));
            shown(inner, &path, found);
        }
    }
}

/// The lines under `Examples:`, with those that go on joined.
fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let mut examples: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in lines.take_while(|line| line.starts_with("  ")) {
        // A comment may stand behind the end of a line.
        let (text, more) = match line.trim().strip_suffix('\\') {
            Some(text) => (text.trim_end(), true),
            None => (line.trim(), false),
        };
        match examples.last_mut() {
            Some(last) if goes_on => *last = format!("{last} {text}"),
            _ => examples.push(text.to_owned()),
        }
        goes_on = more;
    }
    examples
}

/// The words of the command in a line of a shell: from `hobnob` to an operator, a comment or wider space.
fn words(line: &str) -> Vec<String> {
    let from = line.find("hobnob ").unwrap_or_else(|| panic!("no command in: {line}"));
    let (mut words, mut word, mut quote) = (vec![], String::new(), None);
    let mut chars = line[from..].chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, '|' | '>' | '<' | ')' | ';') => break,
            (None, ' ') => {
                words.push(std::mem::take(&mut word));
                if chars.peek().is_none_or(|next| matches!(next, ' ' | '#')) {
                    break;
                }
            }
            (None, c) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_has_examples_that_can_be_typed() {
    let mut commands = Vec::new();
    shown(&Cli::command(), "hobnob", &mut commands);
    assert!(commands.len() > 30, "{}", commands.len());
    for (path, command) in commands {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = examples(&help);
        assert!(!lines.is_empty(), "{path} has no examples: {help}");
        let mut is_shown = false;
        for line in lines {
            let words = words(&line);
            is_shown |= format!("{} ", words.join(" ")).starts_with(&format!("{path} "));
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("an example of {path} cannot be typed: {line}\n{words:?}\n{error}");
            }
        }
        assert!(is_shown || command.has_subcommands(), "no example of {path} is one of it");
    }
}

#[test]
fn every_command_about_the_cluster_has_json() {
    let mut commands = Vec::new();
    shown(&Cli::command(), "hobnob", &mut commands);
    // They print a text for another program, or run until they are told to stop.
    const WITHOUT: [&str; 7] =
        ["agent", "completions", "config init", "dev", "man", "metrics", "proxy"];
    for (path, command) in commands {
        let is_group = command.is_subcommand_required_set();
        let has_json = command.get_arguments().any(|arg| arg.get_id() == "json");
        let is_without = WITHOUT.iter().any(|name| path == format!("hobnob {name}"));
        assert!(is_group || has_json != is_without, "{path}");
    }
}

#[test]
fn an_example_ends_where_the_shell_or_the_comment_begins() {
    for (line, expected) in [
        ("hobnob man | man -l -     read it", "hobnob man"),
        ("(umask 077; hobnob token create > t)", "hobnob token create"),
        ("A=1 hobnob agent --bind eth0    # later", "hobnob agent --bind eth0"),
        ("hobnob agent --http x # metrics", "hobnob agent --http x"),
        ("hobnob drain 'web 1' --stop", "hobnob drain web 1 --stop"),
    ] {
        assert_eq!(words(line).join(" "), expected);
    }
    let text = "Examples:\n  hobnob a \\\n      --b\n  hobnob c\n\nMore.\n  hobnob d";
    assert_eq!(examples(text), ["hobnob a --b", "hobnob c"]);
}
