//! How the first voters are made: in most runs without faults, in the others while one of them loses its disk.

use hobnob_membership::quorum::Chain;

use super::disk::Loss;
use super::world::{Event, MS, World};

/// How long the first voters are tried for. After that, the run ends without histories.
const FOUNDED_WITHIN: u64 = 60_000 * MS;

/// What is drawn for the first voters.
#[derive(Debug, Default)]
pub(super) struct Founding {
    first: Vec<usize>,
    /// All sets that are tried.
    tried: Vec<Vec<usize>>,
    is_faulty: bool,
}

impl World {
    /// Makes the first voters, then lets clients and faults begin.
    pub(super) fn found(&mut self) {
        if self.chain.is_some() {
            self.begin();
        } else if self.now > FOUNDED_WITHIN {
            self.outcome.unfounded = true;
            self.ends_at = self.now;
        } else if self.founding.first.is_empty() {
            self.found_first();
            self.schedule(self.now + 2_500 * MS, Event::Founded);
        } else {
            let mut voters = self.founding.first.clone();
            // A first set that was accepted by some has to be the one of the next attempt, unless it cannot be made any more.
            if self.founding.is_faulty && self.dice.happens(700) {
                voters = self.another_first();
            }
            self.change(voters[0], &voters);
            self.schedule(self.now + 2_500 * MS, Event::Founded);
        }
    }

    fn found_first(&mut self) {
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        self.founding.is_faulty = self.dice.happens(200);
        if !self.founding.is_faulty {
            let count = self.voters();
            self.founding.first = self.dice.some_of(&all, count);
            let voters = self.founding.first.clone();
            return self.change(0, &voters);
        }
        // Two sets share one host, which loses its disk between them. The others do not hear of each other.
        let drawn = self.dice.some_of(&all, 5);
        self.founding.first = drawn[..3].to_vec();
        let voters = self.founding.first.clone();
        self.change(voters[1], &voters);
        let cut = self.now + self.dice.within(5..60) * MS;
        self.schedule(cut, Event::Part { side: drawn[1..3].to_vec() });
        let lost = self.now + self.dice.within(3..60) * MS;
        self.schedule(lost, Event::Lose { node: drawn[0] });
        let rival = lost + self.dice.within(20..400) * MS;
        let other = vec![drawn[3], drawn[4], drawn[0]];
        self.founding.tried = vec![voters, other.clone()];
        self.schedule(rival, Event::Propose { voters: other });
        let heal = self.now + self.dice.within(800..2_000) * MS;
        self.schedule(heal, Event::Heal);
    }

    /// Three hosts that share one with each first set that was tried. Sets without a common voter could both be made.
    fn another_first(&mut self) -> Vec<usize> {
        let all: Vec<usize> = (0..self.hosts.len()).collect();
        loop {
            let drawn = self.dice.some_of(&all, 3);
            let shares = |tried: &Vec<usize>| tried.iter().any(|node| drawn.contains(node));
            if self.founding.tried.iter().all(shares) {
                self.founding.tried.push(drawn.clone());
                return drawn;
            }
        }
    }

    /// A host loses its disk, and starts again.
    pub(super) fn lose(&mut self, node: usize) {
        self.crash(node, Loss::Lost);
        self.hosts[node].same_boot = false;
        let at = self.now + self.dice.within(1..10) * MS;
        self.schedule(at, Event::Start { node });
    }

    fn begin(&mut self) {
        self.sides.fill(0);
        self.ends_at = self.now + super::world::DURATION;
        self.schedule(self.now + 1, Event::Client);
        self.schedule(self.now + 300 * MS, Event::Fault);
        self.schedule(self.now + 2, Event::Gossip);
    }

    /// Notes what a host learned of the configurations. Of each number there is at most one.
    pub(super) fn learned(&mut self, chain: Chain) {
        for configuration in Some(&chain.installed).into_iter().chain(&chain.next) {
            let known = self.configurations.entry(configuration.number);
            if *known.or_insert_with(|| configuration.clone()) != *configuration {
                self.outcome.is_forked = true;
            }
        }
        if self.chain.as_ref().is_none_or(|known| known.rank() < chain.rank()) {
            self.chain = Some(chain);
        }
    }
}
