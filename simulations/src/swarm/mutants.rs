//! Known bugs, switched on one at a time. They show that the checkers can fail.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use hobnob_membership::Mutant;
use serde::Serialize;

use super::drills::is_drill;
use super::size::Size;
use super::{run_caught, run_seed_to_failure};
use crate::bench::datacenters::{DatacentersEffort, PARTS};
use crate::checkers::Failure;
use crate::run::RunOptions;
use crate::scenario::{Scenario, builtin, builtins};

/// A run that may find a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finder {
    /// A seed of the swarm.
    Seed(u64),
    /// A scenario that comes with the simulator.
    Scenario(&'static str),
    /// A part of the measurements of datacenters: the bug costs time, bytes or copies, and breaks no promise.
    Measurement(&'static str),
}

impl fmt::Display for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(seed) => write!(f, "seed {seed}"),
            Self::Scenario(name) => write!(f, "scenario {name}"),
            Self::Measurement(part) => write!(f, "measurement {part}"),
        }
    }
}

impl FromStr for Finder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = |name: &str| builtins().iter().map(|it| it.name).find(|it| *it == name);
        let part = |name: &str| PARTS.iter().map(|it| it.name).find(|it| *it == name);
        let found = match text.split_once(' ') {
            Some(("seed", seed)) => seed.parse().ok().map(Self::Seed),
            Some(("scenario", scenario)) => name(scenario).map(Self::Scenario),
            Some(("measurement", measurement)) => part(measurement).map(Self::Measurement),
            _ => None,
        };
        found.ok_or_else(|| "write `seed 4`, `scenario crash` or `measurement storm`".to_owned())
    }
}

/// The result of hunting a bug.
#[derive(Clone, Debug, Serialize)]
pub struct Caught {
    /// The bug.
    pub mutant: String,
    /// Runs, including the one that found it.
    pub runs: u64,
    /// The run that found it.
    pub finder: Option<String>,
    /// Seconds that the hunt took.
    pub seconds: f64,
    /// The first failure; `None` when no checker fired.
    pub failure: Option<Failure>,
}

/// A quick run that is known to find a bug at the size of `smoke`. The protocol changes, and then it may find it no more: a hunt goes
/// on with the seeds in turn, and takes longer.
const KNOWN: &[(Mutant, Finder)] = &[
    (Mutant::NeverRefute, Finder::Seed(2)),
    (Mutant::ForgetTombstones, Finder::Seed(2)),
    (Mutant::SuffixBelowFloor, Finder::Seed(3)),
    (Mutant::SeenBeforeApplied, Finder::Seed(3)),
    (Mutant::KnownOverGap, Finder::Seed(4)),
    (Mutant::IgnoreRememberedEpoch, Finder::Seed(39)),
    (Mutant::ApplyOldEpoch, Finder::Seed(3)),
    (Mutant::MergeByArrival, Finder::Seed(14)),
    (Mutant::ReplaceBeforeWhole, Finder::Seed(3)),
    (Mutant::NeverRetrySeeds, Finder::Seed(44)),
    (Mutant::NeverRepair, Finder::Seed(4)),
    (Mutant::DropMemberEvent, Finder::Seed(4)),
    (Mutant::TruncateSync, Finder::Seed(4)),
    (Mutant::KeepVerdictsAlone, Finder::Seed(3)),
    (Mutant::MixClusters, Finder::Scenario("two-clusters")),
    (Mutant::NeverGiveWay, Finder::Scenario("duplicate-id")),
    (Mutant::NoReferees, Finder::Seed(4)),
    (Mutant::NeverAcquit, Finder::Seed(52)),
    (Mutant::VerdictNotSpread, Finder::Seed(4)),
    (Mutant::IgnoreSlowness, Finder::Seed(14)),
    (Mutant::IgnoreTcpProbe, Finder::Seed(14)),
    (Mutant::IgnoreMemberDigest, Finder::Seed(19)),
    (Mutant::ForgetLastDifference, Finder::Seed(9)),
    (Mutant::IgnoreBeyondGaps, Finder::Seed(24)),
    (Mutant::ReapWithoutTombstone, Finder::Seed(2)),
    (Mutant::TombstoneNotInDigest, Finder::Seed(2)),
    (Mutant::TombstoneForGood, Finder::Seed(34)),
    (Mutant::TombstoneOfTheLiving, Finder::Seed(39)),
    (Mutant::IgnoreForceLeave, Finder::Seed(39)),
    (Mutant::IgnoreReferral, Finder::Seed(49)),
    (Mutant::IgnoreStrangeAddress, Finder::Seed(64)),
    (Mutant::YoungAsOld, Finder::Seed(59)),
    (Mutant::NeverLookFurther, Finder::Seed(69)),
    (Mutant::CountTheSilent, Finder::Seed(69)),
    (Mutant::NeverGroupLosses, Finder::Scenario("mass-death")),
    (Mutant::IgnoreBrokenLinks, Finder::Scenario("broken-link")),
    (Mutant::KeepMassLosses, Finder::Scenario("half-half")),
    (Mutant::ConvictByReset, Finder::Seed(84)),
    (Mutant::AcquitOnAccept, Finder::Seed(79)),
    (Mutant::KeepExitVotes, Finder::Seed(79)),
    (Mutant::IgnoreGoodbye, Finder::Seed(89)),
    (Mutant::OwnErrorsAreRefusals, Finder::Seed(94)),
    (Mutant::AnyMemberRotates, Finder::Seed(104)),
    (Mutant::NoReplayWindow, Finder::Seed(99)),
    (Mutant::MacNotChecked, Finder::Seed(99)),
    (Mutant::OldGenerationForever, Finder::Seed(99)),
    (Mutant::RevocationNotSpread, Finder::Seed(109)),
    (Mutant::NewcomerJudgesToken, Finder::Seed(1)),
    (Mutant::IgnoreCertificateLimits, Finder::Seed(124)),
    (Mutant::MixDatacenters, Finder::Scenario("late-datacenter")),
    (Mutant::UnreachableIsDown, Finder::Scenario("datacenter-cut")),
    (Mutant::StaleLiveness, Finder::Seed(139)),
    (Mutant::OneGatewayDecides, Finder::Scenario("gateways-cut")),
    (Mutant::LoopWanRumors, Finder::Scenario("late-datacenter")),
    (Mutant::BudgetDrops, Finder::Measurement("narrow")),
    (Mutant::AnyGatewayOpens, Finder::Measurement("storm")),
    (Mutant::BreakerDrops, Finder::Measurement("loud")),
    (Mutant::NoRateLimit, Finder::Measurement("loud")),
    (Mutant::ScopeCrosses, Finder::Scenario("scoped-instances")),
];

/// The run that is tried first for a bug.
#[must_use]
pub fn known_finder(mutant: Mutant) -> Option<Finder> {
    KNOWN.iter().find(|(known, _)| *known == mutant).map(|(_, finder)| *finder)
}

/// The seeds below `seeds`: drills and others in turn. Most bugs are found by one drill, and some by many faults at once.
fn in_turn(seeds: u64) -> impl Iterator<Item = u64> {
    let (drills, others): (Vec<u64>, Vec<u64>) = (0..seeds).partition(|seed| is_drill(*seed));
    let mut drills = drills.into_iter();
    let mut others = others.into_iter();
    let pairs = std::iter::from_fn(move || {
        let pair = [drills.next(), others.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    });
    pairs.flatten().flatten()
}

/// The name under which a missed goal is told.
const GOALS: &str = "goals";

/// The first goal that small datacenters miss in a part of their measurements.
#[must_use]
pub fn missed_goal(part: &str) -> Option<Failure> {
    let part = PARTS.iter().find(|it| it.name == part)?;
    let rows = part.measure(&DatacentersEffort::small(), &mut |_| {});
    let row = rows.into_iter().find(|row| row.is_met() == Some(false))?;
    let what = format!("{}: {} {}", row.what, row.measured, row.unit);
    Some(Failure { checker: GOALS, at_micros: 0, what })
}

/// The scenario with this name, with so many hosts at most.
fn small_scenario(name: &str, size: Size) -> Option<Scenario> {
    let scenario = builtin(name)?.load().ok()?;
    let nodes = scenario.nodes.min(size.nodes);
    Some(if nodes < scenario.nodes { scenario.with_nodes(nodes) } else { scenario })
}

/// The first failure in a run.
fn failure(finder: Finder, size: Size) -> Option<Failure> {
    match finder {
        Finder::Seed(seed) => run_seed_to_failure(seed, size).failures.into_iter().next(),
        Finder::Scenario(name) => {
            let scenario = small_scenario(name, size)?;
            let options = RunOptions { stop_at_failure: true, ..RunOptions::default() };
            run_caught(&scenario, scenario.seed, options).failures.into_iter().next()
        }
        Finder::Measurement(part) => missed_goal(part),
    }
}

/// Runs the known finder of a bug with the bug switched on, and then up to `seeds` seeds, until a checker fires. A bug that is measured
/// is found by its measurement or not at all.
#[must_use]
pub fn hunt(mutant: Mutant, seeds: u64, size: Size) -> Caught {
    let known = known_finder(mutant);
    let seeds = if matches!(known, Some(Finder::Measurement(_))) { 0 } else { seeds };
    let others = in_turn(seeds).map(Finder::Seed).filter(move |finder| known != Some(*finder));
    hunt_in(mutant, known.into_iter().chain(others), size)
}

/// Makes some runs with a bug switched on, until a checker fires.
#[must_use]
pub fn hunt_in(mutant: Mutant, finders: impl Iterator<Item = Finder>, size: Size) -> Caught {
    let started = Instant::now();
    let mut caught = Caught {
        mutant: format!("{mutant:?}"),
        runs: 0,
        finder: None,
        seconds: 0.0,
        failure: None,
    };
    Mutant::activate(Some(mutant));
    for finder in finders {
        caught.runs += 1;
        caught.failure = failure(finder, size);
        if caught.failure.is_some() {
            caught.finder = Some(finder.to_string());
            break;
        }
    }
    Mutant::activate(None);
    caught.seconds = started.elapsed().as_secs_f64();
    caught
}
