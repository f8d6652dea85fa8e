//! Words that people know from other tools, and the command that does the same here.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands of Consul, Serf, kubectl, systemctl and docker.
const COMMANDS: [(&str, &str); 25] = [
    ("agents", "hobnob members"),
    ("catalog", "hobnob services"),
    ("describe", "hobnob explain NAME"),
    ("find", "hobnob resolve SERVICE"),
    ("get", "hobnob resolve SERVICE"),
    ("health", "hobnob doctor"),
    ("inspect", "hobnob explain NAME"),
    ("instances", "hobnob resolve SERVICE"),
    ("list", "hobnob services"),
    ("logs", "hobnob history"),
    ("lookup", "hobnob resolve SERVICE"),
    ("ls", "hobnob services"),
    ("monitor", "hobnob watch SERVICE"),
    ("nodes", "hobnob members"),
    ("peers", "hobnob members"),
    ("ps", "hobnob services"),
    ("query", "hobnob resolve SERVICE"),
    ("restart", "systemctl restart hobnob"),
    ("run", "hobnob agent"),
    ("server", "hobnob agent"),
    ("service", "hobnob resolve SERVICE"),
    ("start", "hobnob agent"),
    ("status", "hobnob info"),
    ("stop", "hobnob leave"),
    ("version", "hobnob --version"),
];

/// Arguments of them.
const ARGUMENTS: [(&str, &str); 6] = [
    ("--check", "--check-http URL, --check-tcp ADDRESS or another of the kinds in --help"),
    ("--format", "--json"),
    ("--name", "--id"),
    ("--output", "--json"),
    ("-o", "--json"),
    ("-w", "hobnob watch SERVICE"),
];

/// Replaces the tip of an error about a word that is known from elsewhere: the nearest word here is seldom what was meant.
pub(super) fn explain(error: &mut clap::Error) {
    let (word, nearest, known) = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand, &COMMANDS[..])
        }
        ErrorKind::UnknownArgument => {
            (ContextKind::InvalidArg, ContextKind::SuggestedArg, &ARGUMENTS[..])
        }
        _ => return,
    };
    let Some(ContextValue::String(typed)) = error.get(word) else { return };
    let typed = typed.split('=').next().unwrap_or_default();
    let Some((_, here)) = known.iter().find(|(elsewhere, _)| *elsewhere == typed) else { return };
    error.remove(nearest);
    let tips = vec![StyledStr::from(format!("here that is `{here}`"))];
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
}

#[cfg(test)]
mod tests {
    use super::super::command;
    use super::*;

    fn told(args: &[&str]) -> String {
        let mut error = command().try_get_matches_from(args).unwrap_err();
        explain(&mut error);
        error.to_string()
    }

    #[test]
    fn a_word_of_another_tool_leads_to_the_command_here() {
        let told_of = told(&["hobnob", "describe", "web"]);
        assert!(told_of.contains("tip: here that is `hobnob explain NAME`"), "{told_of}");
        assert!(!told_of.contains("deregister"), "{told_of}");
        let told_of = told(&["hobnob", "members", "-o", "json"]);
        assert!(told_of.contains("tip: here that is `--json`"), "{told_of}");
        let told_of = told(&["hobnob", "register", "web", "--check=http://127.0.0.1/"]);
        assert!(told_of.contains("--check-http URL"), "{told_of}");
    }

    #[test]
    fn a_slip_still_has_the_nearest_word() {
        let told_of = told(&["hobnob", "regster", "web"]);
        assert!(told_of.contains("register"), "{told_of}");
    }

    #[test]
    fn no_word_is_a_command_here_and_every_command_exists() {
        let all = command();
        for (word, here) in COMMANDS {
            assert!(all.find_subcommand(word).is_none(), "{word} is a command");
            if let Some(name) = here.strip_prefix("hobnob ").and_then(|it| it.split(' ').next()) {
                assert!(name.starts_with("--") || all.find_subcommand(name).is_some(), "{here}");
            }
        }
    }
}
