//! The subcommands.

mod bench;
mod list;
mod load;
#[cfg(feature = "mutants")]
mod mutants;
mod output;
mod processes;
mod progress;
mod replay;
mod run;
mod smoke;
mod swarm;
mod trace_file;

use clap::Subcommand;

/// Whether a promise was broken.
pub(crate) enum CommandResult {
    /// No.
    Green,
    /// Yes.
    Broken,
}

/// What can be done.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the scenarios and the checkers that come with the simulator.
    List(list::ListArguments),
    /// Run a scenario, by its name or from a TOML file.
    Run(run::RunArguments),
    /// Run a drawn scenario for each of many seeds.
    Swarm(swarm::SwarmArguments),
    /// Run a seed of the swarm, or a run of which there is a trace, again, and tell every event.
    Replay(replay::ReplayArguments),
    /// Measure Hobnob in virtual time, and plain foca beside it; or real agents, with --processes.
    Bench(bench::BenchArguments),
    /// Switch on known bugs, one at a time, and see which checker finds each.
    #[cfg(feature = "mutants")]
    Mutants(mutants::MutantsArguments),
    /// All scenarios at small size and some seeds: minutes, for continuous integration.
    Smoke(smoke::SmokeArguments),
}

pub(crate) fn carry_out(command: Command) -> anyhow::Result<CommandResult> {
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
