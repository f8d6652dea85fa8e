//! Beats: when a gateway tells the gateways of other datacenters the digest of its own.
//!
//! For each pair of datacenters one gateway on each side is the primary and another the second. The primary beats regularly and
//! after news; the second seldom, so that a crash of the primary silences nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::datacenter::DatacenterId;
use crate::base::time::Time;

/// Time between two beats of the primary at rest.
const PERIOD: Duration = Duration::from_millis(500);
/// The same while the other datacenter is silent.
const SILENT_PERIOD: Duration = Duration::from_millis(250);
/// The same for the second.
const SECOND_PERIOD: Duration = Duration::from_millis(2_000);
/// When beats follow news of the own datacenter, counted from the news.
const AFTER_NEWS: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(100),
    Duration::from_millis(250),
];
/// The least time between two beats to one datacenter.
const MIN_GAP: Duration = Duration::from_millis(100);
/// Time until a node looks again whether it is a gateway.
const LOOK_AGAIN: Duration = Duration::from_millis(1_000);

/// Our role in a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Second,
    None,
}

/// The beats to one datacenter.
#[derive(Clone, Debug)]
struct Pulse {
    role: Role,
    /// The next beat at rest.
    quiet_at: Time,
    /// The news that beats follow, and how many have.
    burst: Option<(Time, usize)>,
    sent_at: Option<Time>,
    turn: usize,
    /// Datacenters that are out of reach for that one.
    lacks: Vec<DatacenterId>,
}

impl Pulse {
    fn burst_at(&self) -> Option<Time> {
        let (news_at, index) = self.burst?;
        let due = news_at + *AFTER_NEWS.get(index)?;
        Some(self.sent_at.map_or(due, |sent| due.max(sent + MIN_GAP)))
    }

    fn due(&self) -> Time {
        let burst = self.burst_at().filter(|_| self.role == Role::Primary);
        burst.map_or(self.quiet_at, |at| at.min(self.quiet_at))
    }
}

/// The beats to all other datacenters. There are none while no other datacenter is known.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    pulses: BTreeMap<DatacenterId, Pulse>,
}

impl Beats {
    /// Whether no other datacenter is beaten to.
    pub(crate) fn is_idle(&self) -> bool {
        self.pulses.is_empty()
    }

    /// Sets the other datacenters. `jitter` is a part of the period for each new one.
    pub(crate) fn set(
        &mut self,
        others: &[DatacenterId],
        mut jitter: impl FnMut() -> f64,
        now: Time,
    ) {
        self.pulses.retain(|to, _| others.contains(to));
        for to in others {
            self.pulses.entry(*to).or_insert_with(|| Pulse {
                role: Role::None,
                quiet_at: now + PERIOD.mul_f64(jitter()),
                burst: None,
                sent_at: None,
                turn: 0,
                lacks: Vec::new(),
            });
        }
    }

    /// Notes news of an origin of the own datacenter.
    pub(crate) fn news(&mut self, now: Time) {
        for pulse in self.pulses.values_mut() {
            // A burst that goes on keeps its first news until its first beat, so steady news put no beat off.
            if pulse.burst.is_none_or(|(_, index)| index > 0) {
                pulse.burst = Some((now, 0));
            }
            // The news are under way until then, and a digest without their heads would only show a difference.
            pulse.quiet_at = pulse.quiet_at.max(now + AFTER_NEWS[0]);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.pulses.values().map(Pulse::due).min()
    }

    /// Takes the beats that are due, each with its turn. `role` tells our role in the pair with a datacenter, and `is_silent`
    /// whether we should have heard it.
    pub(crate) fn take_due(
        &mut self,
        role: impl Fn(DatacenterId) -> Role,
        is_silent: impl Fn(DatacenterId) -> bool,
        now: Time,
    ) -> Vec<(DatacenterId, usize)> {
        let mut due = Vec::new();
        for (to, pulse) in &mut self.pulses {
            if pulse.due() > now {
                continue;
            }
            pulse.role = role(*to);
            let is_burst = pulse.burst_at().is_some_and(|at| at <= now);
            if let Some((_, index)) = pulse.burst.as_mut().filter(|_| is_burst) {
                *index += 1;
            }
            pulse.burst = pulse.burst.filter(|(_, index)| *index < AFTER_NEWS.len());
            pulse.quiet_at = now
                + match pulse.role {
                    Role::Primary if is_silent(*to) => SILENT_PERIOD,
                    Role::Primary => PERIOD,
                    Role::Second => SECOND_PERIOD,
                    Role::None => LOOK_AGAIN,
                };
            if pulse.role != Role::None {
                pulse.sent_at = Some(now);
                pulse.turn += 1;
                due.push((*to, pulse.turn));
            }
        }
        due
    }

    /// Notes which datacenters are out of reach for another one.
    pub(crate) fn note_lacks(&mut self, to: DatacenterId, lacks: Vec<DatacenterId>) {
        if let Some(pulse) = self.pulses.get_mut(&to) {
            pulse.lacks = lacks;
        }
    }

    /// The datacenters that are out of reach for another one.
    pub(crate) fn lacks(&self, to: DatacenterId) -> &[DatacenterId] {
        self.pulses.get(&to).map_or(&[], |pulse| &pulse.lacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EU: DatacenterId = DatacenterId(1);
    const MS: fn(u64) -> Time = Time::from_millis;

    fn sent(beats: &mut Beats, role: Role, until: u64) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(now) = beats.next_deadline().filter(|at| *at < MS(until)) {
            if !beats.take_due(|_| role, |_| false, now).is_empty() {
                sent.push(now.as_micros() / 1_000);
            }
        }
        sent
    }

    #[test]
    fn at_rest_the_primary_beats_twice_a_second_and_the_second_seldom() {
        for (role, expected) in [
            (Role::Primary, vec![250, 750, 1_250, 1_750]),
            (Role::Second, vec![250]),
            (Role::None, vec![]),
        ] {
            let mut beats = Beats::default();
            beats.set(&[EU], || 0.5, MS(0));
            assert_eq!(sent(&mut beats, role, 2_000), expected);
        }
        assert_eq!(Beats::default().next_deadline(), None, "nobody else is known");
    }

    #[test]
    fn beats_follow_news_and_keep_their_distance() {
        let mut beats = Beats::default();
        beats.set(&[EU], || 0.0, MS(0));
        assert_eq!(sent(&mut beats, Role::Primary, 100), [0]);
        beats.news(MS(200));
        assert_eq!(sent(&mut beats, Role::Primary, 700), [210, 310, 410, 510]);
    }

    #[test]
    fn steady_news_put_no_beat_off() {
        let mut beats = Beats::default();
        beats.set(&[EU], || 0.0, MS(0));
        sent(&mut beats, Role::Primary, 1);
        let mut count = 0;
        for ms in 1_000..2_000 {
            beats.news(MS(ms));
            count += beats.take_due(|_| Role::Primary, |_| false, MS(ms)).len();
        }
        assert!((9..=11).contains(&count), "{count}");
    }
}
