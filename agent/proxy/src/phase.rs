//! The life of a proxy: it serves, then it drains, then it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// A phase in the life of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It takes new ones.
    Serves,
    /// It takes none, and those that are there end with the calls on them.
    Drains,
    /// All of them end now.
    Ends,
}

impl Phase {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Serves,
            1 => Self::Drains,
            _ => Self::Ends,
        }
    }
}

/// The phase of a proxy. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phases(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    changed: Arc<Notify>,
}

impl Phases {
    pub(crate) fn now(&self) -> Phase {
        Phase::of(self.0.phase.load(SeqCst))
    }

    /// Goes on to a phase. There is no way back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.phase.fetch_max(phase as u8, SeqCst);
        self.0.changed.notify_waiters();
    }

    /// Resolves once the phase is this one, or a later one.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut next = PhaseChange::new(self);
        std::future::poll_fn(|cx| match next.poll(cx) >= phase {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

/// Wakes a task at each change. It costs nothing to look at it again and again.
pub(crate) struct PhaseChange {
    phases: Phases,
    seen: Option<Phase>,
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

impl PhaseChange {
    pub(crate) fn new(phases: &Phases) -> Self {
        Self { phases: phases.clone(), seen: None, waiting: None }
    }

    /// The phase now. The task is woken when it changes; it must be the same task each time.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Phase {
        let now = self.phases.now();
        if self.seen == Some(now) {
            return now;
        }
        // A change between the look and the wait is seen by the look after it.
        loop {
            let waiting = Box::pin(self.phases.0.changed.clone().notified_owned());
            let is_waiting = self.waiting.insert(waiting).as_mut().poll(cx).is_pending();
            let now = self.phases.now();
            if is_waiting {
                self.seen = Some(now);
                return now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_phase_that_is_over_is_reached_at_once_and_none_comes_back() {
        let phases = Phases::default();
        let (early, late) = (phases.clone(), phases.clone());
        let waiting = tokio::spawn(async move { early.reached(Phase::Ends).await });
        tokio::task::yield_now().await;
        phases.enter(Phase::Drains);
        late.reached(Phase::Drains).await;
        phases.enter(Phase::Ends);
        phases.enter(Phase::Drains);
        waiting.await.expect("no panic");
        assert_eq!(phases.now(), Phase::Ends);
    }
}
