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
            90..=92 => self.slow = self.dice.within(0..200),
            93..=94 => self.lossy = self.dice.within(0..120),
            _ => self.absence(),
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
        let count = if self.dice.happens(200) { 3 } else { 1 };
        // Most crashes hit voters.
        let of = if self.dice.happens(800) { self.seated() } else { self.up() };
        for node in self.dice.some_of(&of, count) {
            let mut loss = Loss::Kept;
            if self.dice.happens(450) && self.is_whole() {
                loss = if self.dice.happens(400) { Loss::Lost } else { Loss::RolledBack };
            }
            self.crash(node, loss);
            self.hosts[node].same_boot = self.dice.happens(650);
            let until = self.now + self.dice.within(5..900) * MS;
            self.schedule(until, Event::Start { node });
        }
    }

    /// All voters lose power at once.
    pub(super) fn power_loss(&mut self) {
        for node in self.seated() {
            self.crash(node, Loss::Kept);
            self.hosts[node].same_boot = false;
            let until = self.now + self.dice.within(5..300) * MS;
            self.schedule(until, Event::Start { node });
        }
    }

    /// A voter misses some writes. Then it is back, and of those that have them one has an older image of its disk, and the others
    /// are gone for a while.
    fn absence(&mut self) {
        let voters = self.seated();
        let Some(absent) = self.dice.one_of(&voters) else { return };
        self.crash(absent, Loss::Kept);
        self.hosts[absent].same_boot = true;
        let back = self.now + self.dice.within(300..900) * MS;
        self.schedule(back, Event::Start { node: absent });
        self.schedule(back - 1, Event::Setback { absent });
    }

    /// See [`Self::absence`].
    pub(super) fn setback(&mut self, absent: usize) {
        let mut voters = self.seated();
        voters.retain(|node| *node != absent);
        if let Some(node) = self.dice.one_of(&voters)
            && self.is_whole()
        {
            self.crash(node, Loss::RolledBack);
            self.hosts[node].same_boot = false;
            self.schedule(self.now + 5 * MS, Event::Start { node });
            for other in voters.into_iter().filter(|other| *other != node) {
                self.crash(other, Loss::Kept);
                self.hosts[other].same_boot = true;
                let until = self.now + self.dice.within(200..900) * MS;
                self.schedule(until, Event::Start { node: other });
            }
        }
    }

    fn up(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|node| self.hosts[*node].quorum.is_some()).collect()
    }

    /// The voters that run.
    fn seated(&self) -> Vec<usize> {
        let chain = self.chain.as_ref();
        let has_seat = |node: &usize| chain.is_some_and(|it| it.token(id(*node)).is_some());
        self.up().into_iter().filter(has_seat).collect()
    }

    fn change_voters(&mut self) {
        let up = self.up();
        let changes = if self.dice.happens(500) { 2 } else { 1 };
        // A host that has not heard of the first set would try to make another one.
        let knows =
            |it: &usize| self.hosts[*it].quorum.as_ref().is_some_and(|it| it.chain().is_some());
        let asked: Vec<usize> = up.iter().copied().filter(knows).collect();
        for node in self.dice.some_of(&asked, changes) {
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
        if let Ok(op) = quorum.set_voters(voters, false, Duration::from_secs(2), now) {
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
