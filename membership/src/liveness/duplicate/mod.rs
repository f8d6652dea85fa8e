//! Duplicates: two live agents under one node id, as when a data directory was copied. This module tells how
//! they find out, and which one gives way.
//!
//! A peer that *names* our node id at another address proves nothing: the entry may be an earlier life of ours, or an
//! update that is late. So we send a claim with a nonce to that address, and only an agent that lives now can send the
//! nonce back. A claim that is proven in this way is compared with ours, and one of the two agents falls silent. Both
//! agents compare the same two lives, so they never both fall silent, and never take turns.

mod claims;

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::identity::Identity;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::wire::{Claim, Life};

/// The least time between two claims that answer no claim.
const CLAIM_MIN_GAP: Duration = Duration::from_millis(500);
/// A nonce that comes back later than this proves nothing.
const NONCE_VALID: Duration = Duration::from_secs(2);
/// A silent agent asks the duplicate after this time whether it is still there.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// A silent agent takes the duplicate for gone after this many claims without an answer.
const ASKS: u32 = 3;
/// The agent that goes on tells its owner about the duplicate this often.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// The agent that goes on forgets a duplicate that it has not heard for this long.
const FORGET_AFTER: Duration = Duration::from_secs(150);

/// Another live agent under our node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The gossip address of the duplicate.
    pub address: SocketAddr,
    /// Whether the duplicate runs on a copy of our data directory. Otherwise it has the same node id by chance.
    pub same_key: bool,
    /// Whether we gave way to the duplicate and are silent.
    pub we_are_silent: bool,
    /// When we learned of the duplicate.
    pub since: Time,
    /// When the duplicate last proved that it lives.
    pub proven: Time,
}

/// Our reaction to a claim to our node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Ignore the claim: it is our own, or comes from our own address.
    Nothing,
    /// Answer with our claim: the sender has yet to prove that it lives now, and needs our nonce for that.
    Claim,
    /// Go on as before: the sender lives, and gives way or has given way.
    GoOn {
        /// Whether to answer, because the sender is not silent yet.
        answer: bool,
        /// Whether to tell our owner.
        tell: bool,
    },
    /// Fall silent and answer so: the sender lives, and we give way.
    GiveWay {
        /// Whether the silence begins with this claim.
        new: bool,
    },
}

/// The action of a silent node at its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ask the duplicate at this address whether it is still there.
    Ask(SocketAddr),
    /// End the silence: the duplicate is gone.
    Resume,
}

/// The state of a node that concerns duplicates of itself.
#[derive(Debug)]
pub(crate) struct Duplicates {
    life: Life,
    nonce: Option<(u64, Time)>,
    claim_at: Time,
    met: Option<Duplicate>,
    told_at: Option<Time>,
    silence: Option<Silence>,
}

#[derive(Debug)]
struct Silence {
    /// Our identity when we gave way.
    identity: Identity,
    asks_left: u32,
    next: Time,
}

impl Duplicates {
    pub(crate) fn new(life: Life) -> Self {
        let (nonce, met, told_at, silence) = (None, None, None, None);
        Self { life, nonce, claim_at: Time::ZERO, met, told_at, silence }
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silence.is_some()
    }

    /// The duplicate, for as long as we take it to be there.
    pub(crate) fn met(&self, now: Time) -> Option<&Duplicate> {
        let current = |met: &&Duplicate| self.is_silent() || now.since(met.proven) < FORGET_AFTER;
        self.met.as_ref().filter(current)
    }

    /// Whether a claim may be sent now to a duplicate that a peer named. At most one each [`CLAIM_MIN_GAP`].
    pub(crate) fn may_ask(&mut self, now: Time) -> bool {
        let may = self.claim_at <= now && !self.is_silent();
        if may {
            self.claim_at = now + CLAIM_MIN_GAP;
        }
        may
    }

    /// Our claim, as an answer to the nonce `echo`, which is 0 for none. `fresh` is a random number, for a new nonce.
    pub(crate) fn claim(&mut self, own: &Identity, echo: u64, fresh: u64, now: Time) -> Claim {
        let valid = self.nonce.filter(|(_, at)| now.since(*at) < NONCE_VALID / 2);
        let (nonce, _) = *self.nonce.insert(valid.unwrap_or((fresh.max(1), now)));
        let silence = self.silence.as_ref();
        let identity = silence.map_or(*own, |silence| silence.identity);
        Claim { identity, life: self.life, silent: silence.is_some(), nonce, echo }
    }

    /// Judges a claim to our node id.
    fn judge(&mut self, own: &Identity, claim: &Claim, now: Time) -> Answer {
        if claim.life.number == self.life.number || claim.identity.addr == own.addr {
            return Answer::Nothing;
        }
        let asked = self.nonce.filter(|(_, at)| now.since(*at) < NONCE_VALID);
        if asked.is_none_or(|(nonce, _)| nonce != claim.echo) {
            return Answer::Claim;
        }
        let since = self.met(now).map_or(now, |met| met.since);
        let gives_way = self.life > claim.life && !claim.silent;
        let gives_way = gives_way && !mutant::is(Mutant::NeverGiveWay);
        self.met = Some(Duplicate {
            address: claim.identity.addr,
            same_key: claim.life.key == self.life.key,
            we_are_silent: gives_way,
            since,
            proven: now,
        });
        if gives_way {
            let new = self.silence.is_none();
            let silence = Silence { identity: *own, asks_left: 0, next: now };
            let silence = self.silence.get_or_insert(silence);
            (silence.asks_left, silence.next) = (ASKS, now + ASK_AGAIN_AFTER);
            self.life.yielded = true;
            return Answer::GiveWay { new };
        }
        let tell = self.told_at.is_none_or(|at| now.since(at) >= TELL_AGAIN_AFTER);
        if tell {
            self.told_at = Some(now);
        }
        Answer::GoOn { answer: !claim.silent, tell }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.silence.as_ref().map(|silence| silence.next)
    }

    pub(crate) fn take_due(&mut self, now: Time) -> Option<Due> {
        let silence = self.silence.as_mut().filter(|silence| silence.next <= now)?;
        let address = self.met.as_ref().map(|met| met.address);
        match address.filter(|_| silence.asks_left > 0) {
            Some(address) => {
                silence.asks_left -= 1;
                silence.next = now + CLAIM_MIN_GAP;
                Some(Due::Ask(address))
            }
            None => {
                (self.silence, self.met) = (None, None);
                Some(Due::Resume)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::{Epoch, NodeId};

    const MS: fn(u64) -> Time = Time::from_millis;

    /// A life that started in this epoch, at an address of its own.
    fn life(started: u64) -> (Identity, Duplicates) {
        let identity = Identity {
            node_id: NodeId(1),
            epoch: Epoch(started),
            addr: SocketAddr::from(([10, 0, 0, started as u8], 1)),
            sync_port: 2,
        };
        let life = Life { yielded: false, started: Epoch(started), key: 7, number: started };
        (identity, Duplicates::new(life))
    }

    /// Exchanges claims, beginning with one of `asker` to `other`, until one side does not answer.
    fn meet(asker: &mut (Identity, Duplicates), other: &mut (Identity, Duplicates), now: Time) {
        let mut claim = asker.1.claim(&asker.0, 0, now.as_micros() + 100, now);
        let (mut from, mut to) = (asker, other);
        for fresh in 1.. {
            assert!(fresh < 6, "the exchange must end");
            let answers = match to.1.judge(&to.0, &claim, now) {
                Answer::Nothing => false,
                Answer::Claim | Answer::GiveWay { .. } => true,
                Answer::GoOn { answer, .. } => answer,
            };
            if !answers {
                return;
            }
            claim = to.1.claim(&to.0, claim.nonce, fresh, now);
            std::mem::swap(&mut from, &mut to);
        }
    }

    #[test]
    fn the_life_that_started_last_gives_way_whichever_asks_first() {
        for the_first_asks in [true, false] {
            let (mut first, mut copy) = (life(5), life(6));
            if the_first_asks {
                meet(&mut first, &mut copy, MS(1_000));
            } else {
                meet(&mut copy, &mut first, MS(1_000));
            }
            assert!(!first.1.is_silent() && copy.1.is_silent());
            let met = |node: &(Identity, Duplicates)| node.1.met(MS(1_000)).copied();
            assert_eq!(met(&first).map(|met| met.address), Some(copy.0.addr));
            assert_eq!(met(&copy).map(|met| met.we_are_silent), Some(true));
        }
    }

    #[test]
    fn a_silent_agent_asks_again_and_resumes_only_without_an_answer() {
        let (mut first, mut copy) = (life(5), life(6));
        meet(&mut first, &mut copy, MS(0));
        assert_eq!(copy.1.take_due(MS(59_000)), None);
        assert_eq!(copy.1.take_due(MS(60_000)), Some(Due::Ask(first.0.addr)));
        meet(&mut copy, &mut first, MS(60_000));
        assert!(copy.1.is_silent() && !first.1.is_silent());
        let mut due = Vec::new();
        while let Some(at) = copy.1.next_deadline() {
            due.push((
                at.as_micros() / 1_000,
                copy.1.take_due(at).is_some_and(|due| due == Due::Resume),
            ));
        }
        assert_eq!(due, [(120_000, false), (120_500, false), (121_000, false), (121_500, true)]);
    }

    #[test]
    fn an_agent_that_gave_way_gives_way_again_after_the_other_restarted() {
        let (mut first, mut copy) = (life(5), life(6));
        meet(&mut first, &mut copy, MS(0));
        while let Some(at) = copy.1.next_deadline() {
            copy.1.take_due(at);
        }
        let mut restarted = life(9);
        meet(&mut restarted, &mut copy, MS(200_000));
        assert!(copy.1.is_silent() && !restarted.1.is_silent());
    }

    #[test]
    fn a_claim_without_our_nonce_or_with_an_old_one_proves_nothing() {
        let (mut first, mut copy) = (life(5), life(6));
        let claim = first.1.claim(&first.0, 0, 1, MS(0));
        assert_eq!(copy.1.judge(&copy.0, &claim, MS(0)), Answer::Claim);
        let asked = copy.1.claim(&copy.0, claim.nonce, 2, MS(0));
        let proof = first.1.claim(&first.0, asked.nonce, 3, MS(0));
        assert_eq!(copy.1.judge(&copy.0, &proof, MS(2_000)), Answer::Claim, "too late");
        assert!(!copy.1.is_silent());
        assert_eq!(first.1.judge(&first.0, &claim, MS(0)), Answer::Nothing, "our own");
    }

    #[test]
    fn no_agent_gives_way_to_a_silent_one() {
        let (mut first, mut copy) = (life(5), life(6));
        let asked = copy.1.claim(&copy.0, 0, 1, MS(0));
        let proof = first.1.claim(&first.0, asked.nonce, 2, MS(0));
        let proof = Claim { silent: true, ..proof };
        let answer = copy.1.judge(&copy.0, &proof, MS(1));
        assert_eq!(answer, Answer::GoOn { answer: false, tell: true });
    }
}
