//! Beats: when a gateway tells the gateways of other datacenters that it is there, and what it holds.
//!
//! Each gateway of one side beats to one of the other, at a steady pace, and none of these beats is answered: those of the
//! other side tell the same. For each pair of datacenters one gateway on each side is the primary and another the second.
//! The beats of the primary have a summary of what it holds, and follow news, too; those of the second have one seldom, so
//! that a crash of the primary silences nothing; those of the third are bare signs of life.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::datacenter::DatacenterId;
use crate::base::time::Time;

/// Time between two beats at rest.
const PERIOD: Duration = Duration::from_millis(500);
/// Of so many beats of the second one has a summary.
const SECOND_EVERY: usize = 4;
/// When beats of the primary follow news of the own datacenter, counted from the news.
const AFTER_NEWS: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(100),
    Duration::from_millis(250),
];
/// The least time between a beat and one that follows news.
const MIN_GAP: Duration = Duration::from_millis(100);
/// Time until a node looks again whether it is a gateway.
const LOOK_AGAIN: Duration = Duration::from_millis(1_000);

/// Our role in a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Second,
    Third,
    None,
}

/// Whether a beat of a gateway in a place, 0 for the primary, has a summary.
pub(crate) fn has_summary(place: usize, turn: usize) -> bool {
    place == 0 || (place == 1 && turn.is_multiple_of(SECOND_EVERY))
}

/// Beats that are due to a datacenter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) to: DatacenterId,
    pub(crate) turn: usize,
    /// Whether they follow news.
    pub(crate) is_news: bool,
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
    /// When a beat follows news.
    fn news_at(&self) -> Option<Time> {
        let (news_at, index) = self.burst.filter(|_| self.role == Role::Primary)?;
        let due = news_at + *AFTER_NEWS.get(index)?;
        Some(self.sent_at.map_or(due, |sent| due.max(sent + MIN_GAP)))
    }

    fn due(&self) -> Time {
        self.news_at().map_or(self.quiet_at, |at| at.min(self.quiet_at))
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
            // The news are under way until then, and a digest without their heads would only show a difference. The
            // others follow no news, so steady ones would put their signs of life off.
            if pulse.role == Role::Primary {
                pulse.quiet_at = pulse.quiet_at.max(now + AFTER_NEWS[0]);
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.pulses.values().map(Pulse::due).min()
    }

    /// Takes the beats that are due. `role` tells our role in the pair with a datacenter.
    pub(crate) fn take_due(&mut self, role: impl Fn(DatacenterId) -> Role, now: Time) -> Vec<Due> {
        let mut due = Vec::new();
        for (to, pulse) in &mut self.pulses {
            if pulse.due() > now {
                continue;
            }
            pulse.role = role(*to);
            let is_news = pulse.news_at().is_some_and(|at| at <= now);
            if let Some((_, index)) = pulse.burst.as_mut().filter(|_| is_news) {
                *index += 1;
            }
            pulse.burst = pulse.burst.filter(|(_, index)| *index < AFTER_NEWS.len());
            let is_gateway = pulse.role != Role::None;
            pulse.quiet_at = now + if is_gateway { PERIOD } else { LOOK_AGAIN };
            if is_gateway {
                pulse.sent_at = Some(now);
                pulse.turn += 1;
                due.push(Due { to: *to, turn: pulse.turn, is_news });
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
            if !beats.take_due(|_| role, now).is_empty() {
                sent.push(now.as_micros() / 1_000);
            }
        }
        sent
    }

    #[test]
    fn at_rest_each_gateway_beats_twice_a_second() {
        for (role, expected) in [
            (Role::Primary, vec![250, 750, 1_250, 1_750]),
            (Role::Second, vec![250, 750, 1_250, 1_750]),
            (Role::Third, vec![250, 750, 1_250, 1_750]),
            (Role::None, vec![]),
        ] {
            let mut beats = Beats::default();
            beats.set(&[EU], || 0.5, MS(0));
            assert_eq!(sent(&mut beats, role, 2_000), expected);
        }
        assert_eq!(Beats::default().next_deadline(), None, "nobody else is known");
    }

    #[test]
    fn the_primary_tells_what_it_holds_and_the_second_seldom() {
        let with_summary = |place| (0..8).filter(|turn| has_summary(place, *turn)).count();
        assert_eq!([0, 1, 2].map(with_summary), [8, 2, 0]);
    }

    #[test]
    fn beats_of_the_primary_follow_news_and_keep_their_distance() {
        for (role, expected) in
            [(Role::Primary, vec![210, 310, 410, 510]), (Role::Second, vec![500])]
        {
            let mut beats = Beats::default();
            beats.set(&[EU], || 0.0, MS(0));
            assert_eq!(sent(&mut beats, role, 100), [0]);
            beats.news(MS(200));
            assert_eq!(sent(&mut beats, role, 700), expected);
        }
    }

    #[test]
    fn steady_news_put_no_beat_off() {
        for (role, expected) in [(Role::Primary, 9..=11), (Role::Second, 2..=2)] {
            let mut beats = Beats::default();
            beats.set(&[EU], || 0.0, MS(0));
            sent(&mut beats, role, 1);
            let mut count = 0;
            for ms in 1_000..2_000 {
                beats.news(MS(ms));
                count += beats.take_due(|_| role, MS(ms)).len();
            }
            assert!(expected.contains(&count), "{role:?}: {count}");
        }
    }
}
