//! Rotation and revocation at real agents, under picks.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::SealedBenchError;
use super::picking::Picking;
use crate::bench::row::{Goal, Row};
use crate::processes::{Fleet, ProcessError, SeenStatus, Watches, join, standing};

/// Agents that are picked from.
const PICKED_FROM: usize = 5;
/// A generation is used ten seconds after it came, and the one before it opens datagrams for thirty more.
const SWITCHED_AFTER: Duration = Duration::from_secs(45);
/// The time in which a revoked agent that was started again could come back.
const RETURN: Duration = Duration::from_secs(5);

pub(super) fn measure(
    hobnob: &Path,
    processes: usize,
    told: &mut dyn FnMut(&str),
    rows: &mut Vec<Row>,
) -> Result<(), SealedBenchError> {
    let mut fleet = Fleet::sealed(hobnob)?;
    told("joining");
    let (mut agents, addresses, joined) = join(&mut fleet, processes)?;
    rows.push(Row::new(format!("{processes} agents join"), joined.as_secs_f64() * 1e3, "ms"));
    let mut watches = Watches::new();
    for (agent, api) in agents.iter_mut().enumerate() {
        watches.add(&fleet, agent)?;
        api.register(&standing(agent))?;
    }
    let all: Vec<String> = (0..processes).map(standing).collect();
    watches.all_say(0..processes, &all, SeenStatus::Healthy).map_err(incomplete)?;

    told("a rotation, and the switch to the new generation");
    let picking = Picking::start(&fleet, 0..PICKED_FROM.min(processes))?;
    let (socket, credential) = (text(&fleet.socket(0)), text(&fleet.credential()));
    let order = |arguments: &[&str]| {
        let operator = ["--socket", &socket, "--credential", &credential];
        let began = Instant::now();
        fleet.run(&[arguments, &operator].concat()).map(|_| began.elapsed().as_secs_f64())
    };
    let rotation = order(&["keys", "rotate"])?;
    thread::sleep(SWITCHED_AFTER);
    watches.catch_up();
    rows.push(Row::new("`keys rotate` until all have it", rotation, "s").goal(Goal::AtMost(5.0)));
    let picks = picking.stop();
    let note = format!("of {}", picks.count());
    rows.push(
        Row::new("picks that failed meanwhile", picks.failed as f64, "")
            .goal(Goal::AtMost(0.0))
            .note(&note),
    );

    told("a revocation");
    let victim = processes - 1;
    let name = format!("agent-{victim}");
    let began = Instant::now();
    let (acknowledged, last) = thread::scope(|scope| {
        let order = scope.spawn(|| order(&["revoke", &name, "--yes"]));
        let last = watches.none_offer(0..victim, &standing(victim));
        (order.join().expect("a command does not panic"), last)
    });
    let acknowledged = acknowledged?;
    let last = last.map_err(incomplete)?;
    let out = last.saturating_duration_since(began).as_secs_f64();
    rows.push(
        Row::new("`revoke` until no agent offers its instances", out, "s").goal(Goal::AtMost(1.0)),
    );
    rows.push(Row::new("`revoke` until all have confirmed", acknowledged, "s"));
    told("the return of a revoked agent");
    fleet.kill(victim);
    fleet.restart(victim, &addresses[victim], &addresses[0])?;
    thread::sleep(RETURN);
    let offering = watches.offering(&standing(victim));
    rows.push(
        Row::new("agents that offer it again after its restart", offering as f64, "")
            .goal(Goal::AtMost(0.0)),
    );
    rows.push(
        Row::new("live agents believed down, over all", watches.false_downs as f64, "")
            .goal(Goal::AtMost(0.0)),
    );
    Ok(())
}

fn incomplete(agent: usize) -> ProcessError {
    let what = "what all should see".to_owned();
    ProcessError::Incomplete { agent, what }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
