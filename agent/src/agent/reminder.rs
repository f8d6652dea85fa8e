//! The reminder that the traffic of an agent is open to everybody.

use std::future::pending;
use std::time::Duration;

use tokio::time::interval;

/// The time from one warning to the next.
const REMIND_EVERY: Duration = Duration::from_secs(60 * 60);

/// Warns at once and again and again, if the traffic of this agent is open. Never returns.
pub(super) async fn remind(is_open: bool) {
    if !is_open {
        return pending().await;
    }
    let mut times = interval(REMIND_EVERY);
    loop {
        times.tick().await;
        tracing::warn!(
            "this agent runs with --insecure: peers are not authenticated and gossip is not encrypted, so anybody who reaches \
             it can read and forge the catalog. `hobnob init` makes a sealed cluster"
        );
    }
}
