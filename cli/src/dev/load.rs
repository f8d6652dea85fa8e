//! A load of picks: each agent is asked over and over for an instance of each service, as callers on its host would.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hobnob_api::client::{Client, ClientError};
use hobnob_api::{PickQuery, Request, Response};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::cluster::{Cluster, SPECS};

/// The period in which an agent is asked for each service. It bounds how exactly the end of picks is seen.
const PERIOD: Duration = Duration::from_millis(10);
/// With this many agents or fewer, each is asked in that period. More agents are asked less often.
const AGENTS_AT_ONCE: u32 = 4;
/// The picks of one call.
const PICKS: u32 = 3;
/// The longest wait for an answer. An agent that stands still answers none.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// The pause before an agent that is away is asked again.
const RETRY: Duration = Duration::from_millis(50);
/// The time over which rates are measured: so many slots of this length.
const SLOT: Duration = Duration::from_millis(500);
const SLOTS: usize = 4;
/// The rates of the whole load that are kept for its curve.
const MAX_CURVE: usize = 240;

/// The picks of one instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    /// Picks in a second.
    pub(super) per_second: f64,
    /// Its part of the picks of its service, from 0 to 1.
    pub(super) of_service: f64,
}

/// The picks lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Picks {
    /// The share of each instance that was picked, by id.
    pub(super) shares: BTreeMap<String, Share>,
    /// All picks in a second.
    pub(super) per_second: f64,
    /// The picks in a second before, the oldest first.
    pub(super) curve: Vec<u64>,
}

/// The picks of an instance so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picked {
    pub(super) count: u64,
    pub(super) last: Instant,
}

/// What was picked.
#[derive(Debug)]
pub(super) struct Tally {
    began: Instant,
    picked: BTreeMap<String, Picked>,
    /// The picks of each slot of time, with the number of the slot, the oldest first.
    slots: VecDeque<(u128, BTreeMap<String, u64>)>,
    curve: VecDeque<u64>,
}

impl Tally {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, picked: BTreeMap::new(), slots: VecDeque::new(), curve: VecDeque::new() }
    }

    fn slot(&self, at: Instant) -> u128 {
        at.duration_since(self.began).as_millis() / SLOT.as_millis()
    }

    /// Notes that an instance was picked.
    pub(super) fn note(&mut self, id: &str, at: Instant) {
        self.advance(at);
        let picked = self.picked.entry(id.to_owned()).or_insert(Picked { count: 0, last: at });
        picked.count += 1;
        picked.last = picked.last.max(at);
        if let Some((_, counts)) = self.slots.back_mut() {
            *counts.entry(id.to_owned()).or_default() += 1;
        }
    }

    /// Begins the slot of this time, and drops those that are too old.
    fn advance(&mut self, at: Instant) {
        let now = self.slot(at);
        let mut next = self.slots.back().map_or(now, |(slot, _)| slot + 1);
        // After a long silence only the last slots matter.
        next = next.max(now.saturating_sub(MAX_CURVE as u128));
        while next <= now {
            if let Some((_, counts)) = self.slots.back() {
                let all = counts.values().sum::<u64>() as f64 / SLOT.as_secs_f64();
                if self.curve.len() == MAX_CURVE {
                    self.curve.pop_front();
                }
                self.curve.push_back(all as u64);
            }
            self.slots.push_back((next, BTreeMap::new()));
            if self.slots.len() > SLOTS + 1 {
                self.slots.pop_front();
            }
            next += 1;
        }
    }

    /// The picks of an instance so far.
    pub(super) fn picked(&self, id: &str) -> Option<Picked> {
        self.picked.get(id).copied()
    }

    /// The picks in the slots that are over.
    fn recent(&mut self, now: Instant) -> Picks {
        self.advance(now);
        let over = self.slots.len().saturating_sub(1);
        let seconds = SLOT.as_secs_f64() * over.max(1) as f64;
        let mut counts = BTreeMap::<String, u64>::new();
        for (_, slot) in self.slots.iter().take(over) {
            for (id, count) in slot {
                *counts.entry(id.clone()).or_default() += count;
            }
        }
        let of_service = |id: &str| -> u64 {
            let service = service_of(id);
            counts.iter().filter(|(id, _)| service_of(id) == service).map(|(_, count)| count).sum()
        };
        let share = |(id, count): (&String, &u64)| {
            let all = of_service(id).max(1);
            let share = Share {
                per_second: *count as f64 / seconds,
                of_service: *count as f64 / all as f64,
            };
            (id.clone(), share)
        };
        let per_second = counts.values().sum::<u64>() as f64 / seconds;
        let curve = self.curve.iter().copied().collect();
        Picks { shares: counts.iter().map(share).collect(), per_second, curve }
    }
}

/// The service of an instance.
fn service_of(id: &str) -> Option<&'static str> {
    SPECS.iter().find(|spec| spec.id == id).map(|spec| spec.service)
}

/// The load. Dropping it ends it.
pub(super) struct Load {
    tally: Arc<Mutex<Tally>>,
    _tasks: JoinSet<()>,
}

impl Load {
    pub(super) fn start(cluster: &Cluster<'_>) -> Self {
        let tally = Arc::new(Mutex::new(Tally::new(Instant::now())));
        let agents = u32::try_from(cluster.agents().len()).unwrap_or(u32::MAX);
        let period = PERIOD * agents.div_ceil(AGENTS_AT_ONCE).max(1);
        let mut tasks = JoinSet::new();
        for agent in cluster.agents() {
            tasks.spawn(pick_over_and_over(agent.socket.clone(), period, tally.clone()));
        }
        Self { tally, _tasks: tasks }
    }

    /// The picks lately.
    pub(super) fn recent(&self) -> Picks {
        self.read(|tally| tally.recent(Instant::now()))
    }

    /// Reads the tally. Picks wait meanwhile.
    pub(super) fn read<T>(&self, read: impl FnOnce(&mut Tally) -> T) -> T {
        read(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn pick_over_and_over(socket: PathBuf, period: Duration, tally: Arc<Mutex<Tally>>) {
    loop {
        // Ignore errors: an agent that is away is asked again when it is back.
        let _ = pick(&socket, period, &tally).await;
        sleep(RETRY).await;
    }
}

async fn pick(socket: &Path, period: Duration, tally: &Mutex<Tally>) -> Result<(), ClientError> {
    let mut client = Client::connect(socket).await?.answer_within(ANSWER_WITHIN);
    let services = BTreeSet::from(SPECS.map(|spec| spec.service));
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for service in &services {
            let query = PickQuery { count: PICKS, ..PickQuery::new(*service) };
            let Response::Picked(picked) = client.call(Request::Pick(query)).await? else {
                continue;
            };
            let at = Instant::now();
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            for pick in picked.picks {
                tally.note(&pick.instance.id, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_last_slots() {
        let began = Instant::now();
        let mut tally = Tally::new(began);
        let at = |ms| began + Duration::from_millis(ms);
        for ms in 0..1_000 {
            tally.note("web-1", at(ms));
            if ms % 3 == 0 {
                tally.note("web-2", at(ms));
            }
            tally.note("api-1", at(ms));
        }
        let picks = tally.recent(at(1_000));
        let share = picks.shares["web-1"];
        assert!((share.per_second - 1_000.0).abs() < 1.0, "{share:?}");
        assert!((share.of_service - 0.75).abs() < 0.01, "{share:?}");
        assert!((picks.shares["api-1"].of_service - 1.0).abs() < f64::EPSILON);
        assert_eq!(picks.curve.len(), 2);
        // Two seconds later nothing of it is recent, and the count stays.
        assert_eq!(tally.recent(at(4_000)).shares, BTreeMap::new());
        assert_eq!(tally.picked("web-1").unwrap().count, 1_000);
        assert!(tally.slots.len() <= SLOTS + 1);
    }
}
