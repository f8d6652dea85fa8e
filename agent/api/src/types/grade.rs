//! The rule that says which instances are offered. Agents and in-process clients follow it alike.

use super::{Basis, Instance, InstanceStatus};

/// The worth of an instance that may be offered, the best first. Of all instances that a question is about, those of the
/// best grade are offered, and no others. That holds however many members the agent hears, and across the layers of a
/// preference: a healthy instance far away comes before one nearby that was healthy once.
///
/// | own checks | agent | status | basis | grade |
/// |---|---|---|---|---|
/// | passing, or none | alive or suspect | `healthy` | `current` | [`Healthy`](Self::Healthy) |
/// | passing, or none | alive or suspect, and has not answered this agent for 5 s | `healthy` | `unanswered` | [`Unanswered`](Self::Unanswered) |
/// | passing when last known, or none | down or out of reach | `unknown` | `last_known` | [`LastKnown`](Self::LastKnown) |
/// | not yet run, or overdue | any | `unknown` | `not_yet_checked` | [`NotYetChecked`](Self::NotYetChecked) |
/// | critical | alive or suspect | `unhealthy` | `current` | none: never offered |
/// | critical when last known | down or out of reach | `unhealthy` | `nothing` | none: never offered |
/// | any, in maintenance | any | `unhealthy` | `maintenance` | none: never offered |
/// | any, drained | any | `unhealthy` | `drained` | none: never offered |
/// | any | left | `gone` | any | none: never offered |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Known to be healthy now.
    Healthy,
    /// Healthy, but its node has not answered the agent for 5 s: the link between them is broken.
    Unanswered,
    /// It passed before its agent was lost.
    LastKnown,
    /// Nothing is known for or against it.
    NotYetChecked,
}

impl Grade {
    /// The grade of an instance; `None` for one that is never offered. A status or a basis of a newer agent speaks for
    /// nothing.
    #[must_use]
    pub const fn of(status: InstanceStatus, basis: Basis) -> Option<Self> {
        match (status, basis) {
            (InstanceStatus::Healthy, Basis::Unanswered) => Some(Self::Unanswered),
            (InstanceStatus::Healthy, _) => Some(Self::Healthy),
            (InstanceStatus::Unknown, Basis::LastKnown) => Some(Self::LastKnown),
            (InstanceStatus::Unknown, Basis::NotYetChecked) => Some(Self::NotYetChecked),
            (
                InstanceStatus::Unknown,
                Basis::Current
                | Basis::Unanswered
                | Basis::Nothing
                | Basis::Maintenance
                | Basis::Drained,
            )
            | (InstanceStatus::Unhealthy | InstanceStatus::Gone, _) => None,
        }
    }

    /// Whether instances of this grade are healthy.
    #[must_use]
    pub const fn is_healthy(self) -> bool {
        matches!(self, Self::Healthy | Self::Unanswered)
    }

    /// The grade that is offered among instances with these grades. `strict` refuses what is not healthy.
    #[must_use]
    pub fn offered(grades: impl IntoIterator<Item = Option<Self>>, strict: bool) -> Option<Self> {
        let mut best = None;
        for grade in grades.into_iter().flatten() {
            if grade == Self::Healthy {
                return Some(grade);
            }
            best = Some(best.map_or(grade, |best: Self| best.min(grade)));
        }
        best.filter(|best| best.is_healthy() || !strict)
    }

    /// Whether an instance of the grade `own` is offered where the grade `offered` is. One without a grade never is.
    #[must_use]
    pub fn is_offered(own: Option<Self>, offered: Option<Self>) -> bool {
        offered.is_some() && own == offered
    }
}

impl Instance {
    /// The grade of the instance; `None` if it is never offered.
    #[must_use]
    pub const fn grade(&self) -> Option<Grade> {
        Grade::of(self.status, self.basis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUSES: [InstanceStatus; 4] = [
        InstanceStatus::Healthy,
        InstanceStatus::Unhealthy,
        InstanceStatus::Unknown,
        InstanceStatus::Gone,
    ];

    #[test]
    fn nothing_but_these_is_ever_offered() {
        use Basis::{Current, LastKnown, NotYetChecked, Nothing, Unanswered};
        for status in STATUSES {
            for basis in [Current, Unanswered, LastKnown, NotYetChecked, Nothing] {
                let expected = match (status, basis) {
                    (InstanceStatus::Healthy, Unanswered) => Some(Grade::Unanswered),
                    (InstanceStatus::Healthy, _) => Some(Grade::Healthy),
                    (InstanceStatus::Unknown, LastKnown) => Some(Grade::LastKnown),
                    (InstanceStatus::Unknown, NotYetChecked) => Some(Grade::NotYetChecked),
                    _ => None,
                };
                assert_eq!(Grade::of(status, basis), expected, "{status:?} {basis:?}");
            }
        }
    }

    #[test]
    fn the_best_grade_is_offered_alone() {
        use Grade::{Healthy, LastKnown, NotYetChecked, Unanswered};
        let all = [Some(NotYetChecked), None, Some(LastKnown), Some(Unanswered), Some(Healthy)];
        for (among, offered, strictly) in [
            (&all[..], Some(Healthy), Some(Healthy)),
            (&all[..4], Some(Unanswered), Some(Unanswered)),
            (&all[..3], Some(LastKnown), None),
            (&all[..2], Some(NotYetChecked), None),
            (&all[1..2], None, None),
            (&[], None, None),
        ] {
            let grades = || among.iter().copied();
            assert_eq!(Grade::offered(grades(), false), offered, "{among:?}");
            assert_eq!(Grade::offered(grades(), true), strictly, "{among:?}");
        }
    }
}
