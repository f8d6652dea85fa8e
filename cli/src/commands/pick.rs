//! `hobnob pick` and `hobnob report`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;
use hobnob_api::client::Client;
use hobnob_api::names::printable;
use hobnob_api::{Instance, Pick, PickQuery, Query, Request, Response};
use serde::Serialize;
use serde_json::json;

use super::catalog::Nothing;
use super::unexpected;
use crate::args::{PickArgs, ReportArgs};
use crate::exit::Exit;
use crate::output::{self, Output};

/// The most picks in one call of the API.
const PICKS_PER_CALL: u32 = 10_000;

/// Prints one line for each pick, one JSON object for each call of the API, or a summary of the picks.
pub(super) async fn run(client: &mut Client, args: &PickArgs) -> anyhow::Result<Exit> {
    let query = PickQuery::from(args);
    let mut out = Output::new().wide(args.table.wide);
    let mut spread = Spread::default();
    let mut left = args.count;
    while left > 0 {
        let count = left.min(PICKS_PER_CALL);
        let picked = match client.call(Request::Pick(PickQuery { count, ..query.clone() })).await? {
            Response::Picked(picked) => picked,
            other => return Err(unexpected(&other)),
        };
        if left == args.count {
            output::warn_if_isolated(picked.isolated);
            output::warn_if_not_healthy(picked.picks.iter().map(|pick| &pick.instance));
        }
        if args.json && !args.summary {
            out.json(&picked)?;
        }
        if picked.picks.is_empty() {
            break;
        }
        (spread.revision, spread.isolated) = (picked.revision, picked.isolated);
        for pick in picked.picks {
            if args.summary {
                spread.count(pick.instance);
            } else if !args.json {
                print(&mut out, args, &pick)?;
            }
        }
        left -= count;
    }
    if left == args.count {
        let query = asked(&query);
        Nothing::of(client, &query).await?.say(&query);
        return Ok(Exit::NothingMatched);
    }
    if args.summary {
        spread.include(offered(client, &query).await?);
        spread.print(&mut out, args.json)?;
    }
    Ok(Exit::Done)
}

/// The instances that could have been picked. A summary also shows instances that got no pick.
async fn offered(client: &mut Client, query: &PickQuery) -> anyhow::Result<Vec<Instance>> {
    match client.call(Request::Resolve(asked(query))).await? {
        Response::Instances(found) => Ok(found.instances),
        other => Err(unexpected(&other)),
    }
}

/// The query for the instances that a pick chooses from.
fn asked(query: &PickQuery) -> Query {
    Query {
        service: query.service.clone(),
        namespace: query.namespace.clone(),
        all: false,
        strict: query.strict,
        tags: BTreeSet::new(),
        meta: BTreeMap::new(),
        selector: query.selector.clone(),
        datacenter: query.datacenter.clone(),
        max_age_ms: query.max_age_ms,
        wait: None,
        consistency: query.consistency,
        consistency_timeout_ms: query.consistency_timeout_ms,
    }
}

/// Reports the outcomes of calls to the agent.
pub(super) async fn report(client: &mut Client, args: &ReportArgs) -> anyhow::Result<Exit> {
    let reports: Vec<_> = args.into();
    let sent = reports.len();
    let known = match client.call(Request::Report { reports, calls: Vec::new() }).await? {
        Response::Reported { known } => known,
        other => return Err(unexpected(&other)),
    };
    if args.json {
        Output::new().json(&json!({ "known": known, "reports": sent }))?;
    }
    match known {
        all if all == sent => Ok(Exit::Done),
        0 => {
            output::say_error(
                "no such token: it was reported before, or its pick is more than a minute old",
                "",
            );
            Ok(Exit::NothingMatched)
        }
        _ => Err(anyhow!(
            "only {known} of {sent} tokens were known: the others were reported before, or expired"
        )),
    }
}

fn print(out: &mut Output, args: &PickArgs, pick: &Pick) -> anyhow::Result<()> {
    let Pick { token, instance } = pick;
    let endpoint = output::endpoint(&instance.address, instance.port);
    let (endpoint, id) = (printable(&endpoint), printable(&instance.id));
    let token = if args.report { format!("  {token}") } else { String::new() };
    Ok(out.line(&format!("{endpoint}  {id}{token}"))?)
}

/// The distribution of picks over instances.
#[derive(Default)]
struct Spread {
    revision: u64,
    isolated: bool,
    picks: u64,
    instances: BTreeMap<(String, String), (Instance, u64)>,
}

#[derive(Serialize)]
struct Summary {
    revision: u64,
    isolated: bool,
    picks: u64,
    /// The fewest picks of an instance divided by the most.
    efficiency: f64,
    /// The same for picks divided by weight.
    fairness: f64,
    instances: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    instance: String,
    member: String,
    address: String,
    port: u16,
    weight: u32,
    picks: u64,
    share: f64,
}

impl Spread {
    fn count(&mut self, instance: Instance) {
        self.picks += 1;
        let key = (instance.id.clone(), instance.node.clone());
        self.instances.entry(key).or_insert((instance, 0)).1 += 1;
    }

    fn include(&mut self, instances: Vec<Instance>) {
        for instance in instances {
            let key = (instance.id.clone(), instance.node.clone());
            self.instances.entry(key).or_insert((instance, 0));
        }
    }

    fn print(&self, out: &mut Output, json: bool) -> anyhow::Result<()> {
        let summary = self.summary();
        if json {
            return Ok(out.json(&summary)?);
        }
        let counts = self.instances.values().map(|(instance, picks)| (instance, *picks));
        let text = output::spread(counts, self.picks, out.style());
        out.line(&text)?;
        Ok(out.line(&format!(
            "{} picks over {} instances: efficiency {:.3}, fairness {:.3}",
            summary.picks,
            summary.instances.len(),
            summary.efficiency,
            summary.fairness
        ))?)
    }

    fn summary(&self) -> Summary {
        let ratio = |load: &dyn Fn(&(Instance, u64)) -> f64| {
            let loads = || self.instances.values().map(load);
            loads().fold(f64::MAX, f64::min) / loads().fold(f64::MIN_POSITIVE, f64::max)
        };
        let lines = self.instances.values().map(|(instance, picks)| Line {
            instance: instance.id.clone(),
            member: instance.node.clone(),
            address: instance.address.clone(),
            port: instance.port,
            weight: instance.weight,
            picks: *picks,
            share: *picks as f64 / self.picks as f64,
        });
        Summary {
            revision: self.revision,
            isolated: self.isolated,
            picks: self.picks,
            efficiency: ratio(&|(_, picks)| *picks as f64),
            fairness: ratio(&|(instance, picks)| *picks as f64 / f64::from(instance.weight)),
            instances: lines.collect(),
        }
    }
}
