//! Instances of this agent that follow each other.

use hobnob_api::{Alias, Probe};
use hobnob_membership::record::Health;

use super::{OwnCheck, OwnChecks, OwnInstance};

/// The instances that are looked at to find out whether an instance follows another. A ring of more does not recover by itself.
const MAX_FOLLOWED: usize = 16;

impl OwnCheck {
    /// The instance that it follows.
    fn followed(&self) -> Option<&str> {
        match &self.check.probe {
            Probe::Alias(Alias::Instance(id)) => Some(id),
            _ => None,
        }
    }
}

impl OwnChecks {
    /// The health of an instance by its checks but those by which it follows `follower`, itself or over others: two instances
    /// that follow each other would never recover. `None` when there are none of them.
    pub(in crate::driver) fn but_followers(
        &self,
        instance: &str,
        follower: &str,
    ) -> Option<Health> {
        let own = self.0.get(instance)?;
        let follows = |check: &&OwnCheck| {
            check.followed().is_some_and(|followed| self.leads_to(followed, follower))
        };
        let (following, others): (Vec<_>, Vec<_>) = own.checks.iter().partition(follows);
        if following.is_empty() {
            return None;
        }
        let is_alone = others.is_empty() && !own.has_unknown && !own.is_out;
        let rest = others.into_iter().cloned().collect();
        let rest = OwnInstance::new(rest, own.has_unknown, own.is_out);
        let unsaid = if is_alone { Health::Passing } else { Health::Unknown };
        Some(rest.health().unwrap_or(unsaid))
    }

    /// Whether `to` is `from`, or what that follows. Looks at [`MAX_FOLLOWED`] instances.
    fn leads_to(&self, from: &str, to: &str) -> bool {
        let mut seen = vec![from];
        let mut next = 0;
        while let Some(&instance) = seen.get(next) {
            if instance == to {
                return true;
            }
            next += 1;
            let checks = self.0.get(instance).into_iter().flat_map(|own| &own.checks);
            for followed in checks.filter_map(OwnCheck::followed) {
                if seen.len() < MAX_FOLLOWED && !seen.contains(&followed) {
                    seen.push(followed);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hobnob_api::Check;

    use super::*;
    use crate::checks::CheckId;
    use crate::storage::KeptVerdict;

    #[test]
    fn what_follows_the_follower_does_not_count_for_it() {
        let check = |probe, health| {
            let id = CheckId { instance: "any".into(), number: 0 };
            let kept = KeptVerdict { target: String::new(), health, since_ms: 0 };
            OwnCheck::kept(id, Check::new(probe), &kept)
        };
        let follow = |id: &str| Probe::Alias(Alias::Instance(id.to_owned()));
        let own = |id: &str, checks| (Arc::from(id), OwnInstance::new(checks, false, false));
        let checks: OwnChecks = [
            own("a", vec![check(follow("b"), Health::Failing)]),
            own(
                "b",
                vec![
                    check(follow("c"), Health::Failing),
                    check(Probe::tcp("h:1"), Health::Warning),
                ],
            ),
            own("c", vec![check(follow("a"), Health::Failing)]),
            own("d", vec![check(follow("a"), Health::Failing)]),
        ]
        .into_iter()
        .collect();
        assert_eq!(checks.but_followers("b", "a"), Some(Health::Warning), "over c");
        assert_eq!(checks.but_followers("a", "c"), Some(Health::Passing), "nothing else is known");
        assert_eq!(checks.but_followers("a", "d"), None, "d is followed by none");
        assert_eq!(checks.but_followers("none", "a"), None);
    }
}
