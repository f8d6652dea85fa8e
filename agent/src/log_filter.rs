//! The filter of the log, which may be changed while the agent runs.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hobnob_api::{ApiError, ErrorCode, LogLevel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::clock::millis;

/// The shortest and the longest time after which the filter of the start is back by itself.
const MIN_FOR: Duration = Duration::from_secs(1);
const MAX_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest filter.
const MAX_FILTER_BYTES: usize = 1_024;

/// The log of the process, as an agent changes its filter. The process that embeds the agent owns the log.
pub trait LogFilter: Debug + Send + Sync {
    /// The filter now: a level, or directives such as `info,hobnob_agent=debug`.
    fn current(&self) -> String;

    /// Checks a filter.
    ///
    /// # Errors
    /// The text is no filter; the error says why.
    fn check(&self, filter: &str) -> Result<(), String>;

    /// Sets the filter.
    ///
    /// # Errors
    /// The text is no filter; the error says why. Nothing has changed.
    fn set(&self, filter: &str) -> Result<(), String>;
}

/// The filter of the log as clients show and set it.
#[derive(Debug)]
pub(crate) struct LogLevels {
    /// `None` where the log has no filter that could be changed.
    log: Option<Log>,
}

#[derive(Debug)]
struct Log {
    filter: Arc<dyn LogFilter>,
    at_start: String,
    back: Arc<Mutex<Option<Back>>>,
}

/// The return to the filter of the start.
#[derive(Debug)]
struct Back {
    at: Instant,
    task: AbortHandle,
}

impl LogLevels {
    pub(crate) fn new(filter: Option<Arc<dyn LogFilter>>) -> Self {
        let log = filter.map(|filter| {
            let at_start = filter.current();
            Log { filter, at_start, back: Arc::default() }
        });
        Self { log }
    }

    /// Sets the filter, for some time or for good; without a filter, says what it is. `tell` logs the change: before it, while the log
    /// still takes such a line, or else after it.
    ///
    /// # Errors
    /// The filter or the time breaks a rule, or the log has no filter that could be changed. Nothing has changed.
    pub(crate) fn ask(
        &self,
        filter: Option<&str>,
        for_ms: Option<u64>,
        tell: &dyn Fn(),
    ) -> Result<LogLevel, ApiError> {
        let log = self.log.as_ref().ok_or_else(|| {
            let message = "the log of this agent has no filter that could be changed while it runs";
            ApiError::new(ErrorCode::LogFixed, message)
        })?;
        match (filter, for_ms) {
            (Some(filter), for_ms) => log.set(filter, for_ms.map(Duration::from_millis), tell)?,
            (None, Some(_)) => {
                let message = "a time is given, and no filter for that time";
                return Err(ApiError::new(ErrorCode::RequestMalformed, message));
            }
            (None, None) => {}
        }
        Ok(log.level())
    }
}

impl Log {
    fn set(&self, filter: &str, within: Option<Duration>, tell: &dyn Fn()) -> Result<(), ApiError> {
        if let Some(within) = within.filter(|within| !(MIN_FOR..=MAX_FOR).contains(within)) {
            let message = format!("{within:?} is not from {MIN_FOR:?} to 24 hours");
            return Err(ApiError::new(ErrorCode::OutOfRange, message));
        }
        if filter.len() > MAX_FILTER_BYTES {
            let message = format!("the filter is longer than {MAX_FILTER_BYTES} bytes");
            return Err(ApiError::new(ErrorCode::LogFilterInvalid, message));
        }
        if filter.trim().is_empty() {
            let message = "the filter is empty: name a level, such as `info`";
            return Err(ApiError::new(ErrorCode::LogFilterInvalid, message));
        }
        let invalid = |error| {
            let message =
                format!("`{}` is no log filter: {error}", hobnob_api::names::printable(filter));
            ApiError::new(ErrorCode::LogFilterInvalid, message)
        };
        self.filter.check(filter).map_err(invalid)?;
        // Under the lock, so that no return comes between.
        let mut back = lock(&self.back);
        let is_seen_before = tracing::enabled!(tracing::Level::INFO);
        if is_seen_before {
            tell();
        }
        self.filter.set(filter).map_err(invalid)?;
        if !is_seen_before {
            tell();
        }
        if let Some(earlier) = back.take() {
            earlier.task.abort();
        }
        if let Some(within) = within {
            let at = Instant::now() + within;
            *back = Some(Back { at, task: self.come_back(at) });
        }
        Ok(())
    }

    /// Sets the filter of the start at that time.
    fn come_back(&self, at: Instant) -> AbortHandle {
        let (filter, at_start, back) =
            (self.filter.clone(), self.at_start.clone(), self.back.clone());
        let returning = async move {
            sleep_until(at).await;
            let mut back = lock(&back);
            // A later change has the say, although it came too late to stop this.
            if back.as_ref().is_some_and(|back| back.at == at) {
                *back = None;
                // It was the filter before.
                let _ = filter.set(&at_start);
                tracing::info!(filter = at_start, "the log has the filter of the start again");
            }
        };
        tokio::spawn(returning).abort_handle()
    }

    fn level(&self) -> LogLevel {
        let back = lock(&self.back);
        LogLevel {
            filter: self.filter.current(),
            at_start: self.at_start.clone(),
            back_in_ms: back
                .as_ref()
                .map(|back| millis(back.at.saturating_duration_since(Instant::now()))),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(back) = lock(&self.back).take() {
            back.task.abort();
        }
    }
}

/// One value, which each change leaves whole.
fn lock(back: &Mutex<Option<Back>>) -> MutexGuard<'_, Option<Back>> {
    back.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that takes any filter but `bad`.
    #[derive(Debug)]
    struct Fake(Mutex<String>);

    impl LogFilter for Fake {
        fn current(&self) -> String {
            self.0.lock().expect("no panic").clone()
        }

        fn check(&self, filter: &str) -> Result<(), String> {
            if filter == "bad" { Err("it is bad".to_owned()) } else { Ok(()) }
        }

        fn set(&self, filter: &str) -> Result<(), String> {
            self.check(filter)?;
            filter.clone_into(&mut self.0.lock().expect("no panic"));
            Ok(())
        }
    }

    fn levels() -> LogLevels {
        LogLevels::new(Some(Arc::new(Fake(Mutex::new("info".to_owned())))))
    }

    fn filter(levels: &LogLevels) -> (String, Option<u64>) {
        let level = levels.ask(None, None, &|| {}).expect("shown");
        assert_eq!(level.at_start, "info");
        (level.filter, level.back_in_ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_filter_for_some_time_gives_way_to_that_of_the_start() {
        let levels = levels();
        levels.ask(Some("debug"), Some(60_000), &|| {}).expect("set");
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(filter(&levels), ("debug".to_owned(), Some(40_000)));
        levels.ask(Some("trace"), Some(60_000), &|| {}).expect("set");
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(filter(&levels), ("trace".to_owned(), Some(1_000)), "the later one counts");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(filter(&levels), ("info".to_owned(), None));
        levels.ask(Some("debug"), Some(60_000), &|| {}).expect("set");
        levels.ask(Some("warn"), None, &|| {}).expect("set");
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(filter(&levels), ("warn".to_owned(), None), "for good");
    }

    #[tokio::test]
    async fn what_breaks_a_rule_changes_nothing() {
        let levels = levels();
        let code = |filter: Option<&str>, for_ms| {
            levels.ask(filter, for_ms, &|| {}).expect_err("refused").code
        };
        assert_eq!(code(Some("bad"), None), ErrorCode::LogFilterInvalid);
        assert_eq!(code(Some(&"x".repeat(1_025)), None), ErrorCode::LogFilterInvalid);
        for out in [0, 999, 86_400_001] {
            assert_eq!(code(Some("debug"), Some(out)), ErrorCode::OutOfRange);
        }
        assert_eq!(code(None, Some(60_000)), ErrorCode::RequestMalformed);
        assert_eq!(filter(&levels), ("info".to_owned(), None));
        let fixed = LogLevels::new(None).ask(None, None, &|| {}).expect_err("fixed");
        assert_eq!(fixed.code, ErrorCode::LogFixed);
    }

    #[tokio::test]
    async fn a_change_is_told_once_and_a_refused_one_is_not() {
        let levels = levels();
        let told = Mutex::new(0);
        let tell = || *told.lock().expect("no panic") += 1;
        levels.ask(Some("bad"), None, &tell).expect_err("refused");
        levels.ask(None, None, &tell).expect("shown");
        assert_eq!(*told.lock().expect("no panic"), 0);
        levels.ask(Some("off"), None, &tell).expect("set");
        assert_eq!(*told.lock().expect("no panic"), 1);
    }
}
