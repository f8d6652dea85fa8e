//! Clients: what they ask of which host, and what is noted of it.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::quorum::{
    Deposit, Entry, Failure, Fence, OriginEnd, Outcome, Place, Stamp, Text, last_of,
};
use hobnob_membership::{Epoch, Time};

use super::SERVICES;
use super::history::Asked;
use super::world::{Event, MS, Noted, World, id};

/// Operations on one service, at most.
const MAX_OPERATIONS: usize = 60;
/// Instances of one host in one service.
const IDS: [&str; 2] = ["a", "b"];
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
            (0..=549, _) | (_, None) => self.read(node, service),
            (550..=899, Some(node)) => {
                let (epoch, version) = self.next_stamp(node);
                self.write(node, node, service, epoch, version);
            }
            (900..=929, Some(origin)) => {
                // A process of an earlier life of the origin goes on to write, at another host.
                let epochs = self.hosts[origin].epochs.clone();
                let Some(epoch) = self.dice.one_of(&epochs) else { return };
                if epoch != self.hosts[origin].epoch {
                    self.write(node, origin, service, epoch, 1_000_000 + self.now);
                }
            }
            (930..=949, _) => {
                let origin = self.dice.below(WRITERS);
                self.end(node, origin, service);
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
            self.ops.insert((node, process, op), Noted::Operation(service, number));
            self.drain(node);
        }
    }

    /// An entry of an origin, and its operation.
    fn entry(
        &mut self,
        origin: usize,
        service: usize,
        epoch: Epoch,
        version: u64,
    ) -> (Entry, usize) {
        let instance = IDS[self.dice.below(IDS.len())];
        let was = self.hosts[origin].registered.get(&(service, instance.to_owned()));
        let is_registered = !was.copied().unwrap_or_default() || self.dice.happens(400);
        self.hosts[origin].registered.insert((service, instance.to_owned()), is_registered);
        let stamp = Stamp { epoch, version };
        let place = Place { service: name(service), origin: id(origin), id: instance.into() };
        let value = is_registered.then(|| format!("{}.{version}", epoch.0).into_bytes().into());
        let asked = Asked::Write((id(origin), instance.to_owned()), stamp, is_registered);
        let number = self.histories[service].invoke(asked, self.now);
        (Entry { place, stamp, value }, number)
    }

    fn write(&mut self, node: usize, origin: usize, service: usize, epoch: Epoch, version: u64) {
        let within = self.within();
        let (entry, number) = self.entry(origin, service, epoch, version);
        let fence = Some(Fence { origin: id(origin), epoch, key: 7 });
        let deposit = Deposit { entries: vec![entry], ends: Vec::new(), fence };
        self.deposit(node, service, number, deposit, within);
    }

    fn end(&mut self, node: usize, origin: usize, service: usize) {
        let within = self.within();
        // An end concerns all services.
        let stamp = last_of(self.hosts[origin].epoch);
        let numbers: Vec<usize> = (0..SERVICES)
            .map(|it| self.histories[it].invoke(Asked::End(id(origin), stamp), self.now))
            .collect();
        let ends = vec![OriginEnd { origin: id(origin), stamp }];
        let deposit = Deposit { entries: Vec::new(), ends, fence: None };
        self.deposit(node, service, numbers[service], deposit, within);
    }

    fn deposit(
        &mut self,
        node: usize,
        service: usize,
        number: usize,
        deposit: Deposit,
        within: Duration,
    ) {
        let now = Time::from_micros(self.now);
        let quorum = self.hosts[node].quorum.as_mut().expect("it runs");
        if let Ok(op) = quorum.write(deposit, within, now) {
            let process = self.hosts[node].process;
            self.ops.insert((node, process, op), Noted::Operation(service, number));
            self.drain(node);
        }
    }

    /// A plain registration: gossip brings it to voters at some time, or never.
    fn write_eventually(&mut self, node: usize, service: usize) {
        let (epoch, version) = self.next_stamp(node);
        let (entry, _) = self.entry(node, service, epoch, version);
        for node in 0..self.hosts.len() {
            if self.dice.happens(700) {
                let at = self.now + self.dice.within(1..600) * MS;
                self.schedule(at, Event::Absorb { node, entry: entry.clone() });
            }
        }
    }

    /// Notes the outcome of an operation.
    pub(super) fn note(&mut self, node: usize, noted: Noted, outcome: Outcome) {
        let Noted::Operation(service, number) = noted else {
            self.outcome.changes += usize::from(matches!(outcome, Outcome::Changed(_)));
            return;
        };
        match outcome {
            Outcome::Written => {
                self.histories[service].done(number, BTreeMap::new(), self.now);
                if self.now < self.ends_at && self.dice.happens(25) {
                    self.power_loss();
                }
            }
            Outcome::Read(entries) => {
                let told = entries
                    .into_iter()
                    .map(|entry| ((entry.place.origin, entry.place.id.to_string()), entry.stamp));
                self.histories[service].done(number, told.collect(), self.now);
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
