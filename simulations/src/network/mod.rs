//! The network between hosts: directed links, each with conditions, state and cuts.

mod conditions;
mod groups;
mod latency;
mod link;
mod partition;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};

use hobnob_membership::Time;

use groups::Groups;
use link::{Link, LinkState};

pub use conditions::{Burst, Conditions};
pub use latency::Latency;
pub use partition::Partition;

/// The kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// UDP.
    Datagrams,
    /// QUIC, and the handshakes of TCP.
    Streams,
}

/// The copies of a datagram that arrive.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// The time that each copy takes; `None` is no copy.
    pub(crate) after: [Option<Duration>; 2],
    /// The length to which it is cut.
    pub(crate) cut_to: Option<usize>,
    /// A random number that chooses the flipped bits.
    pub(crate) flip: Option<u64>,
}

/// The links between hosts. Hosts are named by number.
#[derive(Clone, Debug)]
pub struct Network {
    profiles: Vec<Conditions>,
    links: Groups<Link>,
    /// The links whose state matters and that carried something.
    states: BTreeMap<(usize, usize), LinkState>,
}

/// The length of a TCP segment without data, headers included.
const HANDSHAKE_BYTES: usize = 60;
/// The longest queue of a link with limited bandwidth. Datagrams beyond it are dropped.
const MAX_BACKLOG: Duration = Duration::from_millis(250);

impl Network {
    /// A network with room for this many hosts, in which all links are alike.
    #[must_use]
    pub fn new(hosts: usize, conditions: Conditions) -> Self {
        Self {
            profiles: vec![conditions],
            links: Groups::new(hosts, Link::default()),
            states: BTreeMap::new(),
        }
    }

    /// The number of hosts for which there is room.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.links.hosts()
    }

    /// The conditions of a directed link.
    #[must_use]
    pub fn conditions(&self, from: usize, to: usize) -> &Conditions {
        &self.profiles[usize::from(self.links.of(from, to).profile)]
    }

    /// Whether all links from and to a host are as asked.
    #[must_use]
    pub fn all_links_of(&self, host: usize, is: impl Fn(&Conditions) -> bool) -> bool {
        let own = self.links.group_of(host);
        let others = (0..self.links.len()).filter(|it| *it != own || self.links.size(own) > 1);
        let mut both = others.flat_map(|it| [self.links.at(own, it), self.links.at(it, own)]);
        both.all(|link| is(&self.profiles[usize::from(link.profile)]))
    }

    /// One of some hosts for each kind of links that they have.
    pub fn each_group_of<'a>(&'a self, hosts: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        let mut seen = BTreeSet::new();
        hosts.iter().copied().filter(move |host| seen.insert(self.links.group_of(*host)))
    }

    /// Replaces the conditions of a directed link.
    pub fn set(&mut self, from: usize, to: usize, conditions: Conditions) {
        self.change(&[from], &[to], |_| conditions);
    }

    /// Replaces the conditions of all links.
    pub fn set_all(&mut self, conditions: Conditions) {
        self.profiles = vec![conditions];
        let uncut = |link: &Link| link.datagram_cuts == 0 && link.stream_cuts == 0;
        if self.links.entries().all(uncut) {
            self.links.merge(Link::default());
        } else {
            self.links.change_all(|link| link.profile = 0);
        }
    }

    /// Changes the conditions of the links from some hosts to others.
    pub fn change(
        &mut self,
        from: &[usize],
        to: &[usize],
        mut change: impl FnMut(&Conditions) -> Conditions,
    ) {
        let mut profiles = BTreeMap::new();
        self.links.change(from, to, |link, _| {
            profiles.insert(link.profile, link.profile);
        });
        let mut changed: BTreeMap<u8, u8> = BTreeMap::new();
        for old in profiles.into_keys() {
            let conditions = change(&self.profiles[usize::from(old)]);
            let new = self.profile(conditions, &changed);
            changed.insert(old, new);
        }
        self.links.change(from, to, |link, _| link.profile = changed[&link.profile]);
    }

    /// Gives the links from some hosts to others the conditions that they have in another network.
    pub fn restore(&mut self, from: &[usize], to: &[usize], pristine: &Self) {
        for group in 0..pristine.links.len() {
            let members: Vec<usize> = pristine.links.members(group).collect();
            self.links.split(&members);
        }
        let mut wanted = BTreeMap::new();
        self.links.change(from, to, |_, [a, b]| {
            wanted.insert(pristine.links.of(a, b).profile, 0);
        });
        let mut restored: BTreeMap<u8, u8> = BTreeMap::new();
        for theirs in wanted.into_keys() {
            let own = self.profile(pristine.profiles[usize::from(theirs)], &restored);
            restored.insert(theirs, own);
        }
        self.links.change(from, to, |link, [a, b]| {
            link.profile = restored[&pristine.links.of(a, b).profile];
        });
    }

    /// The profile with these conditions. A new one takes the place of one that no link uses, nor is about to, or a new
    /// place. There are at most 256.
    fn profile(&mut self, conditions: Conditions, pending: &BTreeMap<u8, u8>) -> u8 {
        let known = self.profiles.iter().position(|known| *known == conditions);
        let place = known.unwrap_or_else(|| {
            let mut used = [false; 256];
            let in_use = self.links.entries().map(|link| link.profile);
            in_use.chain(pending.values().copied()).for_each(|it| used[usize::from(it)] = true);
            let place = (0..self.profiles.len()).find(|place| !used[*place]);
            let place = place.unwrap_or(self.profiles.len());
            if place == self.profiles.len() {
                self.profiles.push(conditions);
            } else {
                self.profiles[place] = conditions;
            }
            place
        });
        u8::try_from(place).expect("a network has at most 256 kinds of links")
    }

    /// Cuts the links from some hosts to others. Cuts are counted: each needs its own [`Network::mend`].
    pub fn cut(&mut self, from: &[usize], to: &[usize], channel: Channel) {
        self.links.change(from, to, |link, _| {
            let cuts = link.cuts(channel);
            *cuts = cuts.saturating_add(1);
        });
    }

    /// Takes back one cut of the links from some hosts to others.
    pub fn mend(&mut self, from: &[usize], to: &[usize], channel: Channel) {
        self.links.change(from, to, |link, _| {
            let cuts = link.cuts(channel);
            *cuts = cuts.saturating_sub(1);
        });
    }

    /// Takes back all cuts.
    pub fn heal(&mut self) {
        self.links.change_all(|link| (link.datagram_cuts, link.stream_cuts) = (0, 0));
    }

    /// Whether nothing passes from one host to another.
    #[must_use]
    pub fn is_cut(&self, from: usize, to: usize, channel: Channel) -> bool {
        let there = self.links.of(from, to);
        match channel {
            Channel::Datagrams => there.datagram_cuts > 0,
            // A stream needs the way back for its acknowledgements.
            Channel::Streams => there.stream_cuts > 0 || self.links.of(to, from).stream_cuts > 0,
        }
    }

    /// Decides the fate of a datagram; `None` when it is lost.
    pub(crate) fn datagram(
        &mut self,
        from: usize,
        to: usize,
        len: usize,
        now: Time,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Option<Arrivals> {
        let link = self.links.of(from, to);
        if link.datagram_cuts > 0 {
            return None;
        }
        let conditions = self.profiles[usize::from(link.profile)];
        let chance =
            |share: f64, rng: &mut Xoshiro256PlusPlus| share > 0.0 && rng.random::<f64>() < share;
        if len > conditions.mtu || chance(conditions.loss, rng) {
            return None;
        }
        if let Some(burst) = conditions.burst {
            let state = self.states.entry((from, to)).or_default();
            state.bad = if state.bad { !chance(burst.end, rng) } else { chance(burst.begin, rng) };
            if state.bad && chance(burst.loss, rng) {
                return None;
            }
        }
        let queued = self.transmit((from, to), len, conditions.bandwidth, now);
        if queued > MAX_BACKLOG {
            return None;
        }
        let mut arrivals = Arrivals::default();
        let mut latency = queued + conditions.latency.sample(rng);
        if chance(conditions.reorder, rng) {
            latency += conditions.latency.typical().mul_f64(10.0 * rng.random::<f64>());
        }
        arrivals.after[0] = Some(latency);
        if chance(conditions.duplicate, rng) {
            arrivals.after[1] = Some(queued + conditions.latency.sample(rng));
        }
        if chance(conditions.replay, rng) {
            arrivals.after[1] = Some(conditions.replay_within.mul_f64(rng.random()));
        }
        if chance(conditions.truncate, rng) {
            arrivals.cut_to = Some(rng.random_range(0..len.max(1)));
        }
        if chance(conditions.corrupt, rng) {
            arrivals.flip = Some(rng.next_u64());
        }
        Some(arrivals)
    }

    /// The time that a frame takes on an open stream. Lost packets are sent again, which takes time.
    pub(crate) fn frame(
        &mut self,
        from: usize,
        to: usize,
        len: usize,
        now: Time,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Duration {
        let conditions = *self.conditions(from, to);
        let queued = self.transmit((from, to), len, conditions.bandwidth, now);
        let round_trip = conditions.latency.typical() * 2;
        let loss = conditions.effective_loss().min(0.9);
        let mut time = queued + conditions.latency.sample(rng);
        // A lost packet is noticed by those after it, the last one by a timeout.
        for _ in 0..len.div_ceil(1_200) {
            let mut timeout = round_trip + Duration::from_millis(25);
            while loss > 0.0 && rng.random::<f64>() < loss {
                time += timeout;
                timeout = (timeout * 2).min(Duration::from_secs(2));
            }
        }
        if conditions.stream_stall > 0.0 && rng.random::<f64>() < conditions.stream_stall {
            time += conditions.stall_for.mul_f64(rng.random());
        }
        time
    }

    /// The time that a packet of a TCP handshake takes. `None` when it is lost: a TCP probe does not wait for the
    /// retransmission.
    pub(crate) fn handshake(
        &mut self,
        from: usize,
        to: usize,
        now: Time,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Option<Duration> {
        if self.is_cut(from, to, Channel::Streams) {
            return None;
        }
        let conditions = *self.conditions(from, to);
        let loss = conditions.effective_loss();
        if loss > 0.0 && rng.random::<f64>() < loss {
            return None;
        }
        let queued = self.transmit((from, to), HANDSHAKE_BYTES, conditions.bandwidth, now);
        Some(queued + conditions.latency.sample(rng))
    }

    /// The time until a packet of this length is through a link with limited bandwidth.
    fn transmit(
        &mut self,
        link: (usize, usize),
        len: usize,
        bandwidth: Option<u64>,
        now: Time,
    ) -> Duration {
        let Some(bandwidth) = bandwidth else { return Duration::ZERO };
        let takes = Duration::from_micros(len as u64 * 1_000_000 / bandwidth.max(1));
        let state = self.states.entry(link).or_default();
        let begin = state.busy_until.max(now);
        if begin - now <= MAX_BACKLOG {
            state.busy_until = begin + takes;
        }
        begin + takes - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn send(network: &mut Network, rng: &mut Xoshiro256PlusPlus) -> Option<Arrivals> {
        network.datagram(0, 1, 100, Time::ZERO, rng)
    }

    fn lost(conditions: Conditions) -> usize {
        let mut network = Network::new(2, conditions);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        (0..10_000).filter(|_| send(&mut network, &mut rng).is_none()).count()
    }

    #[test]
    fn loss_comes_as_asked_alone_and_in_bursts() {
        let independent = lost(Conditions { loss: 0.25, ..Conditions::default() });
        assert!((2_300..2_700).contains(&independent), "{independent} of 10,000");
        let burst = Some(Burst { begin: 0.01, end: 0.09, loss: 1.0 });
        let conditions = Conditions { burst, ..Conditions::default() };
        let bursty = lost(conditions);
        assert!((700..1_300).contains(&bursty), "{bursty} of 10,000");
        assert!((conditions.effective_loss() - 0.1).abs() < 1e-9);
    }

    #[test]
    fn cuts_are_directed_and_counted() {
        let mut network = Network::new(2, Conditions::default());
        network.cut(&[0], &[1], Channel::Datagrams);
        network.cut(&[0], &[1], Channel::Datagrams);
        network.mend(&[0], &[1], Channel::Datagrams);
        assert!(network.is_cut(0, 1, Channel::Datagrams));
        assert!(!network.is_cut(1, 0, Channel::Datagrams));
        assert!(!network.is_cut(0, 1, Channel::Streams));
        network.mend(&[0], &[1], Channel::Datagrams);
        assert!(!network.is_cut(0, 1, Channel::Datagrams));
    }

    #[test]
    fn a_narrow_link_delays_and_then_drops() {
        let narrow = Conditions { bandwidth: Some(10_000), ..Conditions::default() };
        let mut network = Network::new(2, narrow);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let fates: Vec<_> = (0..40).map(|_| send(&mut network, &mut rng).is_some()).collect();
        assert_eq!(fates.iter().filter(|arrives| **arrives).count(), 25);
        assert!(fates[..25].iter().all(|arrives| *arrives));
    }

    #[test]
    fn too_long_for_the_path_is_lost() {
        let mut network = Network::new(2, Conditions { mtu: 99, ..Conditions::default() });
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        assert!(send(&mut network, &mut rng).is_none());
    }

    #[test]
    fn profiles_that_no_link_has_are_reused() {
        let mut network = Network::new(2, Conditions::default());
        for n in 1..1_000 {
            let conditions = Conditions { loss: f64::from(n) / 1_000.0, ..Conditions::default() };
            network.set(0, 1, conditions);
        }
        assert!(network.profiles.len() < 4);
    }
}
