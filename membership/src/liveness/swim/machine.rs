//! The configuration of foca, and a runtime that keeps foca's effects until they are carried out.

use std::collections::VecDeque;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::{Buf, BufMut};
use foca::{Foca, Header, Member, NoCustomBroadcast, OwnedNotification, Timer};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::base::identity::Identity;

/// foca remembers a member that is down for this long.
pub(super) const FORGET_DOWN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Value for the settings of foca's probes, which are not used here.
const UNUSED: Duration = Duration::from_secs(1);

pub(super) type Machine = Foca<Identity, NoCodec, Xoshiro256PlusPlus, NoCustomBroadcast>;

pub(super) fn machine(identity: Identity, rng: &mut Xoshiro256PlusPlus) -> Machine {
    let config = foca::Config {
        remove_down_after: Some(FORGET_DOWN_AFTER),
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: None,
        notify_down_members: false,
        probe_period: UNUSED,
        probe_rtt: UNUSED / 2,
        suspect_to_down_after: UNUSED,
        num_indirect_probes: NonZeroUsize::MIN,
        max_transmissions: NonZeroU8::MIN,
        max_packet_size: NonZeroUsize::MIN,
    };
    let rng = Xoshiro256PlusPlus::seed_from_u64(rng.next_u64());
    Foca::new(identity, config, rng, NoCodec)
}

/// The effects that foca asked for and that are not carried out yet.
#[derive(Default)]
pub(super) struct Effects {
    /// Members to be forgotten, and after how long.
    pub(super) forgets: Vec<(Identity, Duration)>,
    pub(super) notifications: VecDeque<OwnedNotification<Identity>>,
}

impl foca::Runtime<Identity> for Effects {
    fn notify(&mut self, notification: foca::Notification<'_, Identity>) {
        self.notifications.push_back(notification.to_owned());
    }

    /// Sends nothing: member updates carry what foca would send.
    fn send_to(&mut self, _: Identity, _: &[u8]) {}

    /// Keeps only the timer that forgets a member. The others begin a probe, or belong to one.
    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        if let Timer::RemoveDown(identity) = event {
            self.forgets.push((identity, after));
        }
    }
}

/// A codec that writes nothing and reads nothing, because no packet of foca is sent or taken.
pub(super) struct NoCodec;

/// A packet was handed to foca.
#[derive(Debug, thiserror::Error)]
#[error("foca takes no packets")]
pub(super) struct TakesNoPackets;

impl foca::Codec<Identity> for NoCodec {
    type Error = TakesNoPackets;

    fn encode_header(
        &mut self,
        _: &Header<Identity>,
        _: impl BufMut,
    ) -> Result<(), TakesNoPackets> {
        Ok(())
    }

    fn decode_header(&mut self, _: impl Buf) -> Result<Header<Identity>, TakesNoPackets> {
        Err(TakesNoPackets)
    }

    fn encode_member(
        &mut self,
        _: &Member<Identity>,
        _: impl BufMut,
    ) -> Result<(), TakesNoPackets> {
        Ok(())
    }

    fn decode_member(&mut self, _: impl Buf) -> Result<Member<Identity>, TakesNoPackets> {
        Err(TakesNoPackets)
    }
}
