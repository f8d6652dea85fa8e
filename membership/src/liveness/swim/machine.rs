//! foca as it is set up here, and what it asks for, kept until it is given.

use std::collections::VecDeque;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Foca, NoCustomBroadcast, OwnedNotification, Timer};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::base::identity::Identity;
use crate::base::time::Time;
use crate::wire::{SwimCodec, strip_destination};

/// foca wants to know these, and never gets to use them.
const PROBE_PERIOD: Duration = Duration::from_secs(1);
const PROBE_RTT: Duration = Duration::from_millis(150);
/// How many members gossip goes to at once.
const GOSSIP_FANOUT: usize = 3;
/// How often foca passes on an update; verdicts have a way of their own.
const MAX_TRANSMISSIONS: u8 = 6;

pub(super) type Machine = Foca<Identity, SwimCodec, Xoshiro256PlusPlus, NoCustomBroadcast>;

/// foca, for packets of at most `body_bytes`.
pub(super) fn machine(
    identity: Identity,
    body_bytes: usize,
    rng: &mut Xoshiro256PlusPlus,
) -> Machine {
    let at_least_one = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
    let config = foca::Config {
        probe_period: PROBE_PERIOD,
        probe_rtt: PROBE_RTT,
        // To so many gossip goes, too.
        num_indirect_probes: at_least_one(GOSSIP_FANOUT),
        max_transmissions: NonZeroU8::new(MAX_TRANSMISSIONS).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: PROBE_PERIOD,
        remove_down_after: Some(Duration::from_secs(24 * 60 * 60)),
        max_packet_size: at_least_one(body_bytes),
        notify_down_members: true,
        // Views are compared, and the lost are asked, by the detector's ways.
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: None,
    };
    let rng = Xoshiro256PlusPlus::seed_from_u64(rng.next_u64());
    Foca::new(identity, config, rng, SwimCodec::new(identity.node_id))
}

/// What foca asked for and was not yet given.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) packets: VecDeque<(Identity, Vec<u8>)>,
    pub(super) timers: VecDeque<(Timer<Identity>, Duration)>,
    pub(super) notifications: VecDeque<OwnedNotification<Identity>>,
}

impl foca::Runtime<Identity> for Effects {
    fn notify(&mut self, notification: foca::Notification<'_, Identity>) {
        self.notifications.push_back(notification.to_owned());
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        if let Some(packet) = strip_destination(&to, data) {
            self.packets.push_back((to, packet));
        }
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        self.timers.push_back((event, after));
    }
}

/// A timer in a heap that gives the earliest first, and those of one moment in the order in which they were set.
pub(super) struct Scheduled {
    pub(super) at: Time,
    pub(super) sequence: u64,
    pub(super) timer: Timer<Identity>,
}

impl Scheduled {
    fn order(&self) -> (Time, u64) {
        (self.at, self.sequence)
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.order().cmp(&self.order())
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Scheduled {}
