//! Spreading between datacenters: the state machines of the room `gateways` at work on the catalog.

mod beating;
mod forwarding;
mod repairing;
mod sessions;
mod telling;
pub(super) mod withholding;

pub(super) use telling::TELL_OVERHEAD_BYTES;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;

use super::Spread;
use super::peers::Peers;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::NodeId;
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::catalog::{Head, Version};
use crate::gateways::beats::Beats;
use crate::gateways::gaps::FarGaps;
use crate::gateways::links::{HeldBack, Links};
use crate::gateways::repair::Repair;
use crate::gateways::tells::Tells;
use crate::gateways::told::Told;

/// The round trip to a datacenter until it is measured.
const UNMEASURED: Duration = Duration::from_millis(100);

/// The part of this node in the spreading between datacenters.
#[derive(Debug)]
pub(super) struct Gateways {
    pub(super) tells: Tells,
    told: Told,
    pub(super) links: Links,
    pub(super) beats: Beats,
    pub(super) gaps: FarGaps,
    pub(super) repair: Repair,
    /// When a beat of each datacenter last came.
    beaten: BTreeMap<DatacenterId, Time>,
}

impl Gateways {
    pub(super) fn new(own: NodeId, protocol: &Protocol, first_tell: u32) -> Self {
        Self {
            tells: Tells::new(own, first_tell),
            told: Told::default(),
            links: Links::new(protocol),
            beats: Beats::default(),
            gaps: FarGaps::default(),
            repair: Repair::default(),
            beaten: BTreeMap::new(),
        }
    }
}

impl Spread {
    /// Notes news of an origin, for the beats and the repair between datacenters.
    pub(super) fn note_far_news(&mut self, origin: NodeId, peers: &dyn Peers, now: Time) {
        match self.catalog.datacenter_of(origin) {
            Some(home) if peers.own().is_other(home) => self.gateways.repair.news(home, now),
            Some(_) => self.gateways.beats.news(now),
            None => {}
        }
    }

    /// Does what is due between datacenters.
    pub(super) fn handle_far_deadlines(&mut self, peers: &mut dyn Peers, now: Time) {
        self.handle_tell_deadline(peers, now);
        self.handle_beat_deadline(peers, now);
        self.handle_far_pull_deadline(peers, now);
    }

    /// Looks which other datacenters there are.
    pub(super) fn review_datacenters(&mut self, peers: &dyn Peers, now: Time) {
        let others = peers.others();
        if others.is_empty() && self.gateways.beats.is_idle() {
            return;
        }
        let rng = &mut self.rng;
        self.gateways.beats.set(&others, || rng.random::<f64>(), now);
        self.gateways.links.retain(&others);
        self.gateways.repair.retain(&others);
        self.gateways.beaten.retain(|datacenter, _| others.contains(datacenter));
    }

    /// Sets the timers of what waits between datacenters.
    pub(super) fn set_far_timers(&mut self) {
        self.timers.put(Timer::Tell, self.gateways.tells.next_deadline());
        self.timers.put(Timer::Forward, self.gateways.links.next_deadline());
        self.timers.put(Timer::Beat, self.gateways.beats.next_deadline());
        self.timers.put(Timer::FarPull, self.gateways.gaps.next_deadline());
    }

    /// The number of tells that are not answered, and of origins whose news wait for a link.
    pub(crate) fn far_waiting(&self) -> usize {
        self.gateways.tells.len() + self.gateways.links.len()
    }

    /// What breakers of this node held back on its way to a datacenter.
    pub(crate) fn held_back(&self, to: DatacenterId) -> HeldBack {
        self.gateways.links.held_back(to)
    }

    /// The time that a new datagram of ours would wait in our own queue.
    fn backlog(&self) -> Duration {
        self.budget.time_for(self.rumors.backlog_bytes() + self.answers_bytes())
    }

    /// The number of versions of an origin up to a head that we lack.
    pub(super) fn missing(&self, head: Head) -> Version {
        let want = self.catalog.want_in(head.origin, head.epoch);
        if (want.epoch, want.after) >= (head.epoch, head.known_to) {
            return 0;
        }
        let known = if want.epoch == head.epoch { want.after } else { 0 };
        head.known_to - known
    }
}
