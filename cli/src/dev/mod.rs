//! `hobnob dev`: a whole cluster on this machine, each agent and each server a process of its own, for demonstration.

mod avoidance;
mod cluster;
mod counted;
mod deaths;
mod demonstration;
mod display;
mod link;
mod load;
mod notices;
mod serve;
mod sights;

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::args::DevArgs;
use crate::exit::Exit;
use crate::output;
use crate::signals::{Hangup, StopSignals};
use crate::terminal::Input;

use crate::commands::found;
use cluster::{CLUSTER, Cluster, Folder};
use demonstration::Demonstration;
use display::{Board, Display, Order, Status, hints};
use sights::Snapshot;

pub(crate) use serve::run as serve;

/// The period in which the display may change.
const REFRESH: Duration = Duration::from_millis(100);

/// Runs the cluster until it is told to stop, then removes its files.
pub(crate) async fn run(args: DevArgs) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.check()?;
    let mut signals = StopSignals::new(Hangup::Stops)?;
    let folder = Folder::create()?;
    if args.sealed {
        found(CLUSTER, &folder.ca(), &folder.token())?;
    }
    let datacenters = usize::from(args.datacenters);
    let mut cluster = Cluster::new(&folder, args.log.as_deref(), args.sealed, datacenters)?;
    let shown = tokio::select! {
        shown = start_and_show(&mut cluster, &args, &folder, started) => {
            // The signal that tells of a closed terminal may still come.
            signals.expect_one();
            shown
        }
        _ = signals.next() => Ok(Exit::Done),
    };
    let stopped = tokio::select! {
        stopped = cluster.stop() => Some(stopped),
        _ = signals.next() => None,
    };
    folder.remove()?;
    let Some(stopped) = stopped else { return Ok(Exit::Failed) };
    output::say(&format!("stopped {stopped} after {:.1} s", started.elapsed().as_secs_f64()));
    shown
}

async fn start_and_show(
    cluster: &mut Cluster<'_>,
    args: &DevArgs,
    folder: &Folder,
    started: Instant,
) -> anyhow::Result<Exit> {
    cluster.start(usize::from(args.agents)).await?;
    let has_link = args.datacenters > 1;
    let logs = args.log.as_ref().map(|_| folder.path());
    let mut status = Status::new(started, hints(cluster.first_socket(), logs, has_link));
    status.has_link = has_link;
    let mut demonstration = Demonstration::new(cluster);
    let (mut display, mut board) = (Display::open(), Board::new());
    let end = args.run_for.map(|run_for| started + run_for);
    let mut ticks = interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let last = 'shown: loop {
        let snapshot = demonstration.snapshot();
        status.observe(&snapshot);
        demonstration.look(&snapshot, &mut status.notices);
        if let Err(error) = display.show(&snapshot, &status, &demonstration.picks(), &mut board) {
            if display.is_gone() {
                return Ok(Exit::Done);
            }
            return Err(error).context("cannot show the cluster");
        }
        loop {
            tokio::select! {
                // What has changed is taken note of before the next picture, however long that one took.
                biased;
                () = end_of(end) => break 'shown demonstration.snapshot(),
                change = demonstration.next() => demonstration.take(change, &mut status.notices),
                input = display.input() => {
                    let Input::Key(key) = input else { break };
                    match board.press(key, &snapshot) {
                        Some(Order::Quit) => break 'shown snapshot,
                        Some(order) => demonstration.carry_out(&order, &mut status.notices),
                        None => {}
                    }
                    break;
                }
                _ = ticks.tick() => break,
            }
        }
    };
    display.close(&status).context("cannot show the cluster")?;
    match args.run_for {
        Some(run_for) if !last.is_complete() && end.is_some_and(|end| Instant::now() >= end) => {
            Err(not_all_healthy(run_for, &last))
        }
        _ => Ok(Exit::Done),
    }
}

async fn end_of(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}

fn not_all_healthy(run_for: Duration, snapshot: &Snapshot) -> anyhow::Error {
    anyhow!(
        "not everything is healthy after {}: {}; run it without --for to look closer",
        humantime::format_duration(run_for),
        snapshot.missing().join("; "),
    )
}
