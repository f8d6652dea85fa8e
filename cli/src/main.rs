//! `hobnob`: the agent of Hobnob, and the command line that asks it.

mod advice;
mod args;
mod commands;
mod config;
mod dev;
mod doctor;
mod exit;
mod logging;
mod output;
mod service_manager;
mod signals;
mod stdin;
mod template;
mod terminal;
mod texts;
mod top;

use std::process::ExitCode;

use exit::Exit;

fn main() -> ExitCode {
    signals::outlive();
    let cli = args::parse();
    let exit = commands::run(cli).unwrap_or_else(|error| {
        let exit = Exit::of(&error);
        if exit != Exit::Done {
            output::say(&format!("error: {}", exit::describe(&error)));
            if let Some(advice) = advice::of(&error) {
                for line in format!("help: {advice}").lines() {
                    output::say(line);
                }
            }
        }
        exit
    });
    logging::finish();
    exit.into()
}
