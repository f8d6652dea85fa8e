//! Answers about the instances of a service, eventual or strong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hobnob_api::{
    ApiError, Consistency, Datacenters, ErrorCode, Instances, PickQuery, Picked, Query,
};

use super::handler::Handler;
use crate::caller::Caller;
use crate::consistency::{Asked, asked_wait, read};
use crate::queries::asked::service_key;
use crate::queries::pick::Picks;
use crate::queries::resolve;
use crate::services::{Entry, ServiceKey, Shown};

impl Handler {
    pub(crate) async fn resolve(
        &self,
        query: &Query,
        is_paged: bool,
        caller: Caller,
    ) -> Result<Instances<Shown>, ApiError> {
        let strong = asked_wait(query.consistency, query.consistency_timeout_ms)?;
        let Some(within) = strong else {
            return resolve::resolve(&self.registry, query, is_paged);
        };
        if query.wait.is_some() {
            let message = "a strong answer does not wait for a change: ask without `wait`";
            return Err(ApiError::new(ErrorCode::NeverStrong, message));
        }
        let service = service_key(query.namespace.clone(), query.service.clone())?;
        // What cannot be answered asks nobody.
        resolve::answer(&self.registry, query, &[], is_paged)?;
        let entries = self.read(&service, &query.datacenter, within, caller).await?;
        let answer = resolve::answer(&self.registry, query, &entries, is_paged)?;
        Ok(Instances { consistency: Consistency::Strong, ..answer })
    }

    pub(super) async fn pick(
        &self,
        query: PickQuery,
        picks: &mut Picks,
        caller: Caller,
    ) -> Result<Picked<Shown>, ApiError> {
        let strong = asked_wait(query.consistency, query.consistency_timeout_ms)?;
        let registered = match strong {
            Some(within) => {
                let service = service_key(query.namespace.clone(), query.service.clone())?;
                Some(self.read(&service, &query.datacenter, within, caller).await?)
            }
            None => None,
        };
        let began = Instant::now();
        let picked = picks.pick(&self.registry, query, registered.as_deref())?;
        self.calls.count_pick(picked.picks.len(), began.elapsed());
        Ok(picked)
    }

    /// The instances of a service that the voters report.
    async fn read(
        &self,
        service: &ServiceKey,
        datacenters: &Datacenters,
        within: Duration,
        caller: Caller,
    ) -> Result<Vec<Arc<Entry>>, ApiError> {
        let began = Instant::now();
        let asked = Asked { service, datacenters, within, caller };
        let read = read(&self.registry, &self.driver, &self.info.datacenter, asked).await;
        self.calls.count_strong_read(began.elapsed());
        read
    }
}
