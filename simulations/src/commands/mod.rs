//! The subcommands.

mod bench;
mod limits;
mod list;
mod load;
#[cfg(feature = "mutants")]
mod mutants;
mod output;
mod processes;
mod progress;
mod replay;
mod run;
mod sealed;
mod smoke;
mod socket;
mod strong;
mod swarm;
mod trace_file;

use clap::Subcommand;

/// The result of a command.
pub(crate) enum CommandResult {
    /// Every promise was kept.
    Green,
    /// A promise was broken, or nobody could tell.
    Broken,
}

/// The subcommands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the scenarios and the checkers that come with the simulator.
    List(list::ListArguments),
    /// Run a scenario, by its name or from a TOML file.
    Run(run::RunArguments),
    /// Compare each limit of the scenarios with what several seeds measure, and fail when one is too loose.
    Limits(limits::LimitsArguments),
    /// Run a random scenario for each of many seeds.
    Swarm(swarm::SwarmArguments),
    /// Judge histories of strong reads and writes under faults, for each of many seeds.
    Strong(strong::StrongArguments),
    /// Run a seed of the swarm again, or the run of a trace file, and show every event.
    Replay(replay::ReplayArguments),
    /// Measure Hobnob and plain foca in virtual time, or real agents with --processes.
    Bench(Box<bench::BenchArguments>),
    /// Switch on known bugs, one at a time, and show which checker finds each.
    #[cfg(feature = "mutants")]
    Mutants(mutants::MutantsArguments),
    /// Run all scenarios at small size and some seeds: takes minutes, for continuous integration.
    Smoke(smoke::SmokeArguments),
}

pub(crate) fn carry_out(command: Command) -> anyhow::Result<CommandResult> {
    match command {
        Command::List(arguments) => list::list(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Limits(arguments) => limits::limits(&arguments),
        Command::Swarm(arguments) => swarm::swarm(&arguments),
        Command::Strong(arguments) => strong::strong(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        #[cfg(feature = "mutants")]
        Command::Mutants(arguments) => mutants::mutants(&arguments),
        Command::Smoke(arguments) => smoke::smoke(&arguments),
    }
}
