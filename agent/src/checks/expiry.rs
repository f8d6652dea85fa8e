//! The end of an instance whose check is critical for too long.

use std::time::Duration;

use hobnob_membership::record::Health;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::checker::CheckId;

/// The wait before a full queue is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The time for which a check may be critical, and who is told when it is over. After a restart of the agent the time begins
/// anew.
#[derive(Clone, Debug)]
pub(super) struct Expiry {
    id: CheckId,
    after: Option<Duration>,
    expired: mpsc::Sender<CheckId>,
    due: Option<Instant>,
}

impl Expiry {
    pub(super) fn new(id: CheckId, after_ms: Option<u64>, expired: mpsc::Sender<CheckId>) -> Self {
        Self { id, after: after_ms.map(Duration::from_millis), expired, due: None }
    }

    /// Takes the health of the check now.
    pub(super) fn judged(&mut self, health: Health, now: Instant) {
        match self.after {
            Some(after) if health == Health::Failing => {
                self.due.get_or_insert(now + after);
            }
            _ => self.due = None,
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
