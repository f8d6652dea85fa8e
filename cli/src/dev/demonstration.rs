//! The demonstration: the cluster, what its agents see, and what keys do to it.

use std::time::Instant;

use super::avoidance::Avoidance;
use super::cluster::{BACK_AFTER, Cluster, CutChange, End, Event, Part};
use super::deaths::Deaths;
use super::display::Order;
use super::link::Link;
use super::load::{Load, Picks};
use super::notices::Notices;
use super::sights::{Observer, Sighting, Snapshot, Watches};
use crate::exit;

/// A running cluster under observation.
pub(super) struct Demonstration<'c, 'a> {
    cluster: &'c mut Cluster<'a>,
    observer: Observer,
    watches: Watches,
    deaths: Deaths,
    avoidance: Avoidance,
    load: Load,
    link: Link,
    /// The time at which a cut was healed, until all agents see everything again.
    healed: Option<Instant>,
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
        let (deaths, avoidance) = (Deaths::default(), Avoidance::default());
        let (load, link) = (Load::start(cluster), Link::default());
        Self { cluster, observer, watches, deaths, avoidance, load, link, healed: None }
    }

    /// The agents and the servers now.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.observer.snapshot(self.cluster)
    }

    /// The picks of the load lately.
    pub(super) fn picks(&self) -> Picks {
        self.load.recent()
    }

    /// Tells of deaths after which picks have ended to go to what was lost, and of the end of a cut that all agents have noticed.
    pub(super) fn look(&mut self, snapshot: &Snapshot, notices: &mut Notices) {
        let Self { avoidance, load, .. } = self;
        notices.extend(load.read(|tally| avoidance.done(tally, Instant::now())));
        self.cluster.renew_cut();
        if snapshot.is_complete()
            && let Some(healed) = self.healed.take()
        {
            let after = healed.elapsed().as_secs_f64();
            notices.extend([format!(
                "all agents see each other and all instances again {after:.1} s later"
            )]);
        }
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
                self.avoidance.forget(&part);
                notices.extend(self.deaths.note_return(&part));
                notices.extend([format!("{part} is started again")]);
            }
            Change::Process(Event::NotStarted(part, error)) => {
                let error = exit::describe(&error);
                notices.extend([format!("{part} cannot start: {error}; {}", back())]);
            }
        }
    }

    /// Does what a key asks for.
    pub(super) fn carry_out(&mut self, order: &Order, notices: &mut Notices) {
        match order {
            Order::Quit => {}
            Order::Kill(part) => self.kill(part, notices),
            Order::PauseOrResume(part) => self.pause_or_resume(part, notices),
            Order::Restart(part) => self.restart(part, notices),
            Order::StopOrStart(part) => self.stop_or_start(part, notices),
            Order::ToggleLink => self.toggle_link(notices),
            Order::CutOrHeal(name) => self.cut_or_heal(name, notices),
        }
    }

    /// Kills a process as `kill -9` does. It returns after a while.
    fn kill(&mut self, part: &Part, notices: &mut Notices) {
        match self.cluster.kill(part) {
            Some(began) => {
                notices.extend([format!("{part} is killed, as with kill -9")]);
                self.lose(part, notices);
                self.measure(part, "killed", began, notices);
            }
            None => notices.extend([format!("{part} is away already")]),
        }
    }

    /// Lets a process stand still, or go on.
    fn pause_or_resume(&mut self, part: &Part, notices: &mut Notices) {
        match self.cluster.pause_or_resume(part) {
            Some((began, true)) => {
                notices
                    .extend([format!("{part} stands still, as with kill -STOP; p lets it go on")]);
                self.lose(part, notices);
                self.measure(part, "paused", began, notices);
            }
            Some((_, false)) => {
                self.avoidance.forget(part);
                notices.extend(self.deaths.note_return(part));
                notices.extend([format!("{part} goes on")]);
            }
            None => notices.extend([format!("{part} is away and cannot be paused")]),
        }
    }

    /// Ends a process as an operator does, and starts it again at once.
    fn restart(&mut self, part: &Part, notices: &mut Notices) {
        if self.cluster.restart(part) {
            self.lose(part, notices);
            notices.extend([format!("{part} is stopped, and starts again at once")]);
        } else {
            notices.extend([format!("{part} is away already: s starts it")]);
        }
    }

    /// Stops a process as an operator does, or starts it again.
    fn stop_or_start(&mut self, part: &Part, notices: &mut Notices) {
        if self.cluster.stop_or_start(part) {
            self.lose(part, notices);
            let text = match part {
                Part::Agent(name) => {
                    format!("{name} is stopped, and stays away; s starts it again")
                }
                Part::Server(id) => {
                    format!("{id} is stopped: its check is about to fail; s starts it again")
                }
            };
            notices.extend([text]);
        }
    }

    /// Cuts the link between the datacenters, or heals it.
    fn toggle_link(&mut self, notices: &mut Notices) {
        notices.extend(self.link.toggle(self.cluster.agents()));
    }

    /// Cuts an agent off from the others, or brings it back to them.
    fn cut_or_heal(&mut self, name: &str, notices: &mut Notices) {
        let (part, began) = (Part::Agent(name.to_owned()), Instant::now());
        let change = match self.cluster.cut_or_heal(name) {
            Ok(change) => change,
            Err(error) => {
                let error = exit::describe(&error);
                return notices.extend([format!("{part} cannot be cut off: {error}")]);
            }
        };
        self.healed = (change == CutChange::Healed).then_some(began);
        match change {
            CutChange::Alone => notices.extend([format!("{part} has no other to be cut off from")]),
            CutChange::Healed => {
                notices.extend(self.deaths.note_return(&part));
                notices.extend(["the cut is healed: all agents reach each other".to_owned()]);
            }
            CutChange::Sides([own, beyond]) => {
                let [own_names, beyond_names] = [&own, &beyond].map(|names| names.join(", "));
                notices.extend([format!(
                    "the network is cut: {own_names} | {beyond_names}; no packet passes, and each side goes on with what it \
                     knew last; x heals it"
                )]);
                notices.extend(self.deaths.excuse_witness(name));
                if self.cluster.is_cut_off(name) {
                    let witnesses = beyond.into_iter().filter(|other| {
                        self.cluster.running_agents().any(|running| running == other)
                    });
                    let told = self.deaths.note_death(&part, "cut off", began, witnesses);
                    notices.extend(told);
                } else {
                    notices.extend(self.deaths.note_return(&part));
                }
            }
        }
    }

    /// Waits no longer for a process to notice the deaths of others.
    fn lose(&mut self, part: &Part, notices: &mut Notices) {
        self.healed = None;
        if let Part::Agent(name) = part {
            notices.extend(self.deaths.lose_witness(name));
        }
    }

    /// Measures how long the others need to notice the death of a process.
    fn measure(&mut self, part: &Part, verb: &'static str, began: Instant, notices: &mut Notices) {
        let (load, lost) = (&self.load, self.cluster.replaceable(part));
        load.read(|tally| self.avoidance.begin(part, verb, began, lost, tally));
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
