//! Clients: what they ask of which host, and what is noted of it.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::quorum::{
    Deposit, Elsewhere, Entry, Failure, Fence, OriginEnd, Outcome, Place, Stamp, Text, last_of,
};
use hobnob_membership::{Epoch, Time};

use super::SERVICES;
use super::history::Asked;
use super::world::{Event, MS, Noted, World, id};

/// Operations on one service, at most.
const MAX_OPERATIONS: usize = 60;
/// An instance of each host that moves between the services.
const MOVING: &str = "m";
/// Hosts that register something.
const WRITERS: usize = 3;

fn name(service: usize) -> Text {
    format!("s{service}").into()
}

impl World {
    /// One client asks one thing.
    pub(super) fn client(&mut self) {
        let up: Vec<usize> =
            (0..self.hosts.len()).filter(|node| self.hosts[*node].quorum.is_some()).collect();
        let service = self.dice.below(SERVICES);
        if self.histories[service].0.len() >= MAX_OPERATIONS {
            return;
        }
        let Some(node) = self.dice.one_of(&up) else { return };
        let writers: Vec<usize> = up.iter().copied().filter(|it| *it < WRITERS).collect();
        match (self.dice.within(0..1_000), self.dice.one_of(&writers)) {
            (0..=544, _) | (_, None) => self.read(node, service),
            (545..=874, Some(node)) => {
                let (epoch, version) = self.next_stamp(node);
                self.write(node, node, service, epoch, version);
            }
            (875..=899, Some(origin)) => {
                // A process of an earlier life of the origin goes on to write, at another host.
                let epochs = self.hosts[origin].epochs.clone();
                let Some(epoch) = self.dice.one_of(&epochs) else { return };
                if epoch != self.hosts[origin].epoch {
                    self.write(node, origin, service, epoch, 1_000_000 + self.now);
                }
            }
            (900..=919, _) => {
                let origin = self.dice.below(WRITERS);
                self.end(node, origin);
            }
            (_, Some(node)) => self.write_eventually(node, service),
        }
    }

    fn next_stamp(&mut self, node: usize) -> (Epoch, u64) {
        let host = &mut self.hosts[node];
        host.version += 1;
        (host.epoch, host.version)
    }

    fn within(&mut self) -> Duration {
        Duration::from_millis(self.dice.within(500..2_000))
    }

    fn read(&mut self, node: usize, service: usize) {
        let within = self.within();
        let number = self.histories[service].invoke(Asked::Read, self.now);
        let now = Time::from_micros(self.now);
        let quorum = self.hosts[node].quorum.as_mut().expect("it runs");
        if let Ok(op) = quorum.read(&name(service), within, now) {
            let process = self.hosts[node].process;
            self.ops.insert((node, process, op), Noted::Operations(vec![(service, number)]));
            self.drain(node);
        }
    }

    /// An instance of a host in a service: one of two that stay there, or the one that moves.
    fn instance(&mut self, service: usize) -> String {
        let others = (0..SERVICES).filter(|it| *it != service);
        let is_full = |it: usize| self.histories[it].0.len() >= MAX_OPERATIONS + 20;
        match self.dice.below(5) {
            0 if !others.into_iter().any(is_full) => MOVING.to_owned(),
            number => format!("{}{service}", ["a", "b"][number % 2]),
        }
    }

    /// The registers that an origin writes at once, and their operations.
    fn entries(
        &mut self,
        origin: usize,
        service: usize,
        epoch: Epoch,
        version: u64,
    ) -> (Vec<Entry>, Vec<(usize, usize)>) {
        let instance = self.instance(service);
        let was = self.hosts[origin].registered.get(&(service, instance.clone()));
        let is_registered = !was.copied().unwrap_or_default() || self.dice.happens(400);
        self.hosts[origin].registered.insert((service, instance.clone()), is_registered);
        let stamp = Stamp { epoch, version };
        let place =
            Place { service: name(service), origin: id(origin), id: instance.as_str().into() };
        let value = is_registered.then(|| format!("{}.{version}", epoch.0).into_bytes().into());
        let elsewhere = value.clone().map(|value| Elsewhere { service: name(service), value });
        let mut entries = vec![Entry { place: place.clone(), stamp, value, elsewhere: None }];
        let asked = |lives| Asked::Write((id(origin), instance.clone()), stamp, lives);
        let now = self.now;
        let mut operations =
            vec![(service, self.histories[service].invoke(asked(is_registered), now))];
        if instance == MOVING {
            // It is in one service at a time, so a write in one of them takes it out of the others, whether it says so or not.
            for other in (0..SERVICES).filter(|it| *it != service) {
                self.hosts[origin].registered.insert((other, instance.clone()), false);
                operations.push((other, self.histories[other].invoke(asked(false), now)));
                if self.dice.happens(500) {
                    let place = Place { service: name(other), ..place.clone() };
                    let elsewhere = elsewhere.clone();
                    entries.push(Entry { place, stamp, value: None, elsewhere });
                }
            }
        }
        (entries, operations)
    }

    fn write(&mut self, node: usize, origin: usize, service: usize, epoch: Epoch, version: u64) {
        let within = self.within();
        let (entries, operations) = self.entries(origin, service, epoch, version);
        let fence = Some(Fence { origin: id(origin), epoch, key: 7 });
        self.deposit(node, operations, Deposit { entries, ends: Vec::new(), fence }, within);
    }

    fn end(&mut self, node: usize, origin: usize) {
        let within = self.within();
        // An end concerns all services.
        let stamp = last_of(self.hosts[origin].epoch);
        let operations = (0..SERVICES)
            .map(|it| (it, self.histories[it].invoke(Asked::End(id(origin), stamp), self.now)))
            .collect();
        let ends = vec![OriginEnd { origin: id(origin), stamp }];
        let deposit = Deposit { entries: Vec::new(), ends, fence: None };
        self.deposit(node, operations, deposit, within);
    }

    fn deposit(
        &mut self,
        node: usize,
        operations: Vec<(usize, usize)>,
        deposit: Deposit,
        within: Duration,
    ) {
        let now = Time::from_micros(self.now);
        let quorum = self.hosts[node].quorum.as_mut().expect("it runs");
        if let Ok(op) = quorum.write(deposit, within, now) {
            let process = self.hosts[node].process;
            self.ops.insert((node, process, op), Noted::Operations(operations));
            self.drain(node);
        }
    }

    /// A plain registration: gossip brings it to voters at some time, or never.
    fn write_eventually(&mut self, node: usize, service: usize) {
        let (epoch, version) = self.next_stamp(node);
        // Its operations are never answered.
        let (mut entries, _) = self.entries(node, service, epoch, version);
        entries.truncate(1);
        for node in 0..self.hosts.len() {
            if self.dice.happens(700) {
                let at = self.now + self.dice.within(1..600) * MS;
                self.schedule(at, Event::Absorb { node, entries: entries.clone() });
            }
        }
    }

    /// Notes the outcome of an operation.
    pub(super) fn note(&mut self, node: usize, noted: Noted, outcome: Outcome) {
        let Noted::Operations(operations) = noted else {
            self.outcome.changes += usize::from(matches!(outcome, Outcome::Changed(_)));
            return;
        };
        match outcome {
            Outcome::Written => {
                for (service, number) in operations {
                    self.histories[service].done(number, BTreeMap::new(), self.now);
                }
                if self.now < self.ends_at && self.dice.happens(25) {
                    self.power_loss();
                }
            }
            Outcome::Read(entries) => {
                let told = entries
                    .into_iter()
                    .map(|entry| ((entry.place.origin, entry.place.id.to_string()), entry.stamp))
                    .collect::<BTreeMap<_, _>>();
                for (service, number) in operations {
                    self.histories[service].done(number, told.clone(), self.now);
                }
            }
            Outcome::Unknown(Failure::Fenced(epoch)) => {
                self.outcome.fenced += 1;
                if epoch >= self.hosts[node].epoch && node < WRITERS {
                    self.new_life(node, epoch);
                }
            }
            Outcome::Unread(Failure::Contended) => self.outcome.contended += 1,
            _ => {}
        }
    }
}
