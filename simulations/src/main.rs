//! The simulator's command line.
//!
//! Exit codes: 0 when every promise was kept, 1 when a checker fired, 2 when the command failed.

mod commands;

use std::process::ExitCode;

use clap::Parser;

use commands::{Command, CommandResult};

/// Hobnob in virtual time, on a network that loses, delays, cuts and corrupts.
#[derive(Parser)]
#[command(name = "hobnob-simulations", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match commands::carry_out(Arguments::parse().command) {
        Ok(CommandResult::Green) => ExitCode::SUCCESS,
        Ok(CommandResult::Broken) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hobnob-simulations: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Arguments::command().debug_assert();
    }
}
