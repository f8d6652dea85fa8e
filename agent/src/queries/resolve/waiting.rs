//! Questions that wait for a change.

use hobnob_api::{ApiError, ErrorCode, Wait};
use tokio::time::{Instant, timeout_at};

use crate::clock::millis;
use crate::services::{Registry, ServiceKey, Since};

/// The longest wait, in milliseconds. A connection answers no other call meanwhile, and keeps its place.
const MAX_WAIT_MS: u64 = 300_000;

/// Waits until a service has changed since a revision, or until that is not known any more. Returns whether it has not, at the
/// time limit.
///
/// # Errors
/// The time limit is out of range.
pub(crate) async fn wait_for_change(
    registry: &Registry,
    key: &ServiceKey,
    wait: &Wait,
) -> Result<bool, ApiError> {
    let timeout_ms = millis(wait.longest());
    if !(1..=MAX_WAIT_MS).contains(&timeout_ms) {
        let message = format!("the wait of {timeout_ms} ms is not from 1 to {MAX_WAIT_MS}");
        return Err(ApiError::new(ErrorCode::OutOfRange, message));
    }
    if !registry.is_of_this_run(wait.since, wait.run.as_deref()) {
        return Ok(false);
    }
    let until = Instant::now() + wait.longest();
    let mut subscription = registry.subscribe(key.clone());
    loop {
        subscription.mark_seen();
        match registry.changes_since(key, wait.since) {
            Since::Changes { instances, .. } if instances.is_empty() => {}
            Since::Changes { .. } | Since::Forgotten => return Ok(false),
        }
        if timeout_at(until, subscription.changed()).await.is_err() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use hobnob_membership::view::InstanceStatus;

    use super::*;
    use crate::services::testing::{FIRST_REVISION, OWN, instance, of_service, registry, web};

    fn wait(since: u64) -> Wait {
        Wait { since, run: None, timeout_ms: Some(10_000) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_service_ends_the_wait_and_one_of_another_does_not() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        writer.publish();
        let seen = registry.revision();
        let waiting = tokio::spawn({
            let registry: Arc<_> = registry.clone();
            async move { wait_for_change(&registry, &web(), &wait(seen)).await.expect("in range") }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        writer.apply(of_service("api", "b"));
        writer.publish();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        writer.apply(instance(OWN, "a", InstanceStatus::Gone));
        writer.publish();
        assert!(!waiting.await.expect("no panic"));
        let now = registry.revision();
        let earlier = wait_for_change(&registry, &web(), &wait(seen)).await.expect("in range");
        assert!(!earlier, "it has changed already");
        let began = Instant::now();
        let unchanged = wait_for_change(&registry, &web(), &wait(now)).await.expect("in range");
        assert_eq!((unchanged, began.elapsed()), (true, Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_of_another_run_is_no_reason_to_wait() {
        let (registry, _writer) = registry();
        let began = Instant::now();
        let other = Wait { run: Some("other".to_owned()), ..wait(registry.revision()) };
        for wait in [other, wait(FIRST_REVISION - 1), wait(registry.revision() + 1)] {
            assert!(!wait_for_change(&registry, &web(), &wait).await.expect("in range"));
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        let endless = Wait { timeout_ms: Some(MAX_WAIT_MS + 1), ..wait(1) };
        assert!(wait_for_change(&registry, &web(), &endless).await.is_err());
    }
}
