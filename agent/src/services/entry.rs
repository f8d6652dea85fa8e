//! An instance as readers of the registry see it.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use hobnob_api::{Basis, Grade};
use hobnob_balancer::Target;
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
    /// Made by the first reader that needs it, for all of them.
    print: OnceLock<Print>,
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
        Self { instance, is_unanswered, target_id, print: OnceLock::new() }
    }

    /// Whether its checks pass and its node lives.
    pub(crate) fn is_healthy(&self) -> bool {
        self.status == InstanceStatus::Healthy
    }

    /// The basis of its status.
    pub(crate) fn basis(&self) -> Basis {
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
    use hobnob_membership::Time;

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
