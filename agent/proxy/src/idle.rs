//! The clock of a connection over HTTP: how long its next step may take.
//!
//! The clock is not set anew at each request. When it rings, it looks at what has moved since.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Limits;
use crate::stream::Activity;

/// A connection of HTTP/1.1 without a call gives up its buffers after this time.
const PARK_AFTER: Duration = Duration::from_millis(200);
/// A connection that is younger than this gives them up sooner. Many are opened for one call, and when many are opened at once,
/// the allocator keeps the memory of all buffers that they have at one time.
const YOUNG: Duration = Duration::from_millis(100);
const PARK_YOUNG_AFTER: Duration = Duration::from_millis(20);
/// The longest time from one look at a connection with calls to the next.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// The time of a connection is over, or that of its buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// It had no call for a while, and needs no buffers until the next one.
    Parked,
    /// It had no call for too long.
    Idle,
    /// The head of a request took too long.
    Head,
    /// Nothing moved for too long during a call.
    Stalled,
}

/// The clock of one connection.
pub(crate) struct Clock {
    limits: Limits,
    /// Whether bytes without a call are the head of a request. Over HTTP/2 they may be of any kind.
    has_plain_heads: bool,
    /// The end of the time in which its connection is young.
    young_until: Instant,
    alarm: Pin<Box<Sleep>>,
    /// When the head that is not there yet began.
    head_since: Option<Instant>,
    /// The moves at the last look, and the look that first saw them.
    moves: u32,
    moved_at: Instant,
}

impl Clock {
    /// The clock of a connection over HTTP/1.1, which began at this moment.
    pub(crate) fn http1(limits: &Limits, begun: Instant) -> Self {
        Self::new(limits, true, begun + YOUNG)
    }

    /// The clock of a connection over HTTP/2.
    pub(crate) fn http2(limits: &Limits) -> Self {
        Self::new(limits, false, Instant::now())
    }

    fn new(limits: &Limits, has_plain_heads: bool, young_until: Instant) -> Self {
        let now = Instant::now();
        let first = match has_plain_heads {
            true => park_after(now, young_until),
            false => limits.idle_timeout,
        };
        let alarm = Box::pin(sleep_until(now + first));
        let (limits, head_since, moves) = (*limits, None, 0);
        Self { limits, has_plain_heads, young_until, alarm, head_since, moves, moved_at: now }
    }

    /// Rings when the time of the connection is over. It is polled after the connection.
    pub(crate) fn poll(&mut self, activity: &Activity, cx: &mut Context<'_>) -> Poll<Over> {
        match self.has_plain_heads && activity.is_mid_head() {
            false => self.head_since = None,
            true if self.head_since.is_none() => {
                let now = Instant::now();
                self.head_since = Some(now);
                let deadline = now + self.limits.head_timeout;
                if self.alarm.deadline() > deadline {
                    self.alarm.as_mut().reset(deadline);
                }
            }
            true => {}
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            match self.look(activity, Instant::now()) {
                Ok(next) => self.alarm.as_mut().reset(next),
                Err(over) => return Poll::Ready(over),
            }
        }
        Poll::Pending
    }

    /// The next moment at which the time may be over.
    fn look(&mut self, activity: &Activity, now: Instant) -> Result<Instant, Over> {
        let Limits { head_timeout, idle_timeout, stream_idle_timeout, .. } = self.limits;
        let (end, over) = if let Some(since) = self.head_since {
            (since + head_timeout, Over::Head)
        } else if !activity.is_busy() {
            let since = activity.idle_since();
            let park_after = park_after(now, self.young_until);
            match self.has_plain_heads && idle_timeout > park_after {
                true => (since + park_after, Over::Parked),
                false => (since + idle_timeout, Over::Idle),
            }
        } else {
            if activity.moves() != self.moves {
                (self.moves, self.moved_at) = (activity.moves(), now);
            }
            (self.moved_at + stream_idle_timeout, Over::Stalled)
        };
        match end > now {
            // After the call, a shorter time counts.
            true => Ok(end.min(now + idle_timeout.min(LOOK_AFTER))),
            false => Err(over),
        }
    }
}

fn park_after(now: Instant, young_until: Instant) -> Duration {
    if now < young_until { PARK_YOUNG_AFTER } else { PARK_AFTER }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock(has_plain_heads: bool) -> Clock {
        let limits = Limits {
            head_timeout: SECOND,
            idle_timeout: 10 * SECOND,
            stream_idle_timeout: 25 * SECOND,
            ..Limits::default()
        };
        // It is young no more.
        Clock::new(&limits, has_plain_heads, Instant::now())
    }

    #[tokio::test]
    async fn a_connection_without_a_call_is_idle_from_the_end_of_the_last_one() {
        let (mut clock, activity) = (clock(false), Activity::new());
        let begun = activity.idle_since();
        assert_eq!(clock.look(&activity, begun + 6 * SECOND), Ok(begun + 10 * SECOND));
        activity.call_begins();
        activity.call_ends(begun + 5 * SECOND);
        assert_eq!(clock.look(&activity, begun + 10 * SECOND), Ok(begun + 15 * SECOND));
        assert_eq!(clock.look(&activity, begun + 15 * SECOND), Err(Over::Idle));
    }

    #[tokio::test]
    async fn a_connection_over_which_an_answer_still_goes_is_not_idle() {
        let (mut clock, activity) = (clock(false), Activity::new());
        let begun = activity.idle_since();
        activity.call_begins();
        activity.call_ends(begun + SECOND);
        activity.idles_from(begun + 9 * SECOND);
        assert_eq!(clock.look(&activity, begun + 11 * SECOND), Ok(begun + 16 * SECOND));
        assert_eq!(clock.look(&activity, begun + 18 * SECOND), Ok(begun + 19 * SECOND));
        assert_eq!(clock.look(&activity, begun + 19 * SECOND), Err(Over::Idle));
    }

    #[tokio::test]
    async fn an_answer_that_waits_for_its_client_has_the_time_of_a_call() {
        let (mut clock, activity) = (clock(false), Activity::new());
        let begun = clock.moved_at;
        activity.call_begins();
        activity.part_begins();
        activity.call_ends(begun + SECOND);
        assert_eq!(clock.look(&activity, begun + 12 * SECOND), Ok(begun + 17 * SECOND));
        assert_eq!(clock.look(&activity, begun + 36 * SECOND), Ok(begun + 37 * SECOND));
        assert_eq!(clock.look(&activity, begun + 37 * SECOND), Err(Over::Stalled));
    }

    #[tokio::test]
    async fn a_connection_is_parked_when_nothing_of_a_call_is_left() {
        let (mut clock, activity) = (clock(true), Activity::new());
        let begun = activity.idle_since();
        assert_eq!(clock.look(&activity, begun), Ok(begun + PARK_AFTER));
        activity.call_begins();
        activity.part_begins();
        activity.call_ends(begun + SECOND);
        assert_eq!(clock.look(&activity, begun + 2 * SECOND), Ok(begun + 7 * SECOND));
        activity.part_ends();
        assert_eq!(clock.look(&activity, begun + 2 * SECOND), Err(Over::Parked));
    }

    #[tokio::test]
    async fn a_young_connection_is_parked_sooner() {
        let activity = Activity::new();
        let begun = activity.idle_since();
        let mut clock = Clock::http1(&Limits::default(), begun);
        let soon = begun + PARK_YOUNG_AFTER;
        assert_eq!(clock.look(&activity, begun), Ok(soon));
        assert_eq!(clock.look(&activity, soon), Err(Over::Parked));
        activity.idles_from(begun + YOUNG);
        assert_eq!(clock.look(&activity, begun + YOUNG), Ok(begun + YOUNG + PARK_AFTER));
    }

    #[tokio::test]
    async fn a_head_has_a_time_of_its_own() {
        let (mut clock, activity) = (clock(true), Activity::new());
        let begun = activity.idle_since();
        clock.head_since = Some(begun + 3 * SECOND);
        assert_eq!(clock.look(&activity, begun + 3 * SECOND), Ok(begun + 4 * SECOND));
        assert_eq!(clock.look(&activity, begun + 4 * SECOND), Err(Over::Head));
    }

    #[tokio::test]
    async fn a_call_over_which_nothing_moves_stalls() {
        let (mut clock, activity) = (clock(true), Activity::new());
        let begun = clock.moved_at;
        activity.call_begins();
        assert_eq!(clock.look(&activity, begun + 10 * SECOND), Ok(begun + 15 * SECOND));
        assert_eq!(clock.look(&activity, begun + 34 * SECOND), Ok(begun + 35 * SECOND));
        assert_eq!(clock.look(&activity, begun + 35 * SECOND), Err(Over::Stalled));
    }
}
