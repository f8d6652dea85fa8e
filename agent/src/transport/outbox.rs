//! The queue between the driver and the task of one stream: frames to write, and the order to finish or to give up.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hobnob_membership::limits::MAX_FRAMES_IN_FLIGHT;
use tokio::sync::Notify;

use super::frames;

/// The reason for which our side gives up a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abort {
    /// The driver reset it.
    Reset,
    /// The driver sent more frames than may be in flight.
    Overflow,
    /// The driver sent a frame of a length that no peer accepts.
    InvalidFrame,
}

/// A queue of at most [`MAX_FRAMES_IN_FLIGHT`] frames, with the order to finish after them or to give up. The driver
/// fills it without waiting; the task of the stream empties it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Wakes the task that waits in [`Outbox::take`].
    filled: Notify,
    /// Wakes the task that waits in [`Outbox::aborted`].
    aborted: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Bytes>,
    /// Frames that were pushed and are not yet written.
    in_flight: usize,
    finished: bool,
    abort: Option<Abort>,
}

impl Outbox {
    /// Queues a frame. If that would exceed the limit, the stream is given up. A frame after the end is dropped.
    pub(super) fn push(&self, frame: Vec<u8>) {
        let mut state = self.lock();
        if state.finished || state.abort.is_some() {
            return;
        }
        if !frames::is_valid_len(frame.len()) {
            drop(state);
            return self.abort(Abort::InvalidFrame);
        }
        if state.in_flight >= MAX_FRAMES_IN_FLIGHT {
            drop(state);
            return self.abort(Abort::Overflow);
        }
        state.in_flight += 1;
        state.frames.push_back(Bytes::from(frame));
        self.filled.notify_one();
    }

    /// Notes that no frame follows.
    pub(super) fn finish(&self) {
        self.lock().finished = true;
        self.filled.notify_one();
    }

    /// Whether no frame follows, though some may still be queued.
    pub(super) fn is_finished(&self) -> bool {
        self.lock().finished
    }

    /// Gives up the stream; the first reason stays.
    pub(super) fn abort(&self, reason: Abort) {
        self.lock().abort.get_or_insert(reason);
        self.aborted.notify_one();
    }

    /// The next frame, or `None` once all were taken and none follows. Cancel-safe; for one caller at a time.
    pub(super) async fn take(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.lock();
                if let Some(frame) = state.frames.pop_front() {
                    return Some(frame);
                }
                if state.finished {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Notes that a frame that was taken is written, which makes room for another.
    pub(super) fn written(&self) {
        let mut state = self.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
    }

    /// Waits until the stream is given up. Cancel-safe; for one caller at a time.
    pub(super) async fn aborted(&self) -> Abort {
        loop {
            if let Some(reason) = self.lock().abort {
                return reason;
            }
            self.aborted.notified().await;
        }
    }

    /// Locks the state. It is valid between any two statements, so a panic that poisoned the lock does no harm.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn frames_come_in_order_and_then_the_end() {
        let outbox = Outbox::default();
        assert_eq!(outbox.take().now_or_never(), None, "nothing yet");
        outbox.push(vec![1]);
        outbox.push(vec![2]);
        outbox.finish();
        outbox.push(vec![3]);
        assert_eq!(outbox.take().now_or_never(), Some(Some(Bytes::from_static(&[1]))));
        assert_eq!(outbox.take().now_or_never(), Some(Some(Bytes::from_static(&[2]))));
        assert_eq!(outbox.take().now_or_never(), Some(None));
        assert_eq!(outbox.aborted().now_or_never(), None);
    }

    #[test]
    fn a_frame_counts_until_it_is_written_not_until_it_is_taken() {
        let outbox = Outbox::default();
        for _ in 0..MAX_FRAMES_IN_FLIGHT {
            outbox.push(vec![1]);
        }
        assert!(outbox.take().now_or_never().is_some());
        outbox.written();
        outbox.push(vec![1]);
        assert_eq!(outbox.aborted().now_or_never(), None);
        assert!(outbox.take().now_or_never().is_some());
        outbox.push(vec![1]);
        assert_eq!(outbox.aborted().now_or_never(), Some(Abort::Overflow));
    }

    #[test]
    fn frames_that_no_peer_takes_are_refused() {
        for len in [0, hobnob_membership::limits::MAX_FRAME_BYTES + 1] {
            let outbox = Outbox::default();
            outbox.push(vec![0; len]);
            assert_eq!(outbox.aborted().now_or_never(), Some(Abort::InvalidFrame));
        }
    }

    #[test]
    fn the_first_reason_to_give_up_stays() {
        let outbox = Outbox::default();
        outbox.abort(Abort::Reset);
        outbox.abort(Abort::Overflow);
        assert_eq!(outbox.aborted().now_or_never(), Some(Abort::Reset));
    }
}
