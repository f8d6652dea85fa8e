//! Watches on all agents: what each sees of the service, as it happens.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::fleet::Fleet;
use super::{ANSWER_TIMEOUT, ProcessError};

/// An agent showed a status of an instance.
#[derive(Debug)]
pub(crate) struct Sighting {
    /// The agent.
    pub(crate) agent: usize,
    /// When its line was read.
    pub(crate) at: Instant,
    /// The instance.
    pub(crate) id: String,
    /// Its status.
    pub(crate) status: SeenStatus,
    /// Whether the agent offers it.
    pub(crate) is_offered: bool,
}

impl Sighting {
    /// Whether the agent of the instance is believed down.
    fn is_down(&self) -> bool {
        self.status == SeenStatus::Unknown && !self.id.starts_with(CHECKED)
    }
}

/// The status of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SeenStatus {
    Healthy,
    Unhealthy,
    /// Its agent is believed down.
    Unknown,
    Gone,
}

#[derive(Deserialize)]
struct WatchReply {
    response: WatchAnswer,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WatchAnswer {
    Instances(Instances),
    Changes(Instances),
}

#[derive(Deserialize)]
struct Instances {
    instances: Vec<WatchedInstance>,
}

#[derive(Deserialize)]
struct WatchedInstance {
    id: String,
    status: SeenStatus,
    #[serde(default)]
    offered: bool,
}

/// The beginning of the ids of instances with a check. They are unknown until their first result, too.
pub(crate) const CHECKED: &str = "checked-";

/// The id of the instance that an agent keeps all the time.
pub(crate) fn standing(agent: usize) -> String {
    format!("standing-{agent}")
}

/// A watch on each agent, in its own thread.
pub(crate) struct Watches {
    sender: Sender<Sighting>,
    sightings: Receiver<Sighting>,
    /// The number of times that the instance of a live agent was shown as of an agent that is down.
    pub(crate) false_downs: u64,
}

impl Watches {
    /// No watches yet.
    pub(crate) fn new() -> Self {
        let (sender, sightings) = channel();
        Self { sender, sightings, false_downs: 0 }
    }

    /// Watches an agent from now on, until it ends.
    pub(crate) fn add(&self, fleet: &Fleet, agent: usize) -> Result<(), ProcessError> {
        let (mut lines, sender) = (fleet.connect(agent)?.watch()?, self.sender.clone());
        thread::spawn(move || {
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                let at = Instant::now();
                let Ok(reply) = serde_json::from_slice::<WatchReply>(&line) else { return };
                let (WatchAnswer::Instances(told) | WatchAnswer::Changes(told)) = reply.response;
                for WatchedInstance { id, status, offered: is_offered } in told.instances {
                    let sighting = Sighting { agent, at, id, status, is_offered };
                    if sender.send(sighting).is_err() {
                        return;
                    }
                }
                line.clear();
            }
        });
        Ok(())
    }

    /// Waits until each of these agents has shown `status` for each of `ids`, and returns when the last one did. `Err`
    /// is an agent that did not in time.
    pub(crate) fn all_say(
        &mut self,
        agents: impl Iterator<Item = usize>,
        ids: &[String],
        status: SeenStatus,
    ) -> Result<Instant, usize> {
        let mut missing: Vec<(usize, &str)> =
            agents.flat_map(|agent| ids.iter().map(move |id| (agent, id.as_str()))).collect();
        let (began, mut last) = (Instant::now(), Instant::now());
        while let Some(&(lacking, _)) = missing.first() {
            let left = ANSWER_TIMEOUT.saturating_sub(began.elapsed());
            let Ok(sighting) = self.sightings.recv_timeout(left) else { return Err(lacking) };
            let expected = sighting.status == status && ids.contains(&sighting.id);
            if expected {
                missing.retain(|&(agent, id)| (agent, id) != (sighting.agent, &sighting.id));
                last = sighting.at;
            } else if sighting.is_down() && !missing.contains(&(sighting.agent, &sighting.id)) {
                // An instance for which all wait is not known to be back.
                self.false_downs += 1;
            }
        }
        Ok(last)
    }

    /// Waits until each of these agents has shown that it does not offer an instance, and returns when the last one did. `Err`
    /// is an agent that did not in time.
    pub(crate) fn none_offer(
        &mut self,
        agents: impl Iterator<Item = usize>,
        id: &str,
    ) -> Result<Instant, usize> {
        let mut missing: BTreeSet<usize> = agents.collect();
        let (began, mut last) = (Instant::now(), Instant::now());
        while let Some(lacking) = missing.first().copied() {
            let left = ANSWER_TIMEOUT.saturating_sub(began.elapsed());
            let Ok(sighting) = self.sightings.recv_timeout(left) else { return Err(lacking) };
            if sighting.id != id {
                self.false_downs += u64::from(sighting.is_down());
            } else if !sighting.is_offered {
                missing.remove(&sighting.agent);
                last = sighting.at;
            }
        }
        Ok(last)
    }

    /// The number of agents that showed, since the last call, that they offer an instance.
    pub(crate) fn offering(&mut self, id: &str) -> usize {
        let mut offering = BTreeSet::new();
        for sighting in self.sightings.try_iter() {
            if sighting.id == id {
                offering.extend(sighting.is_offered.then_some(sighting.agent));
            } else {
                self.false_downs += u64::from(sighting.is_down());
            }
        }
        offering.len()
    }

    /// The agents that show, within this time, that they do not offer an instance.
    pub(crate) fn hidden_by(&mut self, id: &str, within: Duration) -> BTreeSet<usize> {
        let (began, mut hidden_by) = (Instant::now(), BTreeSet::new());
        while let Some(left) = within.checked_sub(began.elapsed())
            && let Ok(sighting) = self.sightings.recv_timeout(left)
        {
            if sighting.id != id {
                self.false_downs += u64::from(sighting.is_down());
            } else if !sighting.is_offered {
                hidden_by.insert(sighting.agent);
            }
        }
        hidden_by
    }

    /// Takes what was shown while no call waited.
    pub(crate) fn catch_up(&mut self) {
        let down = self.sightings.try_iter().filter(Sighting::is_down);
        self.false_downs += down.count() as u64;
    }
}
