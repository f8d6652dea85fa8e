//! The side that answers: changes that agents of other datacenters ask this one for.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hobnob_api::{Ack, ApiError, Consistency, ErrorCode, InstanceScope};
use hobnob_membership::record::{Key, Value};
use hobnob_membership::{Hidden, Node, NodeId};
use tokio::sync::mpsc;

use super::echoing::echo;
use super::message::{Asked, Change, Outcome};
use super::reading::read;
use super::{MAX_WAITING_REQUESTS, Requested};
use crate::caller::Caller;
use crate::consistency::{Write, asked_wait, confirm};
use crate::driver::DriverHandle;
use crate::queries::acknowledge::{acknowledged, check_ack, check_ackers};
use crate::queries::asked::check;
use crate::registrations::RegistrationsHandle;

/// The task that makes the changes.
pub(crate) struct Answering {
    pub(crate) driver: DriverHandle,
    pub(crate) registrations: RegistrationsHandle,
}

impl Answering {
    /// Runs until the driver has ended. An agent that asks again after a while is not waited for by its own node, so the changes under
    /// way have a limit, too.
    pub(crate) async fn run(self, mut requests: mpsc::Receiver<Requested>) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = under_way.next() => {}
                requested = requests.recv(), if under_way.len() < MAX_WAITING_REQUESTS => match requested {
                    Some(requested) => under_way.push(self.take(requested)),
                    None => return,
                },
            }
        }
    }

    async fn take(&self, Requested { request, from, bytes }: Requested) {
        let is_awaited = self.driver.inspect(move |node, _| node.is_awaited(request)).await;
        if is_awaited != Ok(true) {
            return;
        }
        let outcome = match Asked::read(&bytes) {
            Ok(asked) => self.change(from, asked).await.unwrap_or_else(Outcome::Refused),
            Err(error) => Outcome::Refused(error),
        };
        // Fails only when the agent stops.
        let _ = self.driver.answer(request, outcome.write()).await;
    }

    async fn change(
        &self,
        from: NodeId,
        Asked { by, change, .. }: Asked,
    ) -> Result<Outcome, ApiError> {
        let caller = Caller { uid: by.uid, gid: None, pid: by.pid, agent: Some(from) };
        match change {
            Change::Register(mut registration) => {
                let (ack, scope) = (registration.ack.take(), registration.scope);
                let strong =
                    asked_wait(registration.consistency, registration.consistency_timeout_ms)?;
                check_ack(ack.as_ref())?;
                check_ackers(&self.driver, ack.as_ref()).await?;
                let id = registration.instance_id().to_owned();
                let held = self.review(from, &id, Some(registration.service.clone())).await?;
                if held == Held::There {
                    return Ok(Outcome::RegisteredThere {});
                }
                let write = Write::prepare(&self.driver, &id, strong).await?;
                let (outcome, _) = self.registrations.register(*registration, caller).await?;
                confirm(write, &self.driver).await?;
                let ack = acknowledged(&self.driver, ack, scope).await?;
                Ok(Outcome::Registered { outcome, ack })
            }
            Change::Deregister { id, ack } => self.deregister(from, id, ack, None, caller).await,
            Change::DeregisterStrongly { id, ack, timeout_ms } => {
                let strong = asked_wait(Consistency::Strong, Some(timeout_ms))?;
                self.deregister(from, id, ack, strong, caller).await
            }
            Change::Read { namespace, service, timeout_ms } => {
                Ok(read(&self.driver, namespace, service, timeout_ms).await?)
            }
            Change::Echo { back } => Ok(Outcome::Echoed(echo(&self.driver, from, back).await?)),
        }
    }

    async fn deregister(
        &self,
        from: NodeId,
        id: String,
        ack: Option<Ack>,
        strong: Option<Duration>,
        caller: Caller,
    ) -> Result<Outcome, ApiError> {
        check("instance id", &id)?;
        check_ack(ack.as_ref())?;
        check_ackers(&self.driver, ack.as_ref()).await?;
        if self.review(from, &id, None).await? == Held::There {
            return Ok(Outcome::RegisteredThere {});
        }
        let write = Write::prepare(&self.driver, &id, strong).await?;
        self.registrations.deregister(id, caller).await?;
        confirm(write, &self.driver).await?;
        let ack = acknowledged(&self.driver, ack, InstanceScope::Global).await?;
        Ok(Outcome::Deregistered { ack })
    }

    /// Checks that the agent which asks may serve the service of the instance with this id, and the one that it is to have.
    async fn review(
        &self,
        from: NodeId,
        id: &str,
        service: Option<String>,
    ) -> Result<Held, ApiError> {
        let key = Key::Service(id.into());
        let judge = move |node: &Node, _| {
            let held = service_of(node, &key);
            let is_held = held.is_some();
            let services = service.into_iter().chain(held);
            let hidden: Option<Hidden> =
                services.filter_map(|service| node.hides(from, &service)).next();
            (is_held, hidden)
        };
        let (is_held, hidden) = self.driver.inspect(judge).await?;
        if let Some(hidden) = hidden {
            let message = format!("the agent that asks may not change it: {hidden}");
            return Err(ApiError::new(ErrorCode::ServiceNotAllowed, message));
        }
        Ok(match self.registrations.registrant(id) {
            Some(by) if by.agent.is_some() => Held::FromElsewhere,
            None if !is_held => Held::Nowhere,
            _ => Held::There,
        })
    }
}

/// Where an instance of this agent comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// There is none.
    Nowhere,
    /// An agent of another datacenter asked for it.
    FromElsewhere,
    /// A process of this host registered it.
    There,
}

/// The service of an instance of this agent.
fn service_of(node: &Node, key: &Key) -> Option<String> {
    let own = node.catalog().origin(node.identity().node_id)?;
    match own.current()?.get(key)? {
        Value::Service(service) => Some(service.service.to_string()),
        _ => None,
    }
}
