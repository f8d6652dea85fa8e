//! What systemd is told of an agent, or of templates: ready, its state in a line, that it still makes progress, reloading, stopping
//! (`sd_notify(3)`). Without `NOTIFY_SOCKET` nothing is told.

use std::env;
use std::time::Duration;

use hobnob_agent::{Monitor, PartProgress};
use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

/// The longest time from one state to the next.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// The shortest, however short the watchdog is.
const MIN_PERIOD: Duration = Duration::from_millis(10);

/// The agent is ready.
pub(crate) async fn ready(monitor: &Monitor) {
    let status = format!("STATUS={}", monitor.summary().await);
    tell(vec!["READY=1".to_owned(), status]).await;
}

/// Templates are rendered for the first time.
pub(crate) async fn keeps(templates: usize) {
    let files = if templates == 1 { "file" } else { "files" };
    tell(vec!["READY=1".to_owned(), format!("STATUS=keeping {templates} {files}")]).await;
}

/// The process is about to stop. The line says what it does meanwhile.
pub(crate) async fn stopping(status: &str) {
    tell(vec!["STOPPING=1".to_owned(), format!("STATUS={status}")]).await;
}

/// The agent reads its configuration again. Follow it by [`reloaded`], whether that succeeded or not.
pub(crate) async fn reloading() {
    let mut lines = vec!["RELOADING=1".to_owned()];
    // systemd takes the first READY=1 after this moment for the end of the reload.
    lines.extend(NotifyState::monotonic_usec_now().ok().map(|now| now.to_string()));
    tell(lines).await;
}

/// The agent has read its configuration again, or kept the one before. The line says which.
pub(crate) async fn reloaded(outcome: &str) {
    tell(vec!["READY=1".to_owned(), format!("STATUS={outcome}")]).await;
}

/// Tells the state again and again, and that the agent lives as long as each part of it makes progress. Never returns.
pub(crate) async fn keep_informed(monitor: &Monitor) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    let watchdog = sd_notify::watchdog_enabled().filter(|watchdog| !watchdog.is_zero());
    let mut times = interval(period(watchdog));
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_stuck = false;
    loop {
        times.tick().await;
        let stuck = monitor.stuck();
        if let Some(stuck) = stuck
            && !was_stuck
        {
            tracing::error!(
                part = stuck.part.name(),
                age_ms = stuck.age.as_millis(),
                "a part of the agent makes no progress, and the watchdog is not told that the agent lives"
            );
        }
        was_stuck = stuck.is_some();
        let status = monitor.summary().await;
        tell(lines(stuck, watchdog.is_some(), &status)).await;
    }
}

/// The time from one state to the next: half of the watchdog at most.
fn period(watchdog: Option<Duration>) -> Duration {
    watchdog.map_or(TELL_EVERY, |watchdog| (watchdog / 2).min(TELL_EVERY)).max(MIN_PERIOD)
}

/// The state, and that the agent lives unless a part of it is stuck.
fn lines(stuck: Option<PartProgress>, has_watchdog: bool, status: &str) -> Vec<String> {
    let lives = (has_watchdog && stuck.is_none()).then(|| "WATCHDOG=1".to_owned());
    lives.into_iter().chain([format!("STATUS={status}")]).collect()
}

/// Sends a message, a line each, on a thread that may wait for systemd to take it.
pub(crate) async fn tell(lines: Vec<String>) {
    let sending = spawn_blocking(move || {
        let states: Vec<_> = lines.iter().map(|line| NotifyState::Custom(line)).collect();
        sd_notify::notify(&states)
    });
    if let Ok(Err(error)) = sending.await {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hobnob_agent::{LOOP_PATIENCE, Part};

    #[test]
    fn the_watchdog_hears_nothing_while_a_part_is_stuck() {
        let alive = lines(None, true, "3 members");
        assert_eq!(alive, ["WATCHDOG=1", "STATUS=3 members"]);
        let driver = |age| PartProgress { part: Part::Driver, age };
        let stuck = driver(LOOP_PATIENCE + Duration::from_secs(1));
        assert!(stuck.is_stuck() && !driver(LOOP_PATIENCE).is_stuck());
        let silent = lines(Some(stuck), true, "stuck: driver");
        assert_eq!(silent, ["STATUS=stuck: driver"]);
        assert_eq!(lines(None, false, "3 members"), ["STATUS=3 members"], "no watchdog");
    }

    #[test]
    fn the_watchdog_is_told_twice_in_its_time() {
        let seconds = Duration::from_secs;
        assert_eq!(period(None), TELL_EVERY);
        assert_eq!(period(Some(seconds(30))), TELL_EVERY);
        assert_eq!(period(Some(seconds(6))), seconds(3));
        assert_eq!(period(Some(Duration::from_micros(2))), MIN_PERIOD);
    }
}
