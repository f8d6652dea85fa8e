//! `limits`.

use std::ops::Range;

use clap::Args;
use comfy_table::{Table, presets};
use hobnob_simulations::checkers::MeasuredLimit;
use hobnob_simulations::run::RunOptions;
use hobnob_simulations::scenario::{Scenario, builtins};
use hobnob_simulations::swarm::{in_parallel, run_caught};
use serde::Serialize;

use super::CommandResult;
use super::load::load;
use super::output::{print, repeat, summary, tell_failures};
use super::progress::Progress;
use super::swarm::parse_range;

/// The arguments of `limits`.
#[derive(Args)]
pub(crate) struct LimitsArguments {
    /// Built-in scenarios (see `list`), or paths of TOML files [default: all that are built in].
    scenarios: Vec<String>,
    /// The seeds; the last one is excluded.
    #[arg(long, default_value = "1..8", value_parser = parse_range)]
    seeds: Range<u64>,
    /// Runs in parallel.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Show the result as JSON.
    #[arg(long)]
    json: bool,
}

/// The limits of one scenario, beside the worst of all its seeds.
#[derive(Serialize)]
struct Examined {
    scenario: String,
    limits: Vec<ExaminedLimit>,
    broken_seeds: Vec<u64>,
}

#[derive(Serialize)]
struct ExaminedLimit {
    #[serde(flatten)]
    limit: MeasuredLimit,
    /// Why it is too loose.
    slack: Option<String>,
}

pub(super) fn limits(arguments: &LimitsArguments) -> anyhow::Result<CommandResult> {
    let mut names = arguments.scenarios.clone();
    if names.is_empty() {
        names = builtins().iter().map(|builtin| builtin.name.to_owned()).collect();
    }
    let mut progress = Progress::new();
    let mut examined = Vec::new();
    for name in &names {
        examined.push(examine(name, &load(name)?, arguments, &mut progress)?);
    }
    progress.done();
    let of_limits = || examined.iter().flat_map(|one| &one.limits);
    let loose = of_limits().filter(|limit| limit.slack.is_some()).count();
    let broken: usize = examined.iter().map(|one| one.broken_seeds.len()).sum();
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&examined)?))?;
    } else {
        print(&format!("{}\n", table(&examined)))?;
        print(&format!(
            "{} scenarios in {:.0} s: {loose} limits too loose, {broken} runs broken\n",
            examined.len(),
            progress.seconds()
        ))?;
    }
    Ok(if loose + broken == 0 { CommandResult::Green } else { CommandResult::Broken })
}

/// Runs a scenario with each seed.
fn examine(
    name: &str,
    scenario: &Scenario,
    arguments: &LimitsArguments,
    progress: &mut Progress,
) -> anyhow::Result<Examined> {
    let seeds: Vec<u64> = arguments.seeds.clone().collect();
    let mut outcomes = Vec::new();
    let work = |seed| run_caught(scenario, seed, RunOptions::default());
    let done = |_seed, outcome| {
        outcomes.push(outcome);
        progress.tell(|| format!("{name}: {} of {} seeds", outcomes.len(), seeds.len()));
    };
    in_parallel(&seeds, arguments.jobs, work, done);
    let mut broken_seeds = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_green()) {
        broken_seeds.push(outcome.seed);
        let again = repeat(&format!("run {name} --seed {}", outcome.seed));
        progress.note(&format!("{}{}", summary(outcome, None), tell_failures(outcome, &again)));
    }
    let worst = MeasuredLimit::worst_of(outcomes.iter().map(|outcome| outcome.limits.as_slice()));
    let limits = worst.into_iter().map(|limit| ExaminedLimit { slack: limit.slack(), limit });
    Ok(Examined { scenario: name.to_owned(), limits: limits.collect(), broken_seeds })
}

fn table(examined: &[Examined]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["scenario", "limit", "value", "worst measured", ""]);
    for one in examined {
        for ExaminedLimit { limit, slack } in &one.limits {
            let measured = limit.measured.map_or("not measured".to_owned(), |it| it.to_string());
            let verdict = if slack.is_some() { "too loose" } else { "" };
            table.add_row([
                one.scenario.as_str(),
                limit.name.key(),
                &limit.limit.to_string(),
                &measured,
                verdict,
            ]);
        }
    }
    table
}
