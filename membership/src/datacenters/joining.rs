//! Finding other datacenters: hellos at addresses, and the answers to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::Wan;
use super::facts::Fact;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::MAX_WAN_SEEDS;
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::wire::{Hello, HomeVerdict, Message};

/// A node under our own datacenter's name is told of after so many answers, some seconds: it may be about to join our pool.
const REFUSALS_TOLD_AFTER: u32 = 6;
/// An address that answered none of so many hellos is asked by a stream with each further one. Members of a cluster that were founded apart do not
/// open each other's datagrams.
const HELLOS_BEFORE_STREAM: u32 = 3;
/// Least time between two hellos to senders of which we know nothing.
const HELLO_TO_STRANGERS_EVERY: Duration = Duration::from_secs(1);

/// The addresses at which other datacenters are looked for.
#[derive(Debug)]
pub(super) struct WanSeeds {
    /// The address that we were told of last is at the end.
    addresses: VecDeque<SocketAddr>,
    /// Addresses that were given to join our own datacenter at, and of which the owner was not told yet.
    pub(super) met: BTreeSet<SocketAddr>,
    /// The members of other datacenters that answered at an address.
    answered: BTreeMap<SocketAddr, NodeId>,
    /// How often we said hello at an address since one answered there.
    hellos: BTreeMap<SocketAddr, u32>,
    /// How often a node under our own name answered at an address.
    refused: BTreeMap<SocketAddr, u32>,
    first_wait: Duration,
    longest_wait: Duration,
    wait: Duration,
    due: Option<Time>,
    strangers_not_before: Time,
    token: u64,
}

impl WanSeeds {
    pub(super) fn new(protocol: &Protocol, token: u64) -> Self {
        Self {
            addresses: VecDeque::new(),
            met: BTreeSet::new(),
            answered: BTreeMap::new(),
            hellos: BTreeMap::new(),
            refused: BTreeMap::new(),
            first_wait: protocol.join_retry,
            longest_wait: protocol.join_retry_max,
            wait: protocol.join_retry,
            due: None,
            strangers_not_before: Time::ZERO,
            token,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due
    }

    pub(super) fn clear(&mut self) {
        (self.addresses, self.due) = (VecDeque::new(), None);
    }

    fn add(&mut self, address: SocketAddr, now: Time) {
        self.addresses.retain(|known| *known != address);
        self.addresses.push_back(address);
        while self.addresses.len() > MAX_WAN_SEEDS {
            if let Some(given_up) = self.addresses.pop_front() {
                self.met.remove(&given_up);
                self.answered.remove(&given_up);
                self.hellos.remove(&given_up);
                self.refused.remove(&given_up);
            }
        }
        self.hellos.remove(&address);
        (self.wait, self.due) = (self.first_wait, Some(now));
    }
}

impl Wan {
    /// Looks for other datacenters at these addresses, until a member of one answers at each.
    pub(crate) fn join(&mut self, addresses: &[SocketAddr], now: Time) {
        for address in addresses.iter().filter(|address| **address != self.identity.addr) {
            self.seeds.add(*address, now);
        }
    }

    /// Whether a hello or an answer belongs to another datacenter, and not to the pool.
    pub(crate) fn takes_hello(&self, hello: &Hello) -> bool {
        self.own.is_other(hello.datacenter) || hello.token == self.seeds.token
    }

    /// Answers a hello of another datacenter. The answer is as long as the hello.
    pub(crate) fn handle_hello(&mut self, from: SocketAddr, hello: &Hello) {
        if !self.leaving {
            let welcome = self.hello(hello.token);
            self.out.counters.wan_hellos_answered += 1;
            self.out.send(from, &Message::Welcome(welcome));
        }
    }

    /// Takes the answer to a hello, of ours or of the pool's: `lan_token` is the token of the latter.
    pub(crate) fn handle_welcome(
        &mut self,
        from: SocketAddr,
        welcome: &Hello,
        lan_token: u64,
        now: Time,
    ) {
        if self.leaving || ![self.seeds.token, lan_token].contains(&welcome.token) {
            self.out.counters.strangers_ignored += 1;
            return;
        }
        let mut peer = welcome.identity;
        // The address that it answered from is reachable; the one that it gives may not be.
        peer.addr.set_ip(from.ip());
        self.seeds.hellos.remove(&from);
        if !self.own.is_other(welcome.datacenter) {
            return self.meet_own_name(from, &peer);
        }
        if welcome.token == lan_token {
            self.meet(from, now);
        }
        if self.seeds.addresses.contains(&from) {
            self.seeds.answered.insert(from, peer.node_id);
        }
        let is_known = self.table.remote(peer.node_id).is_some_and(|entry| {
            entry.verdict == HomeVerdict::Alive && entry.identity.epoch >= peer.epoch
        });
        if !is_known || self.seeds.met.contains(&from) {
            self.open_exchange(peer, true, Some(from), now);
        }
    }

    /// Notes that an address at which our own datacenter was looked for belongs to another one.
    pub(crate) fn meet(&mut self, address: SocketAddr, now: Time) {
        if !self.seeds.addresses.contains(&address) {
            self.seeds.add(address, now);
            self.seeds.met.insert(address);
        }
    }

    /// Refuses a node that goes by the name of our own datacenter, unless it is a member of our pool.
    pub(super) fn meet_own_name(&mut self, address: SocketAddr, peer: &Identity) {
        let entry = self.table.get(peer.node_id);
        if peer.node_id == self.identity.node_id || entry.is_some_and(|it| it.home == self.own) {
            return;
        }
        self.out.counters.same_datacenter_refused += 1;
        if self.seeds.addresses.contains(&address) {
            let count = self.seeds.refused.entry(address).or_default();
            *count = count.saturating_add(1);
            if *count == REFUSALS_TOLD_AFTER {
                self.out.tell(Fact::SameDatacenter { address });
            }
        }
    }

    /// Says hello to a sender of which we know nothing, and which says that it belongs to another datacenter. The source may be forged,
    /// so the rate is limited.
    pub(super) fn hello_to_stranger(&mut self, from: SocketAddr, now: Time) {
        if now < self.seeds.strangers_not_before {
            return;
        }
        self.seeds.strangers_not_before = now + HELLO_TO_STRANGERS_EVERY;
        self.say_hello(from);
    }

    pub(super) fn handle_wan_hello_deadline(&mut self, now: Time) {
        if !self.timers.is_expired(Timer::WanHello, now) {
            return;
        }
        let lives = |address: &SocketAddr| {
            let node = self.seeds.answered.get(address);
            let entry = node.and_then(|node| self.table.remote(*node));
            entry.is_some_and(|entry| {
                self.is_isolated(entry.home)
                    || (entry.verdict == HomeVerdict::Alive && self.out_since(entry.home).is_none())
            })
        };
        let is_open = |address: &&SocketAddr| !lives(address) || self.seeds.met.contains(*address);
        let open: Vec<SocketAddr> = self.seeds.addresses.iter().filter(is_open).copied().collect();
        let stretch = 0.75 + self.rng.random::<f64>() / 2.0;
        if open.is_empty() {
            self.seeds.wait = self.seeds.longest_wait;
        }
        self.seeds.due = Some(now + self.seeds.wait.mul_f64(stretch));
        self.seeds.wait = (self.seeds.wait * 2).min(self.seeds.longest_wait);
        for address in open {
            self.say_hello(address);
            let hellos = self.seeds.hellos.entry(address).or_default();
            *hellos = hellos.saturating_add(1);
            if *hellos > HELLOS_BEFORE_STREAM {
                self.out.tell(Fact::Unanswered { address });
            }
        }
    }

    fn say_hello(&mut self, to: SocketAddr) {
        self.out.counters.wan_hellos_sent += 1;
        let hello = self.hello(self.seeds.token);
        self.out.send(to, &Message::Hello(hello));
    }

    fn hello(&self, token: u64) -> Hello {
        let (datacenter, tables) = (self.own, self.tables());
        Hello { token, identity: self.identity, datacenter, tables }
    }

    /// The datacenters that an address was told to belong to are never ours.
    pub(crate) fn is_remote(&self, datacenter: DatacenterId) -> bool {
        self.own.is_other(datacenter)
    }
}
