//! Plain foca as a subject of the comparison: `Config::new_lan`, its custom broadcasts, and a driver that announces
//! until a peer answers. There is no push-pull and no repair.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use foca::{BroadcastHandler, Foca, Invalidates, Notification, PostcardCodec, Runtime, Timer};
use hobnob_membership::Time;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Subject;
use crate::network::{Channel, Conditions, Network, Partition};

/// An agent's address and incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FocaId {
    /// As long as an IPv4 address and port.
    addr: (u32, u16),
    bump: u16,
}

impl foca::Identity for FocaId {
    type Addr = (u32, u16);

    fn renew(&self) -> Option<Self> {
        Some(Self { bump: self.bump.wrapping_add(1), ..*self })
    }

    fn addr(&self) -> (u32, u16) {
        self.addr
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.bump > adversary.bump
    }
}

/// The change that a broadcast carries.
#[derive(Clone, Copy)]
struct FocaChange {
    origin: u32,
    value: u16,
}

impl Invalidates for FocaChange {
    fn invalidates(&self, other: &Self) -> bool {
        self.origin == other.origin && self.value > other.value
    }
}

/// The newest known change of each origin. It is shared, because foca does not give access to its handler.
type Shared = Rc<RefCell<KnownChanges>>;

/// Receives broadcasts and keeps the newest change of each origin.
struct ChangeKeeper(Shared);

#[derive(Default)]
struct KnownChanges {
    known: BTreeMap<u32, u16>,
    copies: u64,
}

/// The length of a broadcast, equal to a Hobnob rumor about the same record.
const BROADCAST_BYTES: usize = 90;

impl BroadcastHandler<FocaId> for ChangeKeeper {
    type Key = FocaChange;
    type Error = Infallible;

    fn receive_item(
        &mut self,
        data: &[u8],
        sender: Option<&FocaId>,
    ) -> Result<Option<FocaChange>, Infallible> {
        let [a, b, c, d, low, high, ..] = *data else { return Ok(None) };
        let mut catalog = self.0.borrow_mut();
        catalog.copies += u64::from(sender.is_some());
        let change = FocaChange {
            origin: u32::from_le_bytes([a, b, c, d]),
            value: u16::from_le_bytes([low, high]),
        };
        let known = catalog.known.entry(change.origin).or_default();
        if change.value <= *known {
            return Ok(None);
        }
        *known = change.value;
        Ok(Some(change))
    }
}

#[derive(Default)]
struct Effects {
    packets: Vec<(FocaId, Vec<u8>)>,
    timers: Vec<(Timer<FocaId>, Duration)>,
    members: Vec<(usize, bool)>,
}

impl Runtime<FocaId> for Effects {
    fn notify(&mut self, notification: Notification<'_, FocaId>) {
        match notification {
            Notification::MemberUp(id) => self.members.push((id.addr.0 as usize, true)),
            Notification::MemberDown(id) => self.members.push((id.addr.0 as usize, false)),
            _ => {}
        }
    }

    fn send_to(&mut self, to: FocaId, data: &[u8]) {
        self.packets.push((to, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<FocaId>, after: Duration) {
        self.timers.push((event, after));
    }
}

struct FocaAgent {
    foca: Foca<FocaId, PostcardCodec, Xoshiro256PlusPlus, ChangeKeeper>,
    catalog: Shared,
    alive: BTreeSet<usize>,
    paused_until: Time,
    held: VecDeque<FocaEvent>,
}

enum FocaEvent {
    Packet(Vec<u8>),
    Timer(Timer<FocaId>),
    Announce,
    Resume,
}

/// A cluster of plain foca.
pub struct FocaCluster {
    agents: Vec<Option<FocaAgent>>,
    network: Network,
    halves: Partition,
    /// Time, sequence number and agent. Events are in a map of their own, because timers have no order.
    queue: BinaryHeap<Reverse<(Time, u64, usize)>>,
    events: BTreeMap<u64, FocaEvent>,
    sequence: u64,
    now: Time,
    rng: Xoshiro256PlusPlus,
    bytes: u64,
    false_downs: u64,
}

fn id(agent: usize) -> FocaId {
    FocaId { addr: (agent as u32, 7_946), bump: 0 }
}

impl FocaCluster {
    fn schedule(&mut self, at: Time, agent: usize, what: FocaEvent) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, agent)));
        self.events.insert(self.sequence, what);
    }

    fn process(&mut self, number: usize, what: FocaEvent) {
        let now = self.now;
        let Some(agent) = self.agents[number].as_mut() else { return };
        if agent.paused_until > now {
            if !matches!(what, FocaEvent::Resume) {
                agent.held.push_back(what);
            }
            return;
        }
        let mut effects = Effects::default();
        let mut again = false;
        // foca refuses what belongs to a former life, or repeats.
        let _ = match what {
            FocaEvent::Packet(bytes) => agent.foca.handle_data(&bytes, &mut effects),
            FocaEvent::Timer(timer) => agent.foca.handle_timer(timer, &mut effects),
            FocaEvent::Announce if agent.foca.num_members() == 0 => {
                again = true;
                agent.foca.announce(id(0), &mut effects)
            }
            FocaEvent::Announce | FocaEvent::Resume => Ok(()),
        };
        self.settle(number, effects);
        if again {
            self.schedule(now + Duration::from_secs(1), number, FocaEvent::Announce);
        }
    }

    fn settle(&mut self, number: usize, effects: Effects) {
        let now = self.now;
        for (timer, after) in effects.timers {
            self.schedule(now + after, number, FocaEvent::Timer(timer));
        }
        for (to, bytes) in effects.packets {
            let to = to.addr.0 as usize;
            self.bytes += bytes.len() as u64;
            let fate = self.network.datagram(number, to, bytes.len(), now, &mut self.rng);
            if let Some(after) = fate.and_then(|arrivals| arrivals.after[0]) {
                self.schedule(now + after, to, FocaEvent::Packet(bytes));
            }
        }
        for (other, up) in effects.members {
            let lives = self.agents[other].is_some();
            let Some(agent) = self.agents[number].as_mut() else { return };
            if up {
                agent.alive.insert(other);
            } else if agent.alive.remove(&other) && lives {
                self.false_downs += 1;
            }
        }
    }
}

impl Subject for FocaCluster {
    const NAME: &'static str = "plain foca";

    fn new(nodes: usize, loss: f64, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let size = NonZeroU32::new(nodes as u32).unwrap_or(NonZeroU32::MIN);
        let agents = (0..nodes).map(|agent| {
            let seed = rng.next_u64();
            let catalog = Shared::default();
            let foca = Foca::with_custom_broadcast(
                id(agent),
                foca::Config::new_lan(size),
                Xoshiro256PlusPlus::seed_from_u64(seed),
                PostcardCodec,
                ChangeKeeper(Rc::clone(&catalog)),
            );
            let (alive, held) = (BTreeSet::new(), VecDeque::new());
            Some(FocaAgent { foca, catalog, alive, paused_until: Time::ZERO, held })
        });
        let agents = agents.collect();
        let hosts: Vec<usize> = (0..nodes).collect();
        let (left, right) = hosts.split_at(nodes / 2);
        let conditions = Conditions { loss, ..Conditions::default() };
        let mut cluster = Self {
            agents,
            network: Network::new(nodes, conditions),
            halves: Partition::full(left, right),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            now: Time::ZERO,
            rng,
            bytes: 0,
            false_downs: 0,
        };
        for agent in 1..nodes {
            cluster.schedule(Time::ZERO, agent, FocaEvent::Announce);
        }
        cluster
    }

    fn now(&self) -> Time {
        self.now
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, sequence, agent))) = self.queue.peek().copied()
            && at <= end
        {
            self.queue.pop();
            self.now = at;
            if let Some(what) = self.events.remove(&sequence) {
                let resumes = matches!(what, FocaEvent::Resume);
                self.process(agent, what);
                if resumes {
                    let held =
                        self.agents[agent].as_mut().map(|agent| std::mem::take(&mut agent.held));
                    for what in held.unwrap_or_default() {
                        self.process(agent, what);
                    }
                }
            }
        }
        self.now = end;
    }

    fn publish(&mut self, agent: usize, value: u16) {
        let mut data = vec![0; BROADCAST_BYTES];
        data[..4].copy_from_slice(&(agent as u32).to_le_bytes());
        data[4..6].copy_from_slice(&value.to_le_bytes());
        if let Some(agent) = self.agents[agent].as_mut() {
            // The data is well-formed, and the handler refuses nothing.
            let _ = agent.foca.add_broadcast(&data);
        }
    }

    fn known(&self, agent: usize, origin: usize) -> u16 {
        let Some(agent) = self.agents[agent].as_ref() else { return 0 };
        agent.catalog.borrow().known.get(&(origin as u32)).copied().unwrap_or(0)
    }

    fn crash(&mut self, agent: usize) {
        self.agents[agent] = None;
    }

    fn pause(&mut self, agent: usize, time: Duration) {
        let until = self.now + time;
        if let Some(paused) = self.agents[agent].as_mut() {
            paused.paused_until = paused.paused_until.max(until);
            self.schedule(until, agent, FocaEvent::Resume);
        }
    }

    fn cut_halves(&mut self) {
        self.halves.begin(&mut self.network);
        debug_assert!(self.network.is_cut(0, self.agents.len() - 1, Channel::Datagrams));
    }

    fn heal(&mut self) {
        self.halves.end(&mut self.network);
    }

    fn active(&self, agent: usize) -> usize {
        self.agents[agent].as_ref().map_or(0, |agent| agent.foca.num_members() + 1)
    }

    fn believes_alive(&self, agent: usize, other: usize) -> bool {
        self.agents[agent].as_ref().is_some_and(|agent| agent.alive.contains(&other))
    }

    fn false_downs(&self) -> u64 {
        self.false_downs
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn copies(&self) -> u64 {
        self.agents.iter().flatten().map(|agent| agent.catalog.borrow().copies).sum()
    }
}
