//! What a connection keeps for its picks: a picker for each scope that it asked for, and the calls in flight that nobody
//! will report.

use std::collections::BTreeMap;
use std::sync::Arc;

use hobnob_balancer::{Pick, Selector, Strategy};

use crate::queries::resolve::bad_selector;
use crate::services::{Entry, Registry, Scope, Scoped, ScopedPicker, Service, ServiceKey};
use hobnob_api::{self, ApiError, ErrorCode, PickQuery};

/// Picks, and reports, in one call: the answer must fit a frame.
pub(crate) const MAX_PICKS: u32 = 10_000;
/// Pickers of one connection. Beyond it they are made anew.
const MAX_PICKERS: usize = 1_024;
/// Calls in flight on one connection.
const MAX_IN_FLIGHT: usize = 100_000;

/// The picks of one connection. Dropping it ends all calls in flight.
#[derive(Default)]
pub(crate) struct Pickers {
    pickers: BTreeMap<(ServiceKey, Scope), (Arc<Scoped>, ScopedPicker)>,
    in_flight: Vec<Pick<Arc<Entry>>>,
}

impl Pickers {
    /// Picks as often as the query says, as far as there is something to pick.
    pub(crate) fn pick(
        &mut self,
        registry: &Registry,
        key: ServiceKey,
        service: &Arc<Service>,
        query: &PickQuery,
    ) -> Result<Vec<hobnob_api::Pick>, ApiError> {
        let strategy = query.strategy.unwrap_or_else(|| service.strategy());
        need_key(strategy, query)?;
        let counts_in_flight =
            matches!(strategy, Strategy::LeastConnections | Strategy::BoundedHash);
        let held = counts_in_flight && !query.report;
        let count = query.count as usize;
        if held && self.in_flight.len() + count > MAX_IN_FLIGHT {
            let message = format!(
                "{MAX_IN_FLIGHT} calls of this connection are in flight, and more are not allowed"
            );
            return Err(ApiError::new(ErrorCode::TooManyCallsInFlight, message));
        }
        let picker = self.picker(registry, key, service, query)?;
        let hashed = query.key.as_deref().map(str::as_bytes);
        let picked: Vec<_> = (0..count).map_while(|_| picker.pick(strategy, hashed)).collect();
        let picks = picked.into_iter().map(|pick| {
            let instance = hobnob_api::Instance { offered: true, ..registry.describe(pick.item()) };
            let token = match (query.report, held) {
                (true, _) => registry.open_call(service, pick),
                (false, true) => {
                    self.in_flight.push(pick);
                    0
                }
                (false, false) => 0,
            };
            hobnob_api::Pick { token, instance }
        });
        Ok(picks.collect())
    }

    fn picker(
        &mut self,
        registry: &Registry,
        key: ServiceKey,
        service: &Arc<Service>,
        query: &PickQuery,
    ) -> Result<&mut ScopedPicker, ApiError> {
        let scope = Scope {
            selector: query.selector.clone(),
            datacenter: query.datacenter.clone(),
            prefer: query.prefer,
        };
        let key = (key, scope);
        if self.pickers.get(&key).is_some_and(|(scoped, _)| scoped.is_retired()) {
            self.pickers.remove(&key);
        }
        if !self.pickers.contains_key(&key) && self.pickers.len() >= MAX_PICKERS {
            self.pickers.clear();
        }
        let scoped = registry.scoped(service, &key.1).map_err(|error| bad_selector(&error))?;
        let (_, picker) = self.pickers.entry(key).or_insert_with(|| {
            let picker = scoped.picker();
            (scoped, picker)
        });
        Ok(picker)
    }
}

/// Checks what can be checked of a query without its service.
pub(crate) fn check(query: &PickQuery) -> Result<(), ApiError> {
    if !(1..=MAX_PICKS).contains(&query.count) {
        let message = format!("the count {} is not from 1 to {MAX_PICKS}", query.count);
        return Err(ApiError::new(ErrorCode::OutOfRange, message));
    }
    if let Some(strategy) = query.strategy {
        need_key(strategy.into(), query)?;
    }
    let selector = query.selector.as_deref().unwrap_or_default();
    selector.parse::<Selector>().map(drop).map_err(|error| bad_selector(&error))
}

fn need_key(strategy: Strategy, query: &PickQuery) -> Result<(), ApiError> {
    if strategy.is_keyed() && query.key.is_none() {
        let message = format!("the strategy {strategy} needs a key");
        return Err(ApiError::new(ErrorCode::KeyMissing, message));
    }
    Ok(())
}
