//! Picks: which instance a call should go to.
//!
//! A caller keeps a picker for each scope that it asked for. A pick takes no lock: it asks the picker, which reads the
//! latest published snapshot.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::Arc;

use hobnob_api::{ApiError, ErrorCode, PickQuery, Picked};
use hobnob_balancer::{Pick, Selector, Strategy};

use super::asked::{Length, check_scope, service_key, too_long};
use super::observed::Observations;
use super::only::Only;
use super::resolve::{bad_selector, too_old};
use crate::budget::{Budget, Exhausted, Held};
use crate::clock::millis;
use crate::services::{Entry, Registry, Scope, Scoped, ScopedPicker, Service, ServiceKey, Shown};

/// Picks, and reports, in one call: the answer must fit a frame.
pub(crate) const MAX_PICKS: u32 = 10_000;
/// Draws for one pick that may not be old. A keyed strategy draws the same instance each time.
const MAX_DRAWS: usize = 64;
/// Pickers of one caller. Beyond it they are made anew.
const MAX_PICKERS: usize = 256;
/// With this many pickers, those of balancers that are no longer updated go when a further one comes.
const SWEPT_FROM: usize = 16;
/// Bytes of a picker, its names and its selector aside.
const PICKER_BYTES: usize = 2 << 10;
/// Bytes of an unreported call in flight.
const IN_FLIGHT_BYTES: usize = 64;
/// Unreported calls in flight of one caller.
const MAX_IN_FLIGHT: usize = 100_000;

/// The picks of one caller, such as a connection. Dropping it ends its calls in flight.
pub(crate) struct Picks {
    allowance: Arc<Budget>,
    pickers: HashMap<(ServiceKey, Scope), Known>,
    /// The last answers of calls that the caller picked for by itself.
    observations: Observations,
    /// Calls that count as in flight and will not be reported.
    in_flight: Vec<Pick<Arc<Entry>>>,
    /// The budget of the calls in flight.
    in_flight_held: Option<Held>,
}

struct Known {
    service: Arc<Service>,
    scoped: Arc<Scoped>,
    picker: ScopedPicker,
    _held: Held,
}

impl Picks {
    /// No picks yet. Their bytes count in `allowance`.
    pub(crate) fn new(allowance: Arc<Budget>) -> Self {
        Self {
            allowance,
            pickers: HashMap::new(),
            observations: Observations::default(),
            in_flight: Vec::new(),
            in_flight_held: None,
        }
    }

    /// The budget of the caller.
    pub(crate) fn allowance(&self) -> &Arc<Budget> {
        &self.allowance
    }

    /// The last answers of calls that the caller picked for by itself.
    pub(crate) fn observations(&mut self) -> &mut Observations {
        &mut self.observations
    }

    /// Picks as often as the query says, as far as there is an instance to pick. With `registered`, only those instances are picked, and
    /// as they are defined there.
    ///
    /// # Errors
    /// The query breaks a rule, the answer would be too long, too many unreported calls are in flight, or the caller makes
    /// the agent hold too much. No call then counts as in flight.
    pub(crate) fn pick(
        &mut self,
        registry: &Registry,
        query: PickQuery,
        registered: Option<&[Arc<Entry>]>,
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
        let (count, is_reported, strict) = (query.count as usize, query.report, query.strict);
        let mut picked = Picked {
            revision: registry.revision(),
            isolated: registry.is_isolated(),
            consistency: query.consistency,
            picks: Vec::new(),
        };
        let service = service_key(query.namespace, query.service)?;
        let service_name = service.service.clone();
        let scope =
            Scope { selector: query.selector, datacenter: query.datacenter, prefer: query.prefer };
        check_scope(&scope)?;
        let Self { allowance, pickers, in_flight, in_flight_held, .. } = self;
        let here = registry.service(&service).map(|service| service.instances());
        let only = registered.map(|entries| Only::new(entries, &scope, strict, here.as_ref()));
        let only = only.transpose()?;
        let known = known(pickers, registry, allowance, (service, scope))?;
        let Some(known) = known else {
            need_key(strategy.unwrap_or(Strategy::RoundRobin), key)?;
            // Its instances may be registered, and not known here yet.
            let stand_in = || only.as_ref().and_then(Only::stand_in);
            let mut length = Length::new();
            for entry in (0..count).map_while(|_| stand_in()) {
                let instance = registry.show_picked(entry);
                if !length.add(&instance) {
                    return Err(too_many(count, picked.picks.len()));
                }
                picked.picks.push(hobnob_api::Pick { token: 0, instance });
            }
            return Ok(picked);
        };

        let strategy = strategy.unwrap_or_else(|| known.service.strategy());
        need_key(strategy, key)?;
        let counts_calls = matches!(strategy, Strategy::LeastConnections | Strategy::BoundedHash);
        let is_kept = counts_calls && !is_reported;
        if is_kept && in_flight.len() + count > MAX_IN_FLIGHT {
            let message = format!(
                "{MAX_IN_FLIGHT} calls of this connection are in flight, and more are not allowed"
            );
            return Err(ApiError::new(ErrorCode::TooManyCallsInFlight, message));
        }
        registry.reserve(&known.service, &known.scoped, strategy)?;
        registry.refresh(&known.service, &known.scoped);
        // All picks of a call are in flight together, so that a strategy that counts them spreads them.
        let (mut picks, mut length) = (Vec::new(), Length::new());
        // All targets of a scope have one grade, so the first unhealthy pick ends a strict call.
        let is_enough = |pick: &Pick<Arc<Entry>>| !strict || pick.item().is_healthy();
        let registered = |pick: &Pick<Arc<Entry>>| match &only {
            Some(only) => only.get(pick.item()).cloned(),
            None => Some(pick.item().clone()),
        };
        let mut youngest_old: Option<u64> = None;
        let mut next = || {
            for _ in 0..MAX_DRAWS {
                let Some(pick) = known.picker.pick(strategy, key).filter(is_enough) else { break };
                let Some(entry) = registered(&pick) else {
                    pick.end_unreported();
                    continue;
                };
                let age_ms = query.max_age_ms.map_or(0, |_| millis(registry.age(&entry)));
                if query.max_age_ms.is_none_or(|most| age_ms <= most) {
                    return Some((Some(pick), entry));
                }
                youngest_old = Some(youngest_old.map_or(age_ms, |age| age.min(age_ms)));
                pick.end_unreported();
            }
            // An instance may be registered, and not known here yet.
            let stand_in = only.as_ref().filter(|_| query.max_age_ms.is_none());
            stand_in.and_then(Only::stand_in).map(|entry| (None, entry.clone()))
        };
        for (pick, entry) in (0..count).map_while(|_| next()) {
            let instance = registry.show_picked(&entry);
            if !length.add(&instance) {
                return Err(too_many(count, picks.len()));
            }
            picks.push((pick, instance));
        }
        if let (true, Some(age_ms), Some(most)) = (picks.is_empty(), youngest_old, query.max_age_ms)
        {
            return Err(too_old(&service_name, age_ms, most));
        }
        if is_kept {
            let bytes = (in_flight.len() + picks.len()) * IN_FLIGHT_BYTES;
            keep(in_flight_held, allowance, bytes)?;
        }
        for (pick, instance) in picks {
            let mut token = 0;
            let Some(pick) = pick else {
                picked.picks.push(hobnob_api::Pick { token, instance });
                continue;
            };
            if is_reported {
                token = registry.open_call(&known.service, pick);
            } else if is_kept {
                in_flight.push(pick);
            } else {
                pick.end_unreported();
            }
            picked.picks.push(hobnob_api::Pick { token, instance });
        }
        Ok(picked)
    }
}

/// The refusal of an answer of which only the first picks fit.
fn too_many(count: usize, fit: usize) -> ApiError {
    let remedy = format!("ask for a smaller count, such as {}", fit.max(1));
    too_long(&format!("the answer with {count} picks"), &remedy)
}

/// The picker of a scope, made anew when its balancer is no longer updated. `None` when there is no such service.
fn known<'a>(
    pickers: &'a mut HashMap<(ServiceKey, Scope), Known>,
    registry: &Registry,
    allowance: &Arc<Budget>,
    key: (ServiceKey, Scope),
) -> Result<Option<&'a mut Known>, ApiError> {
    if pickers.len() >= SWEPT_FROM && !pickers.contains_key(&key) {
        // A balancer that others no longer use is kept by nothing but its pickers.
        pickers.retain(|_, known| !known.scoped.is_retired());
        if pickers.len() >= MAX_PICKERS {
            pickers.clear();
        }
    }
    let place = match pickers.entry(key) {
        Place::Occupied(known) if !known.get().scoped.is_retired() => {
            return Ok(Some(known.into_mut()));
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
    let selector_bytes = scope.selector.as_deref().map_or(0, str::len);
    let held = allowance.hold(PICKER_BYTES + 2 * selector_bytes)?;
    let scoped = registry.scoped(&service, scope)?;
    let picker = scoped.picker();
    Ok(Some(place.insert_entry(Known { service, scoped, picker, _held: held }).into_mut()))
}

fn keep(held: &mut Option<Held>, allowance: &Arc<Budget>, bytes: usize) -> Result<(), Exhausted> {
    match held {
        Some(held) => held.resize(bytes),
        None => {
            *held = Some(allowance.hold(bytes)?);
            Ok(())
        }
    }
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
    use std::time::Duration;

    use hobnob_balancer::Outcome;
    use hobnob_membership::view::InstanceStatus;
    use serde_json::{Value, json};

    use super::*;
    use crate::budget::MAX_CONNECTION_BYTES;
    use crate::services::testing::{OTHER, OWN, instance, placed, registry};

    fn query(query: Value) -> PickQuery {
        serde_json::from_value(query).expect("a query")
    }

    fn picks() -> Picks {
        Picks::new(Budget::new(MAX_CONNECTION_BYTES))
    }

    fn ids(picked: &Picked<Shown>) -> Vec<&str> {
        picked.picks.iter().map(|pick| pick.instance.entry().id.as_str()).collect()
    }

    #[tokio::test]
    async fn a_service_that_went_and_came_back_is_picked_from_anew() {
        let (registry, mut writer) = registry();
        let mut picks = picks();
        let web = || query(json!({ "service": "web" }));
        let empty = picks.pick(&registry, web(), None).expect("no error");
        assert_eq!(ids(&empty), Vec::<&str>::new());
        for id in ["a", "b"] {
            writer.apply(instance(OWN, id, InstanceStatus::Healthy));
            writer.publish();
            let picked = picks.pick(&registry, web(), None).expect("no error");
            assert_eq!(ids(&picked), [id]);
            assert_eq!(picked.revision, registry.revision());
            writer.apply(instance(OWN, id, InstanceStatus::Gone));
            writer.publish();
            assert_eq!(
                ids(&picks.pick(&registry, web(), None).expect("no error")),
                Vec::<&str>::new()
            );
        }
    }

    #[tokio::test]
    async fn a_selector_narrows_and_a_wrong_one_is_refused_whether_or_not_the_service_exists() {
        let (registry, mut writer) = registry();
        let mut picks = picks();
        let wrong = || query(json!({ "service": "web", "selector": "tier in (" }));
        let missing = picks.pick(&registry, wrong(), None).expect_err("refused");
        writer.apply(placed("a", "dc1", "z1", InstanceStatus::Healthy));
        writer.apply(placed("b", "dc1", "z2", InstanceStatus::Healthy));
        writer.publish();
        let existing = picks.pick(&registry, wrong(), None).expect_err("refused");
        assert_eq!(
            (missing.code, existing.code),
            (ErrorCode::SelectorInvalid, ErrorCode::SelectorInvalid)
        );
        let scoped = query(json!({ "service": "web", "selector": "tier=z2", "count": 3 }));
        assert_eq!(ids(&picks.pick(&registry, scoped, None).expect("no error")), ["b", "b", "b"]);
    }

    #[tokio::test]
    async fn a_strategy_that_needs_a_key_is_refused_without_one() {
        let (registry, _writer) = registry();
        let keyless = query(json!({ "service": "web", "strategy": "consistent-hash" }));
        let error = picks().pick(&registry, keyless, None).expect_err("refused");
        assert_eq!(error.code, ErrorCode::KeyMissing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pick_that_may_not_be_old_is_drawn_again_or_refused() {
        let (registry, mut writer) = registry();
        let mut picks = picks();
        writer.apply(instance(OTHER, "far", InstanceStatus::Healthy));
        writer.apply(instance(OWN, "near", InstanceStatus::Healthy));
        writer.publish();
        writer.set_last_alive(vec![(OTHER, hobnob_membership::Time::ZERO)]);
        tokio::time::advance(Duration::from_secs(5)).await;
        let young =
            || query(json!({ "service": "web", "count": 3, "max_age_ms": 2_000, "report": true }));
        let picked = picks.pick(&registry, young(), None).expect("no error");
        assert_eq!(ids(&picked), ["near", "near", "near"]);
        let service = registry.services().values().next().cloned().expect("one");
        let in_flight = || -> u32 {
            service.whole().report().targets.iter().map(|target| target.in_flight).sum()
        };
        assert_eq!(in_flight(), 3, "the draws that were refused are no calls");
        writer.apply(instance(OWN, "near", InstanceStatus::Gone));
        writer.publish();
        let refused = picks.pick(&registry, young(), None).expect_err("too old");
        assert_eq!(refused.code, ErrorCode::AnswerTooOld);
        writer.apply(instance(OWN, "near", InstanceStatus::Unknown));
        writer.publish();
        let refused = picks.pick(&registry, young(), None).expect_err("the offered one is too old");
        assert_eq!(refused.code, ErrorCode::AnswerTooOld);
    }

    #[tokio::test]
    async fn a_strict_pick_chooses_what_is_healthy_or_nothing_and_counts_no_call_then() {
        let (registry, mut writer) = registry();
        let mut picks = picks();
        writer.apply(instance(OTHER, "lost", InstanceStatus::Unknown));
        writer.publish();
        let service = registry.services().values().next().cloned().expect("one");
        for strategy in Strategy::ALL {
            let mut pick = |strict| {
                let asked = json!({
                    "service": "web", "count": 3, "key": "k", "strategy": strategy, "strict": strict
                });
                ids(&picks.pick(&registry, query(asked), None).expect("no error")).len()
            };
            assert_eq!((pick(true), pick(false)), (0, 3), "{strategy}");
        }
        drop(picks);
        assert_eq!(service.whole().report().targets[0].in_flight, 0);
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        writer.publish();
        let strict = query(json!({ "service": "web", "count": 2, "strict": true }));
        let picked = self::picks().pick(&registry, strict, None).expect("no error");
        assert_eq!(ids(&picked), ["a", "a"]);

        assert_eq!(writer.set_unanswered([OTHER].into()), [OTHER]);
        writer.apply(instance(OTHER, "cut", InstanceStatus::Healthy));
        for (status, left) in [(InstanceStatus::Healthy, "a"), (InstanceStatus::Unhealthy, "cut")] {
            writer.apply(instance(OWN, "a", status));
            writer.publish();
            let strict = query(json!({ "service": "web", "count": 2, "strict": true }));
            let picked = self::picks().pick(&registry, strict, None).expect("no error");
            assert_eq!(ids(&picked), [left, left]);
        }
    }

    #[tokio::test]
    async fn unreported_calls_are_in_flight_until_the_caller_goes() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        writer.publish();
        let service = registry.services().values().next().cloned().expect("one");
        let in_flight = || service.whole().report().targets[0].in_flight;
        let mut picks = picks();
        let least = query(json!({ "service": "web", "strategy": "least-connections", "count": 2 }));
        picks.pick(&registry, least, None).expect("no error");
        picks
            .pick(&registry, query(json!({ "service": "web", "count": 2 })), None)
            .expect("no error");
        assert_eq!(in_flight(), 2, "round robin does not count calls");
        drop(picks);
        assert_eq!(in_flight(), 0);
    }

    #[tokio::test]
    async fn of_unreported_calls_one_is_let_through_an_open_circuit_in_a_recovery_timeout() {
        let (registry, mut writer) = registry();
        let mut failing = (*instance(OWN, "a", InstanceStatus::Healthy).instance).clone();
        let balancing = &mut Arc::make_mut(&mut failing.service).balancing;
        (balancing.failure_threshold, balancing.recovery_timeout_ms) = (Some(1), Some(1_000));
        writer.apply(hobnob_membership::view::Change { instance: Arc::new(failing) });
        writer.publish();
        let service = registry.services().values().next().cloned().expect("one");
        let mut picks = picks();
        let mut pick = |report| {
            let asked = query(json!({ "service": "web", "count": 5, "report": report }));
            picks.pick(&registry, asked, None).expect("no error").picks
        };
        let reports: Vec<_> = pick(true)
            .iter()
            .map(|pick| hobnob_api::CallReport {
                token: pick.token,
                outcome: Outcome::Failure,
                latency_us: 0,
            })
            .collect();
        assert_eq!(registry.close_calls(&reports), 5);
        assert!(pick(false).is_empty(), "the circuit is open");
        // The timeout is up to a tenth longer.
        for now in [2, 4] {
            service.whole().advance(Duration::from_secs(now));
            assert_eq!((pick(false).len(), pick(false).len()), (1, 0), "after {now} s");
        }
    }

    /// Instances that take some two kilobytes each in an answer.
    fn large(writer: &mut crate::services::Writer, count: usize) {
        for number in 0..count {
            let change = instance(OWN, &format!("i{number}"), InstanceStatus::Healthy);
            let mut large = (*change.instance).clone();
            let meta: Vec<_> = (0..4).map(|key| (format!("k{key}"), "x".repeat(500))).collect();
            let meta = meta.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            Arc::make_mut(&mut large.service).meta = meta.collect();
            writer.apply(hobnob_membership::view::Change { instance: Arc::new(large) });
        }
        writer.publish();
    }

    #[tokio::test]
    async fn picks_that_do_not_fit_an_answer_count_no_calls_in_flight() {
        let (registry, mut writer) = registry();
        large(&mut writer, 20);
        let service = registry.services().values().next().cloned().expect("one");
        let in_flight = || -> u32 {
            service.whole().report().targets.iter().map(|target| target.in_flight).sum()
        };
        let mut picks = picks();
        for unanswerable in [
            json!({ "service": "web", "count": 10_000, "report": true }),
            json!({ "service": "web", "count": 10_000, "strategy": "least-connections" }),
        ] {
            let refused = picks.pick(&registry, query(unanswerable), None).expect_err("too long");
            assert_eq!((refused.code, in_flight()), (ErrorCode::AnswerTooLarge, 0));
            assert!(refused.message.contains("a smaller count, such as "), "{refused}");
        }
        let fits = query(json!({ "service": "web", "count": 1_000, "report": true }));
        assert_eq!(picks.pick(&registry, fits, None).expect("no error").picks.len(), 1_000);
        assert_eq!(in_flight(), 1_000);
    }

    #[tokio::test]
    async fn a_caller_holds_no_more_than_its_allowance() {
        let (registry, mut writer) = registry();
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
        writer.publish();
        let allowance = Budget::new(64 << 10);
        let mut picks = Picks::new(allowance.clone());
        let scoped = |n: usize| query(json!({ "service": "web", "selector": format!("a{n}=b") }));
        let refused = (0..100).find_map(|n| picks.pick(&registry, scoped(n), None).err());
        assert_eq!(refused.expect("refused").code, ErrorCode::TooMuchHeld);
        let many = json!({ "service": "web", "strategy": "least-connections", "count": 2_000 });
        let refused = picks.pick(&registry, query(many), None).expect_err("refused");
        assert_eq!(refused.code, ErrorCode::TooMuchHeld);
        drop(picks);
        assert_eq!(allowance.held(), 0);
    }
}
