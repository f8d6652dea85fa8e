//! `strong`.

use std::ops::Range;

use clap::Args;
use hobnob_simulations::strong::{Judgement, Outcome, Totals, run_seed};
use hobnob_simulations::swarm::in_parallel;

use super::CommandResult;
use super::output::print;
use super::progress::Progress;
use super::swarm::parse_range;

/// The arguments of `strong`.
#[derive(Args)]
pub(crate) struct StrongArguments {
    /// The seeds; the last one is excluded. Each gives a history for each of two services.
    #[arg(long, default_value = "0..1000", value_parser = parse_range)]
    seeds: Range<u64>,
    /// Seeds that run in parallel.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

pub(super) fn strong(arguments: &StrongArguments) -> anyhow::Result<CommandResult> {
    let seeds: Vec<u64> = arguments.seeds.clone().collect();
    let mut progress = Progress::new();
    let (mut finished, mut broken, mut totals) = (0, Vec::new(), Totals::default());
    let mut unjudged = 0;
    let mut tell = |seed, (outcome, judgement): (Outcome, Judgement)| {
        let services = judgement.broken;
        if !judgement.unjudged.is_empty() {
            unjudged += judgement.unjudged.len();
            let services = judgement.unjudged;
            progress.note(&format!("seed {seed} takes too long to judge: services {services:?}"));
        }
        finished += 1;
        totals.add(&outcome);
        if !services.is_empty() {
            progress.note(&format!("seed {seed} is not linearizable: services {services:?}"));
            broken.push(seed);
        }
        let failed = broken.len();
        progress.tell(|| format!("{finished} of {} seeds, {failed} broken", seeds.len()));
    };
    let judged = |seed| {
        let outcome = run_seed(seed);
        let judgement = outcome.judge();
        (outcome, judgement)
    };
    in_parallel(&seeds, arguments.jobs, judged, &mut tell);
    progress.done();
    print(&format!(
        "{} histories of {} operations in {:.0} s: {} seeds broken, {} histories too long to judge; {} % of the operations were done, {} % overlapped; {} changes of voters, \
         {} crashes, {} disks lost or rolled back\n",
        totals.histories,
        totals.operations,
        progress.seconds(),
        broken.len(),
        unjudged,
        totals.succeeded_percent(),
        totals.overlapping_percent(),
        totals.changes,
        totals.crashes,
        totals.losses,
    ))?;
    let shown = broken.is_empty() && unjudged == 0;
    Ok(if shown { CommandResult::Green } else { CommandResult::Broken })
}
