//! The order of the frames that are sent, and the deltas that the peer lacks.

use super::{Role, Session};
use crate::base::limits::{MAX_FRAME_BYTES, MAX_FRAMES_IN_FLIGHT, MAX_FRAMES_PER_SESSION};
use crate::base::mutants::{self as mutant, Mutant};
use crate::catalog::{Catalog, Delta, Want};
use crate::wire::Frame;

/// Bytes of a frame for its kind and the number of its deltas.
const FRAME_OVERHEAD_BYTES: usize = 16;

impl Session {
    /// Whether there is a frame to send and the transport has room for it. If so, and no other frame is ready, deltas
    /// of at most `bytes` bytes are cut.
    pub(crate) fn is_ready(&mut self, catalog: &Catalog, bytes: usize) -> bool {
        if self.in_flight >= MAX_FRAMES_IN_FLIGHT || self.told_all {
            return false;
        }
        if self.ready.is_empty() {
            let deltas = self.next_of_lacking(catalog, bytes);
            self.ready.extend(deltas);
        }
        !self.ready.is_empty()
    }

    /// Takes the next frame to send, after [`Session::is_ready`] returned true.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        let frame = self.ready.pop_front()?;
        self.is_put_off = false;
        self.told_all = matches!(frame, Frame::End | Frame::Deltas { last: true, .. });
        self.frames_sent += 1;
        self.in_flight += 1;
        Some(frame)
    }

    fn next_of_lacking(&mut self, catalog: &Catalog, bytes: usize) -> Option<Frame> {
        let undecided = self.role == Role::Comparer && !self.heads_complete;
        if undecided || (self.lacking.is_empty() && !self.heads_complete) {
            return None;
        }
        if !self.ends {
            self.told_all = self.peer_told_all;
            return None;
        }
        if self.frames_sent + 1 >= MAX_FRAMES_PER_SESSION {
            return Some(Frame::End);
        }
        let deltas = self.next_deltas(catalog, bytes);
        let last = self.lacking.is_empty() && self.heads_complete;
        match (deltas.is_empty(), last) {
            (true, true) => Some(Frame::End),
            (true, false) => None,
            (false, last) => Some(Frame::Deltas { deltas, last }),
        }
    }

    fn next_deltas(&mut self, catalog: &Catalog, bytes: usize) -> Vec<Delta> {
        let mut room = bytes.min(MAX_FRAME_BYTES) - FRAME_OVERHEAD_BYTES;
        let mut deltas = Vec::new();
        while let Some(want) = self.lacking.last_mut() {
            let Some(mut delta) = catalog.answer(want, room) else {
                // Nothing more of this origin can be sent, or this frame has no room for it.
                if deltas.is_empty() || !catalog.has_more(want) {
                    self.lacking.pop();
                    continue;
                }
                break;
            };
            *want = Want { epoch: delta.epoch, after: delta.to, gc_floor: delta.gc_floor, ..*want };
            room = room.saturating_sub(delta.encoded_len());
            if mutant::is(Mutant::TruncateSync) {
                delta.entries.truncate(delta.entries.len() / 2);
            }
            let complete = !catalog.has_more(want);
            deltas.push(delta);
            if complete {
                self.lacking.pop();
            } else if room < FRAME_OVERHEAD_BYTES {
                break;
            }
        }
        deltas
    }
}
