//! The tries of one call, over HTTP or TCP: whether there is a further one, when, and at which instance.

use std::sync::Arc;
use std::time::Duration;

use hobnob_balancer::{Attempts, Failure, GaveUp, Next, RetryConfig};
use tokio::time::Instant;

use super::caller::{Caller, Picked};

/// The tries of one call so far.
pub(super) struct Retrying<'a> {
    caller: &'a Caller,
    key: Option<&'a [u8]>,
    config: &'a RetryConfig,
    deadline: Instant,
    attempts: Attempts,
    /// The instances whose tries have ended.
    pub(super) tried: Vec<Arc<str>>,
}

/// A further try.
pub(super) struct Further {
    /// The wait before it.
    pub(super) after: Duration,
    pub(super) picked: Picked,
}

impl<'a> Retrying<'a> {
    pub(super) fn new(
        caller: &'a Caller,
        key: Option<&'a [u8]>,
        config: &'a RetryConfig,
        deadline: Instant,
    ) -> Self {
        let (attempts, tried) = (Attempts::default(), Vec::new());
        Self { caller, key, config, deadline, attempts, tried }
    }

    /// The number of tries, with the one under way.
    pub(super) fn tries(&self) -> u32 {
        self.tried.len() as u32 + 1
    }

    /// The step after the failure of a try at this instance. The body is taken back from it last, when nothing else is in the way
    /// of a further try: an answer that is passed on may still need it.
    pub(super) fn after(
        &mut self,
        failure: Failure,
        instance: Arc<str>,
        take_back: impl FnOnce() -> bool,
    ) -> Result<Further, GaveUp> {
        self.tried.push(instance);
        let caller = self.caller;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let (now, draw) = (caller.now(), caller.draw());
        let next = self.attempts.after(failure, self.config, &caller.budget, now, left, draw);
        let after = match next {
            Next::Retry { after } => after,
            Next::GiveUp(gave_up) => {
                if gave_up == GaveUp::BudgetSpent {
                    caller.counters.budget_spent.add();
                }
                return Err(gave_up);
            }
        };
        let picked = caller.pick(self.key, &self.tried);
        let further = match picked {
            None => Err(GaveUp::NoTarget),
            Some(_) if !take_back() => Err(GaveUp::NotReplayable),
            Some(picked) => Ok(Further { after, picked }),
        };
        match &further {
            Ok(_) => caller.counters.retries.add(),
            Err(_) => caller.budget.put_back(now),
        }
        further
    }
}
