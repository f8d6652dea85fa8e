//! The timetable of a run: when each fault begins, continues and ends.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::Time;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use crate::scenario::{Fault, FaultKind};

/// A step of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOrder {
    /// The fault begins.
    Begin {
        /// Index of the fault in the scenario.
        fault: usize,
        /// The occurrence, counted over all faults.
        occurrence: usize,
    },
    /// The fault continues: the next host of a rolling restart, the next pause, the other state of a flapping link.
    Continue {
        /// Index of the fault in the scenario.
        fault: usize,
        /// The occurrence.
        occurrence: usize,
        /// The number of the step.
        step: usize,
    },
    /// The fault ends.
    End {
        /// The occurrence.
        occurrence: usize,
    },
}

/// Orders by the time at which they are due.
#[derive(Debug, Default)]
pub struct Timetable {
    orders: BTreeMap<(Time, u64), FaultOrder>,
    sequence: u64,
}

impl Timetable {
    /// The timetable of these faults. Repeated faults recur until `end`.
    #[must_use]
    pub fn new(faults: &[Fault], end: Time, rng: &mut Xoshiro256PlusPlus) -> Self {
        let mut plan = Self::default();
        let mut occurrence = 0;
        for (index, fault) in faults.iter().enumerate() {
            let mut at = Time::ZERO + fault.at.0;
            while at < end {
                plan.add(at, FaultOrder::Begin { fault: index, occurrence });
                if let Some(lasts) = fault.lasts {
                    plan.add(at + lasts.0, FaultOrder::End { occurrence });
                }
                occurrence += 1;
                let Some(every) = fault.every else { break };
                at = at
                    + fault.lasts.map_or(Duration::ZERO, |span| span.0)
                    + every.0.mul_f64(2.0 * rng.random::<f64>()).max(Duration::from_millis(1));
            }
        }
        plan
    }

    /// Adds an order.
    pub fn add(&mut self, at: Time, order: FaultOrder) {
        self.sequence += 1;
        self.orders.insert((at, self.sequence), order);
    }

    /// When the next order is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        self.orders.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next order if it is due.
    pub fn take_due(&mut self, now: Time) -> Option<FaultOrder> {
        let entry = self.orders.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Drops all orders that are not yet due.
    pub fn clear(&mut self) {
        self.orders.clear();
    }
}

/// The time from a step of a fault to the next; `None` when there is none.
pub(super) fn next_step(
    kind: &FaultKind,
    step: usize,
    rng: &mut Xoshiro256PlusPlus,
) -> Option<Duration> {
    match kind {
        FaultKind::Flap { down, up, .. } => {
            Some(if step.is_multiple_of(2) { down.0 } else { up.0 })
        }
        FaultKind::RollingRestart { gap, .. } => Some(gap.0),
        FaultKind::Outsider { per_second } | FaultKind::Liar { per_second } => {
            Some(Duration::from_secs(1) / (*per_second).max(1))
        }
        FaultKind::Stutter { gap, .. } => {
            let wait = gap.0.mul_f64(2.0 * rng.random::<f64>());
            Some(wait.max(Duration::from_millis(1)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Select, Span};
    use rand::SeedableRng;

    #[test]
    fn a_fault_that_repeats_does_so_until_the_end_and_never_overlaps_itself() {
        let fault = Fault {
            at: Span::seconds(5),
            lasts: Some(Span::seconds(3)),
            every: Some(Span::seconds(10)),
            what: FaultKind::Pause { nodes: Select::All },
        };
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut plan = Timetable::new(&[fault], Time::from_millis(200_000), &mut rng);
        let mut begun = 0;
        let mut open = None;
        while let Some(order) = plan.take_due(Time::from_millis(u64::MAX)) {
            match order {
                FaultOrder::Begin { occurrence, .. } => {
                    assert_eq!(open.replace(occurrence), None);
                    begun += 1;
                }
                FaultOrder::End { occurrence } => assert_eq!(open.take(), Some(occurrence)),
                FaultOrder::Continue { .. } => panic!("a pause does not go on"),
            }
        }
        assert!((8..30).contains(&begun), "{begun} times");
    }
}
