//! The end of an instance whose check is critical for too long.

use std::time::Duration;

use hobnob_membership::record::Health;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::checker::CheckId;

/// The wait before a full queue is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The least time that is left after a restart of the agent: the service may have recovered meanwhile, and the next probes
/// have to show it.
const LEFT_AT_LEAST: Duration = Duration::from_secs(60);

/// The time for which a check may be critical, and who is told when it is over. A restart of the agent does not begin it anew.
#[derive(Clone, Debug)]
pub(super) struct Expiry {
    id: CheckId,
    after: Option<Duration>,
    expired: mpsc::Sender<CheckId>,
    due: Option<Instant>,
    /// How long the check was critical before this agent started.
    before: Duration,
}

impl Expiry {
    pub(super) fn new(id: CheckId, after_ms: Option<u64>, expired: mpsc::Sender<CheckId>) -> Self {
        let after = after_ms.map(Duration::from_millis);
        Self { id, after, expired, due: None, before: Duration::ZERO }
    }

    /// The same for a check that was critical for so long when this agent started.
    pub(super) fn critical_for(self, before: Duration) -> Self {
        Self { before, ..self }
    }

    /// Takes the health of the check now.
    pub(super) fn judged(&mut self, health: Health, now: Instant) {
        match self.after {
            Some(after) if health == Health::Failing => {
                let left = after.saturating_sub(self.before).max(LEFT_AT_LEAST.min(after));
                self.due.get_or_insert(now + left);
            }
            _ => {
                self.due = None;
                self.before = Duration::ZERO;
            }
        }
    }

    /// Waits until the check was critical for too long, and tells it. Then it is told again after the same time.
    pub(super) async fn pass(&mut self) {
        let (Some(due), Some(after)) = (self.due, self.after) else {
            return std::future::pending().await;
        };
        sleep_until(due).await;
        let is_told = self.expired.try_send(self.id.clone()).is_ok();
        self.due = Some(Instant::now() + if is_told { after } else { AGAIN_AFTER });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds after which a check that was critical for `before` seconds has been so for too long.
    async fn seconds_left(before: u64, after: u64) -> u64 {
        let (expired, mut told) = mpsc::channel(1);
        let id = CheckId { instance: "web-1".into(), number: 1 };
        let before = Duration::from_secs(before);
        let expiry = Expiry::new(id.clone(), Some(after * 1_000), expired);
        let mut expiry = expiry.critical_for(before);
        let began = Instant::now();
        expiry.judged(Health::Failing, began);
        expiry.pass().await;
        assert_eq!(told.try_recv(), Ok(id));
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_takes_the_time_before_it_into_account() {
        assert_eq!(seconds_left(0, 3_600).await, 3_600);
        assert_eq!(seconds_left(3_000, 3_600).await, 600);
        assert_eq!(seconds_left(3_599, 3_600).await, 60, "a chance to show that it recovered");
        assert_eq!(seconds_left(1_000_000, 3_600).await, 60, "a clock that was far off");
        assert_eq!(seconds_left(50, 30).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_recovery_ends_what_was_before() {
        let (expired, _told) = mpsc::channel(1);
        let id = CheckId { instance: "web-1".into(), number: 1 };
        let expiry = Expiry::new(id, Some(3_600_000), expired);
        let mut expiry = expiry.critical_for(Duration::from_secs(3_000));
        let began = Instant::now();
        expiry.judged(Health::Passing, began);
        expiry.judged(Health::Failing, began);
        expiry.pass().await;
        assert_eq!(began.elapsed().as_secs(), 3_600);
    }
}
