//! The bandwidth that rumors and repair may take.

use std::time::Duration;

use crate::base::bucket::Bucket;
use crate::base::limits::{MAX_RECORD_BYTES, MIN_SESSION_BYTES_PER_SECOND};
use crate::base::time::Time;

/// The time whose bytes an idle line may send at once.
const BURST: Duration = Duration::from_millis(20);
/// Bytes of a frame of deltas beside the largest record.
const FRAME_OVERHEAD_BYTES: usize = 128;

/// The bandwidth for rumors and repair.
///
/// All traffic shares one bucket. It fills with nine tenths of the bytes of a second; the last tenth covers what the
/// bucket holds when a second begins, and what is owed when the second ends. Sessions have a second bucket with a
/// fifth. A session that takes from the second bucket owes the first one as much, so other traffic makes room and the
/// sum stays the same.
#[derive(Debug)]
pub(crate) struct Budget {
    all: Bucket,
    sessions: Bucket,
    session_frame_bytes: usize,
}

impl Budget {
    /// A budget with a full first bucket. The rate is at least 1,000 bytes a second.
    pub(crate) fn new(bytes_per_second: u64, now: Time) -> Self {
        let bytes_per_second = bytes_per_second.max(1_000);
        let burst = bytes_per_second.saturating_mul(BURST.as_micros() as u64);
        // Sessions that wait for each other must still move enough bytes not to be dropped.
        let least = 4 * MIN_SESSION_BYTES_PER_SECOND;
        let share = usize::try_from(bytes_per_second / 80).unwrap_or(usize::MAX);
        Self {
            all: Bucket::new(bytes_per_second - bytes_per_second / 10, burst, now),
            sessions: Bucket::new((bytes_per_second / 5).max(least), 0, now),
            session_frame_bytes: share.max(MAX_RECORD_BYTES + FRAME_OVERHEAD_BYTES),
        }
    }

    /// Whether a datagram may be sent, whatever its size.
    pub(crate) fn is_ready(&mut self, now: Time) -> bool {
        self.all.is_ready(now)
    }

    /// The time from which on a datagram may be sent.
    pub(crate) fn ready_at(&self) -> Time {
        self.all.ready_at()
    }

    /// Takes the cost of a datagram.
    pub(crate) fn spend(&mut self, bytes: usize, now: Time) {
        self.all.spend(bytes, now);
    }

    /// The time until `bytes` can be sent after everything that is owed.
    pub(crate) fn time_for(&self, bytes: usize) -> Duration {
        self.all.time_for(bytes)
    }

    /// Whether a session may send a frame.
    pub(crate) fn is_ready_for_session(&mut self, now: Time) -> bool {
        self.all.is_ready(now) || self.sessions.is_ready(now)
    }

    /// The time from which on a session may send a frame.
    pub(crate) fn ready_for_session_at(&self) -> Time {
        self.all.ready_at().min(self.sessions.ready_at())
    }

    /// Takes the cost of a frame. It counts against the share of sessions only when the first bucket is in debt.
    pub(crate) fn spend_on_session(&mut self, bytes: usize, now: Time) {
        if !self.all.is_ready(now) {
            self.sessions.spend(bytes, now);
        }
        self.all.spend(bytes, now);
    }

    /// The longest frame of deltas of a session for repair. Short frames keep the waits of other traffic short.
    pub(crate) fn session_frame_bytes(&self) -> usize {
        self.session_frame_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::bucket::TOKENS_PER_BYTE;

    const MS: fn(u64) -> Time = Time::from_millis;

    /// The bytes that are sent by datagrams and by sessions in each millisecond, when both always have something to
    /// send.
    fn sent(datagrams: bool, sessions: bool) -> Vec<(usize, usize)> {
        let mut budget = Budget::new(1_250_000, MS(0));
        let frame = budget.session_frame_bytes();
        let mut sent = Vec::new();
        for ms in (0..5_000).map(MS) {
            let mut now = (0, 0);
            while datagrams && budget.is_ready(ms) {
                budget.spend(1_400, ms);
                now.0 += 1_400;
            }
            while sessions && budget.is_ready_for_session(ms) {
                budget.spend_on_session(frame, ms);
                now.1 += frame;
            }
            sent.push(now);
        }
        sent
    }

    #[test]
    fn in_no_second_more_is_sent_than_may_be() {
        for (datagrams, sessions) in [(true, false), (false, true), (true, true)] {
            let sent = sent(datagrams, sessions);
            for second in sent.windows(1_000) {
                let bytes: usize =
                    second.iter().map(|(datagrams, frames)| datagrams + frames).sum();
                assert!((1_100_000..=1_200_000).contains(&bytes), "{bytes}");
            }
        }
    }

    #[test]
    fn sessions_have_a_fifth_whatever_else_there_is_to_send() {
        for second in sent(true, true).windows(1_000) {
            let frames: usize = second.iter().map(|(_, frames)| frames).sum();
            assert!((230_000..=270_000).contains(&frames), "{frames}");
        }
    }

    #[test]
    fn a_debt_is_paid_when_it_says_so() {
        let mut budget = Bucket::new(100_000, 2_000 * TOKENS_PER_BYTE, MS(0));
        budget.spend(2_000 + 1_000, MS(0));
        assert!(!budget.is_ready(MS(9)));
        assert_eq!(budget.ready_at(), MS(10));
        assert!(budget.is_ready(MS(10)));
        budget.spend(1, MS(10));
        assert!(!budget.is_ready(MS(10)));
    }

    #[test]
    fn a_backlog_takes_its_time() {
        let mut budget = Bucket::new(100_000, 2_000 * TOKENS_PER_BYTE, MS(0));
        assert_eq!(budget.time_for(2_000), Duration::ZERO);
        budget.spend(2_000, MS(0));
        assert_eq!(budget.time_for(5_000), Duration::from_millis(50));
    }

    #[test]
    fn nothing_overflows() {
        let mut budget = Budget::new(u64::MAX, Time::ZERO);
        budget.spend(usize::MAX, Time::from_micros(u64::MAX));
        assert!(budget.ready_at() >= Time::ZERO);
        assert!(budget.time_for(usize::MAX) >= Duration::ZERO);
    }
}
