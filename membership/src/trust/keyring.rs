//! The generations of the secret that this node holds, and when it uses each.
//!
//! A node opens what is sealed with a generation from the moment at which it receives the generation. It seals with the
//! generation ten seconds later, and opens what is sealed with those before it for another thirty. So two members whose
//! receipts lie at most ten seconds apart open each other's datagrams all the time, however many generations follow each
//! other. The times are those of the rules, not those of the calls: a node that stalled is where it would be without.

use std::time::Duration;

use hobnob_keys::seal::DatagramKeys;
use hobnob_keys::suite::Suite;
use hobnob_keys::{Generation, GenerationId};

use crate::base::limits::MAX_GENERATIONS;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;

/// A generation is used this long after it was received, unless a member that uses it handed it over.
pub(crate) const USED_AFTER: Duration = Duration::from_secs(10);
/// Generations that another one replaced open datagrams for this long after the other one came into use.
pub(crate) const OPENS_FOR: Duration = Duration::from_secs(30);

/// The generations that a node holds.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    held: Vec<Held>,
    /// Generations that were dropped before their time, because there were too many.
    given_up: u64,
}

#[derive(Debug)]
struct Held {
    generation: Generation,
    keys: DatagramKeys,
    received_at: Time,
    /// From when on this node seals with it, if none that replaces it is in use.
    used_from: Time,
    /// Since when its operator is revoked, as far as this node knows.
    disowned_at: Option<Time>,
}

impl Held {
    fn id(&self) -> GenerationId {
        self.generation.id()
    }

    fn rank(&self) -> Rank {
        Rank { is_disowned: self.disowned_at.is_some(), id: self.id() }
    }

    /// From when on another one takes the place of this one, once it is in use.
    fn replaced_from(&self, by: &Self) -> Time {
        self.disowned_at.map_or(by.used_from, |at| at.max(by.used_from))
    }
}

/// The order of generations: the higher of two replaces the other.
///
/// One whose operator was revoked is replaced by any other: so members that rotated apart agree once they know of the
/// revocation. If no other is held it goes on to be used, so that operators who revoke each other end no cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rank {
    is_disowned: bool,
    id: GenerationId,
}

impl Rank {
    fn replaces(&self, other: &Self) -> bool {
        match (self.is_disowned, other.is_disowned) {
            (false, true) => true,
            (true, false) => false,
            _ => self.id.replaces(&other.id),
        }
    }
}

/// The outcome of an offered generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is new, and is held now.
    Taken,
    /// It does not count.
    Refused,
    /// It is held already, and is used from now on.
    Hurried,
    /// It is held already.
    Known,
    /// One that replaced it is in use for so long that it opens nothing any more.
    Replaced,
    /// There is no room for it.
    NoRoom,
}

impl Keyring {
    /// Takes a generation that counts, or whose operator is revoked (`is_disowned`). A member that uses it `in_use` may have handed
    /// it over; then it is used at once, as is the first one.
    pub(crate) fn offer(
        &mut self,
        generation: Generation,
        in_use: bool,
        is_disowned: bool,
        suite: &dyn Suite,
        now: Time,
    ) -> Offered {
        self.drop_old(now);
        let rank = Rank { is_disowned, id: generation.id() };
        let (id, is_first) = (generation.id(), self.held.is_empty());
        if let Some(held) = self.held.iter_mut().find(|held| held.id() == id) {
            let hurries = in_use && held.used_from > now;
            held.used_from = if hurries { now } else { held.used_from };
            return if hurries { Offered::Hurried } else { Offered::Known };
        }
        if self.is_replaced(rank, None, now) {
            return Offered::Replaced;
        }
        if self.held.len() >= MAX_GENERATIONS && !self.make_room(rank, now) {
            self.given_up += 1;
            return Offered::NoRoom;
        }
        let used_from = if in_use || is_first { now } else { now + USED_AFTER };
        let keys = DatagramKeys::with_suite(&generation, suite);
        let disowned_at = is_disowned.then_some(now);
        self.held.push(Held { generation, keys, received_at: now, used_from, disowned_at });
        Offered::Taken
    }

    /// Looks again at the operators of the generations, after a revocation.
    pub(crate) fn disown(&mut self, is_disowned: impl Fn(&Generation) -> bool, now: Time) {
        for held in self.held.iter_mut().filter(|held| held.disowned_at.is_none()) {
            held.disowned_at = is_disowned(&held.generation).then_some(now);
        }
    }

    /// The generation that is used to seal; `None` if none is held.
    pub(crate) fn present(&self, now: Time) -> Option<&Generation> {
        self.present_held(now).map(|held| &held.generation)
    }

    /// The keys to seal with.
    pub(crate) fn sealing_keys(&self, now: Time) -> Option<&DatagramKeys> {
        self.present_held(now).map(|held| &held.keys)
    }

    /// The keys that may open a datagram with this byte of the generation. Two halves of a cluster that rotated apart have two
    /// generations with one byte.
    pub(crate) fn opening_keys(&self, byte: u8, now: Time) -> impl Iterator<Item = &DatagramKeys> {
        let held = self.held.iter().filter(move |held| held.keys.byte() == byte);
        held.filter(move |held| !self.is_old(held, now)).map(|held| &held.keys)
    }

    /// Whether a generation is held, and opens datagrams.
    #[cfg(test)]
    pub(crate) fn holds(&self, id: GenerationId, now: Time) -> bool {
        self.get(id, now).is_some()
    }

    /// A generation that is held, and opens datagrams.
    pub(crate) fn get(&self, id: GenerationId, now: Time) -> Option<&Generation> {
        let held = self.held.iter().find(|held| held.id() == id)?;
        (!self.is_old(held, now)).then_some(&held.generation)
    }

    /// The generation in use and those that will replace it, each with whether it is in use. Others are of no use to a peer.
    pub(crate) fn current(&self, now: Time) -> impl Iterator<Item = (&Generation, bool)> {
        let present = self.present_held(now).map(Held::rank);
        let current = self.held.iter().filter(move |held| {
            let rank = held.rank();
            present.is_some_and(|present| rank == present || rank.replaces(&present))
        });
        current.map(move |held| (&held.generation, Some(held.rank()) == present))
    }

    /// The generation that replaces all others that are held.
    pub(crate) fn newest(&self) -> Option<GenerationId> {
        self.newest_held().map(Held::id)
    }

    /// When that generation was received.
    pub(crate) fn newest_received_at(&self) -> Option<Time> {
        self.newest_held().map(|held| held.received_at)
    }

    /// The generations that open datagrams, each with whether it is the one in use.
    pub(crate) fn opening(&self, now: Time) -> impl Iterator<Item = (&Generation, bool)> {
        let present = self.present(now).map(Generation::id);
        let held = self.held.iter().filter(move |held| !self.is_old(held, now));
        held.map(move |held| (&held.generation, Some(held.id()) == present))
    }

    /// When the next generation comes into use.
    pub(crate) fn next_switch(&self, now: Time) -> Option<Time> {
        let present = self.present_held(now).map(Held::rank);
        let later = self.held.iter().filter(|held| held.used_from > now);
        let better =
            later.filter(|held| present.is_none_or(|present| held.rank().replaces(&present)));
        better.map(|held| held.used_from).min()
    }

    /// Generations that were dropped before their time.
    pub(crate) fn given_up(&self) -> u64 {
        self.given_up
    }

    fn present_held(&self, now: Time) -> Option<&Held> {
        best(self.held.iter().filter(|held| held.used_from <= now))
    }

    fn newest_held(&self) -> Option<&Held> {
        best(self.held.iter())
    }

    /// Whether one that replaces it has been in use for so long that it opens nothing any more.
    fn is_old(&self, held: &Held, now: Time) -> bool {
        self.is_replaced(held.rank(), Some(held), now)
    }

    fn is_replaced(&self, rank: Rank, held: Option<&Held>, now: Time) -> bool {
        let better = self.held.iter().filter(|better| better.rank().replaces(&rank));
        let from = |better: &Held| held.map_or(better.used_from, |held| held.replaced_from(better));
        better.map(from).min().is_some_and(|from| from + OPENS_FOR <= now)
            && !mutant::is(Mutant::OldGenerationForever)
    }

    fn drop_old(&mut self, now: Time) {
        let old = self.held.iter().filter(|held| self.is_old(held, now));
        let old: Vec<GenerationId> = old.map(Held::id).collect();
        self.held.retain(|held| !old.contains(&held.id()));
    }

    /// Makes room for a generation of this rank: drops the least of those that the one in use replaced, else the newest that is not
    /// in use yet, so that however fast others follow, those before them come into use. The new one has to replace it. Returns
    /// whether there is room.
    fn make_room(&mut self, rank: Rank, now: Time) -> bool {
        let Some(present) = self.present_held(now).map(Held::rank) else { return false };
        let ranks = || self.held.iter().map(Held::rank);
        let old = ranks().filter(|held| present.replaces(held));
        let least = old.reduce(|least, held| if least.replaces(&held) { held } else { least });
        let later = ranks().filter(|held| held.replaces(&present));
        let newest =
            later.reduce(|newest, held| if held.replaces(&newest) { held } else { newest });
        let Some(dropped) = least.or(newest).filter(|dropped| rank.replaces(dropped)) else {
            return false;
        };
        self.held.retain(|held| held.rank() != dropped);
        self.given_up += 1;
        true
    }
}

fn best<'a>(held: impl Iterator<Item = &'a Held>) -> Option<&'a Held> {
    held.reduce(|best, held| if held.rank().replaces(&best.rank()) { held } else { best })
}

#[cfg(test)]
mod tests {
    use hobnob_keys::suite::AwsLc;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::sealed::SealedCluster;

    const S: fn(u64) -> Time = |seconds| Time::from_millis(1_000 * seconds);

    fn generations() -> Vec<Generation> {
        let cluster = SealedCluster::default();
        let numbers = [(1, 7), (2, 1), (2, 2), (3, 3), (4, 4), (4, 5)];
        numbers.map(|(number, secret)| cluster.generation(number, secret)).to_vec()
    }

    fn offer(keyring: &mut Keyring, generation: &Generation, in_use: bool, at: Time) -> Offered {
        keyring.offer(generation.clone(), in_use, false, &AwsLc, at)
    }

    fn opens(keyring: &Keyring, generation: &Generation, at: Time) -> bool {
        let byte = generation.id().number.to_le_bytes()[0];
        let mut keys = keyring.opening_keys(byte, at);
        keyring.holds(generation.id(), at) && keys.any(|keys| keys.byte() == byte)
    }

    #[test]
    fn a_generation_opens_at_once_is_used_after_ten_seconds_and_opens_for_thirty_more() {
        let [first, second, ..] = &generations()[..] else { unreachable!() };
        let mut keyring = Keyring::default();
        assert!(keyring.sealing_keys(S(0)).is_none());
        assert_eq!(offer(&mut keyring, first, false, S(5)), Offered::Taken);
        let present = |keyring: &Keyring, at| keyring.present(at).map(Generation::id);
        assert_eq!(present(&keyring, S(5)), Some(first.id()), "there is no other");
        assert_eq!(offer(&mut keyring, second, false, S(100)), Offered::Taken);
        assert_eq!(offer(&mut keyring, second, false, S(101)), Offered::Known);
        assert!(opens(&keyring, second, S(100)));
        let just_before = |seconds| Time::from_micros(S(seconds).as_micros() - 1);
        assert_eq!(keyring.next_switch(S(100)), Some(S(110)));
        assert_eq!(present(&keyring, just_before(110)), Some(first.id()));
        assert_eq!(present(&keyring, S(110)), Some(second.id()));
        assert_eq!(keyring.next_switch(S(110)), None);
        assert!(opens(&keyring, first, just_before(140)) && !opens(&keyring, first, S(140)));
        assert_eq!(offer(&mut keyring, first, true, S(140)), Offered::Replaced);
        assert!(opens(&keyring, second, S(1_000_000)));
    }

    #[test]
    fn a_generation_that_others_use_is_used_at_once() {
        let [first, second, _, third, ..] = &generations()[..] else { unreachable!() };
        let mut keyring = Keyring::default();
        offer(&mut keyring, first, true, S(0));
        offer(&mut keyring, second, false, S(1));
        assert_eq!(offer(&mut keyring, second, true, S(2)), Offered::Hurried);
        assert_eq!(keyring.present(S(2)).map(Generation::id), Some(second.id()));
        offer(&mut keyring, third, true, S(3));
        assert_eq!(keyring.present(S(3)).map(Generation::id), Some(third.id()));
        assert!(opens(&keyring, first, S(31)) && opens(&keyring, second, S(32)));
        assert!(!opens(&keyring, first, S(32)) && !opens(&keyring, second, S(33)));
    }

    #[test]
    fn of_two_generations_with_one_number_all_end_up_with_the_same() {
        let [_, one, other, ..] = &generations()[..] else { unreachable!() };
        let winner = if one.id().replaces(&other.id()) { one } else { other };
        for order in [[one, other], [other, one]] {
            let mut keyring = Keyring::default();
            for generation in order {
                offer(&mut keyring, generation, false, S(0));
            }
            assert_eq!(keyring.opening_keys(2, S(0)).count(), 2, "both have the same byte");
            assert_eq!(keyring.present(S(10)).map(Generation::id), Some(winner.id()));
        }
    }

    #[test]
    fn no_more_generations_are_held_than_may_be_and_the_last_ones_stay() {
        let cluster = SealedCluster::default();
        let mut keyring = Keyring::default();
        let generation = |number| cluster.generation(number, 1);
        for number in 1..=20 {
            offer(&mut keyring, &generation(number), false, S(0));
        }
        assert_eq!((keyring.held.len(), keyring.given_up()), (MAX_GENERATIONS, 12));
        assert!(keyring.holds(generation(20).id(), S(0)));
        assert_eq!(keyring.present(S(0)).map(|present| present.id().number), Some(1));
    }

    #[test]
    fn a_generation_of_a_revoked_operator_gives_way_to_any_other_and_serves_while_there_is_none() {
        let [first, second, _, third, ..] = &generations()[..] else { unreachable!() };
        let mut keyring = Keyring::default();
        offer(&mut keyring, first, true, S(0));
        offer(&mut keyring, third, true, S(1));
        let present = |keyring: &Keyring, at| keyring.present(at).map(Generation::id);
        keyring.disown(|generation| generation.id() == third.id(), S(2));
        assert_eq!(present(&keyring, S(2)), Some(first.id()));
        assert!(opens(&keyring, third, S(31)), "not all know of the revocation at once");
        assert!(!opens(&keyring, third, S(32)));
        offer(&mut keyring, second, false, S(40));
        assert_eq!(present(&keyring, S(50)), Some(second.id()));
        let disowned = keyring.offer(third.clone(), true, true, &AwsLc, S(60));
        assert_eq!((disowned, present(&keyring, S(60))), (Offered::Replaced, Some(second.id())));
        keyring.disown(|_| true, S(90));
        assert_eq!(present(&keyring, S(1_000)), Some(second.id()), "there is no other");
        offer(&mut keyring, first, true, S(1_000));
        assert_eq!(present(&keyring, S(1_000)), Some(first.id()), "its operator counts");
    }

    #[test]
    fn generations_come_into_use_however_fast_others_follow() {
        let cluster = SealedCluster::default();
        let mut keyring = Keyring::default();
        for number in 1..=200 {
            let generation = cluster.generation(number, 1);
            offer(&mut keyring, &generation, false, Time::from_millis(300 * number));
        }
        let present = keyring.present(S(60)).map(|present| present.id().number);
        assert!(present.is_some_and(|number| number > 100), "{present:?} after a minute");
    }

    /// Every member gets the generations in an order and at times of its own, at most five seconds apart.
    #[derive(Debug, Clone)]
    struct Receipt {
        member: usize,
        generation: usize,
        at_ms: u64,
    }

    fn receipts() -> impl Strategy<Value = Vec<Receipt>> {
        let starts = prop::collection::vec(0_u64..60_000, 6);
        let delays = prop::collection::vec(0_u64..=5_000, 3 * 6);
        (starts, delays).prop_map(|(starts, delays)| {
            let each = delays.into_iter().enumerate();
            let mut receipts: Vec<Receipt> = each
                .map(|(n, delay)| {
                    let (member, generation) = (n / 6, n % 6);
                    // All hold the first one.
                    let at_ms = if generation == 0 { 0 } else { starts[generation] + delay };
                    Receipt { member, generation, at_ms }
                })
                .collect();
            receipts.sort_by_key(|receipt| receipt.at_ms);
            receipts
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// The model is the law itself: what one member seals with at a moment, every other member opens at that moment.
        #[test]
        fn members_that_follow_the_rules_open_each_others_datagrams_at_every_moment(receipts in receipts()) {
            let generations = generations();
            let mut keyrings = [(); 3].map(|()| Keyring::default());
            let mut moments: Vec<u64> = receipts.iter().map(|receipt| receipt.at_ms).collect();
            // The moments at which something changes, and those just before and after.
            for edge in [10_000, 30_000, 40_000] {
                let changes: Vec<u64> = receipts.iter().map(|receipt| receipt.at_ms + edge).collect();
                moments.extend(changes.iter().flat_map(|at| [at - 1, *at, at + 1]));
            }
            moments.sort_unstable();
            let mut left = receipts.iter().peekable();
            for moment in moments {
                while let Some(receipt) = left.next_if(|receipt| receipt.at_ms <= moment) {
                    let at = Time::from_millis(receipt.at_ms);
                    offer(&mut keyrings[receipt.member], &generations[receipt.generation], false, at);
                }
                let now = Time::from_millis(moment);
                for sender in &keyrings {
                    let sealed = sender.present(now).expect("all hold the first one");
                    for receiver in &keyrings {
                        prop_assert!(opens(receiver, sealed, now), "{:?} at {}", sealed, moment);
                    }
                }
            }
            // In the end only the best is left.
            let end = Time::from_millis(1_000_000);
            let best = generations.iter().reduce(|best, other| if other.id().replaces(&best.id()) { other } else { best });
            for keyring in &keyrings {
                prop_assert_eq!(keyring.present(end).map(Generation::id), best.map(Generation::id));
                let open = generations.iter().filter(|generation| opens(keyring, generation, end));
                prop_assert_eq!(open.count(), 1);
            }
        }
    }
}
