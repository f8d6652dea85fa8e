//! Local health: how reliably a node answers in time. Each node measures its own and tells it in its pongs, since no
//! other node can know it.
//!
//! Lifeguard ("Local Health Awareness for More Accurate Failure Detection", 2018) measures the same at the accuser.

use std::time::Duration;

use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::wire::LocalHealth;

/// The least delay of a node's loop that counts as a stall.
const STALL: Duration = Duration::from_millis(250);
/// A node counts as slow for this long after a stall.
const SLOW_FOR: Duration = Duration::from_secs(600);
/// A node that has run for this long since its start without a stall is prompt.
const PROVEN_AFTER: Duration = Duration::from_secs(30);
/// The unit of local health on the wire.
const UNIT: Duration = Duration::from_millis(100);
/// Suspicion timeout of a prompt node.
pub(super) const SUSPICION_TIMEOUT_PROMPT: Duration = Duration::from_millis(1_950);
/// Suspicion timeout of a node that is unproven, and the least one of a slow node.
pub(super) const SUSPICION_TIMEOUT_UNPROVEN: Duration = Duration::from_millis(3_200);
/// Suspicion timeout of a node whose local health is unknown, because all its monitors are gone. It is close to that of
/// a prompt node, because most nodes are prompt.
pub(super) const SUSPICION_TIMEOUT_UNKNOWN: Duration = Duration::from_millis(2_500);
/// Least suspicion timeout of a stalled node, whatever its local health: its host answers TCP probes, so its process
/// may go on.
pub(super) const SUSPICION_TIMEOUT_STALLED: Duration = Duration::from_secs(5);
/// Largest suspicion timeout, however long a node's stalls were.
pub(crate) const MAX_SUSPICION_TIMEOUT: Duration = Duration::from_secs(10);

impl LocalHealth {
    /// A suspect with this local health may be silent for this long before it is declared down.
    #[must_use]
    pub fn suspicion_timeout(self) -> Duration {
        if self == Self::PROMPT || mutant::is(Mutant::IgnoreSlowness) {
            return SUSPICION_TIMEOUT_PROMPT;
        }
        // Several stalls in close succession look like one that is longer than each of them.
        let several = UNIT * u32::from(self.0) * 3 + UNIT * 10;
        several.clamp(SUSPICION_TIMEOUT_UNPROVEN, MAX_SUSPICION_TIMEOUT)
    }
}

/// Measures the stalls of this node's own loop.
#[derive(Debug)]
pub(super) struct StallMeter {
    clean_since: Time,
    longest: Duration,
}

impl StallMeter {
    pub(super) fn new(now: Time) -> Self {
        Self { clean_since: now, longest: Duration::ZERO }
    }

    /// Notes that the loop came `by` too late.
    pub(super) fn late(&mut self, by: Duration, now: Time) {
        if by < STALL {
            return;
        }
        if now.since(self.clean_since) >= SLOW_FOR {
            self.longest = Duration::ZERO;
        }
        self.longest = self.longest.max(by);
        self.clean_since = now;
    }

    pub(super) fn local_health(&self, now: Time) -> LocalHealth {
        let clean = now.since(self.clean_since);
        let stalled = !self.longest.is_zero();
        match (stalled, clean) {
            (false, clean) if clean < PROVEN_AFTER => LocalHealth::UNPROVEN,
            (true, clean) if clean < SLOW_FOR => {
                let units = self.longest.as_millis().div_ceil(UNIT.as_millis());
                LocalHealth(u8::try_from(units).unwrap_or(u8::MAX).max(1))
            }
            _ => LocalHealth::PROMPT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000;

    #[test]
    fn a_node_is_prompt_30_s_after_its_start_and_10_min_after_a_stall() {
        let mut stall_meter = StallMeter::new(Time::ZERO);
        let at = |seconds| Time::from_millis(seconds * SECOND);
        assert_eq!(stall_meter.local_health(at(29)), LocalHealth::UNPROVEN);
        assert_eq!(stall_meter.local_health(at(30)), LocalHealth::PROMPT);
        stall_meter.late(Duration::from_millis(200), at(40));
        assert_eq!(stall_meter.local_health(at(40)), LocalHealth::PROMPT);
        stall_meter.late(Duration::from_millis(1_730), at(50));
        stall_meter.late(Duration::from_millis(300), at(60));
        assert_eq!(stall_meter.local_health(at(61)), LocalHealth(18));
        assert_eq!(stall_meter.local_health(at(659)), LocalHealth(18));
        assert_eq!(stall_meter.local_health(at(660)), LocalHealth::PROMPT);
        stall_meter.late(Duration::from_millis(300), at(700));
        assert_eq!(
            stall_meter.local_health(at(701)),
            LocalHealth(3),
            "the long stall is forgotten"
        );
    }

    #[test]
    fn the_suspicion_timeout_grows_with_the_longest_stall_within_bounds() {
        let suspicion_timeout =
            |local_health: u8| LocalHealth(local_health).suspicion_timeout().as_millis();
        assert_eq!(suspicion_timeout(0), 1_950);
        assert_eq!(suspicion_timeout(1), 3_200);
        assert_eq!(suspicion_timeout(5), 3_200);
        assert_eq!(suspicion_timeout(20), 7_000);
        assert_eq!(suspicion_timeout(255), 10_000);
    }
}
