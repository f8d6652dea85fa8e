//! Faults: what is drawn, and what it does.

use std::time::Duration;

use hobnob_membership::Time;

use super::disk::Loss;
use super::world::{Event, MS, Noted, World, id};

impl World {
    /// One fault.
    pub(super) fn fault(&mut self) {
        match self.dice.within(0..100) {
            0..=24 => self.cut(),
            25..=54 => self.crash_some(),
            55..=79 => self.change_voters(),
            80..=89 => self.jump(),
            90..=94 => self.slow = self.dice.within(0..200),
            _ => self.lossy = self.dice.within(0..120),
        }
    }

    fn cut(&mut self) {
        for side in &mut self.sides {
            *side = u8::from(self.dice.happens(350));
        }
        let until = self.now + self.dice.within(100..1_500) * MS;
        self.schedule(until, Event::Heal);
    }

    fn crash_some(&mut self) {
        let count = if self.dice.happens(150) { 3 } else { 1 };
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        // Most crashes hit voters.
        let voters: Vec<usize> = all
            .iter()
            .copied()
            .filter(|it| self.chain.as_ref().is_some_and(|chain| chain.token(id(*it)).is_some()))
            .collect();
        let of = if self.dice.happens(800) { voters } else { all };
        let up: Vec<usize> =
            of.into_iter().filter(|node| self.hosts[*node].quorum.is_some()).collect();
        for node in self.dice.some_of(&up, count) {
            let mut loss = Loss::Kept;
            if self.dice.happens(450) && self.is_whole() {
                loss = if self.dice.happens(400) { Loss::Lost } else { Loss::RolledBack };
            }
            self.crash(node, loss);
            self.hosts[node].same_boot = self.dice.happens(500);
            let until = self.now + self.dice.within(5..900) * MS;
            self.schedule(until, Event::Start { node });
        }
    }

    fn change_voters(&mut self) {
        let up: Vec<usize> =
            (0..self.hosts.len()).filter(|node| self.hosts[*node].quorum.is_some()).collect();
        let changes = if self.dice.happens(500) { 2 } else { 1 };
        for node in self.dice.some_of(&up, changes) {
            let count = self.voters();
            let voters = self.dice.some_of(&up, count);
            self.change(node, &voters);
        }
    }

    /// Asks a host to change the voters.
    pub(super) fn change(&mut self, node: usize, voters: &[usize]) {
        let now = Time::from_micros(self.now);
        let voters = voters.iter().map(|node| id(*node)).collect();
        let host = &mut self.hosts[node];
        let process = host.process;
        let Some(quorum) = &mut host.quorum else { return };
        if let Ok(op) = quorum.set_voters(voters, Duration::from_secs(2), now) {
            self.ops.insert((node, process, op), Noted::Change);
        }
        self.drain(node);
    }

    /// A wall clock jumps. Nothing in the protocol reads one, but the epoch of the next life does.
    fn jump(&mut self) {
        let node = self.dice.below(self.hosts.len());
        let by = self.dice.within(0..20_000);
        let host = &mut self.hosts[node];
        host.ahead = if by < 10_000 { host.ahead + by } else { host.ahead.saturating_sub(by) };
    }
}
