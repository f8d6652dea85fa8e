//! Finding out which heads differ, by sketches.

use super::{ProtocolViolation, Role, Session, SessionStep};
use crate::base::limits::{MAX_ORIGIN_TOMBSTONES, MAX_ORIGINS, MAX_SYMBOLS_PER_FRAME};
use crate::catalog::Catalog;
use crate::spread::sketch::{Decoder, Encoder};
use crate::wire::{Frame, Sketch, Symbol};

/// Symbols that are sent unasked: enough for the most frequent difference, one origin that both sides know.
pub(super) const FIRST_SYMBOLS: usize = 2;
/// Symbols after which the size of the difference is estimated. Fewer symbols give no useful estimate.
const ESTIMATED_AFTER: usize = 13;
/// The smallest number of symbols that is asked for at once.
const SMALL_STEP: usize = 5;
/// The approximate size of a head on the wire.
const HEAD_BYTES: usize = 18;

impl Session {
    pub(super) fn take_snapshot(&mut self, catalog: &Catalog) {
        self.snapshot = catalog.head_hashes(self.scope).collect();
        self.snapshot.sort_unstable();
    }

    pub(super) fn sketch(&mut self, count: usize) {
        let heads = u32::try_from(self.snapshot.len()).unwrap_or(u32::MAX);
        let Some(encoder) = &mut self.encoder else { return };
        let symbols = encoder.encode(count);
        self.ready.push_back(Frame::Sketch(Sketch { heads, symbols }));
    }

    /// Answers a request for more symbols. A peer that needs more symbols than all heads would cost breaks the rules.
    pub(super) fn tell_more(&mut self, count: usize) -> Result<SessionStep, ProtocolViolation> {
        let most = most_symbols(self.snapshot.len());
        let coded = self.encoder.as_ref().map_or(usize::MAX, Encoder::coded);
        let asked = coded.saturating_add(count);
        // Each frame takes a pass over all heads, so a peer must not ask for few symbols at a time.
        let small = coded > ESTIMATED_AFTER && count < coded / 32;
        if asked > most || count > MAX_SYMBOLS_PER_FRAME || small || self.heads_received > 0 {
            return Err(ProtocolViolation);
        }
        self.sketch(count);
        Ok(SessionStep::Nothing)
    }

    pub(super) fn take_sketch(
        &mut self,
        sketch: &Sketch,
        catalog: &Catalog,
    ) -> Result<SessionStep, ProtocolViolation> {
        let others = sketch.heads as usize;
        if !self.is_opener
            || self.role != Role::Undecided
            || others > MAX_ORIGINS + MAX_ORIGIN_TOMBSTONES
        {
            return Err(ProtocolViolation);
        }
        if self.decoder.is_none() {
            self.take_snapshot(catalog);
            let decoder = Decoder::new(self.snapshot.iter().map(|(hash, _)| *hash));
            self.decoder = Some(decoder);
        }
        let Some(decoder) = &mut self.decoder else { return Err(ProtocolViolation) };
        if decoder.received() + sketch.symbols.len() != self.asked {
            return Err(ProtocolViolation);
        }
        match decoder.decode(&sketch.symbols) {
            Ok(Some(difference)) => self.tell(&difference, catalog),
            Ok(None) => {
                let (received, differ) = (decoder.received(), decoder.estimate(others));
                let more = next_symbols(received, differ);
                let fewer = self.snapshot.len().min(others);
                let dear = more * Symbol::BYTES + differ / 2 * HEAD_BYTES >= fewer * HEAD_BYTES;
                if dear || received + more > most_symbols(fewer) {
                    self.give_up_sketch(others, catalog);
                } else {
                    self.asked += more;
                    self.ready.push_back(Frame::More(u32::try_from(more).unwrap_or(u32::MAX)));
                }
            }
            Err(_) => self.give_up_sketch(others, catalog),
        }
        Ok(SessionStep::Nothing)
    }

    /// Gives the sketch up. The side that has fewer heads tells all of them.
    fn give_up_sketch(&mut self, others: usize, catalog: &Catalog) {
        self.decoder = None;
        if self.snapshot.len() <= others {
            self.tell_all(catalog);
            return;
        }
        self.role = Role::Comparer;
        self.ends = true;
        self.awaits_end = false;
        self.ready.push_back(Frame::More(0));
    }

    pub(super) fn tell_all_instead(
        &mut self,
        catalog: &Catalog,
    ) -> Result<SessionStep, ProtocolViolation> {
        if self.encoder.take().is_none() || self.heads_received > 0 {
            return Err(ProtocolViolation);
        }
        self.ends = false;
        self.awaits_end = true;
        self.tell_all(catalog);
        Ok(SessionStep::Nothing)
    }
}

/// The most symbols that a side with this many heads may be asked for. Beyond that, telling all heads costs less.
fn most_symbols(heads: usize) -> usize {
    2 * heads + 8 * SMALL_STEP
}

/// The number of symbols to ask for next, after `received` symbols when about `differ` elements differ. At first, and
/// close to the number that is likely to be enough, the steps are small, so that few symbols are wasted.
pub(super) fn next_symbols(received: usize, differ: usize) -> usize {
    let step = (received / 8).clamp(SMALL_STEP, MAX_SYMBOLS_PER_FRAME);
    if received < ESTIMATED_AFTER {
        return step;
    }
    let likely = differ.saturating_add(differ / 4);
    likely.saturating_sub(received).clamp(step, (8 * received).min(MAX_SYMBOLS_PER_FRAME).max(step))
}
