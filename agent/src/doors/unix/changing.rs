//! Answers to registrations and deregistrations: here or with an agent of another datacenter, eventual or strong.

use std::time::Instant;

use hobnob_api::{
    Ack, Acknowledged, ApiError, Consistency, ErrorCode, InstanceScope, Registration, Response,
};

use super::handler::Handler;
use crate::caller::Caller;
use crate::consistency::{Write, asked_wait, confirm, is_deregistered};
use crate::elsewhere::{self, Done};
use crate::queries::acknowledge::{acknowledged, check_ack, check_ackers, check_reach};
use crate::queries::asked::check;
use crate::services::Shown;

/// What a change waits for.
pub(super) struct Wanted {
    pub(super) ack: Option<Ack>,
    pub(super) consistency: Consistency,
    pub(super) timeout_ms: Option<u64>,
}

impl Handler {
    pub(super) async fn register(
        &self,
        mut registration: Registration,
        caller: Caller,
    ) -> Result<Response<Shown>, ApiError> {
        let driver = &self.driver;
        let consistency = registration.consistency;
        let strong = asked_wait(consistency, registration.consistency_timeout_ms)?;
        check_ack(registration.ack.as_ref())?;
        let id = registration.instance_id().to_owned();
        let there = self.elsewhere(registration.datacenter.take())?;
        check_reach(&registration, there.as_deref().unwrap_or(&self.info.datacenter))?;
        check_ackers(driver, registration.ack.as_ref()).await?;
        let (outcome, ack, node, also_at, dropped, not_offered) = match there {
            Some(there) => {
                let Done { outcome, ack, node, also_at } =
                    elsewhere::register(driver, &there, registration, caller).await?;
                let Caller { uid, pid, .. } = caller;
                tracing::info!(
                    uid,
                    pid,
                    id,
                    datacenter = there,
                    agent = node,
                    "registered elsewhere, as a client asked"
                );
                (outcome, ack, Some(node), also_at, None, None)
            }
            None => {
                let write = Write::prepare(driver, &id, strong).await?;
                let (ack, scope) = (registration.ack.take(), registration.scope);
                let (outcome, dropped) = self.registrations.register(registration, caller).await?;
                let not_offered = self.registrations.withheld(&id);
                let ack = self.confirmed(write, ack, scope).await?;
                (outcome, ack, None, Vec::new(), dropped, not_offered)
            }
        };
        Ok(Response::Registered {
            id,
            outcome,
            ack,
            node,
            also_at,
            dropped,
            not_offered,
            consistency,
        })
    }

    pub(super) async fn deregister(
        &self,
        id: String,
        datacenter: Option<String>,
        Wanted { ack, consistency, timeout_ms }: Wanted,
        caller: Caller,
    ) -> Result<Response<Shown>, ApiError> {
        let driver = &self.driver;
        let strong = asked_wait(consistency, timeout_ms)?;
        check("instance id", &id)?;
        check_ack(ack.as_ref())?;
        check_ackers(driver, ack.as_ref()).await?;
        if let Some(there) = self.elsewhere(datacenter)? {
            let Done { ack, node, also_at, .. } =
                elsewhere::deregister(driver, &there, &id, ack, strong, caller).await?;
            let Caller { uid, pid, .. } = caller;
            tracing::info!(
                uid,
                pid,
                id,
                datacenter = there,
                agent = node,
                "deregistered elsewhere, as a client asked"
            );
            let node = Some(node);
            return Ok(Response::Deregistered { id, ack, node, also_at, consistency });
        }
        let write = Write::prepare(driver, &id, strong).await?;
        match self.registrations.deregister(id.clone(), caller).await {
            // It was done before, and not confirmed by the voters.
            Err(error)
                if error.code == ErrorCode::InstanceNotFound
                    && write.is_some()
                    && is_deregistered(driver, &id).await? => {}
            done => done?,
        }
        let ack = self.confirmed(write, ack, InstanceScope::Global).await?;
        Ok(Response::Deregistered { id, ack, node: None, also_at: Vec::new(), consistency })
    }

    /// Waits for the voters and for acknowledgements, if they were asked for.
    async fn confirmed(
        &self,
        write: Option<Write>,
        ack: Option<Ack>,
        scope: InstanceScope,
    ) -> Result<Option<Acknowledged>, ApiError> {
        let (is_strong, began) = (write.is_some(), Instant::now());
        let confirmed = confirm(write, &self.driver).await;
        if is_strong {
            self.calls.count_strong_write(began.elapsed());
        }
        confirmed?;
        let (is_asked, began) = (ack.is_some(), Instant::now());
        let acknowledged = acknowledged(&self.driver, ack, scope).await?;
        if is_asked {
            self.calls.count_ack(began.elapsed());
        }
        Ok(acknowledged)
    }

    /// The datacenter that a change is for, unless it is that of this agent.
    fn elsewhere(&self, datacenter: Option<String>) -> Result<Option<String>, ApiError> {
        datacenter.iter().try_for_each(|name| check("datacenter", name))?;
        Ok(datacenter.filter(|name| *name != self.info.datacenter))
    }
}
