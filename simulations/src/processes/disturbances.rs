//! Agents that are disturbed and live on: their processes are frozen, and the connections that they hold are reset. Nobody
//! may call them down for that.

use std::io;
use std::net::SocketAddrV4;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::ProcessError;
use super::api::{Api, Info, infos};
use super::fleet::Fleet;
use super::held::{Resetter, open_connections};
use super::report::DisturbanceReport;

/// The length of a freeze, in milliseconds.
const FROZEN_MS: Range<u64> = 50..901;
/// The time from the end of a freeze to the next one of its lane, in milliseconds.
const BETWEEN_MS: Range<u64> = 50..151;
/// Agents that may be frozen at a time.
const LANES: usize = 3;
/// The time after the last disturbance in which verdicts may still come.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Freeze(usize),
    Thaw(usize),
    Reset,
}

/// Disturbs agents with these addresses by freezes and resets.
pub(super) fn disturb(
    fleet: &Fleet,
    agents: &mut [Api],
    addresses: &[String],
    (freezes, resets): (usize, usize),
    progress: &mut dyn FnMut(&str),
) -> Result<DisturbanceReport, ProcessError> {
    let before = infos(agents)?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let mut report = DisturbanceReport { freezes, ..DisturbanceReport::default() };
    let mut resetter = Resetter::open();
    let addresses: Vec<SocketAddrV4> =
        addresses.iter().filter_map(|address| address.parse().ok()).collect();
    let began = Instant::now();
    for (at, event) in timetable(agents.len(), freezes, resets, &mut rng) {
        thread::sleep(at.saturating_sub(began.elapsed()));
        progress(&format!("{freezes} freezes and {resets} resets, {} s", at.as_secs()));
        match (event, &resetter) {
            (Event::Freeze(agent), _) => fleet.freeze(agent, true)?,
            (Event::Thaw(agent), _) => fleet.freeze(agent, false)?,
            (Event::Reset, Err(_)) => {}
            (Event::Reset, Ok(open)) => match reset_one(open, &addresses, &mut rng)? {
                Ok(was_open) => report.resets += usize::from(was_open),
                Err(error) => resetter = Err(error),
            },
        }
    }
    report.resets_refused = resetter.err().map(|error| error.to_string());
    thread::sleep(SETTLE);
    let after = infos(agents)?;
    let grown = |of: fn(&Info) -> u64| -> u64 {
        after.iter().zip(&before).map(|(now, then)| of(now).saturating_sub(of(then))).sum()
    };
    report.hints = grown(Info::exit_hints);
    report.acquitted = grown(Info::exits_acquitted);
    report.convicted = grown(Info::exits_convicted);
    Ok(report)
}

/// Freezes of agents, of which each lane freezes one at a time, and resets at random times among them.
fn timetable(
    agents: usize,
    freezes: usize,
    resets: usize,
    rng: &mut Xoshiro256PlusPlus,
) -> Vec<(Duration, Event)> {
    let lanes = LANES.min(agents);
    let mut events = Vec::new();
    let mut free_at = vec![0_u64; lanes];
    for number in 0..freezes {
        let lane = number % lanes;
        let own: Vec<usize> = (lane..agents).step_by(lanes).collect();
        let Some(&agent) = own.choose(rng) else { continue };
        let from = free_at[lane] + rng.random_range(BETWEEN_MS);
        let to = from + rng.random_range(FROZEN_MS);
        free_at[lane] = to;
        events.push((Duration::from_millis(from), Event::Freeze(agent)));
        events.push((Duration::from_millis(to), Event::Thaw(agent)));
    }
    let end = free_at.iter().max().copied().unwrap_or_default().max(1);
    for _ in 0..resets {
        events.push((Duration::from_millis(rng.random_range(0..end)), Event::Reset));
    }
    events.sort_unstable();
    events
}

/// Resets a connection between agents at one of its ends, if there is any. The inner error is the kernel's refusal.
fn reset_one(
    resetter: &Resetter,
    agents: &[SocketAddrV4],
    rng: &mut Xoshiro256PlusPlus,
) -> Result<io::Result<bool>, ProcessError> {
    let mut held = open_connections().map_err(ProcessError::Connections)?;
    held.retain(|end| agents.contains(&end.local) || agents.contains(&end.remote));
    let Some(end) = held.choose(rng) else { return Ok(Ok(false)) };
    Ok(resetter.reset(*end))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_freeze_ends_and_no_agent_is_frozen_twice_at_a_time() {
        for agents in [2, 20, 50] {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
            let events = timetable(agents, 100, 300, &mut rng);
            assert_eq!(events.len(), 500);
            let (mut frozen, mut disturbed) = (BTreeSet::new(), BTreeSet::<usize>::new());
            for (_, event) in events {
                match event {
                    Event::Freeze(agent) => assert!(frozen.insert(agent), "{agent}"),
                    Event::Thaw(agent) => assert!(frozen.remove(&agent), "{agent}"),
                    Event::Reset => {}
                }
                assert!(frozen.len() <= LANES);
                disturbed.extend(&frozen);
            }
            assert!(frozen.is_empty());
            assert!(disturbed.len() * 4 >= agents * 3, "{disturbed:?}");
        }
    }
}
