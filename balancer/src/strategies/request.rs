//! A pick that asks its targets, because some may refuse it.

use super::{candidates::Candidates, chooser::Chooser, strategy::Strategy, turns::Turns};
use crate::feedback::{Admission, Ticket};
use crate::tables::mix;

/// The most targets that a strategy is asked for. If all of them refuse, the next target in order that does not is taken.
const ATTEMPTS_MAX: u64 = 16;

/// The request of a pick.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) strategy: Strategy,
    /// The hash of the key, for keyed strategies.
    pub(crate) hash: u64,
    /// Whether targets above their bounded load refuse.
    pub(crate) bounded: bool,
    /// Whether the pick will report its outcome, so that it may be the probe of a circuit.
    pub(crate) claims: bool,
    /// The targets that do not come into question, because the call has failed there.
    pub(crate) tried: &'a [usize],
}

/// A target that takes a pick.
pub(crate) struct Admitted {
    pub(crate) index: usize,
    pub(crate) probe: Option<Ticket>,
}

impl Request<'_> {
    /// Asks target after target until one takes the pick. A key that is refused is hashed again: the keys of a target that
    /// refuses spread over all others, no other key moves, and no table is rebuilt. The bound is dropped if every target
    /// refuses with it.
    pub(crate) fn settle(
        self,
        chooser: &mut Chooser,
        candidates: &Candidates<'_>,
        turns: &Turns,
    ) -> Option<Admitted> {
        if self.bounded {
            candidates.service.count_total();
        }
        let panics = candidates.service.panics();
        let mut index = chooser.choose_by_call(candidates, turns, self.strategy, self.hash);
        for attempt in 1..=ATTEMPTS_MAX {
            let draw = self.draw(chooser, candidates, index);
            if let Some(admitted) = self.ask(candidates, index, draw, panics) {
                return Some(admitted);
            }
            let hash = mix(self.hash.wrapping_add(attempt));
            index = chooser.choose_by_call(candidates, turns, self.strategy, hash);
        }
        let length = candidates.len();
        let ask_all = |request: Self| {
            let mut all = (0..length).map(|step| (index + step) % length);
            all.find_map(|index| request.ask(candidates, index, 0.0, panics))
        };
        ask_all(self).or_else(|| ask_all(Self { bounded: false, ..self }))
    }

    /// The number in `0.0..1.0` that decides whether a target with a share of its weight takes the pick. A key always draws
    /// the same number at a target.
    fn draw(self, chooser: &mut Chooser, candidates: &Candidates<'_>, index: usize) -> f32 {
        if self.strategy.is_keyed() {
            let drawn = mix(self.hash ^ candidates.states[index].salt());
            (drawn >> 40) as f32 / (1_u64 << 24) as f32
        } else {
            chooser.random.f32()
        }
    }

    fn ask(
        self,
        candidates: &Candidates<'_>,
        index: usize,
        draw: f32,
        panics: bool,
    ) -> Option<Admitted> {
        if self.tried.contains(&index) {
            return None;
        }
        let state = &candidates.states[index];
        if self.bounded {
            let roster = candidates.tables.roster();
            let (weight, total) = (roster.weights()[index], roster.total_weight());
            if state.in_flight() >= candidates.service.load_bound(weight, total) {
                return None;
            }
        }
        if panics {
            return (!state.is_draining()).then_some(Admitted { index, probe: None });
        }
        match state.admit(self.claims, draw) {
            Admission::Granted => Some(Admitted { index, probe: None }),
            Admission::Probe(ticket) => Some(Admitted { index, probe: Some(ticket) }),
            Admission::Refused => None,
        }
    }
}
