//! Texts that are made from the code: completions, manual pages, the list of metrics.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::{Cli, hide_flags};
use crate::exit::Exit;
use crate::output::Output;

/// `hobnob completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hobnob completions bash > /usr/share/bash-completion/completions/hobnob
  hobnob completions zsh > /usr/share/zsh/vendor-completions/_hobnob
  hobnob completions fish > ~/.config/fish/completions/hobnob.fish
  source <(hobnob completions bash)                 in this shell only")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// `hobnob man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hobnob man | man -l -                             read the page of hobnob
  hobnob man /usr/local/share/man/man1              install those of all commands: `man hobnob-agent`")]
pub(crate) struct ManArgs {
    /// The directory for the pages of all commands, which is made if it is missing
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut hide_flags(Cli::command()), "hobnob", &mut text);
    print(&text)
}

/// Prints the manual page, or writes those of all commands.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<Exit> {
    match &args.directory {
        None => {
            let mut text = Vec::new();
            Man::new(hide_flags(Cli::command())).render(&mut text)?;
            print(&text)
        }
        Some(directory) => {
            let path = directory.display();
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot make the directory {path}"))?;
            clap_mangen::generate_to(hide_flags(Cli::command()), directory)
                .with_context(|| format!("cannot write the manual pages to {path}"))?;
            Ok(Exit::Done)
        }
    }
}

/// Prints the list of metrics.
pub(crate) fn metrics() -> anyhow::Result<Exit> {
    print(hobnob_agent::metrics::markdown().as_bytes())
}

fn print(text: &[u8]) -> anyhow::Result<Exit> {
    Output::new().line(String::from_utf8_lossy(text).trim_end())?;
    Ok(Exit::Done)
}
