//! `hobnob`: the agent of Hobnob, and the command line that asks it.

mod args;
mod commands;
mod dev;
mod exit;
mod logging;
mod output;
mod signals;

use std::process::ExitCode;

use exit::Exit;

fn main() -> ExitCode {
    let cli = args::parse();
    let exit = commands::run(cli).unwrap_or_else(|error| {
        let exit = Exit::of(&error);
        if exit != Exit::Done {
            output::say(&format!("error: {}", exit::describe(&error)));
        }
        exit
    });
    exit.into()
}
