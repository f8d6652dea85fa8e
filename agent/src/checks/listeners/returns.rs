//! The damping of instances that come and go.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The time for which a return is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// Returns within that time that are not held down.
const FREE: usize = 2;
/// The hold-down of the first return after those. It doubles with each further one.
const FIRST_HOLD_DOWN: Duration = Duration::from_secs(1);
/// The longest hold-down.
const MAX_HOLD_DOWN: Duration = Duration::from_secs(10);
/// Returns that are remembered: enough for the longest hold-down.
const MAX_RETURNS: usize = FREE + 4;

/// The latest returns of one instance, oldest first.
#[derive(Debug, Default)]
pub(super) struct Returns(VecDeque<Instant>);

impl Returns {
    /// Notes that the instance is back.
    pub(super) fn note(&mut self, now: Instant) {
        if self.0.len() == MAX_RETURNS {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    /// The time for which the next return waits; `None` when it need not.
    pub(super) fn hold_down(&self, now: Instant) -> Option<Duration> {
        let is_recent = |at: &&Instant| now.duration_since(**at) < REMEMBERED_FOR;
        let beyond_free = self.0.iter().filter(is_recent).count().checked_sub(FREE)?;
        Some((FIRST_HOLD_DOWN * (1 << beyond_free)).min(MAX_HOLD_DOWN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_returns_in_a_minute_are_free_and_each_further_one_waits_longer() {
        let start = Instant::now();
        let mut returns = Returns::default();
        let mut held = Vec::new();
        for second in 0..9 {
            let now = start + Duration::from_secs(second);
            held.push(returns.hold_down(now).map_or(0, |hold_down| hold_down.as_secs()));
            returns.note(now);
        }
        assert_eq!(held, [0, 0, 1, 2, 4, 8, 10, 10, 10]);
        let at = |second| returns.hold_down(start + Duration::from_secs(second));
        assert_eq!(at(64), Some(Duration::from_secs(4)), "those of seconds 5 to 8 are left");
        assert_eq!(at(67), None, "one is left");
        assert_eq!(at(600), None);
    }
}
