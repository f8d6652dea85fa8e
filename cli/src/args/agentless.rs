//! Commands that work on files and ask no agent. The flags about the agent that is asked are not for them.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Error};

const COMMANDS: [&str; 3] = ["access-key", "init", "token"];
const FLAGS: [&str; 2] = ["socket", "answer_timeout"];

/// Leaves the flags out of the help of these commands.
pub(crate) fn hide_flags(command: Command) -> Command {
    let flags = command.get_arguments().filter(|arg| FLAGS.contains(&arg.get_id().as_str()));
    let hidden: Vec<Arg> = flags.map(|arg| arg.clone().hide(true)).collect();
    COMMANDS.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |agentless| agentless.args(hidden.clone()))
    })
}

/// Refuses a flag that was typed. A variable may be set for other commands.
///
/// # Errors
/// The flag, and what the command works on.
pub(super) fn refuse_flags(matches: &ArgMatches, command: &mut Command) -> Result<(), Error> {
    let asked = matches.subcommand_name();
    let Some(name) = COMMANDS.into_iter().find(|name| asked == Some(name)) else { return Ok(()) };
    let is_typed = |flag: &&str| matches.value_source(flag) == Some(ValueSource::CommandLine);
    let Some(flag) = FLAGS.into_iter().find(is_typed) else { return Ok(()) };
    let flag = flag.replace('_', "-");
    let message = format!(
        "`hobnob {name}` asks no agent, so `--{flag}` has no effect: it works on files, which `hobnob {name} --help` names"
    );
    Err(command.error(ErrorKind::ArgumentConflict, message))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    #[test]
    fn a_flag_about_the_agent_is_refused_where_none_is_asked() {
        let refused = |line: &[&str]| {
            let mut command = hide_flags(Cli::command());
            let matches = command.clone().try_get_matches_from(line).unwrap();
            refuse_flags(&matches, &mut command).err().map(|error| error.to_string())
        };
        for line in [
            &["hobnob", "access-key", "list", "--socket", "/a"][..],
            &["hobnob", "--socket", "/a", "access-key", "list"],
            &["hobnob", "access-key", "--answer-timeout", "1s", "list"],
        ] {
            let told = refused(line).unwrap();
            assert!(told.contains("`hobnob access-key` asks no agent"), "{told}");
        }
        assert_eq!(refused(&["hobnob", "access-key", "list"]), None);
        assert_eq!(refused(&["hobnob", "info", "--socket", "/a"]), None);
    }

    #[test]
    fn no_help_offers_what_is_refused() {
        let mut command = hide_flags(Cli::command());
        command.build();
        for name in COMMANDS {
            let help = |command: &mut Command| command.render_long_help().to_string();
            let command = command.find_subcommand_mut(name).unwrap();
            let own = help(command);
            let of_others = command.get_subcommands_mut().map(help);
            for help in of_others.chain([own]) {
                assert!(!help.contains("--socket"), "{name}: {help}");
            }
        }
    }
}
