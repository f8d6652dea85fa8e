//! What a connection keeps for its picks: a picker for each service that it asked for, and the calls in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use hobnob_balancer::{Pick, Picker};
use hobnob_membership::view::Instance;

use super::types::{self, ApiError, ErrorKind};
use crate::registry::{Service, ServiceKey};

/// Pickers of one connection. Beyond it they are made anew for each call.
const MAX_PICKERS: usize = 1_024;
/// Calls in flight on one connection.
const MAX_IN_FLIGHT: usize = 100_000;

/// The picks of one connection. Dropping it ends all calls in flight.
#[derive(Default)]
pub(super) struct Pickers {
    pickers: BTreeMap<ServiceKey, (Arc<Service>, Picker<Arc<Instance>>)>,
    in_flight: BTreeMap<u64, Pick<Arc<Instance>>>,
    last_token: u64,
}

impl Pickers {
    /// Picks `count` times, as far as there is something to pick.
    pub(super) fn pick(
        &mut self,
        key: &ServiceKey,
        service: &Arc<Service>,
        query: &types::PickQuery,
    ) -> Result<Vec<(u64, Arc<Instance>)>, ApiError> {
        let (strategy, held) = match query.strategy {
            types::Strategy::RoundRobin => (hobnob_balancer::Strategy::RoundRobin, false),
            types::Strategy::Weighted => (hobnob_balancer::Strategy::Weighted, false),
            types::Strategy::LeastConnections => {
                (hobnob_balancer::Strategy::LeastConnections, true)
            }
            types::Strategy::ConsistentHash => (hobnob_balancer::Strategy::ConsistentHash, false),
        };
        let count = query.count as usize;
        if held && self.in_flight.len() + count > MAX_IN_FLIGHT {
            let message = format!(
                "a connection may have {MAX_IN_FLIGHT} calls in flight: release some of them"
            );
            return Err(ApiError { kind: ErrorKind::Invalid, message });
        }
        let mut picks = Vec::with_capacity(count);
        for _ in 0..count {
            let picker = self.picker(key, service);
            let Some(pick) = picker.pick(strategy, query.key.as_deref().map(str::as_bytes)) else {
                break;
            };
            let instance = pick.item().clone();
            if held {
                self.last_token += 1;
                self.in_flight.insert(self.last_token, pick);
                picks.push((self.last_token, instance));
            } else {
                picks.push((0, instance));
            }
        }
        Ok(picks)
    }

    /// Ends calls; tokens that are not known have ended before.
    pub(super) fn release(&mut self, tokens: &[u64]) {
        for token in tokens {
            self.in_flight.remove(token);
        }
    }

    fn picker(&mut self, key: &ServiceKey, service: &Arc<Service>) -> &mut Picker<Arc<Instance>> {
        let known = self.pickers.get(key).is_some_and(|(of, _)| Arc::ptr_eq(of, service));
        if !known {
            if self.pickers.len() >= MAX_PICKERS {
                self.pickers.clear();
            }
            self.pickers.insert(key.clone(), (service.clone(), service.balancer().picker()));
        }
        let (_, picker) = self
            .pickers
            .entry(key.clone())
            .or_insert_with(|| (service.clone(), service.balancer().picker()));
        picker
    }
}
