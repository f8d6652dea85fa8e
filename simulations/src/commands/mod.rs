//! The subcommands.

mod bench;
mod list;
#[cfg(feature = "mutants")]
mod mutants;
mod processes;
mod progress;
mod replay;
mod run;
mod smoke;
mod swarm;

use std::io::{self, Write};

use anyhow::Context;
use clap::Subcommand;
use hobnob_simulations::run::Outcome;

/// Whether a promise was broken.
pub(crate) enum Verdict {
    /// No.
    Green,
    /// Yes.
    Broken,
}

/// What can be done.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the scenarios and the checkers that come with the simulator.
    List(list::Arguments),
    /// Run a scenario, by its name or from a TOML file.
    Run(run::Arguments),
    /// Run a drawn scenario for each of many seeds.
    Swarm(swarm::Arguments),
    /// Run a seed of the swarm, or a run of which there is a trace, again, and tell every event.
    Replay(replay::Arguments),
    /// Measure Hobnob in virtual time, and plain foca beside it; or real agents, with --processes.
    Bench(bench::Arguments),
    /// Switch on known bugs, one at a time, and see which checker finds each.
    #[cfg(feature = "mutants")]
    Mutants(mutants::Arguments),
    /// All scenarios at small size and some seeds: minutes, for continuous integration.
    Smoke(smoke::Arguments),
}

pub(crate) fn carry_out(command: Command) -> anyhow::Result<Verdict> {
    match command {
        Command::List(arguments) => list::list(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Swarm(arguments) => swarm::swarm(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        #[cfg(feature = "mutants")]
        Command::Mutants(arguments) => mutants::mutants(&arguments),
        Command::Smoke(arguments) => smoke::smoke(&arguments),
    }
}

/// Writes to standard output; who closed it wants no more, and that is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// What was broken in a run, with the line that repeats it.
fn tell_failures(outcome: &Outcome, repeat: &str) -> String {
    let shown = outcome.failures.iter().take(5).map(|failure| format!("  {failure}\n"));
    let more = outcome.failures.len().saturating_sub(5);
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    format!("{}{more}  again: {repeat}\n", shown.collect::<String>())
}

/// The command that repeats something.
fn repeat(arguments: &str) -> String {
    format!("cargo run --release -p hobnob-simulations -- {arguments}")
}
