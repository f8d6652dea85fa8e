//! The demonstration: the cluster, what its agents see, and what keys do to it.

use std::time::Instant;

use super::cluster::{BACK_AFTER, Cluster, End, Event, Part};
use super::deaths::Deaths;
use super::link::Link;
use super::notices::Notices;
use super::sights::{Observer, Sighting, Snapshot, Watches};
use crate::exit;

/// A running cluster under observation.
pub(super) struct Demonstration<'c, 'a> {
    cluster: &'c mut Cluster<'a>,
    observer: Observer,
    watches: Watches,
    deaths: Deaths,
    link: Link,
    last_agent: Option<Part>,
    last_server: Option<Part>,
}

/// A change of the cluster, or of what an agent offers.
pub(super) enum Change {
    Process(Event),
    Offer(Sighting),
    /// The link between the datacenters, with a message.
    Link(String),
}

impl<'c, 'a> Demonstration<'c, 'a> {
    /// Observes a cluster that has started.
    pub(super) fn new(cluster: &'c mut Cluster<'a>) -> Self {
        let (observer, watches) = (Observer::start(cluster), Watches::start(cluster));
        let deaths = Deaths::default();
        let link = Link::default();
        Self { cluster, observer, watches, deaths, link, last_agent: None, last_server: None }
    }

    /// The agents and the servers now.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.observer.snapshot(self.cluster)
    }

    /// The next change. Cancelling the wait loses none.
    pub(super) async fn next(&mut self) -> Change {
        tokio::select! {
            event = self.cluster.next_event() => Change::Process(event),
            sighting = self.watches.next() => Change::Offer(sighting),
            told = self.link.done() => Change::Link(told),
        }
    }

    /// Takes note of a change.
    pub(super) fn take(&mut self, change: Change, notices: &mut Notices) {
        match change {
            Change::Link(told) => notices.extend([told]),
            Change::Offer(sighting) => notices.extend(self.deaths.see(sighting)),
            Change::Process(Event::Ended(part, end)) => {
                notices.extend([ended(&part, &end)]);
                self.lose(&part, notices);
                if !end.is_success {
                    self.measure(&part, "ended", end.at, notices);
                }
            }
            Change::Process(Event::Started(part)) => {
                notices.extend(self.deaths.note_return(&part));
                notices.extend([format!("{part} is started again")]);
            }
            Change::Process(Event::NotStarted(part, error)) => {
                let error = exit::describe(&error);
                notices.extend([format!("{part} cannot start: {error}; {}", back())]);
            }
        }
    }

    /// Kills the agent whose turn it is, the last one first.
    pub(super) fn kill_agent(&mut self, notices: &mut Notices) {
        let agents = self.cluster.agents().iter().rev();
        let parts = agents.map(|agent| Part::Agent(agent.name.clone())).collect();
        let Some(part) = self.next_of(parts, self.last_agent.as_ref()) else {
            return notices
                .extend(["no agent is killed: none is alive for all others now".to_owned()]);
        };
        self.kill(&part, notices);
        self.last_agent = Some(part);
    }

    /// Kills the server whose turn it is.
    pub(super) fn kill_server(&mut self, notices: &mut Notices) {
        let servers = self.cluster.servers().iter();
        let parts = servers.map(|server| Part::Server(server.spec.id.to_owned())).collect();
        let Some(part) = self.next_of(parts, self.last_server.as_ref()) else {
            return notices
                .extend(["no server is killed: none is healthy on all agents now".to_owned()]);
        };
        self.kill(&part, notices);
        self.last_server = Some(part);
    }

    /// Stops the server that the key toggles, or starts it again.
    pub(super) fn toggle_server(&mut self, notices: &mut Notices) {
        notices.extend(self.cluster.toggle_server());
    }

    /// Cuts the link between the datacenters, or heals it.
    pub(super) fn toggle_link(&mut self, notices: &mut Notices) {
        notices.extend(self.link.toggle(self.cluster.agents()));
    }

    /// The first of these after `last` that runs, and is healthy on all agents that can notice its death.
    fn next_of(&self, mut parts: Vec<Part>, last: Option<&Part>) -> Option<Part> {
        if let Some(index) = parts.iter().position(|part| Some(part) == last) {
            parts.rotate_left(index + 1);
        }
        parts.into_iter().find(|part| {
            self.cluster.is_running(part) && self.deaths.is_healthy_on(part, self.witnesses(part))
        })
    }

    fn kill(&mut self, part: &Part, notices: &mut Notices) {
        if let Some(began) = self.cluster.kill(part) {
            self.lose(part, notices);
            self.measure(part, "killed", began, notices);
        }
    }

    /// Waits no longer for a process to notice the deaths of others.
    fn lose(&mut self, part: &Part, notices: &mut Notices) {
        if let Part::Agent(name) = part {
            notices.extend(self.deaths.lose_witness(name));
        }
    }

    /// Measures how long the others need to notice the death of a process.
    fn measure(&mut self, part: &Part, verb: &'static str, began: Instant, notices: &mut Notices) {
        let witnesses: Vec<_> = self.witnesses(part).map(str::to_owned).collect();
        notices.extend(self.deaths.note_death(part, verb, began, witnesses));
    }

    /// The agents that can notice the death of a process.
    fn witnesses<'s>(&'s self, part: &'s Part) -> impl Iterator<Item = &'s str> {
        self.cluster.running_agents().filter(|name| !part.is_agent(name))
    }
}

fn ended(part: &Part, end: &End) -> String {
    match end.is_success {
        true => format!("{part} ended by itself, and stays away"),
        false => format!("{part} ended: {}; {}", end.describe(), back()),
    }
}

fn back() -> String {
    format!("it is started again in {} s", BACK_AFTER.as_secs())
}
