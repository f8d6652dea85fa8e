//! Whether the members of our own pool are far away, as when it was joined over a WAN.

use std::time::Duration;

use super::Detector;

/// Members of one pool are nearer than this: the times of the detector are made for a LAN.
const LAN_ROUND_TRIP: Duration = Duration::from_millis(20);
/// Answers that are measured before the distance is judged. A shorter round trip counts at once and a longer one little by little, so
/// one slow answer among them means nothing.
const MEASURED_FIRST: usize = 10;

/// The judgement, which is made once.
#[derive(Debug, Default)]
pub(super) struct Distance {
    measured: usize,
    /// The round trip to tell of.
    far: Option<Duration>,
}

impl Distance {
    /// Notes that an answer was measured. Returns whether the distance is to be judged now.
    fn note(&mut self) -> bool {
        self.measured = self.measured.saturating_add(1);
        self.measured == MEASURED_FIRST
    }
}

impl Detector {
    /// Notes that an answer of a member that we watch was measured.
    pub(super) fn note_measured(&mut self) {
        if self.distance.note() {
            let measured = self.monitors.values().filter_map(|monitor| monitor.round_trip.get());
            self.distance.far = median(measured.collect()).filter(|it| *it > LAN_ROUND_TRIP);
        }
    }

    /// Takes the median round trip to the members that we watch, if it is longer than that of a LAN. It is told once.
    pub(crate) fn take_far_pool(&mut self) -> Option<Duration> {
        self.distance.far.take()
    }
}

/// The lower one of two.
fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_a_time_of_the_list_and_the_lower_one_of_two() {
        let ms = |times: &[u64]| times.iter().copied().map(Duration::from_millis).collect();
        let median = |times: &[u64]| median(ms(times)).map(|time| time.as_millis());
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[30]), Some(30));
        assert_eq!(median(&[30, 1]), Some(1));
        assert_eq!(median(&[90, 1, 30]), Some(30));
    }

    #[test]
    fn the_distance_is_judged_once() {
        let mut distance = Distance::default();
        let judged: Vec<usize> = (1..100).filter(|_| distance.note()).collect();
        assert_eq!(judged, [MEASURED_FIRST]);
    }
}
