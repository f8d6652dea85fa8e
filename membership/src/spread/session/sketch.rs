//! Finding out which heads differ.

use super::{ProtocolViolation, Role, Session, SessionStep};
use crate::base::limits::{MAX_ORIGIN_TOMBSTONES, MAX_ORIGINS, MAX_SYMBOLS_PER_FRAME};
use crate::catalog::Catalog;
use crate::spread::sketch::{Decoder, Encoder};
use crate::wire::{Frame, Sketch, Symbol};

/// Symbols that are sent unasked: enough for the most frequent difference, one origin that both know.
pub(super) const FIRST_SYMBOLS: usize = 2;
/// Symbols after which their number is estimated: fewer tell too little.
const ESTIMATED_AFTER: usize = 13;
/// The least that is asked for at once.
const SMALL_STEP: usize = 5;
/// What a head takes on the wire, about.
const HEAD_BYTES: usize = 18;

impl Session {
    pub(super) fn take_snapshot(&mut self, catalog: &Catalog) {
        self.snapshot = catalog.head_hashes().collect();
        self.snapshot.sort_unstable();
    }

    pub(super) fn sketch(&mut self, count: usize) {
        let heads = u32::try_from(self.snapshot.len()).unwrap_or(u32::MAX);
        let Some(encoder) = &mut self.encoder else { return };
        let symbols = encoder.encode(count);
        self.ready.push_back(Frame::Sketch(Sketch { heads, symbols }));
    }

    /// Nobody needs more symbols than heads would cost.
    pub(super) fn tell_more(&mut self, count: usize) -> Result<SessionStep, ProtocolViolation> {
        let most = most_symbols(self.snapshot.len());
        let coded = self.encoder.as_ref().map_or(usize::MAX, Encoder::coded);
        let asked = coded.saturating_add(count);
        // Each frame is a pass over all heads: a peer that asks for one symbol at a time gets few.
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

    /// All heads of the side that has fewer of them.
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

/// How many symbols a side with so many heads is asked for at most: by then all of them would have cost less.
fn most_symbols(heads: usize) -> usize {
    2 * heads + 8 * SMALL_STEP
}

/// How many more symbols to ask for, with so many received and about so many elements that differ. At first, and close to
/// what is likely to be enough, the steps are small, so that few are wasted.
pub(super) fn next_symbols(received: usize, differ: usize) -> usize {
    let step = (received / 8).clamp(SMALL_STEP, MAX_SYMBOLS_PER_FRAME);
    if received < ESTIMATED_AFTER {
        return step;
    }
    let likely = differ.saturating_add(differ / 4);
    likely.saturating_sub(received).clamp(step, (8 * received).min(MAX_SYMBOLS_PER_FRAME).max(step))
}
