//! An instance as readers of the registry see it.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hobnob_api::{Basis, Grade};
use hobnob_balancer::Target;
use hobnob_membership::Time;
use hobnob_membership::record::Health;
use hobnob_membership::view::{Instance, InstanceStatus};

use crate::translate::instance_status;

/// An instance, with what is derived from it once for all readers.
#[derive(Debug)]
pub(crate) struct Entry {
    instance: Arc<Instance>,
    /// Its node has not answered this agent for long.
    is_unanswered: bool,
    target_id: Arc<str>,
    drain: Option<Fall>,
    /// Made by the first reader that needs it, for all of them.
    print: OnceLock<Print>,
}

/// The fall of an instance's weight, on the clock of this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fall {
    /// Its end.
    pub(crate) until: Time,
    /// The time from its beginning to its end.
    pub(crate) over: Duration,
}

/// An instance as an answer shows it, in brief.
#[derive(Clone, Copy, Debug)]
pub(super) struct Print {
    /// Bytes of it in an answer, its age and whether it is offered aside.
    pub(super) bytes: usize,
    /// A hash of the same.
    pub(super) looks: u64,
}

impl Entry {
    pub(crate) fn new(instance: Arc<Instance>, is_unanswered: bool) -> Self {
        let target_id = target_id(&instance).into();
        Self { instance, is_unanswered, target_id, drain: None, print: OnceLock::new() }
    }

    /// The instance with its drain, which is as old on arrival as its record says. `before` is the instance as it was: the drain
    /// of an unchanged record goes on.
    pub(super) fn draining(self, before: Option<&Self>, now: Time) -> Self {
        let Some(drain) = self.service.upkeep.drain() else { return self };
        let known = before.filter(|before| before.service.upkeep.drain() == Some(drain));
        let fall = Fall { until: now + drain.left(), over: drain.over() };
        let drain = known.and_then(|known| known.drain).or(Some(fall));
        Self { drain, ..self }
    }

    /// The fall of its weight, if it drains.
    pub(crate) fn fall(&self) -> Option<Fall> {
        self.drain
    }

    /// Whether it drains, or is drained.
    pub(crate) fn is_draining(&self) -> bool {
        self.service.upkeep.drain().is_some()
    }

    /// Whether its checks pass and its node lives.
    pub(crate) fn is_healthy(&self) -> bool {
        self.status == InstanceStatus::Healthy
    }

    /// The basis of its status.
    pub(crate) fn basis(&self) -> Basis {
        if self.service.upkeep.maintenance().is_some() {
            return Basis::Maintenance;
        }
        if self.service.upkeep.drain().is_some_and(|drain| drain.is_over()) {
            return Basis::Drained;
        }
        match (self.health, self.down_since) {
            (Health::Unknown, _) => Basis::NotYetChecked,
            (Health::Passing | Health::Warning, Some(_)) => Basis::LastKnown,
            (Health::Failing, Some(_)) => Basis::Nothing,
            (Health::Passing | Health::Warning, None) if self.is_unanswered => Basis::Unanswered,
            (Health::Passing | Health::Warning | Health::Failing, None) => Basis::Current,
        }
    }

    /// Its grade; `None` if it is never offered.
    pub(crate) fn grade(&self) -> Option<Grade> {
        Grade::of(instance_status(self.status), self.basis())
    }

    /// Whether a pick may choose it, where this grade is offered.
    pub(crate) fn is_offered(&self, offered: Option<Grade>) -> bool {
        Grade::is_offered(self.grade(), offered)
    }

    pub(super) fn print(&self, make: impl FnOnce() -> Print) -> Print {
        *self.print.get_or_init(make)
    }

    pub(super) fn target(self: &Arc<Self>) -> Target<Arc<Self>> {
        Target { id: self.target_id.clone(), weight: self.service.weight, item: self.clone() }
    }
}

/// Entries are never changed, but replaced: only the same one is equal. Versions of a map are thus compared by address.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Entry {}

impl Deref for Entry {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

/// The name of an instance in balancers. It is the same on every agent, so that a key picks the same instance everywhere.
pub(crate) fn target_id(instance: &Instance) -> String {
    format!("{}/{}", instance.origin, instance.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::testing::{OTHER, instance};
    use hobnob_membership::record::{Drain, Upkeep};

    fn with(upkeep: Upkeep, health: Health) -> Arc<Instance> {
        let change = instance(OTHER, "a", InstanceStatus::of(health, false));
        let mut instance = Instance { health, ..(*change.instance).clone() };
        Arc::make_mut(&mut instance.service).upkeep = upkeep;
        Arc::new(instance)
    }

    #[test]
    fn an_instance_that_an_operator_took_out_says_so() {
        let maintained = with(Upkeep::new(Some("disk".into()), None), Health::Failing);
        let drain = |elapsed_ms| Some(Drain { elapsed_ms, over_ms: 1_000 });
        let drained = with(Upkeep::new(None, drain(1_000)), Health::Failing);
        let draining = with(Upkeep::new(None, drain(400)), Health::Passing);
        for (instance, basis, grade) in [
            (maintained, Basis::Maintenance, None),
            (drained, Basis::Drained, None),
            (draining, Basis::Current, Some(Grade::Healthy)),
        ] {
            let entry = Entry::new(instance, false);
            assert_eq!((entry.basis(), entry.grade()), (basis, grade));
        }
    }

    #[test]
    fn a_drain_is_as_old_on_arrival_as_its_record_says_and_goes_on_while_the_record_stays() {
        let drain = |elapsed_ms| Upkeep::new(None, Some(Drain { elapsed_ms, over_ms: 1_000 }));
        let entry = |elapsed_ms, before: Option<&Entry>, now| {
            let entry = Entry::new(with(drain(elapsed_ms), Health::Passing), false);
            entry.draining(before, Time::from_millis(now))
        };
        let until = |entry: &Entry| entry.fall().expect("it drains").until;
        let first = entry(200, None, 50);
        assert_eq!(until(&first), Time::from_millis(850));
        let same = entry(200, Some(&first), 300);
        assert_eq!(until(&same), Time::from_millis(850), "its agent does not answer, say");
        let next = entry(500, Some(&same), 360);
        assert_eq!(until(&next), Time::from_millis(860), "its record was written again");
        let over = Entry::new(with(Upkeep::default(), Health::Passing), false);
        assert_eq!(over.draining(Some(&next), Time::from_millis(400)).fall(), None);
    }

    /// The whole rule, from what its agent says of an instance to whether it is offered.
    #[test]
    fn checks_and_agent_decide_status_basis_and_grade() {
        use Grade::{LastKnown, NotYetChecked, Unanswered};
        use Health::{Failing, Passing, Unknown, Warning};
        use InstanceStatus as Is;
        /// Whether the node is down, and whether it has not answered this agent for long.
        const LIVES: (bool, bool) = (false, false);
        const LIVES_UNANSWERED: (bool, bool) = (false, true);
        const DOWN: (bool, bool) = (true, false);
        const DOWN_UNANSWERED: (bool, bool) = (true, true);
        let table = [
            (Passing, LIVES, Is::Healthy, Basis::Current, Some(Grade::Healthy)),
            (Passing, LIVES_UNANSWERED, Is::Healthy, Basis::Unanswered, Some(Unanswered)),
            (Warning, LIVES, Is::Healthy, Basis::Current, Some(Grade::Healthy)),
            (Warning, LIVES_UNANSWERED, Is::Healthy, Basis::Unanswered, Some(Unanswered)),
            (Warning, DOWN, Is::Unknown, Basis::LastKnown, Some(LastKnown)),
            (Passing, DOWN, Is::Unknown, Basis::LastKnown, Some(LastKnown)),
            (Passing, DOWN_UNANSWERED, Is::Unknown, Basis::LastKnown, Some(LastKnown)),
            (Unknown, LIVES, Is::Unknown, Basis::NotYetChecked, Some(NotYetChecked)),
            (Unknown, LIVES_UNANSWERED, Is::Unknown, Basis::NotYetChecked, Some(NotYetChecked)),
            (Unknown, DOWN, Is::Unknown, Basis::NotYetChecked, Some(NotYetChecked)),
            (Failing, LIVES, Is::Unhealthy, Basis::Current, None),
            (Failing, LIVES_UNANSWERED, Is::Unhealthy, Basis::Current, None),
            (Failing, DOWN, Is::Unhealthy, Basis::Nothing, None),
        ];
        for (health, (is_down, is_unanswered), status, basis, grade) in table {
            let change = instance(OTHER, "a", InstanceStatus::of(health, is_down));
            let down_since = is_down.then_some(Time::ZERO);
            let instance = Instance { health, down_since, ..(*change.instance).clone() };
            let gone = Instance { status: Is::Gone, ..instance.clone() };
            let entry = Entry::new(Arc::new(instance), is_unanswered);
            let row = format!("{health:?}, down: {is_down}, unanswered: {is_unanswered}");
            assert_eq!(
                (entry.status, entry.basis(), entry.grade()),
                (status, basis, grade),
                "{row}"
            );
            let gone = Entry::new(Arc::new(gone), is_unanswered);
            assert_eq!(gone.grade(), None, "its agent left: {row}");
            for offered in [Grade::Healthy, Unanswered, LastKnown, NotYetChecked] {
                assert_eq!(entry.is_offered(Some(offered)), grade == Some(offered), "{row}");
            }
            assert!(!entry.is_offered(None), "{row}");
        }
    }
}
