//! The state of the display beyond the snapshot.

use std::time::{Duration, Instant};

use super::hints::Hints;
use crate::dev::notices::Notices;
use crate::dev::sights::Snapshot;

/// The state of the display beyond the snapshot.
#[derive(Clone, Debug)]
pub(in crate::dev) struct Status {
    /// The time at which the command was started.
    pub(in crate::dev) started: Instant,
    /// The time from the start to the first complete snapshot.
    pub(in crate::dev) ready_after: Option<Duration>,
    /// Messages about keys, and about processes that ended.
    pub(in crate::dev) notices: Notices,
    /// What to try in another terminal.
    pub(in crate::dev) hints: Hints,
    /// The summary of the snapshot that was complete first.
    pub(in crate::dev) ready_summary: String,
    /// Whether there are several datacenters, with a link that a key cuts.
    pub(in crate::dev) has_link: bool,
}

impl Status {
    pub(in crate::dev) fn new(started: Instant, hints: Hints) -> Self {
        Self {
            started,
            ready_after: None,
            notices: Notices::new(started),
            hints,
            ready_summary: String::new(),
            has_link: false,
        }
    }

    /// Notes the first complete snapshot.
    pub(in crate::dev) fn observe(&mut self, snapshot: &Snapshot) {
        if self.ready_after.is_none() && snapshot.is_complete() {
            self.ready_after = Some(self.started.elapsed());
            self.ready_summary = snapshot.summary();
        }
    }

    /// The line that says when the cluster was ready.
    pub(in crate::dev) fn ready_line(&self) -> Option<String> {
        let after = self.ready_after?.as_secs_f64();
        Some(format!("ready after {after:.1} s: {}", self.ready_summary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::sights::snapshot::tests::complete;

    #[test]
    fn a_cluster_is_ready_once() {
        let mut status = Status::new(Instant::now(), Hints::default());
        assert_eq!(status.ready_line(), None);
        status.observe(&complete(2));
        let line = status.ready_line().unwrap();
        assert!(line.starts_with("ready after 0."), "{line}");
        assert!(line.ends_with(" s: 2 agents alive, 2 instances healthy on every agent"), "{line}");
        status.observe(&complete(3));
        assert_eq!(status.ready_line().unwrap(), line);
    }
}
