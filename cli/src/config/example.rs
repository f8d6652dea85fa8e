//! A configuration file with every key, as a comment.

use std::fmt::Write;

use clap::Command;

use super::options::{ConfigOption, options};

/// The longest line of a comment.
const WIDTH: usize = 96;

const HEAD: &str = "\
# The configuration of `hobnob agent`: /etc/hobnob/hobnob.toml, or the file that --config names.
# A variable takes precedence over this file, and a flag over both. Relative paths are relative to
# the directory of this file. `hobnob validate` checks it, `hobnob config show` tells what counts.
# Changes count from the next start of the agent; `hobnob reload` names the keys that changed.
#
# Each key below has its default. Those without one have an example.
";

/// Values for options that have no default, in TOML.
const EXAMPLES: [(&str, &str); 21] = [
    ("advertise", "\"203.0.113.7:7946\""),
    ("advertise_sync_port", "7947"),
    ("cluster", "\"default\""),
    ("config_dir", "\"/etc/hobnob/services.d\""),
    ("data_dir", "\"/var/lib/hobnob\""),
    ("datacenter", "\"dc1\""),
    ("dns", "\"127.0.0.1:8600\""),
    ("dns_forward", "[\"1.1.1.1\", \"9.9.9.9\"]"),
    ("http", "\"127.0.0.1:9746\""),
    ("http_cert", "\"/etc/hobnob/http.pem\""),
    ("http_key", "\"/etc/hobnob/http.key\""),
    ("join", "[\"10.0.0.7:7946\", \"10.0.0.8:7946\"]"),
    ("join_wan", "[\"10.9.0.7:7946\"]"),
    ("name", "\"a1\""),
    ("query_socket", "\"/run/hobnob/query.sock\""),
    ("socket", "\"/run/hobnob/hobnob.sock\""),
    ("sync_bind", "\"127.0.0.1:7947\""),
    ("token_file", "\"/etc/hobnob/token\""),
    ("write_group", "\"hobnob\""),
    ("zone", "\"\""),
    ("log", "\"info\""),
];

/// The text of the file.
pub(crate) fn example(command: &Command) -> String {
    let mut text = HEAD.to_owned();
    let mut table = "";
    let options = options(command);
    for option in &options {
        let (of, key) = option.key.split_once('.').unwrap_or(("", &option.key));
        if of != table {
            let title = option.arg.get_help_heading().unwrap_or_default();
            write!(text, "\n# {title}\n[{of}]\n").unwrap_or_default();
            table = of;
        }
        let help = option.arg.get_help().map(ToString::to_string).unwrap_or_default();
        text.push('\n');
        comment(&mut text, &help);
        comment(&mut text, &format!("(--{}, {})", option.long(), option.variable()));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "#{key} = {}", value_of(option));
    }
    text
}

/// The default of an option in TOML, else an example.
fn value_of(option: &ConfigOption) -> String {
    let defaults = option.arg.get_default_values();
    let Some(default) = defaults.first().map(|value| value.to_string_lossy()) else {
        let example = EXAMPLES.iter().find(|(key, _)| *key == option.key);
        return example.map_or("\"\"", |(_, value)| *value).to_owned();
    };
    if option.is_list() {
        let values = defaults.iter().map(|value| format!("\"{}\"", value.to_string_lossy()));
        return format!("[{}]", values.collect::<Vec<_>>().join(", "));
    }
    // An octal mode is no number of TOML.
    let is_number = !default.starts_with('0') && default.parse::<u64>().is_ok();
    if option.is_switch() || is_number { default.into_owned() } else { format!("\"{default}\"") }
}

/// Appends a comment, wrapped.
fn comment(text: &mut String, words: &str) {
    let mut line = "#".to_owned();
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = "#".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
