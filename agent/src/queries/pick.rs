//! Picks: which instance a call should go to.
//!
//! A caller keeps a picker for each scope that it asked for. A pick takes no lock: it asks the picker, which reads the
//! latest published snapshot.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::Arc;

use hobnob_api::{ApiError, ErrorCode, PickQuery, Picked};
use hobnob_balancer::{Pick, Selector, Strategy};

use super::resolve::bad_selector;
use crate::services::{Entry, Registry, Scope, Scoped, ScopedPicker, Service, ServiceKey, Shown};

/// Picks, and reports, in one call: the answer must fit a frame.
pub(crate) const MAX_PICKS: u32 = 10_000;
/// Pickers of one caller. Beyond it they are made anew.
const MAX_PICKERS: usize = 1_024;
/// Unreported calls in flight of one caller.
const MAX_IN_FLIGHT: usize = 100_000;

/// The picks of one caller, such as a connection. Dropping it ends its calls in flight.
#[derive(Default)]
pub(crate) struct Picks {
    pickers: HashMap<(ServiceKey, Scope), Held>,
    /// Calls that count as in flight and will not be reported.
    in_flight: Vec<Pick<Arc<Entry>>>,
}

struct Held {
    service: Arc<Service>,
    scoped: Arc<Scoped>,
    picker: ScopedPicker,
}

impl Picks {
    /// Picks as often as the query says, as far as there is an instance to pick.
    ///
    /// # Errors
    /// The query breaks a rule, or too many unreported calls are in flight.
    pub(crate) fn pick(
        &mut self,
        registry: &Registry,
        query: PickQuery,
    ) -> Result<Picked<Shown>, ApiError> {
        if !(1..=MAX_PICKS).contains(&query.count) {
            let message = format!("the count {} is not from 1 to {MAX_PICKS}", query.count);
            return Err(ApiError::new(ErrorCode::OutOfRange, message));
        }
        let key = query.key.as_deref().map(str::as_bytes);
        let strategy = query.strategy;
        if let Some(strategy) = strategy {
            need_key(strategy, key)?;
        }
        let (count, is_reported) = (query.count as usize, query.report);
        let mut picked = Picked {
            revision: registry.revision(),
            isolated: registry.is_isolated(),
            picks: Vec::new(),
        };
        let service = ServiceKey { namespace: query.namespace, service: query.service };
        let scope =
            Scope { selector: query.selector, datacenter: query.datacenter, prefer: query.prefer };
        let Self { pickers, in_flight } = self;
        let Some(held) = held(pickers, registry, (service, scope))? else { return Ok(picked) };

        let strategy = strategy.unwrap_or_else(|| held.service.strategy());
        need_key(strategy, key)?;
        let counts_calls = matches!(strategy, Strategy::LeastConnections | Strategy::BoundedHash);
        let is_kept = counts_calls && !is_reported;
        if is_kept && in_flight.len() + count > MAX_IN_FLIGHT {
            let message = format!(
                "{MAX_IN_FLIGHT} calls of this connection are in flight, and more are not allowed"
            );
            return Err(ApiError::new(ErrorCode::TooManyCallsInFlight, message));
        }
        // All picks of a call are in flight together, so that a strategy that counts them spreads them.
        let picks: Vec<_> = (0..count).map_while(|_| held.picker.pick(strategy, key)).collect();
        for pick in picks {
            let instance = registry.show_picked(pick.item());
            let mut token = 0;
            if is_reported {
                token = registry.open_call(&held.service, pick);
            } else if is_kept {
                in_flight.push(pick);
            }
            picked.picks.push(hobnob_api::Pick { token, instance });
        }
        Ok(picked)
    }
}

/// The picker of a scope, made anew when its balancer is no longer updated. `None` when there is no such service.
fn held<'a>(
    pickers: &'a mut HashMap<(ServiceKey, Scope), Held>,
    registry: &Registry,
    key: (ServiceKey, Scope),
) -> Result<Option<&'a mut Held>, ApiError> {
    if pickers.len() >= MAX_PICKERS && !pickers.contains_key(&key) {
        pickers.clear();
    }
    let place = match pickers.entry(key) {
        Place::Occupied(held) if !held.get().scoped.is_retired() => {
            return Ok(Some(held.into_mut()));
        }
        place => place,
    };
    let (service, scope) = place.key();
    let Some(service) = registry.service(service) else {
        let selector = scope.selector.as_deref().unwrap_or_default();
        selector.parse::<Selector>().map_err(|error| bad_selector(&error))?;
        if let Place::Occupied(outdated) = place {
            outdated.remove();
        }
        return Ok(None);
    };
    let scoped = registry.scoped(&service, scope).map_err(|error| bad_selector(&error))?;
    let picker = scoped.picker();
    Ok(Some(place.insert_entry(Held { service, scoped, picker }).into_mut()))
}

fn need_key(strategy: Strategy, key: Option<&[u8]>) -> Result<(), ApiError> {
    if strategy.is_keyed() && key.is_none() {
        let message = format!("the strategy {strategy} needs a key");
        return Err(ApiError::new(ErrorCode::KeyMissing, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hobnob_membership::view::InstanceStatus;
    use serde_json::{Value, json};

    use super::*;
    use crate::services::testing::{OWN, instance, placed, registry};

    fn query(query: Value) -> PickQuery {
        serde_json::from_value(query).expect("a query")
    }

    fn ids(picked: &Picked<Shown>) -> Vec<&str> {
        picked.picks.iter().map(|pick| pick.instance.entry().id.as_str()).collect()
    }

    #[tokio::test]
    async fn a_service_that_went_and_came_back_is_picked_from_anew() {
        let (registry, mut writer) = registry();
        let mut picks = Picks::default();
        let web = || query(json!({ "service": "web" }));
        let empty = picks.pick(&registry, web()).expect("no error");
        assert_eq!(ids(&empty), Vec::<&str>::new());
        for id in ["a", "b"] {
            writer.apply(instance(OWN, id, InstanceStatus::Healthy));
            writer.publish();
            let picked = picks.pick(&registry, web()).expect("no error");
            assert_eq!(ids(&picked), [id]);
            assert_eq!(picked.revision, registry.revision());
            writer.apply(instance(OWN, id, InstanceStatus::Gone));
            writer.publish();
            assert_eq!(ids(&picks.pick(&registry, web()).expect("no error")), Vec::<&str>::new());
        }
    }

    #[tokio::test]
    async fn a_selector_narrows_and_a_wrong_one_is_refused_whether_or_not_the_service_exists() {
        let (registry, mut writer) = registry();
        let mut picks = Picks::default();
        let wrong = || query(json!({ "service": "web", "selector": "tier in (" }));
        let missing = picks.pick(&registry, wrong()).expect_err("refused");
        writer.set_isolated(false);
        writer.apply(placed("a", "dc1", "z1", InstanceStatus::Healthy));
        writer.apply(placed("b", "dc1", "z2", InstanceStatus::Healthy));
        writer.publish();
        let existing = picks.pick(&registry, wrong()).expect_err("refused");
        assert_eq!(
            (missing.code, existing.code),
            (ErrorCode::SelectorInvalid, ErrorCode::SelectorInvalid)
        );
        let scoped = query(json!({ "service": "web", "selector": "tier=z2", "count": 3 }));
        assert_eq!(ids(&picks.pick(&registry, scoped).expect("no error")), ["b", "b", "b"]);
    }

    #[tokio::test]
    async fn a_strategy_that_needs_a_key_is_refused_without_one() {
        let (registry, _writer) = registry();
        let keyless = query(json!({ "service": "web", "strategy": "consistent-hash" }));
        let error = Picks::default().pick(&registry, keyless).expect_err("refused");
        assert_eq!(error.code, ErrorCode::KeyMissing);
    }

    #[tokio::test]
    async fn unreported_calls_are_in_flight_until_the_caller_goes() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        writer.publish();
        let service = registry.services().values().next().cloned().expect("one");
        let in_flight = || service.whole().report().targets[0].in_flight;
        let mut picks = Picks::default();
        let least = query(json!({ "service": "web", "strategy": "least-connections", "count": 2 }));
        picks.pick(&registry, least).expect("no error");
        picks.pick(&registry, query(json!({ "service": "web", "count": 2 }))).expect("no error");
        assert_eq!(in_flight(), 2, "round robin does not count calls");
        drop(picks);
        assert_eq!(in_flight(), 0);
    }
}
