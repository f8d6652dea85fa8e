//! The table of members by datacenter: those of our own, as the pool sees them, and those of others, as their homes tell.
//!
//! An entry is greater than another one of the same node if its epoch is later or, in one epoch, if its verdict is. The greater one
//! holds, so the order in which news arrive does not matter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::base::datacenter::{DatacenterId, Gateway};
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::{MAX_DATACENTERS, MAX_MEMBERS_OF_DATACENTER, MAX_REMOTE_MEMBERS};
use crate::base::mutants::{self as mutant, Mutant};
#[cfg(feature = "testing")]
use crate::base::shared_map::SharedMap;
use crate::base::time::Time;
use crate::catalog::record::Text;
use crate::wire::{HomeVerdict, RemoteMember};

/// A member that went down is forgotten after this time. Its home forgets it an hour sooner.
const FORGET_AFTER: Duration = Duration::from_secs(25 * 3_600);
/// Losses of one datacenter within this time of each other are one.
pub(super) const MASS_LOSS_WITHIN: Duration = Duration::from_secs(2);
/// Fewer losses than this are believed at once.
const MIN_MASS_LOSS: usize = 3;
/// More than one in this many members are a mass loss.
const MASS_LOSS_PART: usize = 10;

/// A member of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) identity: Identity,
    pub(crate) home: DatacenterId,
    pub(crate) gateway: Gateway,
    pub(crate) verdict: HomeVerdict,
}

/// What is known of a member that is not alive. The living are many, and have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Down {
    /// The member that passed the verdict, as far as it is known.
    pub(crate) accuser: Option<NodeId>,
    /// When we learned of the verdict.
    pub(crate) since: Time,
    /// Until when the verdict is not believed because many came together.
    pub(crate) held_until: Option<Time>,
}

impl Entry {
    pub(crate) fn is_alive(&self) -> bool {
        self.verdict == HomeVerdict::Alive
    }

    fn rank(&self) -> impl Ord + use<> {
        let Identity { epoch, addr, sync_port, .. } = self.identity;
        (epoch, self.verdict, self.home, self.gateway, addr, sync_port)
    }

    fn hash(&self) -> u64 {
        let Identity { node_id, epoch, addr, sync_port } = self.identity;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&node_id.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&epoch.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.home.0.to_le_bytes());
        bytes[24..26].copy_from_slice(&addr.port().to_le_bytes());
        bytes[26..28].copy_from_slice(&sync_port.to_le_bytes());
        bytes[28] = self.gateway as u8;
        xxh3_64(&bytes)
    }
}

/// What became of an entry that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// It is news.
    News,
    /// It says nothing new.
    Known,
    /// It is about a member of our own datacenter, on which others have no say.
    Own,
    /// It is a verdict on a life that nobody here has seen, or by a member of another datacenter.
    Baseless,
    /// There is no room for it.
    Full,
}

/// One datacenter of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Home {
    pub(crate) name: Text,
    /// Members that are alive.
    pub(crate) living: usize,
    /// Members that are not alive.
    pub(crate) down: usize,
    /// Living members that may be gateways, sorted by rendezvous hash, so that a place is looked up at once; those that may only if
    /// needed come last. Simulated nodes share the list.
    eligible: Arc<Vec<(u64, NodeId)>>,
    /// Those of them that may without such a need.
    willing: usize,
    /// A hash of the living members.
    pub(crate) hash: u64,
    /// When members were lost lately.
    losses: VecDeque<Time>,
}

/// The parts of a table as some node of a simulation holds them.
#[cfg(feature = "testing")]
#[derive(Debug, Default)]
pub(crate) struct SharedTable {
    members: SharedMap<NodeId, Entry>,
    eligible: BTreeMap<DatacenterId, Arc<Vec<(u64, NodeId)>>>,
}

/// The members of all datacenters that we know.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    own: DatacenterId,
    /// Simulated nodes share the parts that are equal.
    members: OrdMap<NodeId, Entry>,
    remote: usize,
    /// The members of all datacenters that are not alive.
    downs: BTreeMap<NodeId, Down>,
    /// The losses that are held, by the time until when.
    held: BTreeSet<(Time, NodeId)>,
    homes: BTreeMap<DatacenterId, Home>,
}

impl Table {
    pub(crate) fn new(name: &Text) -> Self {
        let own = DatacenterId::named(name);
        let home = Home { name: name.clone(), ..Home::default() };
        let (members, downs, held) = (OrdMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { own, members, remote: 0, downs, held, homes: BTreeMap::from([(own, home)]) }
    }

    /// Replaces the parts that are equal to those of other nodes by theirs.
    #[cfg(feature = "testing")]
    pub(crate) fn share(&mut self, shared: &mut SharedTable) {
        shared.members.share(&mut self.members);
        for (id, home) in &mut self.homes {
            let known = shared.eligible.entry(*id).or_default();
            if *known == home.eligible {
                home.eligible = Arc::clone(known);
            } else {
                *known = Arc::clone(&home.eligible);
            }
        }
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&Entry> {
        self.members.get(&node)
    }

    /// What is known of a member that is not alive, and is not held for alive either.
    pub(crate) fn down(&self, node: NodeId) -> Option<&Down> {
        self.downs.get(&node).filter(|down| down.held_until.is_none())
    }

    /// The verdict on a member, as it is shown.
    pub(crate) fn believed(&self, entry: &Entry) -> HomeVerdict {
        let is_down = self.down(entry.identity.node_id).is_some();
        if is_down { entry.verdict } else { HomeVerdict::Alive }
    }

    /// A member of another datacenter.
    pub(crate) fn remote(&self, node: NodeId) -> Option<&Entry> {
        self.get(node).filter(|entry| entry.home != self.own)
    }

    /// The members of other datacenters, by node id.
    pub(crate) fn iter_remote(&self) -> impl Iterator<Item = &Entry> {
        self.members.values().filter(|entry| entry.home != self.own)
    }

    /// The number of members of other datacenters.
    pub(crate) fn remote_len(&self) -> usize {
        self.remote
    }

    /// The member of another datacenter at an address. Looked for one by one: it is asked for once a second at most.
    pub(crate) fn at(&self, addr: SocketAddr) -> Option<NodeId> {
        let there = self.iter_remote().find(|entry| entry.identity.addr == addr);
        there.map(|entry| entry.identity.node_id)
    }

    pub(crate) fn home(&self, datacenter: DatacenterId) -> Option<&Home> {
        self.homes.get(&datacenter)
    }

    /// The datacenters, our own among them.
    pub(crate) fn homes(&self) -> impl Iterator<Item = (DatacenterId, &Home)> {
        self.homes.iter().map(|(datacenter, home)| (*datacenter, home))
    }

    /// The other datacenters in which a member lives.
    pub(crate) fn others(&self) -> impl Iterator<Item = DatacenterId> {
        let living = self.homes().filter(|(id, home)| *id != self.own && home.living > 0);
        living.map(|(id, _)| id)
    }

    /// The entries of a datacenter.
    pub(crate) fn members_of(&self, datacenter: DatacenterId) -> impl Iterator<Item = &Entry> {
        self.members.values().filter(move |entry| entry.home == datacenter)
    }

    /// An entry as it is told to others.
    pub(crate) fn told(&self, entry: &Entry) -> RemoteMember {
        let is_stale = mutant::is(Mutant::StaleLiveness);
        RemoteMember {
            identity: entry.identity,
            datacenter: self.home(entry.home).map(|home| home.name.clone()).unwrap_or_default(),
            gateway: entry.gateway,
            verdict: if is_stale { HomeVerdict::Alive } else { entry.verdict },
            accuser: self.downs.get(&entry.identity.node_id).and_then(|down| down.accuser),
        }
    }

    /// One hash of the living members of all other datacenters.
    pub(crate) fn hash(&self) -> u64 {
        self.homes().filter(|(id, _)| *id != self.own).fold(0, |hash, (_, home)| hash ^ home.hash)
    }

    /// A hash of the datacenters in which members live.
    pub(crate) fn datacenters_hash(&self) -> [u8; 4] {
        let ids = self.others().chain([self.own]).map(|id| id.0);
        let [low @ .., _, _, _, _] = ids.fold(0, std::ops::BitXor::bitxor).to_le_bytes();
        low
    }

    /// The `rank`th living member of a datacenter that may be a gateway, by rendezvous hash.
    pub(crate) fn candidate(&self, datacenter: DatacenterId, rank: usize) -> Option<Identity> {
        let (_, node) = self.home(datacenter)?.eligible.get(rank)?;
        self.get(*node).map(|entry| entry.identity)
    }

    /// The place of a living member among those of its datacenter that may be gateways, if it is one of the first `within`.
    pub(crate) fn rank(&self, node: NodeId, within: usize) -> Option<usize> {
        let home = self.home(self.get(node)?.home)?;
        home.eligible.iter().take(within).position(|(_, other)| *other == node)
    }

    /// The number of living members of a datacenter that may carry traffic between datacenters. Those that may only if needed count
    /// while fewer than `enough` others may.
    pub(crate) fn eligible(&self, datacenter: DatacenterId, enough: usize) -> usize {
        let Some(home) = self.home(datacenter) else { return 0 };
        if home.willing >= enough { home.willing } else { home.eligible.len() }
    }

    /// Sets a member of our own datacenter as the pool sees it, or drops it. Returns whether that is news.
    pub(crate) fn set_own(
        &mut self,
        node: NodeId,
        member: Option<Entry>,
        accuser: Option<NodeId>,
        now: Time,
    ) -> bool {
        let before = self.members.get(&node).copied();
        let is_elsewhere = |entry: &Entry| entry.home != self.own;
        match (before, member) {
            // It moved to another datacenter in a later life.
            (Some(before), Some(member))
                if is_elsewhere(&before) && before.identity.epoch >= member.identity.epoch =>
            {
                false
            }
            (Some(before), None) if is_elsewhere(&before) => false,
            (Some(before), Some(member)) if before.rank() == member.rank() => false,
            (before, Some(member)) => {
                let down = Down { accuser, since: now, held_until: None };
                self.replace(before, Some((member, down)));
                true
            }
            (before, None) => {
                self.replace(before, None);
                before.is_some()
            }
        }
    }

    /// Takes the word of another datacenter, or of a member of ours, on a member of another datacenter.
    pub(crate) fn merge(&mut self, member: &RemoteMember, now: Time) -> Merged {
        let home = member.home();
        if home == self.own {
            return Merged::Own;
        }
        let node = member.identity.node_id;
        let before = self.members.get(&node).copied();
        let entry = Entry {
            identity: member.identity,
            home,
            gateway: member.gateway,
            verdict: member.verdict,
        };
        if before.is_some_and(|before| before.rank() >= entry.rank()) {
            return Merged::Known;
        }
        let is_elsewhere = |accuser: &NodeId| self.get(*accuser).is_some_and(|it| it.home != home);
        if !entry.is_alive()
            && (before.is_none_or(|before| before.home != home)
                || member.accuser.as_ref().is_some_and(is_elsewhere))
        {
            return Merged::Baseless;
        }
        if before.is_none_or(|before| before.home != home) && !self.has_room(home) {
            return Merged::Full;
        }
        let mut down = Down { accuser: member.accuser, since: now, held_until: None };
        if before.is_some_and(|before| before.is_alive()) && entry.verdict == HomeVerdict::Down {
            down.held_until = self.note_loss(home, now).then_some(now + MASS_LOSS_WITHIN);
        }
        self.homes
            .entry(home)
            .or_insert_with(|| Home { name: member.datacenter.clone(), ..Home::default() });
        self.replace(before, Some((entry, down)));
        Merged::News
    }

    fn has_room(&self, home: DatacenterId) -> bool {
        let Some(home) = self.homes.get(&home) else {
            return self.homes.len() < MAX_DATACENTERS && self.members.len() < MAX_REMOTE_MEMBERS;
        };
        home.living + home.down < MAX_MEMBERS_OF_DATACENTER
            && self.members.len() < MAX_REMOTE_MEMBERS
    }

    /// Notes the loss of a member, and returns whether so many were lost together that it is not believed at once.
    fn note_loss(&mut self, home: DatacenterId, now: Time) -> bool {
        let Some(home) = self.homes.get_mut(&home) else { return false };
        home.losses.push_back(now);
        while home.losses.front().is_some_and(|at| now.since(*at) > MASS_LOSS_WITHIN) {
            home.losses.pop_front();
        }
        let lost = home.losses.len();
        // The last loss still counts among the living.
        lost >= MIN_MASS_LOSS && lost * MASS_LOSS_PART > home.living + lost - 1
    }

    /// Believes the losses that were held for long enough, and returns them.
    pub(crate) fn believe_held(&mut self, now: Time) -> Vec<NodeId> {
        let mut believed = Vec::new();
        while let Some((until, node)) = self.held.first().copied()
            && until <= now
        {
            self.held.pop_first();
            if let Some(down) = self.downs.get_mut(&node) {
                down.held_until = None;
            }
            believed.push(node);
        }
        believed
    }

    /// When the next held loss is believed.
    pub(crate) fn next_held(&self) -> Option<Time> {
        self.held.first().map(|(until, _)| *until)
    }

    /// Forgets members of other datacenters that have been down for long, and returns them.
    pub(crate) fn forget_old(&mut self, now: Time) -> Vec<NodeId> {
        let downs = self.downs.iter();
        let old = downs.filter(|(_, down)| now.since(down.since) >= FORGET_AFTER);
        let old: Vec<Entry> = old.filter_map(|(node, _)| self.remote(*node).copied()).collect();
        for entry in &old {
            self.replace(Some(*entry), None);
        }
        let is_empty = |home: &Home| home.living == 0 && home.down == 0;
        self.homes.retain(|id, home| *id == self.own || !is_empty(home));
        old.into_iter().map(|entry| entry.identity.node_id).collect()
    }

    /// Forgets a whole datacenter, and returns its members.
    pub(crate) fn forget(&mut self, datacenter: DatacenterId) -> Vec<NodeId> {
        let members: Vec<Entry> = self.members_of(datacenter).copied().collect();
        for entry in &members {
            self.replace(Some(*entry), None);
        }
        self.homes.remove(&datacenter);
        members.into_iter().map(|entry| entry.identity.node_id).collect()
    }

    fn replace(&mut self, before: Option<Entry>, after: Option<(Entry, Down)>) {
        if let Some(before) = before {
            let node = before.identity.node_id;
            self.members.remove(&node);
            if let Some(until) = self.downs.remove(&node).and_then(|down| down.held_until) {
                self.held.remove(&(until, node));
            }
            self.count(&before, false);
        }
        if let Some((after, down)) = after {
            let node = after.identity.node_id;
            self.members.insert(node, after);
            if !after.is_alive() {
                self.downs.insert(node, down);
                self.held.extend(down.held_until.map(|until| (until, node)));
            }
            self.count(&after, true);
        }
    }

    fn count(&mut self, entry: &Entry, is_added: bool) {
        if entry.home != self.own {
            self.remote = if is_added { self.remote + 1 } else { self.remote - 1 };
        }
        let Some(home) = self.homes.get_mut(&entry.home) else { return };
        let node = entry.identity.node_id;
        if !entry.is_alive() {
            home.down = if is_added { home.down + 1 } else { home.down.saturating_sub(1) };
            return;
        }
        home.hash ^= entry.hash();
        let score = xxh3_64_with_seed(&node.0.to_le_bytes(), entry.home.0);
        // The highest bit puts those last that are gateways only if needed.
        let reserve = if entry.gateway == Gateway::Yes { 0 } else { 1 << 63 };
        let place = (score >> 1 | reserve, node);
        let is_eligible = entry.gateway != Gateway::Never;
        let found = home.eligible.binary_search(&place);
        let is_willing = usize::from(entry.gateway == Gateway::Yes);
        if is_added {
            home.living += 1;
            if let (true, Err(at)) = (is_eligible, found) {
                Arc::make_mut(&mut home.eligible).insert(at, place);
            }
            home.willing += is_willing;
        } else {
            home.living -= 1;
            if let Ok(at) = found {
                Arc::make_mut(&mut home.eligible).remove(at);
            }
            home.willing -= is_willing;
        }
    }
}
