//! A pick that has to ask its targets, because some may refuse.

use super::Picker;
use crate::{
    feedback::{Admission, Ticket},
    strategies::Strategy,
    tables::mix,
};

/// So many times a strategy is asked for another target when one refuses; then the first that does not is taken.
const ATTEMPTS_MAX: u64 = 16;

/// What a pick asks for.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) strategy: Strategy,
    /// The hash of the key, for keyed strategies.
    pub(crate) hash: u64,
    pub(crate) bounded: bool,
    /// Whether the pick will be counted and report back, so that it may be the probe of a circuit.
    pub(crate) claims: bool,
}

/// A target that takes the pick, by index.
pub(crate) struct Choice {
    pub(crate) index: usize,
    pub(crate) probe: Option<Ticket>,
}

impl Request {
    /// Asks target after target. A key that is refused is hashed again, so that the keys of a target that refuses spread
    /// over all others and no other key moves; no table is rebuilt.
    pub(crate) fn settle<T>(self, picker: &mut Picker<T>) -> Option<Choice> {
        let core = picker.balancer().core();
        if self.bounded {
            core.count_total();
        }
        let panics = core.panics();
        let mut index = picker.candidate(self.strategy, self.hash);
        for attempt in 1..=ATTEMPTS_MAX {
            let draw = self.draw(picker, index);
            if let Some(choice) = self.ask(picker, index, draw, panics) {
                return Some(choice);
            }
            index = picker.candidate(self.strategy, mix(self.hash.wrapping_add(attempt)));
        }
        let length = picker.snapshot().len();
        let unbounded = Self { bounded: false, ..self };
        let ask_all = |request: Self| {
            let mut all = (0..length).map(|step| (index + step) % length);
            all.find_map(|index| request.ask(picker, index, 0.0, panics))
        };
        ask_all(self).or_else(|| ask_all(unbounded))
    }

    /// The number in `0.0..1.0` that a target with a share of its weight holds against that share. A key always draws the same
    /// at a target.
    fn draw<T>(self, picker: &mut Picker<T>, index: usize) -> f32 {
        if self.strategy.is_keyed() {
            let drawn = mix(self.hash ^ picker.snapshot().states()[index].salt());
            (drawn >> 40) as f32 / (1_u64 << 24) as f32
        } else {
            picker.draw()
        }
    }

    fn ask<T>(self, picker: &Picker<T>, index: usize, draw: f32, panics: bool) -> Option<Choice> {
        let snapshot = picker.snapshot();
        let state = &snapshot.states()[index];
        if self.bounded {
            let roster = snapshot.roster();
            let bound =
                picker.balancer().core().bound(roster.weights()[index], roster.total_weight());
            if state.in_flight() >= bound {
                return None;
            }
        }
        if panics {
            return (!state.ramp.is_falling()).then_some(Choice { index, probe: None });
        }
        match state.admit(self.claims, draw) {
            Admission::Granted => Some(Choice { index, probe: None }),
            Admission::Probe(ticket) => Some(Choice { index, probe: Some(ticket) }),
            Admission::Refused => None,
        }
    }
}
