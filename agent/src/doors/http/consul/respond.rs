//! Answers a question in Consul's form: waits if it is to wait, asks voters if it is to, and tells the index.

use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use hobnob_api::{Consistency, Datacenters, Query};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128;

use super::super::answer::{Refused, json};
use super::super::connection::{Connection, caller};
use super::super::limits::Limit;
use super::super::routes::Routes;
use super::blocking::Subject;
use super::options::{Options, with_jitter};
use super::view::View;
use crate::clock::millis;
use crate::doors::unix::handler::Handler;
use crate::queries::asked::service_key;
use crate::services::{Entry, Registry, ServiceKey};

/// A question that is answered from the view.
pub(super) struct Question<'a> {
    routes: &'a Routes,
    connection: &'a Connection,
    options: &'a Options,
    subject: Subject,
}

impl<'a> Question<'a> {
    /// A question that came on a connection.
    pub(super) fn about(
        subject: Subject,
        (routes, connection): (&'a Routes, &'a Connection),
        options: &'a Options,
    ) -> Self {
        Self { routes, connection, options, subject }
    }

    /// A question about the service of this name, and the service.
    ///
    /// # Errors
    /// No service can have the name.
    pub(super) fn of_service(
        (routes, connection): (&'a Routes, &'a Connection),
        options: &'a Options,
        name: String,
    ) -> Result<(Self, ServiceKey), Refused> {
        let key = service_key(options.namespace.clone(), name)?;
        Ok((Self::about(Subject::Service(key.clone()), (routes, connection), options), key))
    }

    /// The datacenter that it is about.
    ///
    /// # Errors
    /// No datacenter has the name.
    pub(super) fn datacenter<'b>(&'b self, handler: &'b Handler) -> Result<&'b str, Refused> {
        let Some(named) = self.options.datacenter.as_deref() else {
            return Ok(&handler.info.datacenter);
        };
        let members = handler.registry.members().0;
        let is_known = named == handler.info.datacenter
            || members.values().any(|known| known.member.datacenter == named);
        if is_known { Ok(named) } else { Err(Refused::bad("No path to datacenter")) }
    }

    /// Answers with the text that `build` makes of the view.
    pub(super) async fn answer(
        &self,
        build: impl Fn(&View<'_>) -> Result<Vec<u8>, Refused> + Sync,
    ) -> Result<Response, Refused> {
        let handler = self.routes.handler()?;
        let datacenter = self.datacenter(handler)?;
        let text = || build(&View::new(handler, datacenter));
        if let Some(index) = self.options.index {
            // What is too long now is refused now.
            text()?;
            // A hash: a wait holds no answer.
            let seen = || text().ok().map(|text| xxh3_128(&text));
            self.wait(handler, index, Some(&seen)).await?;
        }
        let _place = self.routes.limits.take(Limit::InFlight)?;
        // The index first, so that no change between the two is missed.
        let index = self.subject.index(&handler.registry);
        self.finish(handler, text()?, index, Consistency::Eventual)
    }

    /// Answers with the text that `build` makes of the instances of a service: those that the agent knows, or with `consistent` those that a
    /// majority of the voters reports.
    pub(super) async fn answer_instances(
        &self,
        key: &ServiceKey,
        build: impl Fn(&View<'_>, &[Arc<Entry>], u64) -> Result<Vec<u8>, Refused> + Sync,
    ) -> Result<Response, Refused> {
        let handler = self.routes.handler()?;
        let datacenter = self.datacenter(handler)?;
        let is_consistent = self.options.is_consistent;
        if let Some(index) = self.options.index {
            // What cannot be answered is refused before the wait.
            self.sort_near(&View::new(handler, datacenter), &mut [])?;
            if is_consistent {
                read_strongly(handler, key, datacenter).await?;
            }
            self.wait(handler, index, None).await?;
        }
        let _place = self.routes.limits.take(Limit::InFlight)?;
        let index = self.subject.index(&handler.registry);
        let (strong, consistency) = match is_consistent {
            true => (Some(read_strongly(handler, key, datacenter).await?), Consistency::Strong),
            false => (None, Consistency::Eventual),
        };
        let view = View::new(handler, datacenter);
        let mut instances = strong.unwrap_or_else(|| view.instances(key));
        self.sort_near(&view, &mut instances)?;
        self.finish(handler, build(&view, &instances, index)?, index, consistency)
    }

    /// Waits until the subject has changed since an index, and for as long as the question says at most. With `seen`, which stands for
    /// what the asker would see, changes that it would not see do not count.
    async fn wait(
        &self,
        handler: &Handler,
        index: u64,
        seen: Option<&(dyn Fn() -> Option<u128> + Sync)>,
    ) -> Result<(), Refused> {
        let _place = self.routes.limits.take(Limit::Waiting)?;
        let until = Instant::now() + with_jitter(self.options.wait);
        let wait = self.subject.wait(&handler.registry, index, until, seen);
        self.connection.while_awaited(&self.routes.counters, wait).await
    }

    /// Sorts instances as the asker wants them, the nearest first.
    ///
    /// # Errors
    /// Nearest to whom is not known.
    fn sort_near(&self, view: &View<'_>, instances: &mut [Arc<Entry>]) -> Result<(), Refused> {
        match &self.options.near {
            Some(near) if !view.sort_near(near, instances) => {
                Err(Refused::bad("`near` names no member that this agent knows"))
            }
            _ => Ok(()),
        }
    }

    fn finish(
        &self,
        handler: &Handler,
        text: Vec<u8>,
        index: u64,
        consistency: Consistency,
    ) -> Result<Response, Refused> {
        let mut response = json(text, self.routes.budget(handler))?;
        let headers = response.headers_mut();
        for (name, value) in describe(&handler.registry, index, consistency) {
            headers.insert(name, value);
        }
        Ok(response)
    }
}

/// The headers that say what an answer rests on.
fn describe(
    registry: &Registry,
    index: u64,
    consistency: Consistency,
) -> [(HeaderName, HeaderValue); 4] {
    let contact = registry.since_last_contact().map_or(0, millis);
    let is_known = if registry.is_isolated() { "false" } else { "true" };
    let effective = match consistency {
        Consistency::Strong => "consistent",
        Consistency::Eventual => "stale",
    };
    [
        (HeaderName::from_static("x-consul-index"), index.into()),
        (HeaderName::from_static("x-consul-lastcontact"), contact.into()),
        (HeaderName::from_static("x-consul-knownleader"), HeaderValue::from_static(is_known)),
        (
            HeaderName::from_static("x-consul-effective-consistency"),
            HeaderValue::from_static(effective),
        ),
    ]
}

async fn read_strongly(
    handler: &Handler,
    key: &ServiceKey,
    datacenter: &str,
) -> Result<Vec<Arc<Entry>>, Refused> {
    let query = Query {
        namespace: key.namespace.clone(),
        all: true,
        datacenter: Datacenters::one(datacenter),
        consistency: Consistency::Strong,
        ..Query::new(key.service.clone())
    };
    let answer = handler.resolve(&query, true, caller()).await?;
    Ok(answer.instances.iter().map(|shown| shown.entry().clone()).collect())
}
