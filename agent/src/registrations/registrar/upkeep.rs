//! Maintenance and drains: instances that operators take out, and give back.
//!
//! What an operator asked for is on the disk first. Then the definition of each instance is written with it, so that all agents
//! follow. A drain is written again at each quarter, and at its end together with a health that no agent offers.

use std::sync::Arc;
use std::time::Duration;

use hobnob_api::{ApiError, ErrorCode, EventKind};
use hobnob_membership::record::{Drain, ServiceRecord, Upkeep};
use hobnob_membership::registering;
use tokio::time::{Instant, sleep_until};

use super::{Registrar, lost, not_written};
use crate::actor::Reply;
use crate::caller::Caller;
use crate::clock::{millis, wall_clock_ms};
use crate::driver::OwnChange;
use crate::history::{By, Event};
use crate::registrations::records;
use crate::storage::{StoredDrain, StoredMaintenance, StoredRegistration, StoredUpkeep};

/// The parts of a drain after which it is written again.
const PARTS: u32 = 4;

/// The effect of the begin or the end of a maintenance.
#[derive(Debug, Default)]
pub(crate) struct Maintained {
    /// The instances that are concerned.
    pub(crate) instances: Vec<String>,
    /// Those of them that stay out though it ended.
    pub(crate) still_out: Vec<String>,
    /// Whether all was so before.
    pub(crate) unchanged: bool,
}

/// A drain that goes on.
pub(in crate::registrations) struct Draining {
    /// When it is written again.
    due: Instant,
    ends: Instant,
    over: Duration,
    /// Calls that wait for its end.
    waiting: Vec<Reply<Result<(), ApiError>>>,
}

impl Draining {
    /// A drain that is so old.
    pub(in crate::registrations) fn of(drain: StoredDrain, elapsed_ms: u64) -> Self {
        let over = Duration::from_millis(drain.over_ms);
        let left = over.saturating_sub(Duration::from_millis(elapsed_ms));
        let ends = Instant::now() + left;
        let mut this = Self { due: ends, ends, over, waiting: Vec::new() };
        this.schedule();
        this
    }

    fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    fn elapsed_ms(&self) -> u64 {
        millis(self.over.saturating_sub(self.left()))
    }

    fn schedule(&mut self) {
        let part = (self.over / PARTS).max(Duration::from_millis(1));
        self.due = (Instant::now() + part).min(self.ends);
    }
}

/// Waits until then, or for ever.
pub(super) async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The age of a drain by the clock of this host, which a restart needs.
pub(in crate::registrations) fn age_ms(drain: StoredDrain) -> u64 {
    wall_clock_ms().saturating_sub(drain.since_ms).min(drain.over_ms)
}

/// What operators did to an instance, for its definition.
pub(in crate::registrations) fn of(
    upkeep: &StoredUpkeep,
    id: &str,
    elapsed_ms: impl FnOnce(StoredDrain) -> u64,
) -> Upkeep {
    let acts = upkeep.instances.get(id);
    let own = acts.and_then(|acts| acts.maintenance.as_ref());
    let maintenance = own.or(upkeep.agent.as_ref()).map(|maintenance| {
        let is_given = !maintenance.reason.is_empty();
        if is_given { maintenance.reason.as_str().into() } else { "no reason given".into() }
    });
    let drain = acts.and_then(|acts| acts.drain);
    let drain = drain.map(|drain| Drain { elapsed_ms: elapsed_ms(drain), over_ms: drain.over_ms });
    Upkeep::new(maintenance, drain)
}

/// Puts what operators did into a definition. Returns whether nobody is to use the instance. Versions without maintenance see an
/// instance with a check that fails.
pub(in crate::registrations) fn apply(service: &mut ServiceRecord, upkeep: Upkeep) -> bool {
    let is_drained = upkeep.drain().is_some_and(|drain| drain.is_over());
    let is_out = upkeep.maintenance().is_some() || is_drained;
    service.checked |= is_out;
    service.upkeep = upkeep;
    is_out
}

impl Registrar {
    /// The definition of a registration with what operators did to it, and whether nobody is to use the instance.
    pub(super) fn definition(&self, registration: &StoredRegistration) -> (ServiceRecord, bool) {
        let mut service = records::service(registration, &self.default_address);
        let id = registration.id.as_str();
        // One that does not go on is over.
        let elapsed_ms =
            |drain: StoredDrain| self.draining.get(id).map_or(drain.over_ms, Draining::elapsed_ms);
        let is_out = apply(&mut service, of(&self.upkeep, id, elapsed_ms));
        (service, is_out)
    }

    /// Puts an instance in maintenance, or all of this agent without an id, or ends that. The end of an instance's own also ends its
    /// drain.
    pub(super) async fn maintain(
        &mut self,
        id: Option<&str>,
        reason: Option<String>,
        caller: Caller,
    ) -> Result<Maintained, ApiError> {
        let data_dir = self.data_dir.as_ref().ok_or_else(lost)?;
        let ids: Vec<String> = match id {
            Some(id) if data_dir.registration(id).is_none() => return Err(self.not_found(id)),
            Some(id) => vec![id.to_owned()],
            None => data_dir.registrations().map(|of| of.id.clone()).collect(),
        };
        let is_on = reason.is_some();
        let before = match id {
            None => self.upkeep.agent.clone(),
            Some(id) => self.upkeep.instances.get(id).and_then(|acts| acts.maintenance.clone()),
        };
        let maintenance = reason.map(|reason| match before {
            // One that goes on keeps its begin, and its reason if no other is given.
            Some(before) if reason.is_empty() => before,
            Some(before) => StoredMaintenance { reason, ..before },
            None => StoredMaintenance { reason, since_ms: wall_clock_ms() },
        });
        let mut upkeep = self.upkeep.clone();
        match id {
            None => upkeep.agent = maintenance.clone(),
            Some(id) => upkeep.change(id, |acts| {
                acts.maintenance = maintenance.clone();
                if !is_on {
                    acts.drain = None;
                }
            }),
        }
        let unchanged = upkeep == self.upkeep;
        let is_out = |upkeep: &StoredUpkeep, id: &String| {
            !is_on && (upkeep.agent.is_some() || upkeep.instances.contains_key(id))
        };
        let still_out = ids.iter().filter(|id| is_out(&upkeep, id)).cloned().collect();
        if unchanged {
            return Ok(Maintained { instances: ids, still_out, unchanged });
        }
        self.keep_upkeep(upkeep).await?;
        for each in &ids {
            match self.rewrite(each).await {
                Err(error) if id.is_some() => return Err(error),
                // One that the token of this agent does not allow is not offered anyway.
                Err(error) => {
                    tracing::warn!(id = each, %error, "the maintenance of an instance was not written");
                }
                Ok(()) => {}
            }
        }
        let Caller { uid, pid, .. } = caller;
        let reason = maintenance.map(|maintenance| maintenance.reason);
        tracing::info!(
            id,
            is_on,
            reason,
            uid,
            pid,
            instances = ids.len(),
            "an operator changed the maintenance"
        );
        self.record_maintenance(id, is_on, reason.as_deref(), caller);
        Ok(Maintained { instances: ids, still_out, unchanged })
    }

    fn record_maintenance(
        &self,
        id: Option<&str>,
        is_on: bool,
        reason: Option<&str>,
        caller: Caller,
    ) {
        let kind = if is_on { EventKind::MaintenanceOn } else { EventKind::MaintenanceOff };
        let event = Event::new(kind, By::client(caller)).why(reason.unwrap_or_default());
        self.history.record(match id {
            Some(id) => event.instance(id).service(self.service_of(id).as_deref()),
            None => event,
        });
    }

    /// The service of a registration.
    pub(super) fn service_of(&self, id: &str) -> Option<String> {
        self.data_dir.as_ref()?.registration(id).map(|registration| registration.service.clone())
    }

    /// Begins a drain of an instance, or stops it without a time.
    pub(super) async fn drain(
        &mut self,
        id: &str,
        over: Option<Duration>,
        caller: Caller,
    ) -> Result<(), ApiError> {
        let data_dir = self.data_dir.as_ref().ok_or_else(lost)?;
        if data_dir.registration(id).is_none() {
            return Err(self.not_found(id));
        }
        let before = self.upkeep.instances.get(id).and_then(|acts| acts.drain);
        let drain = over.map(|over| begun(before, wall_clock_ms(), millis(over)));
        let mut upkeep = self.upkeep.clone();
        upkeep.change(id, |acts| acts.drain = drain);
        if upkeep == self.upkeep {
            return Ok(());
        }
        self.keep_upkeep(upkeep).await?;
        self.rewrite(id).await?;
        let (over_ms, Caller { uid, pid, .. }) = (drain.map(|drain| drain.over_ms), caller);
        let kind = if over.is_some() { EventKind::DrainBegun } else { EventKind::DrainStopped };
        let event = Event::new(kind, By::client(caller)).instance(id);
        let event = event.service(self.service_of(id).as_deref());
        self.history.record(match over {
            Some(over) => event.why(&format!("over {over:?}")),
            None => event,
        });
        tracing::info!(id, over_ms, uid, pid, "an operator began or stopped a drain");
        Ok(())
    }

    /// Lets a call wait for the end of a drain.
    pub(super) fn await_drained(&mut self, id: &str, reply: Reply<Result<(), ApiError>>) {
        match self.draining.get_mut(id) {
            Some(draining) => draining.waiting.push(reply),
            None => reply.send(self.drained(id)),
        }
    }

    /// Whether operators took an instance out, or all of this agent.
    pub(super) fn is_kept_up(&self, id: &str) -> bool {
        self.upkeep.agent.is_some() || self.upkeep.instances.contains_key(id)
    }

    fn drained(&self, id: &str) -> Result<(), ApiError> {
        match self.upkeep.instances.get(id).and_then(|acts| acts.drain) {
            Some(_) => Ok(()),
            None => {
                let message = format!("the drain of `{id}` was stopped, or it was deregistered");
                Err(ApiError::new(ErrorCode::DrainStopped, message))
            }
        }
    }

    /// Forgets what operators did to an instance that is registered no more.
    pub(super) async fn forget_upkeep(&mut self, id: &str) -> Result<(), ApiError> {
        if !self.upkeep.instances.contains_key(id) {
            return Ok(());
        }
        let mut upkeep = self.upkeep.clone();
        upkeep.instances.remove(id);
        self.keep_upkeep(upkeep).await
    }

    /// Makes the upkeep durable, and follows its drains.
    async fn keep_upkeep(&mut self, upkeep: StoredUpkeep) -> Result<(), ApiError> {
        let kept = upkeep.clone();
        self.with_data_dir(move |data_dir| data_dir.save_upkeep(&kept)).await?;
        self.upkeep_shown.store(Arc::new(upkeep.clone()));
        let before = std::mem::replace(&mut self.upkeep, upkeep);
        let drain_of =
            |upkeep: &StoredUpkeep, id: &str| upkeep.instances.get(id).and_then(|acts| acts.drain);
        let ids: Vec<String> =
            before.instances.keys().chain(self.upkeep.instances.keys()).cloned().collect();
        for id in ids {
            let drain = drain_of(&self.upkeep, &id);
            if drain_of(&before, &id) == drain {
                continue;
            }
            let stopped = self.draining.remove(&*id);
            let waiting = stopped.map(|stopped| stopped.waiting).unwrap_or_default();
            match drain {
                // One that begins anew has those waiting who waited for the one before.
                Some(drain) => {
                    let draining = Draining { waiting, ..Draining::of(drain, 0) };
                    self.draining.insert(id.as_str().into(), draining);
                }
                None => {
                    let outcome = self.drained(&id);
                    waiting.into_iter().for_each(|reply| reply.send(outcome.clone()));
                }
            }
        }
        Ok(())
    }

    /// Writes the definition of an instance again, with what operators did to it now.
    async fn rewrite(&mut self, id: &str) -> Result<(), ApiError> {
        let data_dir = self.data_dir.as_ref().ok_or_else(lost)?;
        let Some(registration) = data_dir.registration(id) else { return Ok(()) };
        let (service, is_out) = self.definition(registration);
        let (key, value) = registering::definition(&id.into(), service);
        let change = OwnChange::Out(is_out);
        let records = vec![(key, Some(value))];
        let written = self.driver.write_with_checks(records, id.into(), change).await;
        written.map_err(|refused| not_written(id, refused))
    }

    /// When a drain is to be written again.
    pub(super) fn drain_due(&self) -> Option<Instant> {
        self.draining.values().map(|draining| draining.due).min()
    }

    /// Writes the drains again that are due.
    pub(super) async fn continue_drains(&mut self) {
        let now = Instant::now();
        let due = self.draining.iter().filter(|(_, draining)| draining.due <= now);
        let due: Vec<_> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            let is_over = self.draining.get(&id).is_none_or(|draining| draining.left().is_zero());
            let written = self.rewrite(&id).await;
            if let Err(error) = &written {
                tracing::error!(id = &*id, %error, "a drain could not be written");
            }
            if is_over {
                let over = self.draining.remove(&id);
                if written.is_ok() {
                    let event = Event::new(EventKind::Drained, By::agent()).instance(&id);
                    self.history.record(event.service(self.service_of(&id).as_deref()));
                    tracing::info!(id = &*id, "the instance is drained");
                }
                let waiting = over.into_iter().flat_map(|over| over.waiting);
                waiting.for_each(|reply| reply.send(written.clone()));
            } else if let Some(draining) = self.draining.get_mut(&id) {
                draining.schedule();
            }
        }
    }
}

/// The drain that begins now, over so many milliseconds. One that goes on, or is over, is shortened at most: what was taken from an
/// instance is not given back before its drain is stopped.
fn begun(before: Option<StoredDrain>, now_ms: u64, over_ms: u64) -> StoredDrain {
    match before.filter(|before| before.since_ms <= now_ms) {
        Some(StoredDrain { since_ms, over_ms: before_ms }) => {
            let over_ms = (now_ms - since_ms).saturating_add(over_ms).min(before_ms);
            StoredDrain { since_ms, over_ms }
        }
        None => StoredDrain { since_ms: now_ms, over_ms },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_drain_gives_nothing_back() {
        let first = begun(None, 1_000, 500);
        assert_eq!((first.since_ms, first.over_ms), (1_000, 500));
        assert_eq!(begun(Some(first), 1_200, 60_000), first, "it ends no later");
        assert_eq!(begun(Some(first), 9_000, 60_000), first, "it is drained, and stays so");
        let sooner = begun(Some(first), 1_200, 100);
        assert_eq!((sooner.since_ms, sooner.over_ms), (1_000, 300), "it may end sooner");
        assert_eq!(begun(Some(first), 10, 70).since_ms, 10, "the clock was set back");
    }
}
