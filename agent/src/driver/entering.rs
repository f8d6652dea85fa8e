//! Entering a sealed cluster: its founder makes the first generation, other agents wait until a member lets them in.

use std::time::Duration;

use hobnob_keys::{Generation, GenerationId, OperatorCredential};
use hobnob_membership::Input;
use tokio::time::Instant;

use super::Driver;
use crate::security::system_random;

/// A founder waits this long for a member that lets it in, if it was told of any.
const FOUND_AFTER: Duration = Duration::from_secs(3);
/// It waits on while an agent answers where it is to join, which may be a member at which many newcomers try. It looks again after
/// this time.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// It waits no longer than this: what answers may be no agent of this cluster.
const FOUND_AT_LATEST_AFTER: Duration = Duration::from_secs(20);
/// A founder to which the system gives no random bytes tries again after this time.
const FOUND_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A refusal holds for this long, unless it is repeated: an agent tries again within seconds, and members that are gone refuse
/// nothing.
const REFUSED_FOR: Duration = Duration::from_secs(2 * 60);
/// The least time between two warnings of refusals.
const TELL_REFUSAL_EVERY: Duration = Duration::from_secs(60);

/// Where an agent stands in its sealed cluster. In a clear cluster nothing of this changes.
#[derive(Debug, Default)]
pub(crate) struct Entering {
    is_sealed: bool,
    /// No generation is held, so no member can be heard.
    is_outside: bool,
    founder: Option<OperatorCredential>,
    found_at: Option<Instant>,
    found_at_latest: Option<Instant>,
    refusal: Option<(String, Instant)>,
    told_refusal_at: Option<Instant>,
    is_revoked: bool,
}

impl Entering {
    /// The state for an agent of a sealed cluster. It may found the cluster with a credential.
    pub(crate) fn sealed(founder: Option<OperatorCredential>) -> Self {
        Self { is_sealed: true, is_outside: true, founder, ..Self::default() }
    }

    /// The founder begins to wait for a member that lets it in, for this time at least.
    fn wait_to_found(&mut self, wait: Duration, now: Instant) {
        let is_founder = self.founder.is_some();
        self.found_at = is_founder.then_some(now + wait);
        self.found_at_latest = is_founder.then_some(now + FOUND_AT_LATEST_AFTER);
    }

    /// Whether the founder has waited for long enough. It waits on while a member may be about to let it in.
    fn is_time_to_found(&mut self, now: Instant, is_alone: bool, may_be_let_in: bool) -> bool {
        let Some(due_at) = self.found_at else { return false };
        if is_alone {
            return true;
        }
        if due_at <= now && may_be_let_in && self.found_at_latest.is_some_and(|latest| now < latest)
        {
            self.found_at = Some(now + LOOK_AGAIN_AFTER);
            return false;
        }
        due_at <= now
    }

    /// Whether no member has let this agent of a sealed cluster in.
    pub(super) fn is_outside(&self) -> bool {
        self.is_outside
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.is_revoked
    }

    pub(super) fn found_at(&self) -> Option<Instant> {
        self.found_at
    }

    /// The reason for which a member did not let this agent in lately.
    pub(super) fn refusal(&self, now: Instant) -> Option<&str> {
        let (reason, at) = self.refusal.as_ref()?;
        (now.saturating_duration_since(*at) < REFUSED_FOR).then_some(reason)
    }

    /// The files that make a data directory that of one node, and what its next start needs.
    pub(super) fn identity_files(&self) -> (&'static str, &'static str) {
        match self.is_sealed {
            true => ("node.key, membership.json, node.json", " with a token"),
            false => ("node.json", ""),
        }
    }
}

impl Driver {
    /// The same driver for an agent of a sealed cluster.
    pub(crate) fn entering(mut self, entering: Entering) -> Self {
        self.entering = Entering { is_revoked: self.entering.is_revoked, ..entering };
        self.note_entry();
        if self.entering.is_outside {
            self.joining.warn_in_any_case();
            let wait = if self.joining.expects_company() { FOUND_AFTER } else { Duration::ZERO };
            self.entering.wait_to_found(wait, Instant::now());
        }
        self
    }

    /// Takes note of the first generation.
    pub(super) fn note_entry(&mut self) {
        if !self.entering.is_outside {
            return;
        }
        let generations = self.node.generations(self.clock.now());
        let Some((generation, _)) = generations.iter().find(|(_, in_use)| *in_use) else { return };
        let number = generation.id().number;
        tracing::info!(
            generation = number,
            cluster = self.joining.cluster(),
            "in the sealed cluster"
        );
        let Entering { is_outside, founder, found_at, refusal, .. } = &mut self.entering;
        (*is_outside, *founder, *found_at, *refusal) = (false, None, None, None);
        if !self.joining.expects_company() {
            self.joining.warn_at = None;
        }
    }

    /// Makes the first generation, if this agent is the founder and nobody else can be expected to have one.
    pub(super) fn found_if_due(&mut self, now: Instant) {
        let is_alone = !self.joining.expects_company();
        let may_be_let_in = !is_alone && self.node.may_be_let_in(self.clock.now());
        if !self.entering.is_time_to_found(now, is_alone, may_be_let_in) {
            return;
        }
        let Some(founder) = &self.entering.founder else { return };
        let first = system_random().map_err(|error| error.to_string()).and_then(|secret| {
            let ordered = Generation::order(GenerationId::FIRST, *secret, founder);
            ordered.map_err(|error| error.to_string())
        });
        match first {
            Ok(generation) => {
                self.entering.found_at = None;
                let why = match is_alone {
                    true => "it has nobody to join at",
                    false => "nobody let it in where it was to join",
                };
                tracing::info!(
                    cluster = self.joining.cluster(),
                    "this agent founds the cluster, as its token allows: {why}"
                );
                self.node.handle(Input::Rotate(generation), self.clock.now());
            }
            Err(error) => {
                tracing::error!(error, "this agent cannot found the cluster, and tries again");
                self.entering.found_at = Some(now + FOUND_AGAIN_AFTER);
            }
        }
    }

    /// Tells that a member did not let this agent in. There is a cluster then, so that this agent founds none.
    pub(super) fn note_refusal(&mut self, reason: String) {
        let now = Instant::now();
        let entering = &mut self.entering;
        if entering.told_refusal_at.is_none_or(|at| now - at >= TELL_REFUSAL_EVERY) {
            entering.told_refusal_at = Some(now);
            tracing::warn!(
                reason,
                "a member does not let this agent in; it goes on trying. With a new token (`hobnob token create`) it can \
                 join again; a token of a second CA key counts once `hobnob keys trust` was run in the cluster; if it was revoked, remove node.key, membership.json and node.json from its data directory before"
            );
        }
        entering.refusal = Some((reason, now));
        (entering.founder, entering.found_at) = (None, None);
    }

    /// Tells that this agent was revoked. It takes no part any more, and answers from memory.
    pub(super) fn note_revoked(&mut self) {
        if std::mem::replace(&mut self.entering.is_revoked, true) {
            return;
        }
        tracing::error!(
            "an operator revoked this agent: no member takes anything of it, and it sends nothing any more. It answers from \
             memory. To let this host join again, stop the agent, remove node.key, membership.json and node.json from its \
             data directory, and start it with a new token (`hobnob token create`)"
        );
        self.writer.set_isolated(true);
    }
}

#[cfg(test)]
mod tests {
    use hobnob_membership::testing::sealed::SealedCluster;

    use super::*;

    #[test]
    fn a_founder_waits_on_while_a_member_may_let_it_in_and_not_for_ever() {
        let (began, s) = (Instant::now(), Duration::from_secs);
        let is_time = |entering: &mut Entering, seconds, is_alone, may_be_let_in| {
            entering.is_time_to_found(began + s(seconds), is_alone, may_be_let_in)
        };
        let founder = || {
            let mut entering = Entering::sealed(Some(SealedCluster::default().operator()));
            entering.wait_to_found(FOUND_AFTER, began);
            entering
        };
        let mut without_answer = founder();
        assert!(!is_time(&mut without_answer, 2, false, false));
        assert!(is_time(&mut without_answer, 3, false, false));
        let mut answered = founder();
        assert!(
            !is_time(&mut answered, 3, false, true) && !is_time(&mut answered, 19, false, true)
        );
        assert_eq!(answered.found_at(), Some(began + s(19) + LOOK_AGAIN_AFTER));
        assert!(is_time(&mut answered, 20, false, true), "what answers may be of no use");
        let mut left_alone = founder();
        assert!(
            !is_time(&mut left_alone, 4, false, true) && is_time(&mut left_alone, 5, false, false)
        );
        assert!(is_time(&mut founder(), 0, true, false));
        let mut ordinary = Entering::sealed(None);
        ordinary.wait_to_found(FOUND_AFTER, began);
        assert!(!is_time(&mut ordinary, 100, true, false));
    }
}
